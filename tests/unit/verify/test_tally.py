"""Differences counted by container and time: bounded, and none is lost."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pyarrow as pa

from gridferry.compare.tally import Tally
from gridferry.model.verification import DifferenceKind, DifferentRows

DAY = datetime(2026, 3, 14, tzinfo=timezone.utc)


def rows(kind: DifferenceKind, *days: int, container: str = "c") -> DifferentRows:
    times = pa.array([DAY + timedelta(days=day) for day in days], pa.timestamp("ms", "UTC"))
    batch = pa.RecordBatch.from_arrays([times], names=["t"])
    source = None if kind is DifferenceKind.EXTRA else batch
    return DifferentRows("public.t", container, None, kind, source, None if source is batch else batch)


def counted(tally: Tally) -> list[tuple[str, str, int, int]]:
    return [(c.container, c.bucket, c.missing, c.extra) for c in tally.summary]


def test_rows_of_a_day_are_counted_together_by_their_kind() -> None:
    tally = Tally(key_length=1, most_first=9)
    tally.add(rows(DifferenceKind.MISSING, 0, 0, 1))
    tally.add(rows(DifferenceKind.EXTRA, 1))
    assert counted(tally) == [("c", "2026-03-14", 2, 0), ("c", "2026-03-15", 1, 1)]


def test_too_many_days_become_months_years_and_none_and_the_sum_stays() -> None:
    tally = Tally(key_length=1, most_first=9, most_groups=2)
    tally.add(rows(DifferenceKind.MISSING, 0, 1, 2, 40))
    assert counted(tally) == [("c", "2026-03", 3, 0), ("c", "2026-04", 1, 0)]
    tally.add(rows(DifferenceKind.MISSING, 400))
    assert counted(tally) == [("c", "2026", 4, 0), ("c", "2027", 1, 0)]
    tally.add(rows(DifferenceKind.MISSING, 800))
    assert counted(tally) == [("c", "", 6, 0)]
    for name in "wxyz":  # containers are never put together, however many
        tally.add(rows(DifferenceKind.EXTRA, 0, container=name))
    assert len(counted(tally)) == 5
    assert tally.kinds == {DifferenceKind.MISSING: 6, DifferenceKind.EXTRA: 4}


def test_of_the_first_few_every_kind_has_some() -> None:
    tally = Tally(key_length=1, most_first=3)
    tally.add(rows(DifferenceKind.MISSING, *range(10)))
    tally.add(rows(DifferenceKind.EXTRA, 20))
    assert sorted(d.kind.value for d in tally.first) == ["extra", "missing", "missing"]
