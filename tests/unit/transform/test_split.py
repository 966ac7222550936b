"""Splitting by container, and rows of one key: against plain Python."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.transform.split import split_batch


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
