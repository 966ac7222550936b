"""The windows of many tables under one snapshot, asked for by a few statements: see `new_rows.find_new`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from gridferry.errors import CheckpointError, SnapshotGone
from gridferry.model.table import Table
from gridferry.model.watermark import Cursor, GrowingColumn, bounds
from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.rows.chunks import held_heaps
from gridferry.source.postgres.rows.new_rows import (
    OLDEST_BEGIN,
    Asked,
    floors_of,
    floors_statement,
    looks_at_all,
    new_rows,
    require_not_ahead,
)
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.snapshot import HeldSnapshot
from gridferry.source.selection import Window

_AT_ONCE = 100
_OLDEST = sql.SQL("SELECT o.began FROM gridferry_oldest AS o")
_NOTHING = sql.SQL("")
_UNION = sql.SQL(" UNION ALL ")


@dataclass(frozen=True)
class Sought:
    """A table whose new rows are sought: as `new_rows.find_new` is given it. All of its rows have to lie in heaps."""

    table: Table
    plan: TablePlan
    column: GrowingColumn
    cursor: Cursor


def find_new_each(held: HeldSnapshot, sought: Sequence[Sought]) -> list[Window | CheckpointError | SnapshotGone]:
    """The window of each table, or why it has none; in their order.

    The locks that it takes last as long as the transaction, or the savepoint.
    Raises: SourceError for a statement that failed: it does not say of which table.
    """
    next_xid = bounds(held.snapshot)[1]
    found: dict[int, Window | CheckpointError | SnapshotGone] = {}
    with mapped(f"looking for new rows of {len(sought)} tables"):
        gone = held_heaps(held.connection, [relation for each in sought for relation in each.table.relations])
        for number, each in enumerate(sought):
            try:
                require_not_ahead(each.cursor, each.plan, next_xid)
            except CheckpointError as error:
                found[number] = error
            for relation in each.table.relations:
                if error_of_it := gone.get((relation.schema, relation.name)):
                    found[number] = error_of_it
        left = [number for number in range(len(sought)) if number not in found]
        floors = _floors(held, {number: sought[number] for number in left})
        asked = {}
        for number in left:
            each, (floor, reached) = sought[number], floors.get(number, (None, None))
            condition = new_rows(each.column, each.cursor, floor=floor, next_xid=next_xid)
            asked[number] = Asked(each.plan, each.column, each.cursor, condition, condition, floor, reached)
        statements = {n: each.statement(held.snapshot.taken_at, _OLDEST) for n, each in asked.items()}
        head = sql.SQL("WITH gridferry_oldest(began) AS MATERIALIZED ({}) ").format(OLDEST_BEGIN)
        for number, row in _rows(held, statements, head=head).items():
            found[number] = asked[number].window(row)
    return [found[number] for number in range(len(sought))]


def _floors(held: HeldSnapshot, sought: dict[int, Sought]) -> dict[int, tuple[str | None, str | None]]:
    statements = {
        number: floors_statement(each.column, each.cursor)
        for number, each in sought.items()
        if each.cursor.open_marks and not looks_at_all(held, each.table, each.column, each.cursor)
    }
    return {number: floors_of(row, sought[number].cursor) for number, row in _rows(held, statements).items()}


def _rows(
    held: HeldSnapshot, statements: dict[int, sql.Composed], *, head: sql.Composable = _NOTHING
) -> dict[int, Sequence[Any]]:
    """The one row of each statement, by its number; asked for by as few statements as there can be."""
    found: dict[int, Sequence[Any]] = {}
    numbers = list(statements)
    for start in range(0, len(numbers), _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        numbered = (sql.SQL("SELECT {}, r.* FROM ({}) AS r").format(sql.Literal(n), statements[n]) for n in some)
        for number, *row in held.connection.execute(head + _UNION.join(numbered)):
            found[number] = row
    return found
