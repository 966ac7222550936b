"""The shares of a load: every bucket once, never more shares than asked for, none that is much larger than needed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gridferry.engine.events import LoadPart, PreparedLoad
from gridferry.engine.load.shared import deal
from gridferry.model.outcomes import LoadOutcome


def prepared(table: str, waiting: int, rows: int) -> PreparedLoad:
    return PreparedLoad(table, LoadOutcome.PREPARED, chunks=waiting, waiting=waiting, waiting_rows=rows)


def test_a_small_table_is_one_share_and_a_large_one_many() -> None:
    assert deal([prepared("a", 3, 1000)]) == [(LoadPart("a", 0, 1),)]
    assert len(deal([prepared("a", 100, 10_000_000)])) == 40
    assert len(deal([prepared("a", 1000, 10**9)])) == 64
    assert len(deal([prepared("a", 1000, 10**9)], most=8)) == 8


def test_a_table_is_not_cut_finer_than_its_chunks() -> None:
    assert len(deal([prepared("a", 5, 10**9)])) == 5


def test_nothing_left_to_read_is_no_share() -> None:
    assert deal([]) == []
    assert deal([PreparedLoad("a", LoadOutcome.ALREADY_LOADED, chunks=7)]) == []


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 10**8)), max_size=100),
    st.integers(1, 64),
)
def test_every_bucket_is_dealt_once(sizes: list[tuple[int, int]], most: int) -> None:
    tables = [prepared(f"t{i}", waiting, rows) for i, (waiting, rows) in enumerate(sizes)]
    shares = deal(tables, most=most)
    assert len(shares) <= most
    assert all(shares)
    parts = [part for share in shares for part in share]
    of = {part.table: part.of for part in parts}
    assert Counter(parts) == Counter(LoadPart(t, bucket, n) for t, n in of.items() for bucket in range(n))
    assert set(of) == {t.table for t in tables if t.waiting}
