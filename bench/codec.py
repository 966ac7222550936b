"""Encode and decode, in microseconds a row of this process's CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from bench.figures import Figure, median_of

from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.decode import decode_rows
from gridferry.griddb.wire.encode import encode_rows

SENSOR = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        ColumnSpec("ts_us", GridType.TIMESTAMP_US),
        *(ColumnSpec(name, GridType.DOUBLE) for name in ("co", "humidity", "lpg", "smoke", "temp")),
        *(ColumnSpec(name, GridType.BOOL) for name in ("light", "motion")),
    ),
)
STRINGS = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("id", GridType.LONG, nullable=False),
        *(ColumnSpec(name, GridType.STRING) for name in ("name", "city", "remark")),
    ),
)
_FIRST_US = 1_594_512_000_000_000


def sensor_rows(count: int, *, first: int = 0) -> pa.RecordBatch:
    """Rows (count,) of SENSOR with rising stamps, number `first` on."""
    numbers = np.arange(first, first + count, dtype=np.int64)
    us = _FIRST_US + numbers * 37_003
    doubles = [pa.array(numbers % prime / 1e3) for prime in (10007, 10009, 10037, 10039, 10061)]
    columns = [
        pa.array(us // 1000).view(SENSOR.columns[0].arrow_type),
        pa.array(us).view(SENSOR.columns[1].arrow_type),
        *doubles,
        pa.array(numbers % 3 == 0),
        pa.array(numbers % 50 == 0),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SENSOR.arrow_schema)


def string_rows(count: int) -> pa.RecordBatch:
    """Rows (count,) of STRINGS: texts of 0 to 60 bytes, each third remark NULL."""
    names = [f"customer number {i}" for i in range(count)]
    cities = [("Oslo", "München", "São Paulo", "東京")[i % 4] for i in range(count)]
    remarks = [None if i % 3 == 0 else "remark " * (i % 9) for i in range(count)]
    columns = [pa.array(range(count), pa.int64()), pa.array(names), pa.array(cities), pa.array(remarks, pa.utf8())]
    return pa.RecordBatch.from_arrays(columns, schema=STRINGS.arrow_schema)


def measure(*, rows: int, times: int) -> list[Figure]:
    """Both ways, for the sensor row and for one with three strings."""
    found = []
    for name, schema, batch, aim in (
        ("sensor row", SENSOR, sensor_rows(rows), 0.15),
        ("row of three strings", STRINGS, string_rows(rows), 0.5),
    ):
        encode, decode = _both(schema, batch, times)
        found.append(Figure("codec", f"encode a {name}", encode, "us", aim))
        found.append(Figure("codec", f"decode a {name}", decode, "us", aim))
    return found


def _both(schema: ContainerSchema, batch: pa.RecordBatch, times: int) -> tuple[float, float]:
    image = b"".join(encode_rows(schema, batch).image())
    return (
        median_of(times, lambda: _us_a_row(lambda: encode_rows(schema, batch), len(batch))),
        median_of(times, lambda: _us_a_row(lambda: decode_rows(schema, len(batch), image), len(batch))),
    )


def _us_a_row(call: Callable[[], object], rows: int) -> float:
    start = time.process_time()
    call()
    return (time.process_time() - start) / rows * 1e6
