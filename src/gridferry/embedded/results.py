"""Rows as a statement answers them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.embedded.shape import ROW_ID, shape_of
from gridferry.griddb.schema import ContainerSchema


@dataclass(frozen=True)
class Rows:
    """A batch in a container's schema; `row_ids` (n,) int64 for a COLLECTION, None for a TIME_SERIES."""

    batch: pa.RecordBatch
    row_ids: NDArray[np.int64] | None


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as a single batch, also when it has no rows."""
    columns = [c.chunk(0) if c.num_chunks == 1 else pa.concat_arrays(c.chunks) for c in table.columns if c.num_chunks]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema) if columns else _empty(table.schema)


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)


def rows_of(schema: ContainerSchema, table: pa.Table) -> Rows:
    """Stored rows as the container's."""
    shape = shape_of(schema)
    columns = []
    for name, field in zip(shape.value_names, schema.arrow_schema, strict=True):
        column = table.column(name).combine_chunks()
        columns.append(column if column.type == field.type else column.cast(field.type))
    batch = pa.RecordBatch.from_arrays(columns, schema=schema.arrow_schema)
    row_ids = np.asarray(table.column(ROW_ID).to_numpy(), np.int64) if shape.row_ids else None
    return Rows(batch, row_ids)
