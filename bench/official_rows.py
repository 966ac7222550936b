"""The sensor rows that every client puts and reads; OfficialClient.java computes the same ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

FIRST_MS = 1_594_512_000_000
STEP_MS = 37

SENSOR = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        ColumnSpec("co", GridType.DOUBLE),
        ColumnSpec("humidity", GridType.DOUBLE),
        ColumnSpec("light", GridType.BOOL),
        ColumnSpec("lpg", GridType.DOUBLE),
        ColumnSpec("motion", GridType.BOOL),
        ColumnSpec("smoke", GridType.DOUBLE),
        ColumnSpec("temperature", GridType.DOUBLE),
    ),
)


def sensor_batch(first: int, rows: int) -> pa.RecordBatch:
    """Rows number `first` to `first + rows - 1`, in key order."""
    i = np.arange(first, first + rows, dtype=np.int64)
    columns = [
        pa.array(FIRST_MS + STEP_MS * i).cast(pa.timestamp("ms", tz="UTC")),
        pa.array(i * 7919 % 10007 / 1e6),
        pa.array(40 + i % 300 / 10.0),
        pa.array(i % 3 == 0),
        pa.array(i * 104729 % 10009 / 1e6),
        pa.array(i % 50 == 0),
        pa.array(i * 1299709 % 10037 / 1e6),
        pa.array(15 + i % 150 / 10.0),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SENSOR.arrow_schema)


def sensor_batches(rows: int, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """All `rows` rows, `batch_rows` at a time."""
    for first in range(0, rows, batch_rows):
        yield sensor_batch(first, min(batch_rows, rows - first))
