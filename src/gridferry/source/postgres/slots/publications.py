"""Publications that never harm the application: what of each table may be published, and publishing just that.

PostgreSQL refuses UPDATE and DELETE on a table that is published for them and has no replica identity. Such a table
goes into a second publication, for inserts and truncates only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from gridferry.errors import SourceRefused
from gridferry.model.publishing import Obstacle, Published, Publishing
from gridferry.source.postgres.catalog.own_heap import fetch_kept
from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.transactions import Work
from gridferry.source.postgres.slots import publication_sql
from gridferry.source.postgres.slots.given_publications import fetch_given
from gridferry.source.postgres.slots.slot_names import publication_names
from gridferry.source.postgres.sql.names import relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]
TableName = tuple[str, str]  # schema, table


_TOLD = {Published.ALL: (True, True, True, True), Published.INSERTS: (True, False, False, True)}
_KINDS = {Published.ALL: "insert, update, delete, truncate", Published.INSERTS: "insert, truncate"}


@dataclass(frozen=True)
class Publication:
    """A publication that exists. `oid` differs if it was dropped and made again: changes in between are lost.

    `mend`: the statement that makes it publish again what it should, where somebody changed that; or "".
    """

    name: str
    oid: int
    tables: frozenset[TableName]
    mend: str = ""


@dataclass(frozen=True)
class Membership:
    """What one table is published for now (None: for nothing), and what it may be.

    `mend`: the statement that makes the publications right again, where somebody changed them or took the table out;
    or "".
    """

    publishing: Publishing
    published: Published | None
    mend: str = ""

    @property
    def harmful(self) -> bool:
        """True while PostgreSQL refuses the application's UPDATE and DELETE because of the publication."""
        return self.published is Published.ALL and self.publishing.published is Published.INSERTS


@dataclass(frozen=True)
class _Member:
    """The table itself, or a partition or child below it, with the columns of its usable replica identity."""

    oid: int
    schema: str
    name: str
    relkind: str
    persistence: str
    is_partition: bool
    full: bool
    identity: list[str] | None
    owned: bool  # by the role, or by one that it is a member of
    access_method: str  # "" where it has none

    @property
    def quoted(self) -> str:
        return relation_sql(self.schema, self.name).as_string(None)


def fetch_publishable(
    connection: Connection, *, schema: str, table: str, given: Sequence[str] = ()
) -> tuple[Publishing | None, list[Obstacle]]:
    """What may be published of a table, None where nothing may, and what is in the way of publishing it.

    Args: given: publications that somebody else made; then what they publish of it, and what is wrong with that.
    """
    with mapped(f"reading the replica identity of {schema}.{table}"):
        members = _members(connection, schema, table)
        problem = _problem(connection, members, f"{schema}.{table}")
        if problem:
            return None, [Obstacle(problem, "leave it out of the config file, or use `sync: {mode: watermark}`")]
        root = members[0]  # the partitions are published through it
        if given:
            return _given(connection, given, members)
        role = sql.Identifier(connection.execute("SELECT current_user::text").fetchall()[0][0]).as_string(None)
        obstacles = []
        if not root.owned:
            message = f"the role {role} does not own {root.schema}.{root.name}, and only its owner may publish it"
            advice = f"log in as its owner, or run ALTER TABLE {root.quoted} OWNER TO {role};"
            obstacles.append(Obstacle(message, advice, of_owner=True))
        return _publishing(connection, members), obstacles


def _given(
    connection: Connection, given: Sequence[str], members: Sequence[_Member]
) -> tuple[Publishing, list[Obstacle]]:
    possible = _publishing(connection, members)
    found = fetch_given(connection, given, possible, partitioned=members[0].relkind == "p")
    return found.publishing, list(found.obstacles)


def require_given(address: PostgresAddress, tables: Sequence[TableName]) -> list[Publishing]:
    """What publications of somebody else publish of tables. Raises: SourceRefused where that is not what is needed."""
    with connect(address) as connection, mapped("reading the publications"):
        found = [_given(connection, address.publications, m) for m in _all_members(connection, tables)]
    missing = [obstacle for _, obstacles in found for obstacle in obstacles]
    if missing:
        raise SourceRefused(
            "; ".join(each.message for each in missing),
            state="no publication was changed: somebody else made them",
            next_step="; ".join(dict.fromkeys(each.advice for each in missing)),
        )
    return [publishing for publishing, _ in found]


def fetch_publishing(connection: Connection, tables: Sequence[TableName]) -> list[Publishing]:
    """What may be published of each table, in order. Raises: SourceRefused, naming all that cannot be at all."""
    with mapped("reading the tables' replica identities"):
        return [_publishing(connection, members) for members in _all_members(connection, tables)]


def align_publications(address: PostgresAddress, *, slot: str, tables: Sequence[TableName]) -> list[Publishing]:
    """Make the two publications of `slot`, or change them, so that they hold just `tables`; all in one transaction.

    To be called before the slot is made, and again whenever tables were added or a replica identity was changed.
    Returns what is now published of each. Raises: SourceRefused if a table cannot be, or the role may not.
    """
    if address.publications:
        return require_given(address, tables)
    with connect(address, Work.WRITE) as connection, mapped("making the publications"):
        groups = _all_members(connection, tables)
        found = [_publishing(connection, members) for members in groups]
        existing = {p.name: p for p in fetch_publications(connection, slot)}
        for name, kind in zip(publication_names(slot), Published, strict=True):
            chosen = [m for m, p in zip(groups, found, strict=True) if p.published is kind]
            _align(connection, name, chosen, kind=kind, existing=existing.get(name))
    return found


def change_members(
    address: PostgresAddress, *, slot: str, add: Sequence[TableName] = (), leave: Sequence[TableName] = ()
) -> list[Publishing]:
    """Let the publications of `slot` hold the tables that they hold now and `add`, without those of `leave`.

    Each is published for what its replica identity allows now. Returns what is published of each of `add`.
    Raises: SourceRefused if one of them cannot be, or the role may not; nothing is changed then.
    """
    if address.publications:
        return require_given(address, add)
    with connect(address, Work.WRITE) as connection, mapped("changing the publications"):
        # One change at a time: each sets all members from what it found.
        connection.execute("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext(%s))", (slot,))
        existing = {p.name: p for p in fetch_publications(connection, slot)}
        if not add and len(existing) < len(publication_names(slot)):
            return []
        before = {table for publication in existing.values() for table in publication.tables}
        added = _all_members(connection, add)
        others = [_members(connection, *table) for table in sorted(before - {*add, *leave})]
        groups = [*added, *(members for members in others if members)]
        found = [_publishing(connection, members) for members in groups]
        for name, kind in zip(publication_names(slot), Published, strict=True):
            chosen = [m for m, p in zip(groups, found, strict=True) if p.published is kind]
            _align(connection, name, chosen, kind=kind, existing=existing.get(name))
    return found[: len(added)]


def fetch_publications(connection: Connection, slot: str) -> list[Publication]:
    """Those of the slot's two publications that exist."""
    version = connection.info.server_version
    statement = publication_sql.PUBLICATIONS.format(
        through_root="p.pubviaroot" if version >= 130000 else "true",
        cut=publication_sql.CUT if version >= 150000 else "false",
    )
    kinds = dict(zip(publication_names(slot), Published, strict=True))
    with mapped("reading the publications"):
        rows = connection.execute(statement, {"names": list(kinds)}).fetchall()
    found = []
    for name, oid, tables, told, through_root, cut in rows:
        mend = ""
        if tuple(told) != _TOLD[kinds[name]] or not through_root:
            options = _options(kinds[name], version)
            mend = sql.SQL("ALTER PUBLICATION {} SET ({});").format(sql.Identifier(name), options).as_string(None)
        elif cut:
            members = sql.SQL(", ").join(relation_sql(*table) for table in tables)
            mend = sql.SQL("ALTER PUBLICATION {} SET TABLE {};").format(sql.Identifier(name), members).as_string(None)
        found.append(Publication(name, oid, frozenset((s, t) for s, t in tables), mend))
    return found


def fetch_membership(
    connection: Connection,
    slot: str,
    *,
    schema: str,
    table: str,
    given: Sequence[str] = (),
    known: Sequence[Publication] | None = None,
) -> Membership | None:
    """What a table is published for, and what it may be; None if a publication is missing.

    Args: given: the publications that somebody else made; known: the slot's own, where they were just looked at.

    Raises: SourceRefused if nothing of it may be published.
    """
    if given:
        (members,) = _all_members(connection, [(schema, table)])
        possible = _publishing(connection, members)
        theirs = fetch_given(connection, given, possible, partitioned=members[0].relkind == "p")
        if theirs.absent:
            return None
        return Membership(theirs.publishing, theirs.published, "; ".join(o.advice for o in theirs.obstacles))
    own = fetch_publications(connection, slot) if known is None else known
    by_name = {publication.name: publication for publication in own}
    names = publication_names(slot)
    if len(by_name) < len(names):
        return None
    (publishing,) = fetch_publishing(connection, [(schema, table)])
    for name, kind in zip(names, Published, strict=True):
        if (schema, table) in by_name[name].tables:
            return Membership(publishing, kind, by_name[name].mend)
    name = names[list(Published).index(publishing.published)]
    statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {};")
    return Membership(
        publishing, None, statement.format(sql.Identifier(name), relation_sql(schema, table)).as_string(None)
    )


def drop_publications(address: PostgresAddress, *, slot: str) -> list[str]:
    """Drop the slot's publications. Returns the names of those that existed."""
    if address.publications:
        return []
    with connect(address, Work.WRITE) as connection, mapped("dropping the publications"):
        names = [p.name for p in fetch_publications(connection, slot)]
        for name in names:
            connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(name)))
    return names


def _members(connection: Connection, schema: str, table: str) -> list[_Member]:
    """The table and all below it, the table first; [] if there is none."""
    return [_Member(*row) for row in connection.execute(publication_sql.MEMBERS, {"schema": schema, "table": table})]


def _all_members(connection: Connection, tables: Sequence[TableName]) -> list[list[_Member]]:
    groups = []
    problems = []
    for schema, table in tables:
        members = _members(connection, schema, table)
        problem = _problem(connection, members, f"{schema}.{table}")
        if problem:
            problems.append(problem)
        groups.append(members)
    if problems:
        raise SourceRefused(
            "; ".join(problems),
            state="no publication was made or changed",
            next_step="leave them out of the config file, or sync them in watermark mode",
        )
    return groups


def _problem(connection: Connection, members: Sequence[_Member], name: str) -> str:
    """Why changes of a table cannot be followed at all, or ""."""
    if not members:
        return f"there is no table {name}"
    root = members[0]
    if root.relkind not in "rp":
        return f"changes of {name} cannot be followed: it is not a table"
    if kept := fetch_kept(connection, [root.oid]).get(root.oid):
        # The log tells of chunks under names that come and go, and of compressed rows in a form of TimescaleDB's own.
        return f"changes of {name} cannot be followed: {kept}, and the log does not have its rows as they are"
    if root.relkind == "p" and connection.info.server_version < 130000:
        return f"changes of {name} cannot be followed: partitioned tables are published since PostgreSQL 13"
    if any(m.persistence != "p" for m in members):
        return f"changes of {name} cannot be followed: it is unlogged or temporary, or a part of it is"
    if any(m.relkind == "f" for m in members):
        return f"changes of {name} cannot be followed: a part of it is a foreign table"
    if odd := [m for m in members if m.relkind == "r" and m.access_method not in ("heap", "")]:
        what = f"{odd[0].schema}.{odd[0].name} has the table access method {odd[0].access_method}"
        return f"changes of {name} cannot be followed: {what}, which need not write them to the log"
    children = [f"{m.schema}.{m.name}" for m in members[1:] if not m.is_partition]
    if children:
        # The log tells of them under their own names, and a child that is added later is in no publication.
        return f"changes of {name} cannot be followed: {children[0]} inherits from it, and would not be seen"
    return ""


def _publishing(connection: Connection, members: Sequence[_Member]) -> Publishing:
    root = members[0]
    # Since 18 a publication may hold stored generated columns; those computed on reading are never in the log.
    kinds = ["v"] if connection.info.server_version >= 180000 else ["s", "v"]
    unpublished = tuple(n for (n,) in connection.execute(publication_sql.GENERATED, {"oid": root.oid, "kinds": kinds}))
    reason, advice = _shortfall(members)
    if reason:
        if root.relkind == "r" and (found := connection.execute(publication_sql.SERVES, {"oid": root.oid}).fetchone()):
            index = sql.Identifier(found[0]).as_string(None)
            advice = (
                f"ALTER TABLE {root.quoted} REPLICA IDENTITY USING INDEX {index}; or, at the price of more log, "
                f"ALTER TABLE {root.quoted} REPLICA IDENTITY FULL;"
            )
        return Publishing(root.schema, root.name, Published.INSERTS, (), reason, advice, unpublished)
    identity = tuple(root.identity or ())
    if root.full:
        every = [n for (n,) in connection.execute(publication_sql.COLUMNS, {"oid": root.oid})]
        identity = tuple(n for n in every if n not in unpublished)
    return Publishing(root.schema, root.name, Published.ALL, identity, unpublished=unpublished)


def _shortfall(members: Sequence[_Member]) -> tuple[str, str]:
    """Why updates and deletes of a table must not be published, and the statement that would allow it; or two ""."""
    root = members[0]
    if root.relkind == "p":
        # A partition added later has the default identity, whatever its siblings have: the key must be the table's.
        if root.identity is None or root.full:
            return f"{root.schema}.{root.name} is partitioned and has no primary key that serves as replica identity", (
                f"ALTER TABLE {root.quoted} ADD PRIMARY KEY (...);"
            )
        for leaf in members[1:]:
            if not leaf.full and set(leaf.identity or ()) != set(root.identity):
                return f"the partition {leaf.schema}.{leaf.name} has another replica identity than its table", (
                    f"ALTER TABLE {leaf.quoted} REPLICA IDENTITY DEFAULT;"
                )
        return "", ""
    if not root.full and root.identity is None:
        return f"{root.schema}.{root.name} has no replica identity", (
            f"ALTER TABLE {root.quoted} ADD PRIMARY KEY (...); or, at the price of more log,"
            f" ALTER TABLE {root.quoted} REPLICA IDENTITY FULL;"
        )
    return "", ""


def _align(
    connection: Connection,
    name: str,
    chosen: Sequence[Sequence[_Member]],
    *,
    kind: Published,
    existing: Publication | None,
) -> None:
    """Make one publication hold just these tables."""
    roots = [relation_sql(m[0].schema, m[0].name) for m in chosen]
    members = frozenset((group[0].schema, group[0].name) for group in chosen)
    publication = sql.Identifier(name)
    if existing is None:
        tables = sql.SQL(" FOR TABLE {}").format(sql.SQL(", ").join(roots)) if roots else sql.SQL("")
        options = _options(kind, connection.info.server_version)
        connection.execute(sql.SQL("CREATE PUBLICATION {}{} WITH ({})").format(publication, tables, options))
        return
    if existing.tables == members:
        return
    if roots:
        names = sql.SQL(", ").join(roots)
        connection.execute(sql.SQL("ALTER PUBLICATION {} SET TABLE {}").format(publication, names))
        return
    for schema, table in sorted(existing.tables):
        statement = sql.SQL("ALTER PUBLICATION {} DROP TABLE ONLY {}")
        connection.execute(statement.format(publication, relation_sql(schema, table)))


def _options(kind: Published, server_version: int) -> sql.Composed:
    options = [sql.SQL("publish = {}").format(sql.Literal(_KINDS[kind]))]
    if server_version >= 130000:
        options.append(sql.SQL("publish_via_partition_root = true").format())
    if server_version >= 180000:
        options.append(sql.SQL("publish_generated_columns = stored").format())
    return sql.SQL(", ").join(options)
