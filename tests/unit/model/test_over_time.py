"""How a time axis is cut."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gridferry.model.over_time import MOST_BUCKETS, Buckets, buckets_for


@example(12_614_400_001.0, 214_444_800_000.0)
@given(st.floats(0, 253_402_300_799), st.floats(0, 253_402_300_799))
def test_all_of_the_time_lies_in_few_equal_buckets(one: float, other: float) -> None:
    low, high = sorted((one, other))
    buckets = buckets_for(low, high)
    assert 1 <= buckets.count <= MOST_BUCKETS
    assert buckets.start_s <= low
    assert high < buckets.end_s
    assert buckets.start_s % buckets.width_s == 0
    assert len(buckets.edges) == buckets.count + 1


def test_a_week_has_buckets_of_three_hours() -> None:
    assert buckets_for(1_594_512_094.4, 1_595_203_195.9) == Buckets(1_594_512_000, 10_800, 64)


def test_one_moment_is_one_bucket() -> None:
    assert buckets_for(100.5, 100.5) == Buckets(100, 1, 1)
