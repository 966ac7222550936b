"""Differences counted by container and time, and the first few kept: bounded, whatever their number."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from gridferry.compare.difference_rows import differences, key_times
from gridferry.model.verification import Difference, DifferenceCount, DifferenceKind, DifferentRows

MOST_GROUPS = 2_000
_DIGITS = (10, 7, 4, 0)  # a day, a month, a year, no time at all

Group = tuple[str, str]


class Tally:
    """The counts of one table. Buckets are days; where that makes too many, months, years, or none."""

    def __init__(self, *, key_length: int, most_first: int, most_groups: int = MOST_GROUPS) -> None:
        self.kinds: Counter[DifferenceKind] = Counter()
        self.by_container: dict[str, Counter[DifferenceKind]] = {}
        self._first: dict[DifferenceKind, list[Difference]] = {kind: [] for kind in DifferenceKind}
        self._groups: dict[Group, Counter[DifferenceKind]] = {}
        self._key_length = key_length
        self._most_first = most_first
        self._most_groups = most_groups
        self._level = 0

    @property
    def first(self) -> tuple[Difference, ...]:
        """The first differences, of every kind some."""
        waiting = [list(kept) for kept in self._first.values()]
        chosen: list[Difference] = []
        while len(chosen) < self._most_first and any(waiting):
            for kept in waiting:
                if kept and len(chosen) < self._most_first:
                    chosen.append(kept.pop(0))
        return tuple(chosen)

    @property
    def summary(self) -> tuple[DifferenceCount, ...]:
        """The counts by container and bucket, in this order."""
        return tuple(
            DifferenceCount(container, bucket, **{kind.value: number for kind, number in counts.items()})
            for (container, bucket), counts in sorted(self._groups.items())
        )

    def add(self, rows: DifferentRows) -> None:
        """Count some more."""
        self.kinds[rows.kind] += len(rows)
        self.by_container.setdefault(rows.container, Counter())[rows.kind] += len(rows)
        kept = self._first[rows.kind]
        if len(kept) < self._most_first:
            kept += differences(rows, key_length=self._key_length, most=self._most_first - len(kept))
        days = key_times(rows, key_length=self._key_length).cast(pa.date32()).value_counts()
        for day, number in zip(days.field("values").to_pylist(), days.field("counts").to_pylist(), strict=True):
            bucket = "" if day is None else day.isoformat()[: _DIGITS[self._level]]
            self._groups.setdefault((rows.container, bucket), Counter())[rows.kind] += number
        while len(self._groups) > self._most_groups and self._level < len(_DIGITS) - 1:
            self._level += 1
            self._coarsen(_DIGITS[self._level])

    def _coarsen(self, digits: int) -> None:
        groups: dict[Group, Counter[DifferenceKind]] = {}
        for (container, bucket), counts in self._groups.items():
            groups.setdefault((container, bucket[:digits]), Counter()).update(counts)
        self._groups = groups
