"""The relations that hold a table's rows, and which of those rows came with them: told by the catalog and by ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from gridferry.model.parts import Part
from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.sql.names import condition_sql, relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

# What joins a part to its table are rows of pg_inherits: one of the same parent and child that was made anew has
# another xmin. A partition that is being detached CONCURRENTLY (14 and newer) is one no more: no scan reads it.
_PARTS = """
WITH RECURSIVE members AS (
    SELECT n.number, c.oid, ''::text AS link
    FROM pg_catalog.unnest(%(tables)s::text[]) WITH ORDINALITY AS n(name, number)
    JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(n.name)
  UNION
    SELECT m.number, i.inhrelid, m.link || i.xmin::text || ' '
    FROM members m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid
    WHERE NOT coalesce((pg_catalog.to_jsonb(i) ->> 'inhdetachpending')::bool, false)
)
SELECT m.number, c.oid::int8, pg_catalog.min(n.nspname::text || '.' || c.relname::text), pg_catalog.min(m.link),
       coalesce(pg_catalog.min(nullif(c.relfilenode::int8, 0)), 0)
FROM members m JOIN pg_catalog.pg_class c ON c.oid = m.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind <> 'p' GROUP BY m.number, c.oid ORDER BY m.number, c.oid
"""
_PLACE = """
SELECT n.nspname::text, c.relname::text, c.relhassubclass,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
           AND NOT pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s::oid
"""
_LINK = """
SELECT i.xmin::text, i.cmin::text::int8 FROM pg_catalog.pg_inherits i WHERE i.inhrelid = %(oid)s::oid
ORDER BY pg_catalog.age(i.xmin) LIMIT 1
"""
_AGE = "pg_catalog.age({}::pg_catalog.xid)"


def fetch_parts(connection: Connection, schema: str, table: str) -> tuple[Part, ...]:
    """The relations that hold rows of a table now, by their OIDs; none for a table that is not there."""
    with mapped(f"asking for the parts of {schema}.{table}"):
        return _parts(connection, [(schema, table)])[0]


def fetch_parts_each(connection: Connection, tables: Sequence[tuple[str, str]]) -> list[tuple[Part, ...]]:
    """The same of many tables (schema, name), in their order."""
    with mapped(f"asking for the parts of {len(tables)} tables"):
        return _parts(connection, tables)


def _parts(connection: Connection, tables: Sequence[tuple[str, str]]) -> list[tuple[Part, ...]]:
    found: list[list[Part]] = [[] for _ in tables]
    asked = {"tables": [relation_sql(*table).as_string(None) for table in tables]}
    for number, oid, text, link, file in connection.execute(_PARTS, asked):
        found[number - 1].append(Part(oid, text[:1000], link[:1000], file))
    return [tuple(parts) for parts in found]


def count_beside(connection: Connection, plan: TablePlan, parts: Sequence[Part], *, condition: sql.Composable) -> int:
    """The rows of some parts that do not meet `condition`."""
    return sum(
        _count(connection, plan, part, sql.SQL("({}) IS NOT TRUE").format(condition), whole=True) for part in parts
    )


def count_brought(connection: Connection, plan: TablePlan, part: Part) -> int:
    """The rows that a part had when it was joined to the table: written before that, or by an earlier command of the
    same transaction. A frozen row's id may have wrapped round: then it seems to be of a transaction yet to come.
    """
    links = part.link.split()
    if not links:
        return 0
    # The last link that was made joined it.
    joined = sql.SQL("LEAST({})").format(sql.SQL(", ").join(_age(xid) for xid in links))
    older = sql.SQL("(pg_catalog.age(xmin) > {} OR pg_catalog.age(xmin) < 0)").format(joined)
    with mapped(f"asking how {part.name} was joined"):
        row = connection.execute(_LINK, {"oid": part.oid}).fetchone()
    if row is not None:
        xid, command = row
        older = sql.SQL("({} OR (xmin = {}::pg_catalog.xid AND cmin::text::int8 <= {}))").format(
            older, sql.Literal(xid), sql.Literal(command)
        )
    return _count(connection, plan, part, older, whole=True)


def has_older(connection: Connection, plan: TablePlan, part: Part, *, horizon: int) -> bool:
    """Whether a part has a row of a transaction below `horizon`: one that a new file took along from the old one."""
    older = sql.SQL("(pg_catalog.age(xmin) > {} OR pg_catalog.age(xmin) < 0)").format(_age(str(horizon % 2**32)))
    return _count(connection, plan, part, older, whole=False) > 0


def _age(xid: str) -> sql.Composed:
    return sql.SQL(_AGE).format(sql.Literal(xid))


def _count(connection: Connection, plan: TablePlan, part: Part, condition: sql.Composable, *, whole: bool) -> int:
    """The rows of a part that meet a condition; at most one if not `whole`."""
    with mapped(f"looking at the rows of {part.name}"):
        place = connection.execute(_PLACE, {"oid": part.oid}).fetchone()
        if place is None:
            return 0
        schema, name, has_children, readable = place
        # Only where it has to be: of a chunk of a hypertable it would leave out compressed rows.
        scanned = sql.SQL("ONLY " if has_children else "") + relation_sql(schema, name)
        its: sql.Composable = sql.SQL("TRUE")
        if not readable:  # a privilege on the table reaches its parts only through it
            scanned = relation_sql(plan.schema, plan.table)
            its = sql.SQL("tableoid = {}::pg_catalog.oid").format(sql.Literal(part.oid))
        rows = sql.SQL("SELECT FROM {} WHERE {} AND {} AND {} {}").format(
            scanned, its, condition_sql(plan.where), condition, sql.SQL("" if whole else "LIMIT 1")
        )
        counted = connection.execute(sql.SQL("SELECT pg_catalog.count(*) FROM ({}) AS r").format(rows)).fetchone()
    return int(counted[0]) if counted else 0
