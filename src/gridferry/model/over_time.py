"""Rows over time: how a time axis is cut into buckets, and what a table's rows come to by group."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, count

MOST_BUCKETS = 64
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_WIDTHS_S = (
    *(1, 2, 5, 10, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 30 * _DAY, 90 * _DAY, 365 * _DAY, 3650 * _DAY, 36_500 * _DAY),
)


@dataclass(frozen=True)
class Buckets:
    """Equal parts of time: part i holds the seconds (of the epoch) from `start_s + i * width_s` on."""

    start_s: int
    width_s: int
    count: int

    @property
    def edges(self) -> tuple[int, ...]:
        """The `count` + 1 bounds, in seconds of the epoch."""
        return tuple(self.start_s + i * self.width_s for i in range(self.count + 1))

    @property
    def end_s(self) -> int:
        """The end of the last part, not part of it."""
        return self.start_s + self.count * self.width_s


def buckets_for(low_s: float, high_s: float, *, most: int = MOST_BUCKETS) -> Buckets:
    """The finest buckets of a round width that hold both ends and are `most` at most (2 <= most)."""
    longest = _WIDTHS_S[-1]
    for width in chain(_WIDTHS_S, count(2 * longest, longest)):
        start = int(low_s // width) * width
        parts = int((high_s - start) // width) + 1
        if parts <= most:
            break
    return Buckets(start, width, parts)


@dataclass(frozen=True)
class GroupBounds:
    """The rows of one split value, and their least and greatest value of one column: seconds of the epoch, or numbers.

    None where no row has a finite one.
    """

    rows: int
    low: float | None = None
    high: float | None = None
