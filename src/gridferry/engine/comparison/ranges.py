"""How a table is cut for a verification: parts small enough for memory, each with all rows of its keys on both sides.

By ranges of a key column where an index at the source serves them, else by split values where one serves those. Where
none does, the table is read once as it lies, and rows meet by the hash of their key.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from psycopg import sql

from gridferry.engine.comparison.containers import NumberedContainers
from gridferry.engine.workers import default_workers
from gridferry.griddb import ColumnSpec, GridType
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.model.table import Table
from gridferry.plan.epochs import epoch_of
from gridferry.plan.plan import ColumnPlan, Kernel, TablePlan
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.rows.key_bounds import KeySpread, Measure, bound_text

ROWS_A_PART = 200_000
LEAST_ROWS_A_PART = 1_000
PART_BYTES = 24 << 20
ROWS_IN_MEMORY = 500_000
BYTES_IN_MEMORY = 64 << 20

_MEASURES: dict[Kernel, Measure] = {
    Kernel.TIME_US: Measure.TIME,
    Kernel.TIME_MS: Measure.TIME,
    Kernel.TIME_MS_TRUNCATE: Measure.TIME,
    Kernel.DATE_MS: Measure.DATE,
    Kernel.SAME: Measure.NUMBER,
    Kernel.NUMBER: Measure.NUMBER,
}
_COMPARED = frozenset({GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US, GridType.INTEGER, GridType.LONG})
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class RowRange:
    """Rows that are compared together. `where` is the source's condition, `condition` the target's in TQL; "" for all.

    `codes` are the numbers of the containers whose rows can be in it; None for all.
    """

    chunk: Chunk
    where: str = ""
    condition: str = ""
    codes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Cut:
    """How a table is cut: `parts` to read by, or, without any, `partitions` of the hashes of its keys.

    `column` and `bounds` of a cut by ranges. `warning` says what the cut costs, where that is much.
    """

    parts: tuple[RowRange, ...] = ()
    partitions: int = 1
    warning: str = ""
    column: str = ""
    measure: Measure = Measure.NUMBER
    bounds: tuple[int, ...] = ()


def cut_table(view: PostgresSnapshot, plan: TablePlan, table: Table, containers: NumberedContainers) -> Cut:
    """The cut that fits the table's size and its indexes."""
    rows = max(table.row_estimate, plan.rows, sum(containers.counts))
    octets = max(table.size_bytes, plan.size_bytes)
    if rows <= ROWS_IN_MEMORY and octets <= BYTES_IN_MEMORY:
        return Cut()
    most = max(LEAST_ROWS_A_PART, min(ROWS_A_PART, PART_BYTES * rows // max(octets, 1)))
    ranged = _range_column(plan, table)
    if ranged is not None:
        column, measure = ranged
        parts = _even(math.ceil(rows / most))
        bounds = view.fetch_key_bounds(
            plan, column=column.source, measure=measure, parts=parts, rows=rows, sampled=table.own_heap
        )
        return Cut(
            parts=tuple(ranges(plan, column, measure, bounds)), column=column.source, measure=measure, bounds=bounds
        )
    if plan.split_by is not None and plan.split_by in table.indexed:
        groups = _groups(view, plan, containers, most=most, rows=rows, sampled=table.own_heap)
        if groups is not None:
            return Cut(parts=groups)
    names = " or ".join(dict.fromkeys([plan.columns[0].source, *([plan.split_by] if plan.split_by else [])]))
    why = "its row key is generated" if plan.numbered else f"no index begins with {names}"
    warning = (
        f"{why}: the source is read whole, and the rows of both sides wait in temporary files "
        f"of about {max(1, 2 * octets >> 20):,} MB together"
    )
    return Cut(partitions=math.ceil(rows / most), warning=warning)


def _even(parts: int) -> int:
    """So many that no worker is left without one while the others read their last."""
    workers = default_workers()
    return math.ceil(parts / workers) * workers


def ranges(plan: TablePlan, column: ColumnPlan, measure: Measure, bounds: Sequence[int]) -> Iterator[RowRange]:
    """One part more than there are bounds; the first is open below and has the rows without a value, the last above."""
    edges: list[int | None] = [None, *bounds, None]
    for number in range(len(edges) - 1):
        low, high = edges[number], edges[number + 1]
        yield RowRange(
            _chunk(plan, number, column.source, *(None if e is None else bound_text(e, measure) for e in (low, high))),
            condition=tql_range(column.target, low, high),
        )


def tql_range(column: ColumnSpec, low: int | None, high: int | None) -> str:
    """The TQL condition that a column lies from `low` up to, not including, `high`; times in microseconds."""
    edges = ((">=", low), ("<", high))
    return " and ".join(
        f'"{column.name}" {sign} {_tql_value(column, edge)}' for sign, edge in edges if edge is not None
    )


def _tql_value(column: ColumnSpec, value: int) -> str:
    if column.type is GridType.TIMESTAMP_MS:
        return f"TO_TIMESTAMP_MS({value // 1000})"
    if column.type is GridType.TIMESTAMP_US:
        moment = _EPOCH + timedelta(microseconds=value)
        return f"TIMESTAMP_US('{moment:%Y-%m-%dT%H:%M:%S.%f}Z')"
    return str(value)


def _range_column(plan: TablePlan, table: Table) -> tuple[ColumnPlan, Measure] | None:
    """The key column to cut by: one that leads an index, and that both sides compare alike."""
    for column in plan.columns[: plan.key_length]:
        if column.source in table.indexed and (measure := _measure(column)) is not None:
            return column, measure
    return None


def _measure(column: ColumnPlan) -> Measure | None:
    epoch = epoch_of(column)
    if epoch is not None:
        # What is cut, or brought to an end, lies in another range than the number that it is from.
        kept = column.kernel in (Kernel.EPOCH, Kernel.EPOCH_DOUBLE)
        return next(m for m in Measure if m.unit == epoch.unit) if kept else None
    return _MEASURES.get(column.kernel) if column.target.type in _COMPARED else None


def _groups(
    view: PostgresSnapshot, plan: TablePlan, containers: NumberedContainers, *, most: int, rows: int, sampled: bool
) -> tuple[RowRange, ...] | None:
    """Parts of some split values each, large ones cut by the key too; None where one is too large and cannot be."""
    column = plan.columns[0]
    spread = {s.value: s for s in view.fetch_key_spread(plan)}
    for value in containers.values[: containers.listed]:
        spread.setdefault(value, KeySpread(value, 0, None, None))
    sizes = {value: max(s.rows, containers.counts[containers.code(value)]) for value, s in spread.items()}
    measure = _measure(column)
    if measure is None and max(sizes.values(), default=0) > 2 * most:
        return None
    parts: list[RowRange] = []
    group: list[str | None] = []
    filled = 0
    for value in sorted(sizes, key=lambda v: (v is None, v or "")):
        if measure is not None and sizes[value] > 2 * most:
            where = _where(plan, [value])
            count = math.ceil(sizes[value] / most)
            bounds = view.fetch_key_bounds(
                plan.narrowed(where), column=column.source, measure=measure, parts=count, rows=rows, sampled=sampled
            )
            code = (containers.code(value),)
            parts += [replace(p, where=where, codes=code) for p in ranges(plan, column, measure, bounds)]
            continue
        if group and filled + sizes[value] > most:
            parts.append(_group(plan, containers, group))
            group, filled = [], 0
        group.append(value)
        filled += sizes[value]
    if group:
        parts.append(_group(plan, containers, group))
    return tuple(parts)


def _group(plan: TablePlan, containers: NumberedContainers, values: Sequence[str | None]) -> RowRange:
    codes = tuple(containers.code(value) for value in values)
    return RowRange(_chunk(plan, 0, "", None, None), where=_where(plan, values), codes=codes)


def _where(plan: TablePlan, values: Sequence[str | None]) -> str:
    name = sql.Identifier(plan.split_by or "")
    texts = [sql.Literal(value) for value in values if value is not None]
    found = [sql.SQL("{} IN ({})").format(name, sql.SQL(", ").join(texts))] if texts else []
    if None in values:
        found.append(sql.SQL("{} IS NULL").format(name))
    return sql.SQL("({})").format(sql.SQL(" OR ").join(found)).as_string(None)


def narrowed(plan: TablePlan, part: RowRange) -> TablePlan:
    """The plan of a part's rows."""
    return plan.narrowed(part.where) if part.where else plan


def _chunk(plan: TablePlan, number: int, column: str, low: str | None, high: str | None) -> Chunk:
    if low is None and high is None:  # also of a cut by a column, where no row gave a bound
        return Chunk(number, ChunkKind.WHOLE, plan.schema, plan.table, tree=True)
    return Chunk(number, ChunkKind.KEYS, plan.schema, plan.table, column=column, low=low, high=high, tree=True)
