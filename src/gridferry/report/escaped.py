"""Pages whose every value is escaped, and that let no style or script run but their own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import jinja2


def escaping(text_of: Callable[[str], str]) -> jinja2.Environment:
    """Templates by name, read by `text_of`: what they are given is escaped, and a name unknown to them is an error."""
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(text_of),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def source_hash(text: str) -> str:
    """How a Content-Security-Policy names a style or script that is in the page, without its quotes."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
