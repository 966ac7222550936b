"""New rows, found by a growing column and proven new by the transaction that wrote them.

A sync reads a window of the column, from a floor up, so that an index on it serves. What makes the bound safe is not
the column's greatest value but the snapshot of the run before: only rows of transactions that had not ended then are
read (their ids lie at or above its xmin, subtransactions included), and the floor lies below whatever such a
transaction can have written, less the lookback. `chunks.recent_chunk` says why the xmin is the bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from psycopg import sql

from gridferry.errors import CheckpointError
from gridferry.model.moment import later
from gridferry.model.parts import Part
from gridferry.model.table import Table
from gridferry.model.watermark import Cursor, GrowingColumn, Growth, bounds
from gridferry.plan.generated_key import hashed_columns
from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.rows.chunks import XID_MARGIN, XID_SPAN, held_storage
from gridferry.source.postgres.rows.parts import count_beside
from gridferry.source.postgres.rows.reader import Reader
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.snapshot import HeldSnapshot
from gridferry.source.postgres.sql.names import condition_sql, relation_sql
from gridferry.source.selection import Window

_POSITION = "gridferry position"
_TRUE = sql.SQL("TRUE")
_AND, _OR, _COMMA = sql.SQL(" AND "), sql.SQL(" OR "), sql.SQL(", ")

# A session that has not written yet has no id, so no snapshot tells of it; but now() is frozen for it already. Roles
# without pg_read_all_stats see their own sessions only: for the others there is the lookback.
OLDEST_BEGIN = sql.SQL(
    "SELECT pg_catalog.min(xact_start) FROM pg_catalog.pg_stat_activity"
    " WHERE pid <> pg_catalog.pg_backend_pid() AND datname = pg_catalog.current_database()"
)


def find_new(
    held: HeldSnapshot,
    table: Table,
    plan: TablePlan,
    *,
    column: GrowingColumn,
    cursor: Cursor,
    sweep: bool = False,
    joined: Sequence[Part] = (),
) -> Window:
    """The rows of the held snapshot that `cursor` has not read, from the floor up; with `sweep` wherever they lie.

    Without a mark to set a floor by, without an index to make use of one, and after the source's clock was set back,
    every run is a sweep. Where not all rows say which transaction wrote them (views, foreign tables, hypertables), all
    from the floor up are read again, by a sweep all of the table. Parts that `joined` the table since the cursor was
    written are read whole, if they have rows that are none of these.
    Raises: CheckpointError if the source has had fewer transactions than the cursor knows of: it is another server, or
    was restored from a backup. SnapshotGone if the table was rewritten since the snapshot was taken.
    """
    next_xid = bounds(held.snapshot)[1]
    require_not_ahead(cursor, plan, next_xid)
    heap = table.own_heap
    with mapped(f"looking for new rows of {plan.qualified}"):
        held_storage(held.connection, table)
        whole = sweep or looks_at_all(held, table, column, cursor)
        floor = reached = None
        if cursor.open_marks and not whole:
            row = held.connection.execute(floors_statement(column, cursor)).fetchone()
            floor, reached = floors_of(row, cursor)
        condition = new_rows(column, cursor, floor=floor, next_xid=next_xid if heap else None)
        brought = count_beside(held.connection, plan, joined, condition=condition)
        if brought:
            condition = sql.SQL("(({}) OR tableoid = ANY ({}::pg_catalog.oid[]))").format(
                condition, sql.Literal([part.oid for part in joined])
            )
        ahead = condition if heap else _above(column, cursor)
        asked = Asked(plan, column, cursor, condition, ahead, floor, reached)
        window = asked.window(held.connection.execute(asked.statement(held.snapshot.taken_at)).fetchone())
        return replace(window, brought=brought)


def looks_at_all(held: HeldSnapshot, table: Table, column: GrowingColumn, cursor: Cursor) -> bool:
    """Whether a run has to look at all of the table, though it is no sweep: no floor can be set, or none would help."""
    clock_back = later(held.snapshot.taken_at, cursor.clock) != held.snapshot.taken_at
    return clock_back or (table.own_heap and not column.indexed)


def require_not_ahead(cursor: Cursor, plan: TablePlan, next_xid: int) -> None:
    """Return if the source has had the transactions that the cursor knows of. Raises: CheckpointError."""
    if cursor.xmin > next_xid:
        raise CheckpointError(
            f"the last sync of {plan.qualified} saw transaction {cursor.xmin:,}, and the source is at {next_xid:,}: "
            "it is another server, or was restored from a backup",
            state="nothing was changed",
            next_step="if the address is wrong, put it right in the config; if this source took the other's place, run "
            "`gridferry sync --new-source`: it compares everything, repairs what differs, and goes on from there",
        )


def new_rows(column: GrowingColumn, cursor: Cursor, *, floor: str | None, next_xid: int | None) -> sql.Composable:
    """The condition of a row from `floor` up (None: any) that `cursor` has not read.

    `next_xid` is the source's next transaction id, None where its rows have none: then all from `floor` up.
    """
    parts = [] if floor is None else [_from(column, floor)]
    if next_xid is not None:
        unread = [_not_in_step(column, step.below, _young(step.xmin, next_xid)) for step in cursor.steps]
        above: sql.Composable = _AND.join(unread)
        if cursor.floor is not None:
            below = sql.SQL("{} < {}").format(sql.Identifier(column.name), _value(column, cursor.floor))
            above = sql.SQL("(({} AND {}) OR ({} AND {}))").format(
                _from(column, cursor.floor), above, below, _young(cursor.swept_xmin, next_xid)
            )
        parts.append(above)
    return _AND.join(parts) if parts else _TRUE


def read_window(
    reader: Reader, plan: TablePlan, window: Window, *, most_rows: int
) -> Iterator[tuple[pa.RecordBatch, str | None]]:
    """The window's rows; see `ReadsWindows.read_window`. Columns as `Reader.read_chunk` gives them."""
    selected = reader.column_expressions(plan)
    # With its table: ORDER BY takes a bare name for the output column, which may be the text, where 10 precedes 9.
    column = sql.Identifier(plan.schema, plan.table, window.column)
    statement = sql.SQL("SELECT {}, {}::text AS {} FROM {} WHERE {} AND {} ORDER BY {} NULLS LAST").format(
        _COMMA.join(sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in selected.items()),
        column,
        sql.Identifier(_POSITION),
        relation_sql(plan.schema, plan.table),
        condition_sql(plan.where),
        sql.SQL(window.condition),
        column,
    )
    for batch in reader.read_statement(statement, doing=f"reading the new rows of {plan.qualified}"):
        for start in range(0, len(batch), most_rows):
            part = batch.slice(start, most_rows)
            positions = part.column(part.num_columns - 1)
            known = len(positions) - positions.null_count  # rows without a value come last
            rows = pa.RecordBatch.from_arrays(part.columns[:-1], names=part.schema.names[:-1])
            yield rows, positions[known - 1].as_py() if known else None


@dataclass(frozen=True)
class Asked:
    """What is asked of one table, to know its window: a condition of new rows, and one of those that are certain."""

    plan: TablePlan
    column: GrowingColumn
    cursor: Cursor
    condition: sql.Composable
    ahead: sql.Composable | None
    floor: str | None
    reached: str | None

    def statement(self, now: str, oldest: sql.Composable = OLDEST_BEGIN) -> sql.Composed:
        """One row of six: how many rows, least and greatest value, position and mark, and how many of them are certain.

        Args: now: when the snapshot was taken; oldest: gives when the oldest transaction of others began.
        """
        name = sql.Identifier(self.column.name)
        table = sql.SQL("{} WHERE {}").format(
            relation_sql(self.plan.schema, self.plan.table), condition_sql(self.plan.where)
        )
        if self.cursor.position is not None:
            newest = sql.SQL("pg_catalog.max({}) FILTER (WHERE {})").format(name, _finite(self.column))
            top = sql.SQL("GREATEST({}, {})").format(newest, _value(self.column, self.cursor.position))
        else:
            top = sql.SQL("(SELECT pg_catalog.max({}) FROM {} AND {})").format(name, table, _finite(self.column))
        mark: sql.Composable = top
        if self.column.growth is Growth.TIME:
            # A stamp from the future must not hide the rows that come after it.
            taken = sql.SQL("{}::pg_catalog.timestamptz").format(sql.Literal(now))
            kind = sql.Identifier(self.column.type)
            mark = sql.SQL("CASE WHEN {0} IS NOT NULL THEN LEAST({0}, {1}::pg_catalog.{2}, ({3})::pg_catalog.{2}) END")
            mark = mark.format(top, taken, kind, oldest)
        elif self.column.unit is not None:
            taken = sql.SQL("{}::pg_catalog.timestamptz").format(sql.Literal(now))
            counts = sql.SQL("LEAST({}, ({}))").format(taken, oldest)
            mark = sql.SQL("CASE WHEN {0} IS NOT NULL THEN LEAST({0}, {1}) END").format(
                top, _count(counts, self.column)
            )
        certain = _TRUE if self.ahead is None or self.ahead is self.condition else self.ahead
        return sql.SQL(
            "SELECT pg_catalog.count(*), pg_catalog.min({0})::text, pg_catalog.max({0})::text, ({1})::text, "
            "({2})::text, pg_catalog.count(*) FILTER (WHERE {5}) FROM {3} AND {4}"
        ).format(name, top, mark, table, self.condition, certain)

    def window(self, found: Sequence[Any] | None) -> Window:
        """The window that the statement's row tells."""
        rows, low, high, position, marked, fresh = found or (0, None, None, None, None, 0)
        return Window(
            column=self.column.name,
            condition=self.condition.as_string(None),
            near=_near(self.plan, self.column, low=low, high=high).as_string(None),
            rows=rows,
            # Before the first run nothing tells new rows from others but that there are more of them.
            fresh=fresh if self.ahead is not None else max(0, rows - self.plan.rows),
            ahead=None if self.ahead is None else self.ahead.as_string(None),
            floor=self.floor,
            reached=self.reached,
            position=position,
            mark=marked,
        )


def _above(column: GrowingColumn, cursor: Cursor) -> sql.Composable | None:
    """That a row lies above all that were seen; None where it is not known which were."""
    if cursor.position is None:
        return None
    return sql.SQL("{} > {}").format(sql.Identifier(column.name), _value(column, cursor.position))


def floors_statement(column: GrowingColumn, cursor: Cursor) -> sql.Composed:
    """One row of two texts: the floor of this run, and the greater of it and the cursor's."""
    lowest = sql.SQL("LEAST({})").format(_COMMA.join(_value(column, mark) for mark in cursor.open_marks))
    if column.growth is Growth.TIME:
        back = sql.SQL("{} - {}::pg_catalog.interval").format(lowest, sql.Literal(f"{column.lookback} milliseconds"))
        floor = sql.SQL("({})::pg_catalog.{}").format(back, sql.Identifier(column.type))
    else:
        floor = sql.SQL("({} - {})").format(lowest, sql.Literal(column.lookback))
    reached: sql.Composable = sql.SQL("NULL")
    if cursor.floor is not None:
        reached = sql.SQL("GREATEST({}, {})").format(floor, _value(column, cursor.floor))
    return sql.SQL("SELECT {}::text, {}::text").format(floor, reached)


def floors_of(row: Sequence[Any] | None, cursor: Cursor) -> tuple[str | None, str | None]:
    """The two floors of such a row; where the cursor has none, the second is the first."""
    return (None, None) if row is None else (row[0], row[1] if cursor.floor is not None else row[0])


def _not_in_step(column: GrowingColumn, below: str | None, young: sql.Composable) -> sql.Composable:
    if below is None:
        return young
    return sql.SQL("({} OR {})").format(_from(column, below), young)


def _young(xmin: int, next_xid: int) -> sql.Composable:
    """That a row's transaction has an id of `xmin` or above; all rows where ids that old cannot be compared."""
    if not 0 <= next_xid - xmin < XID_SPAN - XID_MARGIN:
        return _TRUE
    # age() counts back from one and the same id within a transaction, so the two ages compare as the ids do.
    return sql.SQL("pg_catalog.age(xmin) <= pg_catalog.age({}::pg_catalog.xid)").format(sql.Literal(str(xmin % 2**32)))


def _from(column: GrowingColumn, low: str) -> sql.Composable:
    """The rows from a value up. A row without a value may always be new."""
    name = sql.Identifier(column.name)
    condition = sql.SQL("{} >= {}").format(name, _value(column, low))
    return sql.SQL("({} OR {} IS NULL)").format(condition, name) if column.nullable else condition


def _near(plan: TablePlan, column: GrowingColumn, *, low: str | None, high: str | None) -> sql.Composable:
    """That a row may have a key of the window's rows: known by the growing column, where that is part of the key.

    A generated key is made of it too.
    """
    known = hashed_columns(plan) if plan.numbered else plan.key
    if column.name not in known or low is None or high is None:
        return _TRUE
    # Keys may be cut to milliseconds.
    around = "1 millisecond" if column.growth is Growth.TIME and column.type != "date" else ""
    slack = sql.SQL("{}::pg_catalog.interval").format(sql.Literal(around)) if around else sql.SQL("0")
    if column.unit is not None:
        slack = sql.SQL("{}::numeric").format(sql.Literal(f"1e{column.unit - 3}"))
    around_all = sql.SQL("({0} >= {1} - {3} AND {0} <= {2} + {3})").format(
        sql.Identifier(column.name), _value(column, low), _value(column, high), slack
    )
    if plan.numbered and column.nullable:  # no key has a NULL, and a row has
        return sql.SQL("({} OR {} IS NULL)").format(around_all, sql.Identifier(column.name))
    return around_all


def _value(column: GrowingColumn, text: str) -> sql.Composable:
    """A value of the column, in its type; whole numbers in the widest, so that a floor below the type's is one too."""
    return sql.SQL("{}::pg_catalog.{}").format(sql.Literal(text), sql.Identifier(_wide(column)))


def _wide(column: GrowingColumn) -> str:
    return "int8" if column.type in ("int2", "int4") else column.type


def _finite(column: GrowingColumn) -> sql.Composable:
    name = sql.Identifier(column.name)
    if column.growth is Growth.TIME:
        return sql.SQL("pg_catalog.isfinite({})").format(name)
    # NaN and Infinity are greater than every number, and nothing would be new after them.
    if column.type == "float8":
        return sql.SQL("{} < 'Infinity'::float8").format(name)
    return sql.SQL("{} < 1e1000").format(name) if column.type == "numeric" else _TRUE


def _count(moment: sql.Composable, column: GrowingColumn) -> sql.Composable:
    """A time as the number of a column that counts time, not above it."""
    count = sql.SQL("pg_catalog.floor(EXTRACT(epoch FROM {}::pg_catalog.timestamptz)::numeric * {}::numeric)").format(
        moment, sql.Literal(f"1e{column.unit}")
    )
    return sql.SQL("{}::pg_catalog.{}").format(count, sql.Identifier(_wide(column)))
