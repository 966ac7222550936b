"""A look for a key: PostgreSQL's statistics first, then a sample, then one counted scan of what may be unique.

It costs little whatever the table's size: the sample is small, tables above a number of rows are not counted, and a
count that takes long is given up. What was not proven is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from gridferry.errors import SourceError
from gridferry.model.key_advice import ColumnValues, KeyAdvice
from gridferry.model.table import Column, Table, TypeKind
from gridferry.plan.key_advice import candidate_keys, eligible_columns
from gridferry.plan.keys import MAX_KEY_COLUMNS
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.snapshot import apart
from gridferry.source.postgres.sql.names import condition_sql, relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

SAMPLE_ROWS = 20_000
COUNTED_ROWS = 5_000_000
SECONDS = 10
_COUNTED_SETS = 3
_COMPARED_AS_TEXT = frozenset({"text", "varchar", "bpchar", "name"})
_COMMA, _AND = sql.SQL(", "), sql.SQL(" AND ")

# Of the whole tree where there is one: n_distinct below 0 is a share of the rows.
_STATISTICS = """
SELECT DISTINCT ON (attname) attname::text, n_distinct::float8, null_frac::float8 FROM pg_catalog.pg_stats
WHERE schemaname = %(schema)s AND tablename = %(table)s ORDER BY attname, inherited DESC
"""


@dataclass(frozen=True)
class _Looked:
    """What of a table is looked at: some of its rows, in the order of `columns`, or `whole`."""

    rows: sql.Composable
    columns: tuple[Column, ...]

    def count(self, connection: Connection, counts: Sequence[sql.Composable]) -> tuple[int, ...]:
        """The number of rows, and some counts over them."""
        statement = sql.SQL("WITH s AS MATERIALIZED ({}) SELECT count(*), {} FROM s").format(
            self.rows, _COMMA.join(counts)
        )
        return tuple(connection.execute(statement).fetchone() or ())

    def distinct(self, names: Sequence[str]) -> sql.Composable:
        """How many different values some columns have together."""
        return sql.SQL("count(DISTINCT ({}))").format(_COMMA.join(self.of(name) for name in names))

    def of(self, name: str) -> sql.Identifier:
        """What a column is called there."""
        return sql.Identifier(f"c{[c.name for c in self.columns].index(name)}")


def fetch_key_advice(connection: Connection, table: Table, options: TableOptions) -> KeyAdvice:
    """The smallest set of columns that no two rows share, under the snapshot of the connection's transaction.

    Raises: SourceUnreachable. A look that fails, or takes too long, proves nothing.
    """
    columns = eligible_columns(table, options)
    if not columns:
        return KeyAdvice()
    try:
        with mapped(f"looking for a key of {table.qualified}"), apart(connection):
            _limit(connection, SECONDS)
            advice, open_sets = _sampled(connection, table, options, columns)
            _limit(connection, 0)
    except SourceError as error:
        if error.concerns_all:
            raise
        return KeyAdvice()
    if not open_sets or table.row_estimate > COUNTED_ROWS:
        return advice
    for names in open_sets[:_COUNTED_SETS]:
        try:
            with mapped(f"looking for a key of {table.qualified}"), apart(connection):
                _limit(connection, SECONDS)
                rows, unique = _counted(connection, table, options, [c for n in names for c in columns if c.name == n])
                _limit(connection, 0)
        except SourceError as error:
            if error.concerns_all:
                raise
            return advice
        if unique:
            return KeyAdvice(names, rows, proven=True)
        advice = KeyAdvice(rows=rows)
    return advice


def _limit(connection: Connection, seconds: int) -> None:
    connection.execute("SELECT pg_catalog.set_config('statement_timeout', %s, true)", [f"{seconds}s"])


def _sampled(
    connection: Connection, table: Table, options: TableOptions, columns: tuple[Column, ...]
) -> tuple[KeyAdvice, list[tuple[str, ...]]]:
    """What a sample shows, and the sets of columns that it leaves open; none where the sample is the whole table."""
    looked = _Looked(_sample(table, options, columns, paged=_is_paged(table)), columns)
    values = _statistics(connection, table, columns)
    nulls = [sql.SQL("count(*) - count({})").format(looked.of(c.name)) for c in columns]
    distinct = [looked.distinct([c.name]) for c in columns]
    rows, *counts = looked.count(connection, [*nulls, *distinct])
    if not rows and _is_paged(table):  # pages without rows, or a `where` that leaves few
        looked = _Looked(_sample(table, options, columns, paged=False), columns)
        rows, *counts = looked.count(connection, [*nulls, *distinct])
    whole = rows < SAMPLE_ROWS and not _is_paged(table)
    for column, null, different in zip(columns, counts[: len(columns)], counts[len(columns) :], strict=True):
        known = values.get(column.name, ColumnValues())
        found = different if whole else known.distinct
        values[column.name] = ColumnValues(found, known.nulls or null > 0)
    estimate = rows if whole else max(rows, table.row_estimate)
    sets = candidate_keys(table, columns, values, rows=estimate, split_by=options.split_by)
    if not rows or not sets:
        return KeyAdvice(rows=rows, proven=whole), []
    _, *together = looked.count(connection, [looked.distinct(names) for names in sets])
    unique = [names for names, different in zip(sets, together, strict=True) if different == rows]
    if not unique:
        return KeyAdvice(rows=rows, proven=whole, repeated=rows - together[-1]), []
    if unique == [sets[-1]]:  # of all columns only, or of more than were tried
        keep = 0 if options.split_by is None else 1
        unique = [_smaller(connection, looked, sets[-1], rows, keep=keep)]
        if len(unique[0]) - keep > MAX_KEY_COLUMNS:
            return KeyAdvice(rows=rows, proven=whole), []
    return KeyAdvice(unique[0], rows, proven=whole), [] if whole else unique


def _smaller(
    connection: Connection, looked: _Looked, names: tuple[str, ...], rows: int, *, keep: int
) -> tuple[str, ...]:
    """The columns without those that are not needed to tell the rows apart, the least likely first."""
    for name in reversed(names[keep:]):
        fewer = tuple(n for n in names if n != name)
        if len(fewer) > keep and looked.count(connection, [looked.distinct(fewer)]) == (rows, rows):
            names = fewer
    return names


def _statistics(connection: Connection, table: Table, columns: Sequence[Column]) -> dict[str, ColumnValues]:
    wanted = {column.name: column for column in columns}
    found: dict[str, ColumnValues] = {}
    asked = {"schema": table.schema, "table": table.name}
    for name, distinct, null_share in connection.execute(_STATISTICS, asked):
        if name in wanted:
            count = -distinct * max(table.row_estimate, 1) if distinct < 0 else distinct
            found[name] = ColumnValues(round(count) if distinct else None, null_share > 0)
    return found


def _is_paged(table: Table) -> bool:
    """Whether a sample takes some pages of the table only."""
    return table.own_heap and table.row_estimate > SAMPLE_ROWS


def _sample(table: Table, options: TableOptions, columns: Sequence[Column], *, paged: bool) -> sql.Composable:
    source: sql.Composable = relation_sql(table.schema, table.name)
    if paged:
        percent = sql.Literal(min(100.0, 200.0 * SAMPLE_ROWS / table.row_estimate))
        source = sql.SQL("{} TABLESAMPLE SYSTEM ({}) REPEATABLE (1)").format(source, percent)
    names = [sql.SQL("{} AS {}").format(_compared(c), sql.Identifier(f"c{i}")) for i, c in enumerate(columns)]
    return sql.SQL("SELECT {} FROM {} WHERE {} LIMIT {}").format(
        _COMMA.join(names), source, condition_sql(options.where), sql.Literal(SAMPLE_ROWS)
    )


def _counted(
    connection: Connection, table: Table, options: TableOptions, columns: Sequence[Column]
) -> tuple[int, bool]:
    """All rows, and whether no two of them share the columns and none has NULL there."""
    own = [c for c in columns if c.name != options.split_by]
    statement = sql.SQL(
        "SELECT coalesce(sum(n), 0)::int8, coalesce(max(n), 0) <= 1 AND NOT coalesce(bool_or(nothing), FALSE) FROM"
        " (SELECT count(*) AS n, {} AS nothing FROM {} WHERE {} GROUP BY {}) AS g"
    ).format(
        sql.SQL("bool_or({})").format(
            sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(sql.Identifier(c.name)) for c in own)
        ),
        relation_sql(table.schema, table.name),
        condition_sql(options.where),
        _COMMA.join(_compared(c) for c in columns),
    )
    rows, unique = connection.execute(statement).fetchone() or (0, False)
    return int(rows), bool(unique)


def _compared(column: Column) -> sql.Composable:
    """A column as the target compares it: text by its bytes."""
    name = sql.Identifier(column.name)
    if column.type.kind is TypeKind.ENUM or column.type.name in _COMPARED_AS_TEXT:
        return sql.SQL('({}::text COLLATE "C")').format(name)
    return name
