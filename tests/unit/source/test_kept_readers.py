"""Readers that wait for the next table: none that failed, or is in the middle of an answer, is used again."""

from __future__ import annotations

from typing import cast

import pytest

from gridferry.source.postgres.rows.kept_readers import KeptReaders
from gridferry.source.postgres.rows.reader import Reader


class FakeReader:
    def __init__(self, *, free: bool = True) -> None:
        self.is_free = free
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_a_reader_is_used_again_and_closed_in_the_end() -> None:
    kept, reader = KeptReaders[Reader](), FakeReader()
    assert kept.take() is None
    kept.give(cast(Reader, reader))
    assert kept.take() is cast(Reader, reader)
    assert kept.take() is None
    kept.give(cast(Reader, reader))
    kept.close()
    assert reader.closed


@pytest.mark.parametrize("late", [False, True])
def test_what_cannot_be_used_again_is_closed_at_once(late: bool) -> None:
    kept, reader = KeptReaders[Reader](), FakeReader(free=late)
    if late:
        kept.close()
    kept.give(cast(Reader, reader))
    assert reader.closed
    assert kept.take() is None
