"""Key ranges may cover more than was put, and never less."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gridferry.embedded.key_ranges import KeyRanges

Range = tuple[int, int]
ranges = st.tuples(st.integers(0, 5000), st.integers(0, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(ranges, max_size=200), ranges)
def test_what_was_put_is_always_found(put: list[Range], asked: Range) -> None:
    known = KeyRanges()
    for low, high in put:
        known.add(low, high)
    assert all(known.overlaps(low, high) for low, high in put)
    if any(low <= asked[1] and high >= asked[0] for low, high in put):
        assert known.overlaps(*asked)


def test_readers_in_key_order_never_meet() -> None:
    known = KeyRanges()
    met = 0
    for step in range(500):
        for reader in range(8):
            low = reader * 1_000_000 + step * 100
            met += known.overlaps(low, low + 99)
            known.add(low, low + 99)
    assert met == 0


def test_outside_and_between() -> None:
    known = KeyRanges()
    assert not known.overlaps(0, 10**18)
    known.add(10, 20)
    known.add(30, 40)
    assert [known.overlaps(*r) for r in ((0, 9), (21, 29), (41, 50), (20, 20), (0, 10), (40, 99))] == [
        False,
        False,
        False,
        True,
        True,
        True,
    ]
