"""A value of a row that was read, as text that PostgreSQL reads again."""

from __future__ import annotations

import re

import pyarrow as pa

_FOUR_DIGIT_YEAR = re.compile(r"\d{4}-")


def key_text(value: pa.Array) -> str | None:
    """The one value of an array as text that PostgreSQL reads; None where Arrow has none: infinite and far times.

    Raises nothing for octets that are no text; they have none either.
    """
    try:
        text = str(value.cast(pa.utf8())[0].as_py())
    except (pa.ArrowException, ValueError, OverflowError):
        return None
    # Arrow does not fail for far times: it writes `<value out of range: N>`, or years that PostgreSQL does not read.
    return None if pa.types.is_temporal(value.type) and not _FOUR_DIGIT_YEAR.match(text) else text
