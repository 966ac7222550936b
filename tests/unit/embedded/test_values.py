"""Every type survives bit by bit: in memory, on disk, after a checkpoint and a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.queries import plan, run
from gridferry.embedded.results import Rows
from gridferry.embedded.row_statements import put_rows
from gridferry.griddb.schema import ARRAY_TYPES, ColumnSpec, ContainerKind, ContainerSchema, GridType

DOUBLES = np.array(
    [0, 1 << 63, 0x7FF8000000000001, 0xFFF8000000000BAD, 0x7FF0000000000000, 0xFFF0000000000000, 1], np.uint64
).view(np.float64)
FLOATS = np.array([0, 1 << 31, 0x7FC00001, 0xFFC00BAD, 0x7F800000, 0xFF800000, 1], np.uint32).view(np.float32)
LAST_MS = 253402300799999
VALUES: dict[GridType, Any] = {
    GridType.STRING: pa.array(["", "x", "äöü €", "a" * 31744, "'; --", "\x7f", "%_\\"]),
    GridType.BOOL: pa.array([True, False] * 3 + [True]),
    GridType.BYTE: pa.array([-128, 127, 0, 1, -1, 2, 3], pa.int8()),
    GridType.SHORT: pa.array([-(2**15), 2**15 - 1, 0, 1, -1, 2, 3], pa.int16()),
    GridType.INTEGER: pa.array([-(2**31), 2**31 - 1, 0, 1, -1, 2, 3], pa.int32()),
    GridType.LONG: pa.array([-(2**63), 2**63 - 1, 0, 1, -1, 2, 3], pa.int64()),
    GridType.FLOAT: pa.array(FLOATS),
    GridType.DOUBLE: pa.array(DOUBLES),
    GridType.TIMESTAMP_MS: pa.array([0, LAST_MS, 1, 2, 3, 4, 5]).cast(pa.timestamp("ms", "UTC")),
    GridType.GEOMETRY: pa.array([b"", b"\0", b"\xff\xfe", b"abc", b"\0\0", b"1", b"2"], pa.binary()),
    GridType.BLOB: pa.array([b"", b"\0", bytes(range(256)), b"x" * 100_000, b"'", b"1", b"2"], pa.binary()),
    GridType.TIMESTAMP_US: pa.array([0, LAST_MS * 1000 + 999, 1, 2, 3, 4, 5]).cast(pa.timestamp("us", "UTC")),
    GridType.TIMESTAMP_NS: pa.array([0, 2**63 - 1, 1, 249, 250, 251, 5]).cast(pa.timestamp("ns", "UTC")),
}


def octets(array: pa.Array) -> list[Any]:
    """Values as what they are made of: the bits of floats, the ticks of times."""
    if pa.types.is_list(array.type):
        return [None if not v.is_valid else octets(v.values) for v in array]
    if pa.types.is_floating(array.type):
        bits = np.uint64 if array.type == pa.float64() else np.uint32
        values = array.fill_null(0).to_numpy(zero_copy_only=False).view(bits).tolist()
        return [v if ok else None for v, ok in zip(values, array.is_valid().to_pylist(), strict=True)]
    return (array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array).to_pylist()


def specimens() -> tuple[ContainerSchema, pa.RecordBatch]:
    columns = [ColumnSpec("k", GridType.LONG, nullable=False)]
    arrays: list[pa.Array] = [pa.array(range(7))]
    for kind, values in VALUES.items():
        mask = np.zeros(7, bool)
        columns += [ColumnSpec(f"c{int(kind)}", kind), ColumnSpec(f"n{int(kind)}", kind)]
        arrays += [values, pa.array([None] * 7, values.type)]
        if kind in ARRAY_TYPES:
            mask[2] = True
            offsets = pa.array(np.ma.masked_array([0, 0, 3, 3, 7, 7, 7, 7], [*mask, False]), pa.int32())
            columns.append(ColumnSpec(f"a{int(kind)}", kind, array=True))
            arrays.append(pa.ListArray.from_arrays(offsets, values))
    schema = ContainerSchema(ContainerKind.COLLECTION, tuple(columns))
    return schema, pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema)


def test_every_type_survives_a_restart(tmp_path: Path) -> None:
    schema, batch = specimens()
    database = Database(tmp_path, flush_interval_s=None)
    container = put_container(database, "all", schema, partition=0)
    put_rows(database, container, batch)
    database.flush()
    database.duck.run("CHECKPOINT")
    for stage in ("checkpointed", "opened again"):
        container = database.catalog.containers[0]
        found = run(database, container, plan(container, "select *"))
        assert isinstance(found, Rows)
        assert found.batch.schema == schema.arrow_schema
        for column in schema.names:
            assert octets(found.batch.column(column)) == octets(batch.column(column)), (stage, column)
        database.close()
        database = Database(tmp_path, flush_interval_s=None)
    database.close()


@pytest.mark.skipif(
    duckdb.__version__.startswith("1."),
    reason="DuckDB 1 (Python 3.10) keeps a block of nothing but 0.0 and -0.0 as one value: docs/limits.md",
)
@pytest.mark.parametrize("pattern", [1, 1000], ids=["alternating", "in runs"])
def test_the_sign_of_zero_survives_compression(tmp_path: Path, pattern: int) -> None:
    count = 130_000
    signs = np.where(np.arange(count) // pattern % 2 == 0, 0.0, -0.0)
    schema = ContainerSchema(
        ContainerKind.TIME_SERIES,
        (
            ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
            ColumnSpec("d", GridType.DOUBLE),
            ColumnSpec("f", GridType.FLOAT),
        ),
    )
    arrays = [pa.array(np.arange(count)).cast(pa.timestamp("ms", "UTC")), pa.array(signs), pa.array(signs.astype("f4"))]
    database = Database(tmp_path, flush_interval_s=None)
    container = put_container(database, "zeros", schema, partition=0)
    put_rows(database, container, pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema))
    database.flush()
    database.duck.run("CHECKPOINT")
    found = run(database, container, plan(container, "select *"))
    assert isinstance(found, Rows)
    for column in (1, 2):
        assert bool((np.signbit(found.batch.column(column).to_numpy()) == np.signbit(signs)).all())
    database.close()
