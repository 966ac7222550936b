"""Row images one value at a time, written from docs/protocol.md and nothing else: Conventions, Column types, Row image.

It shares no code with the driver, so that the two can only agree by both being right.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from gridferry.griddb.schema import ColumnSpec, ContainerSchema, GridType

_FORMATS = {
    GridType.BOOL: "<?",
    GridType.BYTE: "<b",
    GridType.SHORT: "<h",
    GridType.INTEGER: "<i",
    GridType.LONG: "<q",
    GridType.FLOAT: "<f",
    GridType.DOUBLE: "<d",
    GridType.TIMESTAMP_MS: "<q",
    GridType.TIMESTAMP_US: "<q",
}
_VARIABLE = (GridType.STRING, GridType.GEOMETRY, GridType.BLOB)


def size(value: int) -> bytes:
    """A tagged size."""
    if value < 2**7:
        return bytes([value * 2 + 1])
    if value < 2**30:
        return (value * 4).to_bytes(4, "little")
    return (value * 4 + 2).to_bytes(8, "little")


def _sized(data: bytes) -> bytes:
    return size(len(data)) + data


def _octets(value: Any) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)


def fixed(kind: GridType, value: Any) -> bytes:
    """A fixed-size value; NULL as zeros."""
    if value is None:
        value = 0
    if kind is GridType.TIMESTAMP_NS:
        return struct.pack("<qB", value // 250, value % 250)
    return struct.pack(_FORMATS[kind], value)


def variable(column: ColumnSpec, value: Any) -> bytes:
    """A value of the variable area; NULL as an empty one."""
    if not column.array:
        return _sized(b"" if value is None else _octets(value))
    elements = [] if value is None else value
    if column.type is GridType.STRING:
        body = b"".join(_sized(_octets(e)) for e in elements)
    else:
        body = b"".join(fixed(column.type, e) for e in elements)
    return _sized(size(len(elements)) + body)


def image(schema: ContainerSchema, rows: Sequence[tuple[Any, ...]], row_ids: Sequence[int] | None = None) -> bytes:
    """The row image of `rows`."""
    is_variable = [c.array or c.type in _VARIABLE for c in schema.columns]
    fixed_parts, area = b"", b""
    for number, row in enumerate(rows):
        if row_ids is not None:
            fixed_parts += struct.pack("<q", row_ids[number])
        if any(is_variable):
            fixed_parts += struct.pack("<q", len(area))
            area += size(sum(is_variable))
        nulls = sum(1 << index for index, value in enumerate(row) if value is None)
        fixed_parts += nulls.to_bytes((len(row) + 7) // 8, "little")
        for column, value, varies in zip(schema.columns, row, is_variable, strict=True):
            if varies:
                area += variable(column, value)
            else:
                fixed_parts += fixed(column.type, value)
    return fixed_parts + area


def key(schema: ContainerSchema, row: tuple[Any, ...]) -> bytes:
    """One row key: the bare value of a single one, the one-row image of a composite one."""
    if len(row) > 1:
        return image(schema.key_schema, [row])
    (column,), (value,) = schema.key, row
    return variable(column, value) if column.type is GridType.STRING else fixed(column.type, value)
