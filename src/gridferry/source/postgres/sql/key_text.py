"""A value of a row that was read, as text that PostgreSQL reads again."""

from __future__ import annotations

import re

import pyarrow as pa

from gridferry.model.time_text import FIRST_US, INFINITE_DAYS, INFINITE_US, day_text, moment_text

_FOUR_DIGIT_YEAR = re.compile(r"\d{4}-")


def key_text(value: pa.Array) -> str | None:
    """The one value of an array as text that PostgreSQL reads; None for stamps after the year 294246.

    Raises nothing for octets that are no text; they have none either.
    """
    try:
        text = str(value.cast(pa.utf8())[0].as_py())
    except (pa.ArrowException, ValueError, OverflowError):
        text = None
    # Arrow does not fail for far times: it writes `<value out of range: N>`, or years that PostgreSQL does not read.
    if pa.types.is_temporal(value.type) and (text is None or not _FOUR_DIGIT_YEAR.match(text)):
        return _far_text(value)
    return text


def _far_text(value: pa.Array) -> str | None:
    """As the readers give them: infinities, and years that do not fit 64 bits, are numbers before all others."""
    day = pa.types.is_date32(value.type)
    number = value.view(pa.int32() if day else pa.int64())[0].as_py()
    infinite = INFINITE_DAYS if day else INFINITE_US
    if number in infinite:
        return ("infinity", "-infinity")[infinite.index(number)]
    if day:
        return day_text(number)
    return moment_text(number) if number >= FIRST_US else None
