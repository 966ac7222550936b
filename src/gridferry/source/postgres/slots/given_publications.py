"""Publications that somebody else made: they are read, held against what has to be followed, and never changed.

Where the role owns nothing, the database's administrator publishes the tables. What is missing is said with the
statement that gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from gridferry.model.publishing import Obstacle, Published, Publishing
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.sql.names import relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

_ALL, _INSERTS = "insert, update, delete, truncate", "insert, truncate"
# The view knows tables that are published one by one, by their schema, and all; partitioned ones where the changes of
# their partitions come under their name. Since 15 it says which columns and rows.
_MEMBERS = """
SELECT p.pubname::text, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate,
       EXISTS (SELECT FROM pg_catalog.pg_publication_tables t WHERE t.pubname = p.pubname
               AND t.schemaname = %(schema)s AND t.tablename = %(table)s),
       {columns}, {filtered}
FROM pg_catalog.pg_publication p WHERE p.pubname = ANY(%(names)s) ORDER BY p.pubname COLLATE "C"
"""
_COLUMNS = """(SELECT t.attnames::text[] FROM pg_catalog.pg_publication_tables t WHERE t.pubname = p.pubname
        AND t.schemaname = %(schema)s AND t.tablename = %(table)s)"""
_FILTERED = """coalesce((SELECT t.rowfilter IS NOT NULL FROM pg_catalog.pg_publication_tables t
        WHERE t.pubname = p.pubname AND t.schemaname = %(schema)s AND t.tablename = %(table)s), false)"""
_EVERY = """
SELECT a.attname::text FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
"""


@dataclass(frozen=True)
class GivenMembership:
    """What publications of somebody else publish of one table. `obstacles` are what is missing of it, or too much.

    `harmful`: they make PostgreSQL refuse the application's own UPDATE and DELETE.
    """

    publishing: Publishing
    published: Published | None
    obstacles: tuple[Obstacle, ...] = ()
    harmful: bool = False
    absent: bool = False  # one of them is not there


def fetch_given(
    connection: Connection, names: Sequence[str], possible: Publishing, *, partitioned: bool
) -> GivenMembership:
    """What the publications `names` publish of a table of which `possible` may be published. Raises: SourceRefused."""
    asked = {"names": list(names), "schema": possible.schema, "table": possible.table}
    says_more = connection.info.server_version >= 150000
    statement = _MEMBERS.format(
        columns=_COLUMNS if says_more else "NULL::text[]", filtered=_FILTERED if says_more else "false"
    )
    with mapped("reading the publications"):
        found = connection.execute(statement, asked).fetchall()
        every = [name for (name,) in connection.execute(_EVERY, asked)]
    missing = sorted(set(names) - {row[0] for row in found})
    if missing:
        return GivenMembership(possible, None, (_not_there(connection, missing[0], [possible]),), absent=True)
    holding = [row for row in found if row[5]]
    if not holding:
        return GivenMembership(possible, None, (_not_in(names[0], possible, partitioned=partitioned),))
    inserts, updates, deletes, truncates = (any(row[i] for row in holding) for i in range(1, 5))
    name = holding[0][0]
    obstacles = []
    # Whatever is not published is lost without a word, and so would be what came before it was.
    if not (inserts and truncates) or (possible.published is Published.ALL and not (updates and deletes)):
        obstacles.append(_too_few(name, possible))
    harmful = (updates or deletes) and possible.published is Published.INSERTS
    if harmful:
        obstacles.append(
            Obstacle(
                f"the publication {name} publishes updates and deletes of {possible.schema}.{possible.table}, which "
                "has no replica identity: PostgreSQL refuses the application's UPDATE and DELETE on it",
                f"at once: {possible.advice}",
            )
        )
    for row in holding:
        if row[7]:
            obstacles.append(
                Obstacle(
                    f"the publication {row[0]} publishes only some rows of {possible.schema}.{possible.table}",
                    f"publish the table without its WHERE: {_set_table(row[0], possible)}",
                )
            )
    publishing = possible
    listed = holding[0][6]
    if listed is not None:
        publishing = replace(publishing, unpublished=tuple(n for n in every if n not in listed), publication=name)
    published = Published.ALL if updates and deletes else Published.INSERTS
    return GivenMembership(publishing, published, tuple(obstacles), harmful=harmful)


def creating(connection: Connection, name: str, tables: Sequence[Publishing]) -> str:
    """The statements by which the owner of tables publishes just what may be published of each."""
    full = [t for t in tables if t.published is Published.ALL]
    few = [t for t in tables if t.published is Published.INSERTS]
    version = connection.info.server_version
    statements = []
    for publication, members, kinds in ((name, full, _ALL), (f"{name}_inserts", few, _INSERTS)):
        if members:
            options = [sql.SQL("publish = {}").format(sql.Literal(kinds))]
            if version >= 130000:
                options.append(sql.SQL("publish_via_partition_root = true").format())
            if version >= 180000:
                options.append(sql.SQL("publish_generated_columns = stored").format())
            listed = sql.SQL(", ").join(relation_sql(t.schema, t.table) for t in members)
            statement = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH ({});")
            made = statement.format(sql.Identifier(publication), listed, sql.SQL(", ").join(options))
            statements.append(made.as_string(connection))
    return " ".join(statements)


def created_names(name: str, tables: Sequence[Publishing]) -> tuple[str, ...]:
    """The names of the publications that `creating` makes."""
    kinds = {table.published for table in tables}
    return tuple(n for n, kind in ((name, Published.ALL), (f"{name}_inserts", Published.INSERTS)) if kind in kinds)


def _not_there(connection: Connection, name: str, tables: Sequence[Publishing]) -> Obstacle:
    return Obstacle(
        f"there is no publication {name} in the source",
        f"let the owner of the tables run {creating(connection, name, tables)} (all tables in one), or take "
        "`publication` out of `sync` where the role may make its own",
    )


def _not_in(name: str, table: Publishing, *, partitioned: bool) -> Obstacle:
    publication = sql.Identifier(name).as_string(None)
    also = f"; and ALTER PUBLICATION {publication} SET (publish_via_partition_root = true);" if partitioned else ""
    if table.published is Published.INSERTS:
        # Never into one of updates and deletes: the application's own would be refused.
        return Obstacle(
            f"the publication {name} does not publish {table.schema}.{table.table}, which has no replica identity",
            f"first {table.advice} Then ALTER PUBLICATION {publication} ADD TABLE {table.quoted};{also}",
        )
    return Obstacle(
        f"the publication {name} does not publish {table.schema}.{table.table}",
        f"let its owner run ALTER PUBLICATION {publication} ADD TABLE {table.quoted};{also}",
    )


def _too_few(name: str, table: Publishing) -> Obstacle:
    kinds = _ALL if table.published is Published.ALL else _INSERTS
    return Obstacle(
        f"the publication {name} does not publish all kinds of changes of {table.schema}.{table.table}",
        f"let its owner run ALTER PUBLICATION {sql.Identifier(name).as_string(None)} SET (publish = '{kinds}');",
    )


def _set_table(name: str, table: Publishing) -> str:
    publication = sql.Identifier(name).as_string(None)
    return " ".join(f"ALTER PUBLICATION {publication} {verb} TABLE {table.quoted};" for verb in ("DROP", "ADD"))
