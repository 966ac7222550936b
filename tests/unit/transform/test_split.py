"""Splitting by container, and rows of one key: against plain Python."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.transform.split import duplicate_runs, split_batch


def _batch(keys: list[object], kind: pa.DataType | None = None) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"key": pa.array(keys, kind), "row": pa.array(range(len(keys)), pa.int64())})


@given(st.lists(st.none() | st.sampled_from(["a", "b", "", "A"]), max_size=30))
def test_each_container_is_one_run_in_the_old_order(values: list[str | None]) -> None:
    split = split_batch(_batch(list(range(len(values))), pa.int64()), pa.array(values, pa.utf8()))
    assert list(split.values) == list(dict.fromkeys(values))
    assert len(split.boundaries) == len(split.values) + 1
    for number, value in enumerate(split.values):
        rows = split.part(number).column("row").to_pylist()
        assert rows == [row for row, v in enumerate(values) if v == value]
    order = np.arange(len(values)) if split.order is None else split.order
    assert split.batch.column("row").to_pylist() == order.tolist()


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([True, False, None]), ("true", "false", None)),
        (pa.array([7, -1], pa.int16()), ("7", "-1")),
        (pa.array([date(2020, 7, 12)]), ("2020-07-12",)),
        (pa.array(["00:0f", "x "]), ("00:0f", "x ")),
    ],
)
def test_values_are_postgresqls_text(array: pa.Array, texts: tuple[str | None, ...]) -> None:
    assert split_batch(_batch([0] * len(array)), array).values == texts


def test_no_split_and_no_rows() -> None:
    whole = split_batch(_batch([1, 2]), None)
    assert (whole.values, whole.boundaries.tolist(), whole.order) == ((None,), [0, 2], None)
    empty = split_batch(_batch([], pa.int64()), pa.array([], pa.utf8()))
    assert (empty.values, empty.boundaries.tolist()) == ((), [0])
    assert len(duplicate_runs(empty, 1)) == 0


@pytest.mark.parametrize("distinct", [1, 3, 10_000, 70_000])
def test_any_number_of_containers(distinct: int) -> None:
    count = 80_000
    values = np.random.default_rng(distinct).integers(0, distinct, count)
    split = split_batch(_batch(list(range(count)), pa.int64()), pa.array(values).cast(pa.utf8()))
    sorted_values = values if split.order is None else values[split.order]
    assert np.array_equal(np.repeat([int(v or "") for v in split.values], np.diff(split.boundaries)), sorted_values)
    rows = np.arange(count) if split.order is None else split.order
    same = sorted_values[1:] == sorted_values[:-1]
    assert np.all(rows[1:][same] > rows[:-1][same])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 3)), max_size=25))
def test_rows_of_one_key(rows: list[tuple[str, str, int]]) -> None:
    columns = {
        "name": pa.array([r[1] for r in rows], pa.utf8()),
        "ts": pa.array([r[2] for r in rows], pa.int64()).view(pa.timestamp("us", tz="UTC")),
        "row": pa.array(range(len(rows)), pa.int64()),
    }
    split = split_batch(pa.RecordBatch.from_pydict(columns), pa.array([r[0] for r in rows], pa.utf8()))
    order = list(range(len(rows))) if split.order is None else split.order.tolist()
    groups: dict[tuple[str, str, int], list[int]] = {}
    for position, row in enumerate(order):
        groups.setdefault(rows[row], []).append(position)
    expected = sorted(group for group in groups.values() if len(group) > 1)
    runs = duplicate_runs(split, 2)
    found = [runs.rows[runs.starts[n] : runs.starts[n + 1]].tolist() for n in range(len(runs))]
    assert sorted(found) == expected
    assert sorted(runs.not_first.tolist()) == sorted(p for group in expected for p in group[1:])
    assert sorted(runs.not_last.tolist()) == sorted(p for group in expected for p in group[:-1])


@given(st.lists(st.integers(0, 4), max_size=25), st.booleans())
def test_rows_of_one_single_key(keys: list[int], in_order: bool) -> None:
    keys = sorted(set(keys)) if in_order else keys
    runs = duplicate_runs(split_batch(_batch(list(keys), pa.int64()), None), 1)
    assert len(runs.not_first) == len(keys) - len(set(keys))


def test_order_by_decides_within_a_run_nulls_last() -> None:
    split = split_batch(_batch([5, 5, 5, 6]), None)
    runs = duplicate_runs(split, 1, order_by=[pa.array([2, None, 1, 0]), pa.array(["a", "b", "c", "d"])])
    assert runs.rows.tolist() == [2, 0, 1]
    tied = duplicate_runs(split, 1, order_by=[pa.array([1, 1, 1, 1]), pa.array(["c", "b", "b", "d"])])
    assert tied.rows.tolist() == [1, 2, 0]
