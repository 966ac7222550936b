"""For the site's API reference: the parts of a docstring, set off from its text.

Docstrings here are sentences, with parts that begin with a word: `Args:`, `Returns:`, `Raises:`.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_PART = re.compile(r"^(Args|Returns|Raises):", re.MULTILINE)


def set_off(text: str) -> str:
    """The docstring as Markdown: each part a paragraph of its own, its word in bold."""
    return _PART.sub(r"\n**\1:**", text)


class DocstringParts(griffe.Extension):
    """What mkdocstrings calls for each object that it reads."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Set off the parts of its docstring, where it has one."""
        if obj.docstring is not None:
            obj.docstring.value = set_off(obj.docstring.value)
