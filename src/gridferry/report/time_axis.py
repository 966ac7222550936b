"""The stretch of time that charts show: where the rows are, not where a few stray dates lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gridferry import numbers
from gridferry.model.over_time import Buckets, buckets_for

Counts = tuple[Sequence[int] | None, Sequence[int] | None]  # rows by bucket in PostgreSQL and in GridDB

_GAIN = 4  # the axis is cut only where it gets shorter by this factor
_MOST_CUTS = 6
_FEWEST_ROWS = 50  # of fewer, none is called a stray one


@dataclass(frozen=True)
class Axis:
    """Seconds of the epoch from `low` to `high`, and how many rows of each side are outside; None: not known."""

    low: float
    high: float
    source_outside: int | None = 0
    target_outside: int | None = 0

    @property
    def note(self) -> str:
        """The sentence that says so; "" where all are inside."""
        sides = (("PostgreSQL", self.source_outside), ("GridDB", self.target_outside))
        said = [f"{numbers.plural(rows, 'row')} in {side}" for side, rows in sides if rows]
        return f"Times far outside are not drawn: {' and '.join(said)}." if said else ""


def clipped(span: tuple[float, float], count: Callable[[Buckets], Counts]) -> Axis:
    """The part of `span` where all rows but one in a thousand are, if that is much shorter; two may always be left out.

    Args: count: rows in buckets of the time; it is asked once, and once more for every cut.
    """
    low, high = span
    outside = [0, 0]
    known = [True, True]
    budget = -1
    for _ in range(_MOST_CUTS):
        buckets = buckets_for(low, high)
        sides = count(buckets)
        rows = [sum(column) for column in zip(*(side for side in sides if side is not None), strict=True)]
        total = sum(rows)
        if budget < 0:
            budget = max(2 * sum(side is not None for side in sides), total // 1000) if total >= _FEWEST_ROWS else 0
        first, last = _core(rows, budget)
        if not total or (last - first) * _GAIN > buckets.count:
            break
        budget -= total - sum(rows[first:last])
        for number, side in enumerate(sides):
            known[number] &= side is not None
            outside[number] += sum(side[:first]) + sum(side[last:]) if side is not None else 0
        low, high = max(low, buckets.edges[first]), min(high, buckets.edges[last] - 0.001)
        if buckets.width_s == 1:
            break
    told = [rows if sure else None for rows, sure in zip(outside, known, strict=True)]
    return Axis(low, high, *told)


def _core(rows: Sequence[int], budget: int) -> tuple[int, int]:
    """From where up to where the rows are, without as many at both ends as `budget` allows, the fewer first."""
    first, last = 0, len(rows)
    while last - first > 1:
        left, right = rows[first], rows[last - 1]
        if min(left, right) > budget:
            break
        budget -= min(left, right)
        if left <= right:
            first += 1
        else:
            last -= 1
    return first, last
