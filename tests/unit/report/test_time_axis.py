"""Which stretch of time the charts show."""

from __future__ import annotations

import pytest

from gridferry.model.over_time import Buckets
from gridferry.report.time_axis import Axis, Counts, clipped

YEAR = 365 * 86_400
START = 54 * YEAR
LAST = 8029 * YEAR


def counted(source: list[float], target: list[float] | None) -> tuple[Axis, int]:
    asked = 0

    def count(buckets: Buckets) -> Counts:
        nonlocal asked
        asked += 1
        return of(source, buckets), None if target is None else of(target, buckets)

    rows = source + (target or [])
    return clipped((min(rows), max(rows)), count), asked


def of(times: list[float], buckets: Buckets) -> list[int]:
    found = [0] * buckets.count
    for at in times:
        place = int((at - buckets.start_s) // buckets.width_s)
        if 0 <= place < buckets.count:
            found[place] += 1
    return found


def day(rows: int) -> list[float]:
    return [START + i * 86_400 / rows for i in range(rows)]


def test_rows_without_stray_dates_are_counted_once_and_all_shown() -> None:
    axis, asked = counted(day(1000), day(1000))
    assert (axis.low, axis.high, axis.note, asked) == (START, max(day(1000)), "", 1)


@pytest.mark.parametrize("stray", [[0.0], [float(LAST)], [0.0, float(LAST)]])
def test_a_stray_date_does_not_flatten_the_rest(stray: list[float]) -> None:
    axis, _ = counted(day(1000) + stray, day(1000) + stray)
    assert START - 3 * 3600 <= axis.low <= START
    assert START + 86_300 <= axis.high <= START + 3 * 86_400
    assert (axis.source_outside, axis.target_outside) == (len(stray), len(stray))
    assert f"{len(stray)} row" in axis.note


def test_a_stray_row_of_one_side_is_told_of_that_side() -> None:
    axis, _ = counted(day(1000), [*day(999), 0.0])
    assert axis.note == "Times far outside are not drawn: 1 row in GridDB."


def test_a_side_that_was_not_counted_is_not_told_of() -> None:
    axis, _ = counted([*day(1000), 0.0], None)
    assert (axis.source_outside, axis.target_outside) == (1, None)


def test_many_rows_far_away_are_no_stray_ones() -> None:
    rows = day(1000) + [float(i) for i in range(20)]
    axis, _ = counted(rows, rows)
    assert (axis.low, axis.note) == (0.0, "")


def test_of_few_rows_none_is_stray() -> None:
    axis, _ = counted([0.0, float(START), START + 1.0], [0.0])
    assert (axis.low, axis.note) == (0.0, "")
