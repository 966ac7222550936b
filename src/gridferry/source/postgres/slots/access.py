"""Whether changes can be followed at all: server, role, slots and table, looked at before anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from gridferry.model.publishing import ChangeAccess, Obstacle
from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.slots.given_publications import created_names, creating
from gridferry.source.postgres.slots.publications import fetch_publishable
from gridferry.source.postgres.slots.slots import fetch_slot, foreign

Connection = psycopg.Connection[tuple[Any, ...]]
_GIVEN_NAME = "gridferry"  # what messages call a publication that somebody else is to make
_WATERMARK = "or use `sync: {mode: watermark}`, which needs nothing of the kind"

# On Amazon RDS membership of rds_replication stands for the attribute REPLICATION, which nobody can have there.
_SERVER = """
SELECT pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery(), current_user::text,
       pg_catalog.current_database()::text, pg_catalog.has_database_privilege(current_database(), 'CREATE'),
       EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = current_user AND (r.rolsuper OR r.rolreplication))
       OR EXISTS (SELECT FROM pg_catalog.pg_roles r
                  WHERE r.rolname = 'rds_replication' AND pg_catalog.pg_has_role(r.oid, 'MEMBER')),
       pg_catalog.current_setting('max_replication_slots')::int4
         - (SELECT count(*) FROM pg_catalog.pg_replication_slots)::int4,
       pg_catalog.current_setting('max_wal_senders')::int4
         - (SELECT count(*) FROM pg_catalog.pg_stat_replication)::int4
"""

# The last is the same for all databases of a server and differs between servers, even those made from one copy.
_DATABASE = """
SELECT d.oid::int8, d.datname::text, pg_catalog.pg_postmaster_start_time()::text
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""


@dataclass(frozen=True)
class _Server:
    """The server and the role, as `_SERVER` says. `free_slots` and `free_senders` may be below 0."""

    wal_level: str
    standby: bool
    role: str
    database: str
    may_create: bool
    may_replicate: bool
    free_slots: int
    free_senders: int


def other_database(address: PostgresAddress) -> Obstacle | None:
    """What is wrong where the address for changes is not that of the database that is read; None where it is."""
    if address.direct is None:
        return None
    seen = []
    for each in (address, address.direct):
        with connect(each) as connection, mapped(f"asking {each.display} which database it is"):
            seen += connection.execute(_DATABASE).fetchall()
    # A pooler may call the database by another name; its OID is the database's own.
    if seen[0] == seen[1]:
        return None
    return Obstacle(
        f"`replication_dsn` names another database ({address.direct.display}) than `dsn` ({address.display})",
        "let both name one database of one server",
    )


def fetch_access(
    connection: Connection,
    wanted: Sequence[tuple[str, str, str]],
    *,
    given: Sequence[str] = (),
    failover: bool = False,
) -> list[ChangeAccess]:
    """What is in the way of following each of `wanted` (schema, table, the slot that is or would be its own).

    Args: given: the publications that somebody else made; failover: the slot is to survive a failover.

    A slot that is there takes no other place; of those that are not, those that are named first come first.
    """
    with mapped("looking at what the source allows"):
        row = connection.execute(_SERVER).fetchone()
        server = _Server(*row) if row is not None else None
    found = []
    new: dict[str, int] = {}  # the slots that would be made, and which one each is
    for schema, table, slot in wanted:
        publishing, obstacles = fetch_publishable(connection, schema=schema, table=table, given=given)
        facts = fetch_slot(connection, slot)
        taken = new.setdefault(slot, len(new) + 1) if facts is None else 0
        if server is not None:
            obstacles = [
                *_of_server(server, version=connection.info.server_version, given=bool(given), failover=failover),
                *_of_slots(server, taken=taken, reading=facts is not None and facts.active),
                *obstacles,
            ]
            if facts is not None and (whose := foreign(facts, database=server.database)):
                obstacles.append(Obstacle(whose, f"drop it where nobody needs it: pg_drop_replication_slot('{slot}')"))
        found.append(ChangeAccess(publishing, tuple(obstacles)))
    return _with_statement(connection, found)


def _with_statement(connection: Connection, found: list[ChangeAccess]) -> list[ChangeAccess]:
    """The same, with what the owner of the tables may run instead, for all of them at once."""
    every = [access.publishing for access in found if access.publishing is not None]
    if not any(obstacle.of_owner for access in found for obstacle in access.obstacles):
        return found
    names = created_names(_GIVEN_NAME, every)
    written = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
    more = (
        f" Or let the owner of the tables run {creating(connection, _GIVEN_NAME, every)} and write "
        f"`publication: {written}` under `sync`"
    )
    return [
        ChangeAccess(
            access.publishing,
            tuple(replace(o, advice=o.advice + more) if o.of_owner else o for o in access.obstacles),
        )
        for access in found
    ]


def _of_server(server: _Server, *, version: int, given: bool, failover: bool) -> Iterator[Obstacle]:
    role, database = (sql.Identifier(name).as_string(None) for name in (server.role, server.database))
    if server.wal_level != "logical":
        yield Obstacle(
            f"the source has wal_level = {server.wal_level}, and its log does not hold changes that can be followed",
            f"ALTER SYSTEM SET wal_level = logical; and restart PostgreSQL; {_WATERMARK}",
        )
    if failover and version < 170000:
        yield Obstacle(
            f"`failover: true` needs PostgreSQL 17 or newer, and the source is {version // 10000}",
            "leave `failover` out: after a failover, `gridferry sync --new-slot` and `gridferry repair` go on",
        )
    if server.standby:
        yield from _of_standby(version=version, given=given, failover=failover)
    if not server.may_replicate:
        yield Obstacle(f"the role {server.role} may not read changes", f"ALTER ROLE {role} REPLICATION; {_WATERMARK}")
    if not server.may_create and not given and not server.standby:
        yield Obstacle(
            f"the role {server.role} may not make a publication in the database {server.database}",
            f"GRANT CREATE ON DATABASE {database} TO {role};",
            of_owner=True,
        )


def _of_standby(*, version: int, given: bool, failover: bool) -> Iterator[Obstacle]:
    if version < 160000:
        yield Obstacle(
            "the source is a standby, and changes can be read from one since PostgreSQL 16",
            f"give the address of the primary server, {_WATERMARK}",
        )
        return
    if not given:
        yield Obstacle(
            "the source is a standby, where nothing can be published",
            "make a publication on the primary server, and write its name as `publication` under `sync`; or give the "
            "address of the primary server",
        )
    if failover:
        yield Obstacle(
            "the source is a standby, and a slot that is made there is of no other server",
            "leave `failover` out, or give the address of the primary server",
        )


def _of_slots(server: _Server, *, taken: int, reading: bool) -> Iterator[Obstacle]:
    if taken > server.free_slots:
        yield Obstacle(
            f"the source has {max(0, server.free_slots)} free replication slots, and this table needs the {taken}. one",
            "drop a slot that nobody needs (see pg_replication_slots), or raise max_replication_slots and restart "
            "PostgreSQL",
            of_slots=True,
        )
    if server.free_senders < 1 and not reading:
        yield Obstacle(
            "all processes of the source that send changes (max_wal_senders) are in use",
            "try again when one is free, or raise max_wal_senders and restart PostgreSQL",
            passing=True,
        )
