"""When two values are equal, and how they are written: what differs is written differently."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.compare.value_text import texts
from gridferry.compare.values import differing

NAN_WITH_PAYLOAD = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_0001))[0]
FLOATS = st.floats(width=64) | st.sampled_from([0.0, -0.0, 5e-324, NAN_WITH_PAYLOAD])


def same(left: Any, right: Any, kind: pa.DataType) -> bool:
    return differing(pa.array([left], kind), pa.array([right], kind)) is None


@pytest.mark.parametrize(
    ("left", "right", "kind", "equal"),
    [
        (0.0, -0.0, pa.float64(), False),
        (float("nan"), NAN_WITH_PAYLOAD, pa.float64(), True),
        (float("nan"), None, pa.float64(), False),
        (0.0, None, pa.float32(), False),
        (None, None, pa.float64(), True),
        (0, None, pa.int64(), False),
        (0, None, pa.timestamp("ms"), False),
        (1, 2, pa.timestamp("us"), False),
        ("", None, pa.utf8(), False),
        ("é", "e\u0301", pa.utf8(), False),
        (b"", None, pa.binary(), False),
        (True, False, pa.bool_(), False),
    ],
)
def test_values_are_equal_to_the_last_bit_and_null_only_to_null(
    left: Any, right: Any, kind: pa.DataType, equal: bool
) -> None:
    assert same(left, right, kind) is same(right, left, kind) is equal


def test_only_the_places_that_differ_are_named() -> None:
    left = pa.array([1, None, 3, None, 0], pa.int64())
    right = pa.array([1, None, 4, 0, None], pa.int64())
    mask = differing(left, right)
    assert mask is not None
    assert mask.tolist() == [False, False, True, True, True]


@given(FLOATS, FLOATS)
def test_floats_are_written_alike_exactly_where_they_are_equal(left: float, right: float) -> None:
    one, other = texts(pa.array([left, right], pa.float64())).to_pylist()
    assert (one == other) is same(left, right, pa.float64())
    assert np.isnan(left) or np.float64(one) == left


def test_times_and_bytes_are_written_so_that_one_form_has_one_text() -> None:
    assert texts(pa.array([0, None], pa.timestamp("us", "UTC"))).to_pylist() == ["1970-01-01T00:00:00.000000Z", None]
    assert texts(pa.array([b"\x00\xff", b"", None], pa.binary())).to_pylist() == ["\\x00ff", "\\x", None]
