"""Python values as parameters: one by the type that it has, many by the type of the column that they go to.

The server converts what it is sent, and loses digits without a word: 5.5 into a BYTE becomes 5, microseconds in a
TIMESTAMP(3) are cut. So a value whose column is known is sent as that type, or refused here.
Source: docs/protocol-sql.md, Parameters.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridferry.griddb.schema import GridType
from gridferry.griddb.sql.errors import DataError, NotSupportedError
from gridferry.griddb.wire.sql_values import NULL, Plain, Value

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_MICROSECOND = dt.timedelta(microseconds=1)
_INTEGERS = {GridType.BYTE: 8, GridType.SHORT: 16, GridType.INTEGER: 32, GridType.LONG: 64}
_UNITS = {GridType.TIMESTAMP_MS: 1_000_000, GridType.TIMESTAMP_US: 1_000, GridType.TIMESTAMP_NS: 1}
_NUMPY_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "m": 60 * 10**9, "h": 3600 * 10**9, "D": 86400 * 10**9}


def value_of(given: Any) -> Value:
    """A value as the type that it has itself: int LONG, float DOUBLE, str STRING, bytes BLOB, times as fine as needed.

    Raises: DataError for a number that fits no type; NotSupportedError for a type that GridDB's SQL has not.
    """
    given = _plain(given)
    if given is None:
        return NULL
    if isinstance(given, bool):
        return Value(GridType.BOOL, given)
    if isinstance(given, int):
        return Value(GridType.LONG, _within(given, GridType.LONG))
    if isinstance(given, float):
        return Value(GridType.DOUBLE, given)
    if isinstance(given, str):
        return Value(GridType.STRING, given)
    if isinstance(given, bytes):
        return Value(GridType.BLOB, given)
    nanoseconds = _nanoseconds(given)
    if nanoseconds is not None:
        kind = next(k for k, unit in _UNITS.items() if nanoseconds % unit == 0)
        return Value(kind, nanoseconds // _UNITS[kind])
    raise NotSupportedError(
        f"a value of the Python type {type(given).__name__} cannot be a parameter",
        next_step="give it as an int, a float, a str, bytes, a bool or a datetime",
    )


def value_for(kind: GridType, given: Any) -> Value:
    """A value as the type of its column. Raises: DataError for one that the column would not hold as it is."""
    given = _plain(given)
    if given is None:
        return NULL
    make = _MAKERS.get(kind)
    made: Plain = None if make is None else make(kind, given)
    if made is None:
        raise DataError(f"a value of the Python type {type(given).__name__} does not fit {kind.label}")
    return Value(kind, made)


@dataclass(frozen=True)
class Target:
    """A column that values go to."""

    name: str
    type: GridType


def columns_for(targets: Sequence[Target], rows: Sequence[Sequence[Any]], *, first: int = 0) -> list[list[Plain]]:
    """The values of n rows for an INSERT, as a list of n for each column. `first` is the number of the first row.

    Raises: DataError that names column and row.
    """
    for number, row in enumerate(rows, start=first):
        if len(row) != len(targets):
            raise DataError(f"row {number} has {len(row)} values, and the statement {len(targets)} parameters")
    return [_column(target, given, first) for target, given in zip(targets, zip(*rows, strict=True), strict=True)]


def _column(target: Target, given: Sequence[Any], first: int) -> list[Plain]:
    kind = target.type
    kinds = set(map(type, given))
    if kinds == {_EXACT.get(kind)}:
        return list(given)
    if kinds == {int} and kind in _INTEGERS:
        bits = _INTEGERS[kind]
        if -(1 << bits - 1) <= min(given) and max(given) < 1 << bits - 1:
            return list(given)
    found: list[Plain] = []
    for number, value in enumerate(given, start=first):
        try:
            found.append(value_for(kind, value).plain)
        except DataError as error:
            raise DataError(f'column "{target.name}", row {number}: {error.message}') from error
    return found


# Of these every value fits, so nothing is looked at: they are most of what is written.
_EXACT: dict[GridType, type] = {GridType.DOUBLE: float, GridType.STRING: str, GridType.BLOB: bytes, GridType.BOOL: bool}


def _plain(given: Any) -> Any:
    """The same value as one of Python's own types, where it is one of numpy's or another that means the same."""
    if isinstance(given, np.datetime64):
        return given
    if isinstance(given, np.generic):
        return given.item()
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if isinstance(given, uuid.UUID):
        return str(given)
    return given


def _within(number: int, kind: GridType) -> int:
    bits = _INTEGERS[kind]
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise DataError(f"the number does not fit {kind.label}")
    return number


def _integer(kind: GridType, given: Any) -> int | None:
    if isinstance(given, bool):
        return None
    if isinstance(given, int):
        return _within(given, kind)
    if isinstance(given, float | decimal.Decimal):
        if not math.isfinite(given) or given != int(given):
            raise DataError(f"the number has a fraction, or is none, and {kind.label} holds whole numbers")
        return _within(int(given), kind)
    return None


def _double(kind: GridType, given: Any) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float | decimal.Decimal):
        return None
    try:
        number = float(given)
    except OverflowError:
        number = math.inf
    if isinstance(given, int) and number != given:
        raise DataError(f"the whole number does not come back from {kind.label}")
    return number


def _float(kind: GridType, given: Any) -> float | None:
    number = _double(kind, given)
    if number is not None and math.isfinite(number) and abs(number) > float(np.finfo(np.float32).max):
        raise DataError("the number is too large for FLOAT")
    return number


def _bool(kind: GridType, given: Any) -> bool | None:
    return given if isinstance(given, bool) else None


def _text(kind: GridType, given: Any) -> str | None:
    return given if isinstance(given, str) else None


def _octets(kind: GridType, given: Any) -> bytes | None:
    return given if isinstance(given, bytes) else None


def _time(kind: GridType, given: Any) -> int | None:
    nanoseconds = _nanoseconds(given)
    if nanoseconds is None:
        return None
    if nanoseconds % _UNITS[kind]:
        raise DataError(f"the time is finer than {kind.label}, which would cut its last digits")
    return nanoseconds // _UNITS[kind]


def _nanoseconds(given: Any) -> int | None:
    """A time as nanoseconds since 1970, UTC where it has no zone; a date is its midnight. None for anything else."""
    if isinstance(given, np.datetime64):
        unit, count = np.datetime_data(given.dtype)
        if np.isnat(given) or unit not in _NUMPY_UNITS:
            raise DataError("the numpy time is not a time, or has a unit that is none of GridDB's")
        return int(given.astype(np.int64)) * count * _NUMPY_UNITS[unit]
    if isinstance(given, dt.datetime):
        nanosecond = getattr(given, "nanosecond", 0)  # of a pandas Timestamp
        aware = given if given.tzinfo is not None else given.replace(tzinfo=dt.timezone.utc)
        return (aware - _EPOCH) // _MICROSECOND * 1000 + int(nanosecond)
    if isinstance(given, dt.date):
        return _nanoseconds(dt.datetime(given.year, given.month, given.day))
    return None


_MAKERS: dict[GridType, Callable[[GridType, Any], Plain]] = {
    **dict.fromkeys(_INTEGERS, _integer),
    **dict.fromkeys(_UNITS, _time),
    GridType.DOUBLE: _double,
    GridType.FLOAT: _float,
    GridType.BOOL: _bool,
    GridType.STRING: _text,
    GridType.BLOB: _octets,
}
