"""Rows over time, counted by PostgreSQL: one scan for all groups, whatever their number.

Each in a transaction of its own within the open one: what fails for one table leaves the snapshot to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from gridferry.model.over_time import Buckets, GroupBounds
from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.sql.names import condition_sql, relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

_BOUNDS = sql.SQL("""
SELECT value, count(*), min(v) FILTER (WHERE finite), max(v) FILTER (WHERE finite)
FROM (SELECT value, v, v > '-infinity' AND v < 'infinity' AS finite
      FROM (SELECT {value} AS value, {number} AS v FROM {table} WHERE {condition}) AS r) AS r
GROUP BY value
""")

_COUNTS = sql.SQL("""
SELECT pg_catalog.array_position({values}::text[], value), pg_catalog.floor((v - {start}) / {width})::int, count(*)
FROM (SELECT {value} AS value, {number} AS v FROM {table} WHERE {condition}) AS r
WHERE v >= {start} AND v < {end}
GROUP BY 1, 2
""")


def fetch_bounds(
    connection: Connection, plan: TablePlan, column: str | None, *, time: bool
) -> dict[str | None, GroupBounds]:
    """What each split value has, all under None where there is no split.

    Args: column: whose bounds are asked for, a time if `time`, else a number; None for counts alone.
    Raises: SourceError.
    """
    statement = _BOUNDS.format(**_parts(plan, column, time=time))
    with mapped(f"counting the rows of {plan.qualified}"), connection.transaction():
        rows = connection.execute(statement).fetchall()
    found = {value: GroupBounds(count, low, high) for value, count, low, high in rows}
    if plan.split_by is None:
        found.setdefault(None, GroupBounds(0))
    return found


def fetch_counts(
    connection: Connection, plan: TablePlan, column: str, *, buckets: Buckets, values: Sequence[str | None]
) -> tuple[list[list[int]], list[int]]:
    """Rows by bucket of the time `column`: of each of `values`, and of all others together. Raises: SourceError."""
    statement = _COUNTS.format(
        **_parts(plan, column, time=True),
        values=sql.Literal(list(values)),
        start=sql.Literal(buckets.start_s),
        end=sql.Literal(buckets.end_s),
        width=sql.Literal(buckets.width_s),
    )
    chosen = [[0] * buckets.count for _ in values]
    others = [0] * buckets.count
    with mapped(f"counting the rows of {plan.qualified} over time"), connection.transaction():
        for place, bucket, count in connection.execute(statement).fetchall():
            (others if place is None else chosen[place - 1])[bucket] = count
    return chosen, others


def _parts(plan: TablePlan, column: str | None, *, time: bool) -> dict[str, sql.Composable]:
    number: sql.Composable = sql.SQL("NULL::float8")
    if column is not None:
        # A timestamp without a zone counts as UTC, as it does in a container.
        form = sql.SQL("extract(epoch FROM {})::float8") if time else sql.SQL("{}::float8")
        number = form.format(sql.Identifier(column))
    value: sql.Composable = sql.SQL("NULL::text")
    if plan.split_by is not None:
        value = sql.SQL('{}::text COLLATE "C"').format(sql.Identifier(plan.split_by))
    return {
        "value": value,
        "number": number,
        "table": relation_sql(plan.schema, plan.table),
        "condition": condition_sql(plan.where),
    }
