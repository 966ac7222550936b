"""Both sides counted as they are now: rows and bounds of each container, rows over time of those that are shown.

The source is asked twice, whatever the number of containers; the target's counts are pushed down and pipelined.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Protocol

from gridferry.griddb import Container, GridType, Store
from gridferry.griddb.schema import ColumnSpec
from gridferry.model.over_time import MOST_BUCKETS, Buckets, GroupBounds, buckets_for
from gridferry.plan.plan import ColumnPlan, TablePlan
from gridferry.report.facts import RowsOverTime, Series
from gridferry.report.time_axis import Axis, Counts, clipped

MOST_QUERIES = 24_000  # to the target, for the rows of all containers over time
FEWEST_BUCKETS = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST_US = -62_135_596_800_000_000
_LAST_US = 253_402_300_799_999_000
_TIMES = {GridType.TIMESTAMP_MS: 1_000, GridType.TIMESTAMP_US: 1_000_000, GridType.TIMESTAMP_NS: 1_000_000_000}
_NUMBERS = frozenset({GridType.BYTE, GridType.SHORT, GridType.INTEGER, GridType.LONG, GridType.FLOAT, GridType.DOUBLE})


class CountsRows(Protocol):
    """A source that counts its rows by group and by time."""

    def fetch_bounds(self, plan: TablePlan, column: str | None, *, time: bool) -> dict[str | None, GroupBounds]:
        """Rows, least and greatest value of each split value."""

    def fetch_counts(
        self, plan: TablePlan, column: str, *, buckets: Buckets, values: Sequence[str | None]
    ) -> tuple[list[list[int]], list[int]]:
        """Rows by bucket, of each of `values` and of all others together."""


@dataclass(frozen=True)
class Bounded:
    """The column whose bounds are shown, and whether it is a time. `unit` parts of a second make one of its values."""

    column: ColumnPlan
    unit: int = 0

    @property
    def time(self) -> bool:
        """Whether rows can be counted over it."""
        return self.unit > 0

    def text(self, value: float | None) -> str:
        """A value, seconds of the epoch for a time, as people read it."""
        if value is None:
            return ""
        if self.time:
            return stamp(value)
        return f"{value:,.15g}"


def bounded_column(plan: TablePlan) -> Bounded | None:
    """The column whose bounds are shown: the first time in the row key, else a number that begins it, else any time."""
    key = plan.columns[: plan.key_length]
    times = [c for c in key if _is_time(c.target)]
    if times:
        return Bounded(times[0], _TIMES[times[0].target.type])
    if key and key[0].target.type in _NUMBERS:
        return Bounded(key[0])
    others = [c for c in plan.columns if _is_time(c.target)]
    return Bounded(others[0], _TIMES[others[0].target.type]) if others else None


def span_of(bounds: Iterable[GroupBounds]) -> tuple[float, float] | None:
    """The time from the least to the greatest of several bounds, as far as a container can hold it."""
    known = [(b.low, b.high) for b in bounds if b.low is not None and b.high is not None]
    if not known:
        return None
    low, high = max(0.0, min(low for low, _ in known)), min(_LAST_US / 1e6, max(high for _, high in known))
    return (low, high) if low <= high else None


def count_target(
    store: Store, names: Sequence[str], bounded: Bounded | None
) -> tuple[dict[str, Container], dict[str, GroupBounds]]:
    """The containers that are there, and what each holds, by name."""
    opened = {name: c for name, c in store.open_containers(list(names)).items() if c is not None}
    standing = list(opened.values())
    counts = store.counts(standing)
    bounds: list[tuple[float | None, float | None]] = [(None, None)] * len(standing)
    if bounded is not None:
        column = f'"{bounded.column.target.name}"'
        queries = [(c, f"select {what}({column})") for c in standing for what in ("MIN", "MAX")]
        values = [_number(value, bounded.unit) for value in store.multi_values(queries)]
        bounds = list(zip(values[::2], values[1::2], strict=True))
    found = {name: GroupBounds(rows, low, high) for name, rows, (low, high) in zip(opened, counts, bounds, strict=True)}
    return opened, found


def rows_over_time(
    plan: TablePlan,
    bounded: Bounded,
    chosen: Sequence[tuple[str, str | None]],
    *,
    source: CountsRows | None,
    store: Store,
    opened: Mapping[str, Container],
    span: tuple[float, float],
) -> RowsOverTime:
    """Both sides in buckets: the `chosen` containers (name and value) one by one, and all together.

    Args: source: None where it is away; opened: all containers of the table; span: the seconds in which all rows are.
    """
    standing = list(opened.values())

    def count(buckets: Buckets) -> Counts:
        here = None if source is None else source.fetch_counts(plan, bounded.column.source, buckets=buckets, values=())
        if len(standing) * buckets.count > MOST_QUERIES:
            return (None if here is None else here[1]), None
        there = [sum(column) for column in zip(*counts_over_time(store, standing, bounded, buckets), strict=True)]
        return (None if here is None else here[1]), there or [0] * buckets.count

    axis = clipped(span, count) if source is not None or len(standing) * MOST_BUCKETS <= MOST_QUERIES else Axis(*span)
    buckets = buckets_for(axis.low, axis.high)
    counted = None
    if source is not None:
        counted = source.fetch_counts(plan, bounded.column.source, buckets=buckets, values=[v for _, v in chosen])
    there = [(name, opened[name]) for name, _ in chosen if name in opened]
    by_name = dict(
        zip([name for name, _ in there], counts_over_time(store, [c for _, c in there], bounded, buckets), strict=True)
    )
    series = tuple(
        Series(name, value, None if counted is None else tuple(counted[0][i]), by_name.get(name))
        for i, (name, value) in enumerate(chosen)
    )
    wide, target, note = _all_of_target(store, standing, bounded, buckets, series)
    total_source = None
    if counted is not None:
        sums = [sum(column) for column in zip(*counted[0], counted[1], strict=True)]
        total_source = _widened(sums, buckets, wide)
    return RowsOverTime(
        column=bounded.column.target.name,
        start=stamp(buckets.start_s),
        width_s=buckets.width_s,
        total_width_s=wide.width_s,
        total=Series("", None, total_source, target),
        series=series,
        left_out=max(0, len(opened) - len(there)),
        note=" ".join(part for part in (axis.note, note) if part),
    )


def stamp(seconds: float) -> str:
    """Seconds of the epoch as ISO 8601, UTC, whole milliseconds; the first or last of those that have such a form."""
    micros = min(max(round(seconds * 1_000_000), _FIRST_US), _LAST_US)
    moment = _EPOCH + timedelta(microseconds=micros)
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def _all_of_target(
    store: Store, standing: Sequence[Container], bounded: Bounded, buckets: Buckets, series: Sequence[Series]
) -> tuple[Buckets, tuple[int, ...] | None, str]:
    """All containers together: buckets that may be wider, so that there are not too many queries."""
    if len(series) == len(standing):
        known = [s.target for s in series if s.target is not None]
        return buckets, tuple(sum(column) for column in zip(*known, strict=True)), ""
    most = MOST_QUERIES // len(standing)
    step = -(-buckets.count // most) if most else 0
    if not most or -(-buckets.count // step) < min(FEWEST_BUCKETS, buckets.count):
        note = f"GridDB was not asked for the rows of all {len(standing):,} containers over time: too many questions."
        return buckets, None, note
    wide = Buckets(buckets.start_s, buckets.width_s * step, -(-buckets.count // step))
    return (
        wide,
        tuple(sum(column) for column in zip(*counts_over_time(store, standing, bounded, wide), strict=True)),
        "",
    )


def counts_over_time(
    store: Store, containers: Sequence[Container], bounded: Bounded, buckets: Buckets
) -> list[tuple[int, ...]]:
    """Rows of each container in each bucket of the time in `bounded`: counted by the target, all asked in one go."""
    column = f'"{bounded.column.target.name}"'
    edges = [f"TIMESTAMP('{stamp(edge)}')" for edge in buckets.edges]
    tql = [f"select count(*) where {column} >= {low} and {column} < {high}" for low, high in pairwise(edges)]
    values = store.multi_values([(container, query) for container in containers for query in tql])
    found = [int(value or 0) for value in values]
    return [tuple(found[i : i + buckets.count]) for i in range(0, len(found), buckets.count)]


def _widened(counts: Sequence[int], narrow: Buckets, wide: Buckets) -> tuple[int, ...]:
    step = wide.width_s // narrow.width_s
    return tuple(sum(counts[i : i + step]) for i in range(0, narrow.count, step))


def _is_time(column: ColumnSpec) -> bool:
    return column.type in _TIMES and not column.array


def _number(value: float | None, unit: int) -> float | None:
    if value is None:
        return None
    return value / unit if unit else float(value)
