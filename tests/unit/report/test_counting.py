"""What is asked of the target, and how often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gridferry.model.over_time import GroupBounds
from gridferry.report import counting
from gridferry.report.counting import Bounded, rows_over_time, span_of, stamp


class CountingStore:
    """A store in which every count is 1; it keeps the queries."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    def multi_values(self, queries: list[tuple[Any, str]]) -> list[int]:
        self.queries += [tql for _, tql in queries]
        return [1] * len(queries)


class CountingSource:
    """A source in which each bucket of each container has one row, and all others together have `others`."""

    def __init__(self, others: int) -> None:
        self.others = others

    def fetch_counts(self, plan: Any, name: str, *, buckets: Any, values: Any) -> Any:
        return [[1] * buckets.count for _ in values], [self.others] * buckets.count


def fleet(containers: int, store: CountingStore, chosen: int = 2) -> Any:
    names = [f"c{n}" for n in range(containers)]
    bounded: Any = Bounded(SimpleNamespace(target=SimpleNamespace(name="ts"), source="ts"), 1_000)  # type: ignore[arg-type]
    return rows_over_time(
        None,  # type: ignore[arg-type]
        bounded,
        [(name, None) for name in names[:chosen]],
        source=CountingSource(containers - chosen),  # type: ignore[arg-type]
        store=store,  # type: ignore[arg-type]
        opened=dict.fromkeys(names),  # type: ignore[arg-type]
        span=(0.0, 64 * 3600.0 - 1),
    )


@pytest.mark.parametrize(("containers", "width_s"), [(2, 3600), (100, 3600), (1_000, 3 * 3600), (3_000, 8 * 3600)])
def test_the_larger_a_fleet_the_coarser_its_sum(containers: int, width_s: int) -> None:
    store = CountingStore()
    over = fleet(containers, store)
    assert over.width_s == 3600
    assert over.total_width_s == width_s
    assert sum(over.total.source) == 64 * containers
    assert len(over.total.source) == len(over.total.target) == -(-64 * 3600 // width_s)
    assert over.left_out == containers - 2
    assert len(store.queries) <= counting.MOST_QUERIES + 2 * 64


def test_the_sum_of_a_very_large_fleet_is_not_asked_for_and_that_is_said() -> None:
    store = CountingStore()
    over = fleet(10_000, store)
    assert over.total.target is None
    assert sum(over.total.source) == 64 * 10_000
    assert "too many questions" in over.note
    assert len(store.queries) == 2 * 64


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1_594_512_094.385975, "2020-07-12T00:01:34.385Z"),
        (1_594_512_094.385, "2020-07-12T00:01:34.385Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (1e15, "9999-12-31T23:59:59.999Z"),
        (-1e15, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_moments_as_tql_takes_them(seconds: float, text: str) -> None:
    assert stamp(seconds) == text


def test_the_span_is_what_a_container_can_hold() -> None:
    assert span_of([GroupBounds(0), GroupBounds(3, -5.0, 10.0), GroupBounds(1, 4.0, 1e15)]) == (
        0.0,
        253_402_300_799.999,
    )
    assert span_of([GroupBounds(0)]) is None
    assert span_of([GroupBounds(2, -10.0, -5.0)]) is None
