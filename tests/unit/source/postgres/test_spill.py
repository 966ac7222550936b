"""What an open transaction said, kept in memory or in a file, with rolled back parts cut off."""

from __future__ import annotations

import errno
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.errors import SourceError
from gridferry.source.postgres.log.spill import Spill

# A transaction's story: messages of nested subtransactions, and roll backs of one that is open.
STEPS = st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(["open", "keep", "roll back"])), max_size=40)


@given(STEPS, st.sampled_from([1, 50, 1 << 20]))
def test_what_was_not_rolled_back_comes_in_order(steps, block_bytes):
    """As PostgreSQL tells it: a roll back names the subtransactions released inside it, and then its own."""
    kept: list[tuple[tuple[int, ...], bytes]] = []
    open_now, newest = [[1]], 1  # each with those released into it
    with closing(Spill(block_bytes=block_bytes)) as spilled:
        for step in steps:
            if isinstance(step, bytes):
                spilled.append(step, subxid=open_now[-1][-1])
                kept.append((tuple(each[-1] for each in open_now), step))
            elif step == "open":
                newest += 1
                open_now.append([newest])
            elif len(open_now) > 1 and step == "keep":
                released = open_now.pop()
                open_now[-1][:0] = released
            elif len(open_now) > 1:
                for subxid in open_now.pop():
                    spilled.roll_back(subxid)
                    kept = [(inside, message) for inside, message in kept if subxid not in inside]
        assert list(spilled.read()) == [message for _, message in kept]
        assert spilled.size_bytes == sum(4 + len(message) for _, message in kept)


def test_a_full_disk_is_told(monkeypatch):
    class FullDisk:
        def write(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", FullDisk)
    with closing(Spill(block_bytes=1)) as spilled, pytest.raises(SourceError, match="No space left") as caught:
        spilled.append(b"x", subxid=1)
    assert "TMPDIR" in caught.value.next_step
