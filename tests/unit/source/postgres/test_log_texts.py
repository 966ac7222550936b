"""Values of a log's message, cut out where its tuples say: never outside it, for Arrow does not look."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from gridferry.errors import StreamBroken
from gridferry.source.postgres.log.values import Texts

OCTETS = np.frombuffer(b"\0" * 8 + b"abcdef" + b"\0" * 8, np.uint8)


def texts(starts: list[int], ends: list[int]) -> Texts:
    return Texts(OCTETS, np.array(starts, np.int64), np.array(ends, np.int64), np.ones(len(starts), bool))


def test_values_with_gaps_between() -> None:
    array = texts([8, 11], [10, 14]).array(pa.utf8())
    array.validate(full=True)
    assert array.to_pylist() == ["ab", "def"]
    assert texts([], []).array(pa.utf8()).to_pylist() == []


@pytest.mark.parametrize(
    ("starts", "ends"), [([8], [23]), ([9], [8]), ([8, 9], [10, 12]), ([-1], [3]), ([8, 2**62], [9, 2**62 + 1])]
)
def test_values_that_overlap_or_reach_outside_are_refused(starts: list[int], ends: list[int]) -> None:
    with pytest.raises(StreamBroken, match="overlap, or lie outside"):
        texts(starts, ends).array(pa.binary())
