"""The shape of a row's fixed part, as a numpy dtype. Source: docs/protocol.md, Row image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gridferry.errors import LocalProtocolError
from gridferry.griddb.schema import ColumnSpec, ContainerSchema, GridType
from gridferry.griddb.wire.statement import MAX_FIXED_BYTES

# TIMESTAMP(9): 250 ns units, then the nanoseconds left.
NANO = np.dtype([("units", "<i8"), ("rest", "u1")])
NANOS_IN_UNIT = 250

FIXED_DTYPES: dict[GridType, np.dtype[np.generic]] = {
    GridType.BOOL: np.dtype("u1"),
    GridType.BYTE: np.dtype("i1"),
    GridType.SHORT: np.dtype("<i2"),
    GridType.INTEGER: np.dtype("<i4"),
    GridType.LONG: np.dtype("<i8"),
    GridType.FLOAT: np.dtype("<f4"),
    GridType.DOUBLE: np.dtype("<f8"),
    GridType.TIMESTAMP_MS: np.dtype("<i8"),
    GridType.TIMESTAMP_US: np.dtype("<i8"),
    GridType.TIMESTAMP_NS: NANO,
}


@dataclass(frozen=True)
class RowLayout:
    """Where each value is. Fields of `dtype`: `row_id` and `offset` where there are such, `nulls`, then `c<k>`."""

    schema: ContainerSchema
    dtype: np.dtype[np.void]
    variable: tuple[tuple[int, ColumnSpec], ...]
    fixed: tuple[tuple[int, ColumnSpec], ...]
    has_row_id: bool


def check_fixed_bytes(columns: Iterable[ColumnSpec]) -> None:
    """Raises: LocalProtocolError if the fixed columns take more than a row may hold."""
    if sum(FIXED_DTYPES[c.type].itemsize for c in columns if not c.variable) > MAX_FIXED_BYTES:
        raise LocalProtocolError(f"the fixed columns of one row take more than {MAX_FIXED_BYTES} bytes")


@lru_cache(maxsize=1024)
def row_layout(schema: ContainerSchema, *, row_ids: bool = False) -> RowLayout:
    """The layout of a schema's rows; `row_ids` for answers from a COLLECTION.

    Raises: LocalProtocolError if the fixed columns take more than a row may hold.
    """
    variable = tuple((i, c) for i, c in enumerate(schema.columns) if c.variable)
    fixed = tuple((i, c) for i, c in enumerate(schema.columns) if not c.variable)
    fields: list[tuple[str, object]] = []
    if row_ids:
        fields.append(("row_id", "<i8"))
    if variable:
        fields.append(("offset", "<i8"))
    fields.append(("nulls", "u1", ((len(schema.columns) + 7) // 8,)))  # type: ignore[arg-type]
    fields += [(f"c{i}", FIXED_DTYPES[c.type]) for i, c in fixed]
    dtype: np.dtype[np.void] = np.dtype(fields)
    check_fixed_bytes(schema.columns)
    return RowLayout(schema=schema, dtype=dtype, variable=variable, fixed=fixed, has_row_id=row_ids)
