"""Pieces of an answer, cut where it says: never outside it, for Arrow does not look."""

from __future__ import annotations

import numpy as np
import pytest

from gridferry.errors import RemoteProtocolError
from gridferry.griddb.wire.decode import byte_pieces

AREA = np.frombuffer(b"abcdef", np.uint8)


def test_pieces_follow_one_another() -> None:
    pieces = byte_pieces(AREA, np.array([0, 2, 2, 6]))
    pieces.validate(full=True)
    assert pieces.to_pylist() == [b"", b"ab", b"", b"cdef"]
    assert byte_pieces(AREA, np.empty(0, np.int64)).to_pylist() == []


@pytest.mark.parametrize("ends", [[7], [2, 1], [-1, 3], [2, 9, 4], [2**62], [-(2**62), 6], [2**63 - 1, -(2**63)]])
def test_pieces_that_overlap_or_reach_outside_are_refused(ends: list[int]) -> None:
    with pytest.raises(RemoteProtocolError, match="overlap, or lie outside"):
        byte_pieces(AREA, np.array(ends))
