"""From facts to charts: which buckets differ, what a chart's sentence says, and how far the target lagged behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from markupsafe import Markup

from gridferry import numbers
from gridferry.checkpoint.history import Sample
from gridferry.model.moment import moment_of
from gridferry.model.verification import DifferenceCount
from gridferry.report import charts
from gridferry.report.facts import RowsOverTime, Series, TableFacts


@dataclass(frozen=True)
class Drawing:
    """A chart, its heading, and the sentence below it. `wrong` says that both sides differ in it."""

    heading: str
    sentence: str
    svg: Markup
    wrong: bool = False


def row_drawings(facts: TableFacts) -> list[Drawing]:
    """Charts of rows over time: all containers together, where there are several, then one by one."""
    over = facts.over_time
    if over is None:
        return []
    drawings = []
    summary = facts.verifications[0].summary if facts.verifications else ()
    if over.total is not None and len(facts.containers) > 1:
        heading = f"All {numbers.count(len(facts.containers))} containers"
        drawings.append(_rows(over, over.total, over.total_width_s, heading, summary))
    for series in over.series:
        own = [d for d in summary if d.container == series.container]
        heading = series.container if series.value is None else f"{series.container} ({series.value})"
        drawings.append(_rows(over, series, over.width_s, heading, own))
    return drawings


def lag_drawing(history: Sequence[Sample], now: str) -> Drawing | None:
    """The age of the state that the target shows, over time: it grows until a run brings the next state."""
    points = lag_points(history, now)
    if len(points) < 2:
        return None
    most = max(lag for _, lag in points)
    runs = sum(sample.runs for sample in history)
    since = moment_of(history[0].at)
    sentence = (
        f"At most {numbers.duration(most)} since {since:%Y-%m-%d %H:%M} UTC, in {numbers.plural(runs, 'run')}; "
        f"{numbers.duration(points[-1][1])} now."
    )
    return Drawing("Lag over time", sentence, charts.lag_chart(points, title=f"Lag over time. {sentence}"))


def lag_points(history: Sequence[Sample], now: str) -> list[tuple[float, float]]:
    """(seconds of the epoch, lag in seconds), in order: before and after the step of each sample, and now."""
    points: list[tuple[float, float]] = []
    as_of: datetime | None = None
    for sample in history:
        at = moment_of(sample.at)
        if as_of is not None or sample.lag_s is not None:
            grown = (at - as_of).total_seconds() if as_of is not None else 0.0
            points.append((at.timestamp(), max(0.0, grown, sample.lag_s or 0.0)))
        if sample.as_of:
            as_of = moment_of(sample.as_of)
            points.append((at.timestamp(), max(0.0, (at - as_of).total_seconds())))
    if points and as_of is not None:
        end = moment_of(now)
        points.append((end.timestamp(), max(0.0, (end - as_of).total_seconds())))
    return points


def width_text(seconds: int) -> str:
    """`3 hours`, `1 day`: a bucket's width in words."""
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % unit == 0:
            return numbers.plural(seconds // unit, name)
    return numbers.plural(seconds, "second")


def _rows(
    over: RowsOverTime, series: Series, width_s: int, heading: str, summary: Sequence[DifferenceCount]
) -> Drawing:
    start = moment_of(over.start)
    count = len(series.source or series.target or ())
    uneven = {
        i
        for i, (here, there) in enumerate(zip(series.source or (), series.target or (), strict=False))
        if here != there
    }
    marked = uneven | _only_by_value(summary, uneven, start, width_s=width_s, count=count)
    sentence = _sentence(series, uneven)
    what = f"Rows over time of {heading}, in steps of {width_text(width_s)} from {start:%Y-%m-%d %H:%M} UTC. {sentence}"
    svg = charts.rows_chart(
        series.source,
        series.target,
        start_s=start.timestamp(),
        width_s=width_s,
        marked=marked,
        title=what,
    )
    return Drawing(heading, sentence, svg, wrong=bool(marked or summary))


def _sentence(series: Series, uneven: set[int]) -> str:
    here, there = series.source, series.target
    if here is None or there is None:
        side, known = ("GridDB", there) if here is None else ("PostgreSQL", here)
        return f"{numbers.count(sum(known or ()))} rows in {side}; the other side was not asked."
    if sum(here) == sum(there):
        both = f"{numbers.plural(sum(here), 'row')} on both sides"
    else:
        both = f"{numbers.count(sum(here))} rows in PostgreSQL, {numbers.count(sum(there))} in GridDB"
    return f"{both}; the numbers differ in {numbers.plural(len(uneven), 'step')}." if uneven else f"{both}."


def _only_by_value(
    summary: Sequence[DifferenceCount], uneven: set[int], start: datetime, *, width_s: int, count: int
) -> set[int]:
    """The buckets of dates that are known to differ, although the numbers of rows are equal on all of the date."""
    covered = [set(_covered(each.bucket, start, width_s, count)) for each in summary if each.bucket]
    return {i for buckets in covered if not buckets & uneven for i in buckets}


def _covered(bucket: str, start: datetime, width_s: int, count: int) -> range:
    """The buckets that a date, a month or a year lies in."""
    try:
        low, high = _date_range(bucket)
    except (ValueError, OverflowError):
        return range(0)
    first = int((low - start).total_seconds() // width_s)
    last = int(((high - start).total_seconds() - 1) // width_s)
    return range(max(0, first), min(count - 1, last) + 1)


def _date_range(bucket: str) -> tuple[datetime, datetime]:
    parts = [int(part) for part in bucket.split("-")]
    year, month, day = [*parts, 1, 1][:3]
    low = datetime(year, month, day, tzinfo=timezone.utc)
    if len(parts) == 3:
        return low, low + timedelta(days=1)
    if len(parts) == 2:
        return low, (low + timedelta(days=31)).replace(day=1)
    return low, low.replace(year=low.year + 1)
