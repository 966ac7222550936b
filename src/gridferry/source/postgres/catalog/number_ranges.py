"""The range of numbers that may count time, from some rows of a table: enough for a suggestion, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from gridferry.errors import SourceError
from gridferry.model.profile import ColumnProfile
from gridferry.model.table import Column, Table
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.snapshot import apart
from gridferry.source.postgres.sql.names import relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

ROWS = 1_000
_SECONDS = 2
_FINITE = sql.SQL("{0} NOT IN ('NaN', 'Infinity', '-Infinity')")


def fetch_number_ranges(connection: Connection, table: Table, columns: Sequence[Column]) -> dict[str, ColumnProfile]:
    """Facts about whole numbers and doubles, by column, from the rows that PostgreSQL finds first.

    `fine` counts doubles with digits below the microsecond, were they seconds. A look that fails, or takes long, finds
    nothing. Raises: SourceUnreachable.
    """
    looks = [_look(column) for column in columns]
    if not looks:
        return {}
    rows = sql.SQL("SELECT {} FROM {} LIMIT {}").format(
        sql.SQL(", ").join(sql.Identifier(c.name) for c in columns),
        relation_sql(table.schema, table.name),
        sql.Literal(ROWS),
    )
    statement = sql.SQL("SELECT {} FROM ({}) AS s").format(sql.SQL(", ").join(looks), rows)
    try:
        with mapped(f"looking at the numbers of {table.qualified}"), apart(connection):
            connection.execute("SELECT pg_catalog.set_config('statement_timeout', %s, true)", [f"{_SECONDS}s"])
            found = connection.execute(statement).fetchone() or ()
            connection.execute("SELECT pg_catalog.set_config('statement_timeout', '0', true)")
    except SourceError as error:
        if error.concerns_all:
            raise
        return {}
    each = [found[at : at + 4] for at in range(0, len(found), 4)]
    return {
        column.name: ColumnProfile(column.name, 0, minimum=low, maximum=high, nan=odd, infinite=0, fine=fine)
        for column, (low, high, odd, fine) in zip(columns, each, strict=True)
    }


def _look(column: Column) -> sql.Composed:
    name = sql.Identifier(column.name)
    if column.type.name not in ("float4", "float8"):
        return sql.SQL("min({0}), max({0}), 0, 0").format(name)
    return sql.SQL(
        "min({0}) FILTER (WHERE {1}), max({0}) FILTER (WHERE {1}), count(*) FILTER (WHERE NOT {1}),"
        " count(*) FILTER (WHERE {1} AND pg_catalog.round({0}::numeric, 6)::float8 <> {0})"
    ).format(name, _FINITE.format(name))
