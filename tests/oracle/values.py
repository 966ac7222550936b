"""One canonical form for values, so that two clients can be compared exactly.

A value is None, bool, int, str, bytes, a list of such, `Bits` for a float (NaN equals NaN, 0.0 is not -0.0) or `Nanos`
for a timestamp: nanoseconds since 1970, in Python's unbounded int (the year 9999 does not fit 64 bits).
Both the judge's text (see GridOracle.java) and Arrow tables are read into that form and written from it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NewType

import pyarrow as pa

from gridferry.griddb.schema import ColumnSpec, ContainerSchema, GridType

Bits = NewType("Bits", str)
Nanos = NewType("Nanos", int)
Value = None | bool | int | str | bytes | Bits | Nanos | list["Value"]
Row = tuple[Value, ...]

_FLOATS = {GridType.FLOAT: ("<f", "<I", 8), GridType.DOUBLE: ("<d", "<Q", 16)}
_TICK_NS = {GridType.TIMESTAMP_MS: 1_000_000, GridType.TIMESTAMP_US: 1000, GridType.TIMESTAMP_NS: 1}


def float_bits(grid_type: GridType, number: float) -> Bits:
    """The bits of a FLOAT or DOUBLE in hex, as the judge writes them."""
    as_float, as_int, digits = _FLOATS[grid_type]
    return Bits(f"{struct.unpack(as_int, struct.pack(as_float, number))[0]:0{digits}x}")


def to_text(column: ColumnSpec, value: Value) -> str:
    """The judge's text of one value."""
    if value is None:
        return "-"
    if column.array:
        assert isinstance(value, list)
        return "[" + ",".join(_element_text(column.type, v) for v in value) + "]"
    return _element_text(column.type, value)


def _element_text(grid_type: GridType, value: Value) -> str:
    if isinstance(value, bytes):
        return "x" + value.hex()
    if grid_type in _TICK_NS:
        assert isinstance(value, int)
        return "{}.{:09d}".format(*divmod(value, 1_000_000_000))
    if isinstance(value, bool):
        return str(int(value))
    if grid_type in (GridType.STRING, GridType.GEOMETRY):
        assert isinstance(value, str)
        return "x" + value.encode().hex()
    return str(value)


def from_text(column: ColumnSpec, text: str) -> Value:
    """One value from the judge's text. A GEOMETRY is its WKT."""
    if text == "-":
        return None
    if column.array:
        inner = text[1:-1]
        return [_element_from(column.type, part) for part in inner.split(",")] if inner else []
    return _element_from(column.type, text)


def _element_from(grid_type: GridType, text: str) -> Value:
    if grid_type in (GridType.STRING, GridType.GEOMETRY):
        return bytes.fromhex(text[1:]).decode()
    if grid_type is GridType.BLOB:
        return bytes.fromhex(text[1:])
    if grid_type in _TICK_NS:
        seconds, nanos = text.split(".")
        return Nanos(int(seconds) * 1_000_000_000 + int(nanos))
    if grid_type in _FLOATS:
        return Bits(text)
    return bool(int(text)) if grid_type is GridType.BOOL else int(text)


def from_arrow(schema: ContainerSchema, table: pa.Table | pa.RecordBatch) -> list[Row]:
    """The rows of an Arrow table of that schema, in order, canonical."""
    if table.num_columns != len(schema.columns):
        raise AssertionError(f"{table.num_columns} columns came back, {len(schema.columns)} were asked for")
    columns = []
    for column, data in zip(schema.columns, table.columns, strict=True):
        assert data.type == column.arrow_type, f"{column.name} came back as {data.type}"
        plain = data.combine_chunks() if isinstance(data, pa.ChunkedArray) else data
        columns.append([_from_scalar(column, scalar) for scalar in plain])
    return list(zip(*columns, strict=True))


def _from_scalar(column: ColumnSpec, scalar: pa.Scalar) -> Value:
    if not scalar.is_valid:
        return None
    if column.array:
        return [_from_element(column.type, element) for element in scalar.values]
    return _from_element(column.type, scalar)


def _from_element(grid_type: GridType, scalar: pa.Scalar) -> Value:
    if grid_type in _TICK_NS:
        return Nanos(scalar.value * _TICK_NS[grid_type])
    if grid_type in _FLOATS:
        return float_bits(grid_type, scalar.as_py())
    value: Value = scalar.as_py()
    return value


def to_arrow(schema: ContainerSchema, rows: Sequence[Row]) -> pa.RecordBatch:
    """A batch of that schema from canonical rows. A GEOMETRY must be bytes here."""
    arrays = [
        pa.array([_plain(column, row[i]) for row in rows], column.arrow_type) for i, column in enumerate(schema.columns)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema)


def _plain(column: ColumnSpec, value: Value) -> object:
    if isinstance(value, list):
        return [_plain_element(column.type, v) for v in value]
    return None if value is None else _plain_element(column.type, value)


def _plain_element(grid_type: GridType, value: Value) -> object:
    if grid_type in _TICK_NS:
        assert isinstance(value, int)
        return value // _TICK_NS[grid_type]
    if grid_type in _FLOATS:
        as_float, as_int, _ = _FLOATS[grid_type]
        return struct.unpack(as_float, struct.pack(as_int, int(str(value), 16)))[0]
    return value


def in_key_order(schema: ContainerSchema, rows: Iterable[Row]) -> list[Row]:
    """The rows sorted by row key, or by everything where there is none: clients promise no order for a COLLECTION."""
    width = schema.key_length
    return sorted(rows, key=(lambda row: row[:width]) if width else repr)
