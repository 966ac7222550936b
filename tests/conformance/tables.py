"""Short ways to write schemas and rows in tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from tests.strategies import column_array, plain_rows

from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType, QueryResult

NAMES = {kind.label: kind for kind in GridType}


def columns(text: str) -> tuple[ColumnSpec, ...]:
    """Columns from `k LONG!, s STRING, a INTEGER[]`; a `!` says NOT NULL."""
    found = []
    for part in text.split(","):
        name, kind = part.split()
        nullable = not kind.endswith("!")
        kind = kind.rstrip("!")
        array = kind.endswith("[]")
        found.append(ColumnSpec(name, NAMES[kind.removesuffix("[]")], array=array, nullable=nullable))
    return tuple(found)


def collection(text: str, key: int = 1) -> ContainerSchema:
    """A COLLECTION whose row key is the first `key` columns."""
    return ContainerSchema(ContainerKind.COLLECTION, columns(text), key)


def series(text: str) -> ContainerSchema:
    """A TIME_SERIES."""
    return ContainerSchema(ContainerKind.TIME_SERIES, columns(text))


def batch(schema: ContainerSchema, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Rows as a batch; None is NULL, and times are integers in their type's unit."""
    arrays = []
    for index, column in enumerate(schema.columns):
        values = [row[index] for row in rows]
        filler = [] if column.array else next((v for v in values if v is not None), _EMPTY.get(column.type, 0))
        plain = [filler if v is None else v for v in values]
        arrays.append(column_array(column, plain, [v is None for v in values]))
    return pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema)


_EMPTY: dict[GridType, Any] = {GridType.STRING: "", GridType.BLOB: b"", GridType.GEOMETRY: b"", GridType.BOOL: False}


def keys(schema: ContainerSchema, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Row keys as a batch."""
    return batch(schema.key_schema, rows)


def rows_of(result: QueryResult) -> list[tuple[Any, ...]]:
    """All rows of a query, as plain values."""
    return [row for part in result.batches() for row in plain_rows(result.schema, part)]


def plain(schema: ContainerSchema, part: pa.RecordBatch) -> list[tuple[Any, ...]]:
    """Rows of a batch as plain values."""
    return plain_rows(schema, part)
