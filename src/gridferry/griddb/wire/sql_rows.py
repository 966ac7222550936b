"""Rows of an SQL answer -> RecordBatch, without a loop over rows; and back, for a server.

They differ from rows of a container: no row ids, a count of variable columns that the server writes as 0, and columns
of type ANY. Source: docs/protocol-sql.md, SQL answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.errors import DataError, LocalProtocolError, RemoteProtocolError
from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.decode import byte_pieces, check_gapless, fixed_column, null_mask, variable_column
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.layout import FIXED_DTYPES
from gridferry.griddb.wire.octets import Buffer, read_var_sizes
from gridferry.griddb.wire.sql_values import ANY, ANY_VALUE, NANO_BYTES, column_of_any

# A plan that had variable columns on its way leaves their count, 0, behind each row of a result without any (5.9.0).
_NO_VARIABLE_COLUMNS = 1
_OCTETS = (GridType.STRING, GridType.BLOB, GridType.GEOMETRY)


@dataclass(frozen=True)
class SqlColumn:
    """A column of a result. `label` is empty for an expression without an alias; `type` None is ANY."""

    label: str
    type: GridType | None
    nullable: bool = True

    @property
    def may_be_null(self) -> bool:
        """Whether NULL is possible. A column of ANY has NULLs whatever the server says: `SELECT NULL` is NOT NULL."""
        return self.nullable or self.type is None

    @property
    def variable(self) -> bool:
        """Whether rows have something of it in their variable part."""
        return self.type is None or self.type in _OCTETS


def column_names(columns: Sequence[SqlColumn]) -> list[str]:
    """A name for each column: its label, or `column_1` by its place where it has none."""
    return [c.label or f"column_{number}" for number, c in enumerate(columns, start=1)]


def arrow_schema(columns: Sequence[SqlColumn]) -> pa.Schema:
    """The schema that batches of a result have, where no column is ANY."""
    types = [pa.null() if c.type is None else ARROW_TYPES[c.type] for c in columns]
    return pa.schema(
        [pa.field(n, t, c.may_be_null) for n, t, c in zip(column_names(columns), types, columns, strict=True)]
    )


@lru_cache(maxsize=256)
def _dtype(columns: tuple[SqlColumn, ...]) -> np.dtype[np.void]:
    fields: list[tuple[str, object]] = []
    if any(c.variable for c in columns):
        fields.append(("offset", "<i8"))
    fields.append(("nulls", "u1", ((len(columns) + 7) // 8,)))  # type: ignore[arg-type]
    for number, column in enumerate(columns):
        if column.type is None:
            fields.append((f"c{number}", ANY_VALUE))
        elif not column.variable:
            fields.append((f"c{number}", FIXED_DTYPES[column.type]))
    return np.dtype(fields)


def decode_sql_rows(columns: tuple[SqlColumn, ...], count: int, image: Buffer) -> pa.RecordBatch:
    """The rows of a page, whose image ends with its buffer. A column of ANY has the type of its values, or null.

    Raises: RemoteProtocolError for a malformed image; DataError for a TIMESTAMP(9) that Arrow cannot hold, and for a
        column of ANY whose values have types that do not go together.
    """
    dtype = _dtype(columns)
    if count < 0 or count * dtype.itemsize > len(image):
        raise RemoteProtocolError(f"{count} rows of {dtype.itemsize} fixed bytes do not fit {len(image)} bytes")
    fixed: NDArray[np.void] = np.frombuffer(image, dtype, count=count)
    area = np.frombuffer(image, np.uint8)[count * dtype.itemsize :]
    arrays: list[pa.Array] = [pa.nulls(0)] * len(columns)
    for number, column in enumerate(columns):
        if column.type is not None and not column.variable:
            arrays[number] = fixed_column(_spec(column, column.type), fixed[f"c{number}"], null_mask(fixed, number))
    if any(c.variable for c in columns):
        _variable(columns, fixed, area, arrays)
    elif len(area) not in (0, count) or bool((area != _NO_VARIABLE_COLUMNS).any()):
        raise RemoteProtocolError(f"{len(area)} bytes follow rows that have no variable columns")
    fields = [
        pa.field(name, array.type, column.may_be_null)
        for name, array, column in zip(column_names(columns), arrays, columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _spec(column: SqlColumn, kind: GridType) -> ColumnSpec:
    return ColumnSpec(column.label, kind, nullable=column.nullable)


def _variable(
    columns: tuple[SqlColumn, ...], fixed: NDArray[np.void], area: NDArray[np.uint8], arrays: list[pa.Array]
) -> None:
    n = len(fixed)
    chosen = [(number, column) for number, column in enumerate(columns) if column.variable]
    starts: NDArray[np.int64] = np.ascontiguousarray(fixed["offset"])
    if n:
        starts = starts - starts[0]  # a later page counts on from the one before
    at = read_var_sizes(area, starts)[1]
    bounds = np.empty((n, 2 * len(chosen)), np.int64)
    for j, (number, column) in enumerate(chosen):
        if column.type is None:
            begins, ends = _any_bounds(fixed[f"c{number}"]["type"], area, at)
        else:
            sizes, begins = read_var_sizes(area, at)
            ends = begins + sizes
        if n and (int(ends.max()) > len(area) or bool((ends < begins).any())):
            raise RemoteProtocolError("a value reaches beyond the end of the variable area")
        bounds[:, 2 * j], bounds[:, 2 * j + 1] = begins, ends
        at = ends
    check_gapless(starts, at, len(area))
    pieces = byte_pieces(area, bounds.reshape(-1))
    rows = np.arange(n) * (2 * len(chosen))
    for j, (number, column) in enumerate(chosen):
        taken = pieces.take(pa.array(rows + (2 * j + 1)))
        if column.type is None:
            arrays[number] = _any_column(column, fixed[f"c{number}"], taken)
        else:
            arrays[number] = variable_column(_spec(column, column.type), taken, null_mask(fixed, number))


def _any_bounds(
    kinds: NDArray[np.int8], area: NDArray[np.uint8], at: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each row's value begins and ends in the variable area; values of a fixed width have nothing there."""
    begins, ends = at.copy(), at.copy()
    sized = np.flatnonzero(np.isin(kinds, _OCTETS))
    sizes, begins[sized] = read_var_sizes(area, at[sized])
    ends[sized] = begins[sized] + sizes
    ends[kinds == GridType.TIMESTAMP_NS] += NANO_BYTES
    return begins, ends


def _any_column(column: SqlColumn, values: NDArray[np.void], taken: pa.Array) -> pa.Array:
    kinds: NDArray[np.int8] = np.ascontiguousarray(values["type"])
    present = set(kinds.tolist()) - {ANY}
    if not present:
        return pa.nulls(len(kinds))
    plain = column_of_any(kinds, np.ascontiguousarray(values["value"]), taken.to_pylist())
    try:
        if len(present) > 1:
            return pa.array(plain)
        kind = ARROW_TYPES[GridType(present.pop())]
        whole = pa.array(plain, pa.int64() if pa.types.is_timestamp(kind) else kind)
        return whole.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DataError(
            f'the values of column "{column.label}" have types that do not go together',
            column=column.label,
            next_step="CAST the expression to one type in the statement",
        ) from error


def encode_sql_rows(columns: tuple[SqlColumn, ...], batch: pa.RecordBatch) -> tuple[bytes, bytes]:
    """The image of a page of rows, as a server writes it: fixed parts and variable area. A column of ANY is all NULL.

    Raises: LocalProtocolError for a column of ANY that holds more.
    """
    n = len(batch)
    fixed = np.zeros(n, _dtype(columns))
    absent = np.zeros((n, len(columns)), bool)
    for number, column in enumerate(columns):
        array = batch.column(number)
        absent[:, number] = np.asarray(array.is_null())
        if column.type is None:
            if array.null_count < n:
                raise LocalProtocolError(f'the column "{column.label}" of ANY holds values')
            absent[:, number] = False
            fixed[f"c{number}"]["type"] = ANY
    fixed["nulls"] = np.packbits(absent, axis=1, bitorder="little")
    typed = [(number, c.type) for number, c in enumerate(columns) if c.type is not None]
    area: bytes | None = None
    if typed:
        specs = tuple(ColumnSpec(f"c{number}", kind) for number, kind in typed)
        schema = ContainerSchema(ContainerKind.COLLECTION, specs, 0)
        arrays = [batch.column(number) for number, _ in typed]
        rows = encode_rows(schema, pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema), check=False)
        for place, (number, _) in enumerate(typed):
            if not columns[number].variable:
                fixed[f"c{number}"] = rows.fixed[f"c{place}"]
        if any(columns[number].variable for number, _ in typed):
            fixed["offset"] = rows.fixed["offset"]
            area = bytes(rows.area)
    if area is None and any(c.variable for c in columns):
        fixed["offset"] = np.arange(n)
        area = bytes([_NO_VARIABLE_COLUMNS]) * n
    return fixed.tobytes(), area or b""
