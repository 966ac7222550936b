"""Differences planted in the target, one value or one row at a time, with the driver alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from tests.e2e.ferry import Ferry

from gridferry.griddb import Container


def stored(container: Container) -> pa.RecordBatch:
    """All rows of a container."""
    batches = list(container.scan().batches())
    empty = pa.RecordBatch.from_pylist([], schema=container.schema.arrow_schema)
    return pa.concat_batches(batches) if batches else empty


def other(value: pa.Array) -> pa.Array:
    """The least different value of the same type: one bit of a float, one unit of a time, one more blank."""
    kind = value.type
    if value.null_count:
        return (
            pa.array([_of_null(kind)], pa.int64()).view(kind)
            if pa.types.is_timestamp(kind)
            else pa.array([_of_null(kind)], kind)
        )
    if pa.types.is_floating(kind):
        words = np.int32 if pa.types.is_float32(kind) else np.int64
        number = value.to_numpy()
        if np.isnan(number[0]):
            return pa.array([0.0], kind)
        return pa.array((number.view(words) ^ 1).view(number.dtype), kind)
    if pa.types.is_boolean(kind):
        return pa.array([not value[0].as_py()], kind)
    if pa.types.is_timestamp(kind):
        number = value.view(pa.int64())[0].as_py()
        return pa.array([number + 1 if number == 0 else number - 1], pa.int64()).view(kind)
    if pa.types.is_integer(kind):
        number = value[0].as_py()
        return pa.array([number - 1 if number > 0 else number + 1], kind)
    text = value[0].as_py()
    extra = b"\0" if isinstance(text, bytes) else " "
    return pa.array([text[:-1] if len(text) > 31_000 else text + extra], kind)


def _of_null(kind: pa.DataType) -> Any:
    """The value that is most easily taken for NULL."""
    if pa.types.is_string(kind):
        return ""
    if pa.types.is_binary(kind):
        return b""
    return False if pa.types.is_boolean(kind) else 0


def with_value(row: pa.RecordBatch, place: int, value: pa.Array) -> pa.RecordBatch:
    columns = [value if i == place else column for i, column in enumerate(row.columns)]
    return pa.RecordBatch.from_arrays(columns, schema=row.schema)


def keys_of(rows: pa.RecordBatch, container: Container) -> pa.RecordBatch:
    length = container.schema.key_length
    return pa.RecordBatch.from_arrays(rows.columns[:length], schema=container.schema.key_schema.arrow_schema)


def open_all(ferry: Ferry, store: Any, table: str) -> dict[str | None, Container]:
    """The containers of a table by split value."""
    return {value: store.open_container(name) for value, name in ferry.catalog(table).items()}
