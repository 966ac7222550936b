"""Which row keys a container may hold: a few ranges, so that most puts need not look for rows to replace."""

from __future__ import annotations

from bisect import bisect_left

_LIMIT = 64


class KeyRanges:
    """Disjoint closed ranges that cover every key put so far, and maybe more. Keys are integers.

    Looking for the rows that a put replaces costs a scan. A load in key order, even by several readers at once,
    always lands outside the ranges, and then there is nothing to look for.
    """

    __slots__ = ("_highs", "_lows")

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []

    def overlaps(self, low: int, high: int) -> bool:
        """Whether a key in [low, high] may be there already."""
        place = bisect_left(self._highs, low)
        return place < len(self._lows) and self._lows[place] <= high

    def add(self, low: int, high: int) -> None:
        """Cover [low, high] too."""
        first = bisect_left(self._highs, low)
        last = first
        while last < len(self._lows) and self._lows[last] <= high:
            low, high = min(low, self._lows[last]), max(high, self._highs[last])
            last += 1
        self._lows[first:last] = [low]
        self._highs[first:last] = [high]
        if len(self._lows) > _LIMIT:
            self._join_nearest()

    def _join_nearest(self) -> None:
        gaps = [low - high for low, high in zip(self._lows[1:], self._highs, strict=False)]
        nearest = gaps.index(min(gaps))
        del self._lows[nearest + 1], self._highs[nearest]
