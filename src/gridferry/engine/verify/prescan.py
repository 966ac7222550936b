"""Where to look first: rows counted on both sides by range and container, before any is read."""

from __future__ import annotations

from gridferry.engine.comparison.containers import NumberedContainers
from gridferry.engine.comparison.ranges import Cut, RowRange
from gridferry.griddb import Store
from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.one_snapshot import PostgresSnapshot

LEAST_RANGES = 8  # fewer are read almost as fast as they are counted
MOST_QUESTIONS = 20_000
_SHOWN = 3


def likely_first(
    view: PostgresSnapshot, store: Store, plan: TablePlan, *, cut: Cut, containers: NumberedContainers
) -> tuple[tuple[RowRange, ...], str]:
    """A cut's parts, those whose row numbers differ first, and a note of them; "" where none does.

    All parts are read and compared afterwards, whatever the counts say. Not asked where it would cost as much as it
    may spare: of few ranges, or of very many containers.
    """
    there = [(code, c) for code, c in enumerate(containers.opened) if c is not None]
    if len(cut.bounds) + 1 < LEAST_RANGES or len(there) * len(cut.parts) > MOST_QUESTIONS:
        return cut.parts, ""
    source = view.fetch_range_counts(plan, column=cut.column, measure=cut.measure, bounds=cut.bounds)
    wanted = {(containers.code(value), place): rows for (value, place), rows in source.items()}
    asked = [(code, place, c) for place in range(len(cut.parts)) for code, c in there]
    queries = [(c, f"select count(*) where {cut.parts[place].condition}") for _, place, c in asked]
    for (code, place, _), answer in zip(asked, store.multi_values(queries), strict=True):
        wanted[code, place] = wanted.get((code, place), 0) - int(answer or 0)
    odd = sorted({place for (_, place), rows in wanted.items() if rows})
    if not odd:
        return cut.parts, ""
    rest = [part for place, part in enumerate(cut.parts) if place not in set(odd)]
    shown = "; ".join(_range(cut, place) for place in odd[:_SHOWN])
    more = f" and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else ""
    note = f"row numbers differ in {len(odd)} of {len(cut.parts)} ranges of {cut.column}, which were read first: "
    return (*(cut.parts[place] for place in odd), *rest), note + shown + more


def _range(cut: Cut, place: int) -> str:
    chunk = cut.parts[place].chunk
    low, high = (None if edge is None else edge.partition("+")[0] for edge in (chunk.low, chunk.high))
    if low is None:
        return f"below {high}"
    return f"from {low}" if high is None else f"{low} to {high}"
