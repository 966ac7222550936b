"""Runs of rows: cut so that they fit a message, joined so that an answer is decoded at once."""

from __future__ import annotations

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from tests.profiles import SOME
from tests.strategies import Sample, batches, plain_rows, samples

from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.runs import cut_runs, joined
from gridferry.griddb.wire.decode import decode_rows
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.names import ContainerKey
from gridferry.griddb.wire.row_replies import FoundRows, rows_of

BLOBS = ContainerSchema(
    ContainerKind.COLLECTION, (ColumnSpec("k", GridType.LONG, nullable=False), ColumnSpec("b", GridType.BLOB))
)
FIXED = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("k", GridType.LONG, nullable=False),))
RUNS = hypothesis.settings(
    max_examples=SOME,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)


def _blobs(*sizes: int) -> pa.RecordBatch:
    keys = pa.array(range(len(sizes)), pa.int64())
    return pa.RecordBatch.from_arrays(
        [keys, pa.array([bytes(n) for n in sizes], pa.binary())], schema=BLOBS.arrow_schema
    )


@RUNS
@hypothesis.given(sample=samples(max_rows=12), cut=st.data(), limit=st.integers(1, 400))
def test_every_row_is_in_one_run_of_its_owner(sample: Sample, cut: st.DataObject, limit: int) -> None:
    n = len(sample.batch)
    bounds = np.array([0, *sorted(cut.draw(st.lists(st.integers(0, n), max_size=4))), n])
    rows, owners = cut_runs(encode_rows(sample.schema, sample.batch), bounds, limit)
    assert len(owners) == len(rows.runs) - 1
    assert rows.runs[-1] == n
    for run, owner in enumerate(owners.tolist()):
        first, last = int(rows.runs[run]), int(rows.runs[run + 1])
        assert bounds[owner] <= first < last <= bounds[owner + 1]
        assert rows.image_size(run) <= limit or last - first == 1
        found, _ = decode_rows(sample.schema, last - first, b"".join(rows.image(run)))
        expected = sample.batch.slice(first, last - first)
        assert repr(plain_rows(sample.schema, found)) == repr(plain_rows(sample.schema, expected))


@pytest.mark.parametrize(
    ("sizes", "limit", "runs"),
    [
        ((), 100, [0]),
        ((10, 10, 10), 1_000, [0, 3]),
        ((10, 10, 10), 1, [0, 1, 2, 3]),
        ((10, 5000, 10, 10), 100, [0, 1, 2, 4]),
        ((5000, 10, 10), 100, [0, 1, 3]),
    ],
)
def test_where_one_container_is_cut(sizes: tuple[int, ...], limit: int, runs: list[int]) -> None:
    rows, _ = cut_runs(encode_rows(BLOBS, _blobs(*sizes)), np.array([0, len(sizes)]), limit)
    assert rows.runs.tolist() == runs


def test_a_run_fills_its_message() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(range(100), pa.int64())], schema=FIXED.arrow_schema)
    row = encode_rows(FIXED, batch).image_size() // 100
    rows, _ = cut_runs(encode_rows(FIXED, batch), np.array([0, 100]), row * 30)
    assert rows.runs.tolist() == [0, 30, 60, 90, 100]


def test_empty_runs_are_left_out_and_large_ones_cut_among_small_ones() -> None:
    batch = _blobs(1, 1, 900, 900, 1, 1)
    rows, owners = cut_runs(encode_rows(BLOBS, batch), np.array([0, 0, 2, 4, 4, 6, 6]), 1000)
    assert rows.runs.tolist() == [0, 2, 3, 4, 6]
    assert owners.tolist() == [1, 2, 2, 4]


@RUNS
@hypothesis.given(data=st.data(), sample=samples(max_rows=0))
def test_entries_of_an_answer_are_joined(data: st.DataObject, sample: Sample) -> None:
    schema = sample.schema
    parts = data.draw(st.lists(batches(schema, max_rows=3), max_size=4))
    ids = schema.kind is ContainerKind.COLLECTION
    entries = [
        FoundRows(
            ContainerKey("c"),
            0,
            len(part),
            encode_rows(schema, part, row_ids=np.arange(len(part)) if ids else None).image(),
        )
        for part in parts
    ]
    found = rows_of(schema, joined(schema, entries))
    assert repr(plain_rows(schema, found)) == repr([row for part in parts for row in plain_rows(schema, part)])
