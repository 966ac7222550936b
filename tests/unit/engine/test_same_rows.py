"""Rows are the same to the last bit, or they are not."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.engine.rows.equality import same_rows


def double(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def rows(values: list[object], kind: pa.DataType) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, kind)], names=["v"])


@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        (pa.float64(), [0.0], [-0.0]),
        (pa.float64(), [1.0], [double(0x3FF0000000000001)]),
        (pa.utf8(), [""], [None]),
        (pa.utf8(), ["a"], ["a "]),
        (pa.binary(), [b"\x00"], [b""]),
        (pa.bool_(), [True], [None]),
        (pa.timestamp("us"), [1], [2]),
        (pa.list_(pa.int16()), [[]], [None]),
        (pa.list_(pa.int16()), [[1, 2]], [[1]]),
        (pa.list_(pa.float64()), [[0.0, 1.0]], [[0.0, -1.0]]),
        (pa.list_(pa.float64()), [[0.0]], [[-0.0]]),
        (pa.list_(pa.utf8()), [["a", ""]], [["a", None]]),
    ],
)
def test_the_smallest_difference_counts(kind: pa.DataType, left: list[object], right: list[object]) -> None:
    assert same_rows(rows(left, kind), rows(right, kind)).tolist() == [False]
    assert same_rows(rows(left, kind), rows(left, kind)).tolist() == [True]


def test_not_a_number_is_told_by_its_bits() -> None:
    bits = np.array([0x7FF8000000000000, 0x7FF8000000000001], np.uint64).view(np.float64)
    one, other = (pa.RecordBatch.from_arrays([pa.array(bits[[i]])], names=["v"]) for i in (0, 1))
    assert same_rows(one, one).tolist() == [True]
    assert same_rows(one, other).tolist() == [False]


@given(
    st.lists(st.tuples(st.none() | st.floats(width=64), st.none() | st.lists(st.none() | st.text(max_size=3)))),
    st.data(),
)
def test_slices_and_orders_do_not_matter(values: list[tuple[object, object]], data: st.DataObject) -> None:
    schema = pa.schema([("f", pa.float64()), ("l", pa.list_(pa.utf8()))])
    columns = list(zip(*values, strict=True)) or [(), ()]
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, schema, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    order = data.draw(st.permutations(range(len(batch))))
    start = data.draw(st.integers(0, len(batch)))
    shuffled = batch.take(pa.array(order, pa.int64()))
    back = shuffled.take(pa.array(np.argsort(np.array(order, np.int64)), pa.int64()))
    assert same_rows(batch.slice(start), back.slice(start)).all()
