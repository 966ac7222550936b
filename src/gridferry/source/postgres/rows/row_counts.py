"""How many rows a table has, as a plain scan of it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.sql.names import condition_sql, relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]


def count_all(connection: Connection, plan: TablePlan) -> int:
    """Rows that meet the plan's condition: a plain `count(*)` of the table with all that is below it.

    What was read is held against this number, so it must not come from what reads: no page, no key, no part.
    """
    statement = sql.SQL("SELECT pg_catalog.count(*) FROM {} WHERE {}").format(
        relation_sql(plan.schema, plan.table), condition_sql(plan.where)
    )
    with mapped(f"counting the rows of {plan.qualified}"):
        row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def count_each(connection: Connection, plans: Sequence[TablePlan]) -> list[int]:
    """`count_all` of many tables, by one statement."""
    if not plans:
        return []
    counts = [
        sql.SQL("SELECT {}, pg_catalog.count(*) FROM {} WHERE {}").format(
            sql.Literal(number), relation_sql(plan.schema, plan.table), condition_sql(plan.where)
        )
        for number, plan in enumerate(plans)
    ]
    with mapped(f"counting the rows of {len(plans)} tables"):
        found: dict[int, int] = dict(connection.execute(sql.SQL(" UNION ALL ").join(counts)).fetchall())
    return [int(found[number]) for number in range(len(plans))]


def count_rows(connection: Connection, plan: TablePlan) -> dict[str | None, int]:
    """Rows that meet the plan's condition, by split value as text; all under None where there is no split."""
    value = sql.SQL("NULL") if plan.split_by is None else sql.Identifier(plan.split_by)
    statement = sql.SQL(
        'SELECT value, count(*) FROM (SELECT {}::text COLLATE "C" AS value FROM {} WHERE {}) AS v GROUP BY value'
    ).format(value, relation_sql(plan.schema, plan.table), condition_sql(plan.where))
    with mapped(f"counting the rows of {plan.qualified}"):
        counts: dict[str | None, int] = dict(connection.execute(statement).fetchall())
    if plan.split_by is None:
        counts.setdefault(None, 0)
    return counts
