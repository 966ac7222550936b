"""Types of results: the type objects of PEP 249, and Arrow's values as Python's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from gridferry.griddb.schema import GridType


class TypeCode(str):
    """A column's type as GridDB writes it: `LONG`, `TIMESTAMP(6)`. It equals the type objects that it belongs to."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other == self if isinstance(other, TypeObject) else str.__eq__(self, other) is True

    def __hash__(self) -> int:
        return str.__hash__(self)


class TypeObject:
    """A type object of PEP 249: equal to each type code that belongs to it."""

    def __init__(self, *kinds: GridType) -> None:
        self._labels = frozenset(kind.label for kind in kinds)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TypeObject):
            return self._labels == other._labels
        return isinstance(other, str) and str(other) in self._labels

    def __hash__(self) -> int:
        return hash(self._labels)


STRING = TypeObject(GridType.STRING, GridType.GEOMETRY)
BINARY = TypeObject(GridType.BLOB)
NUMBER = TypeObject(
    GridType.BOOL,
    GridType.BYTE,
    GridType.SHORT,
    GridType.INTEGER,
    GridType.LONG,
    GridType.FLOAT,
    GridType.DOUBLE,
)
DATETIME = TypeObject(GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US, GridType.TIMESTAMP_NS)
ROWID = TypeObject()

Date = dt.date
Timestamp = dt.datetime
Binary = bytes


def Time(hour: int, minute: int, second: int) -> dt.time:  # noqa: N802 - the name that PEP 249 gives it
    """A time of day; GridDB has no type for one."""
    return dt.time(hour, minute, second)


def DateFromTicks(ticks: float) -> dt.date:  # noqa: N802
    """The date, in UTC, of seconds since 1970."""
    return TimestampFromTicks(ticks).date()


def TimeFromTicks(ticks: float) -> dt.time:  # noqa: N802
    """The time of day, in UTC, of seconds since 1970."""
    return TimestampFromTicks(ticks).time()


def TimestampFromTicks(ticks: float) -> dt.datetime:  # noqa: N802
    """The time, in UTC, of seconds since 1970."""
    return dt.datetime.fromtimestamp(ticks, dt.timezone.utc)


def type_code(kind: GridType | None) -> TypeCode:
    """The type code of a column; ANY where the server names none."""
    return TypeCode("ANY" if kind is None else kind.label)


def python_values(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """The rows of a batch: times as datetime in UTC, nanoseconds as numpy.datetime64, which holds them to the last."""
    return zip(*(_column(array) for array in batch.columns), strict=True)


def _column(array: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        numbers = array.cast(pa.int64()).to_pylist()
        return [None if n is None else np.datetime64(n, "ns") for n in numbers]
    if pa.types.is_timestamp(array.type):
        plain = array.cast(pa.timestamp(array.type.unit)).to_pylist()
        return [None if t is None else t.replace(tzinfo=dt.timezone.utc) for t in plain]
    found: list[Any] = array.to_pylist()
    return found
