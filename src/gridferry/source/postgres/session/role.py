"""What the role that logs in may do beyond what it needs, and the limits that the DBA set for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from gridferry.model.source_role import SourceRole
from gridferry.model.source_room import Share, SourceRoom
from gridferry.source.postgres.session.connection import PostgresAddress, connect, is_pooled
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.table_origin import may_ask_for_system
from gridferry.source.postgres.session.transactions import LIMITS, LOCK_WAIT_S

Connection = psycopg.Connection[tuple[Any, ...]]

_ROLE = """
SELECT current_user::text, pg_catalog.current_database()::text, pg_catalog.pg_backend_pid(),
       r.rolsuper, r.rolbypassrls, r.rolcreatedb, r.rolcreaterole, r.rolreplication
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""
_ATTRIBUTES = ("SUPERUSER", "BYPASSRLS", "CREATEDB", "CREATEROLE", "REPLICATION")
_OWNED = """
SELECT n.nspname::text, c.relname::text
FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(tables)s::text[])) AS w(nspname, relname)
JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname
WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE')
ORDER BY 1, 2
"""
# Whose a session is, everybody may see; of what kind it is, not. The one that asks is not counted.
_ROOM = """
SELECT pg_catalog.current_setting('max_replication_slots')::int4,
       (SELECT count(*) FROM pg_catalog.pg_replication_slots),
       pg_catalog.current_setting('max_wal_senders')::int4,
       (SELECT count(*) FROM pg_catalog.pg_stat_replication),
       pg_catalog.current_setting('max_connections')::int4
         - pg_catalog.current_setting('superuser_reserved_connections')::int4
         - coalesce(pg_catalog.current_setting('reserved_connections', true)::int4, 0),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a
        WHERE a.usesysid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_replication w WHERE w.pid = a.pid)),
       r.rolconnlimit,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a
        WHERE a.usesysid = r.oid AND a.pid <> pg_catalog.pg_backend_pid())
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""
_LIMITS = """
SELECT s.name, pg_catalog.current_setting(s.name) FROM pg_catalog.pg_settings s
WHERE s.name = ANY(%(names)s::text[]) AND s.setting <> '0' ORDER BY s.name
"""
# What holds without gridferry's own setting, in milliseconds; 0 is no limit.
_LOCK_WAIT = "SELECT s.reset_val::int FROM pg_catalog.pg_settings s WHERE s.name = 'lock_timeout'"


def fetch_role(address: PostgresAddress, tables: Sequence[tuple[str, str]]) -> SourceRole:
    """The role, as it relates to `tables` (schema, table). Raises: SourceUnreachable, SourceRefused."""
    asked = {"schemas": [schema for schema, _ in tables], "tables": [table for _, table in tables]}
    with connect(address) as connection, mapped("looking at the role"):
        ((name, database, pid, *attributes),) = connection.execute(_ROLE).fetchall()
        extra = tuple(word for word, has in zip(_ATTRIBUTES, attributes, strict=True) if has)
        owned = [] if "SUPERUSER" in extra else connection.execute(_OWNED, asked).fetchall()
        limits = dict(connection.execute(_LIMITS, {"names": list(LIMITS)}).fetchall())
        ((wait_ms,),) = connection.execute(_LOCK_WAIT).fetchall()
        pooled = is_pooled(connection, pid)
        knows_system = may_ask_for_system(connection)
        room = _room(connection, superuser="SUPERUSER" in extra)
    return SourceRole(
        name,
        database,
        extra,
        tuple((s, t) for s, t in owned),
        limits,
        lock_wait=(f"{wait_ms / 1000:g}s", f"{LOCK_WAIT_S}s") if 0 < wait_ms < 1000 * LOCK_WAIT_S else None,
        room=room,
        pooled=pooled,
        knows_system=knows_system,
    )


def _room(connection: Connection, *, superuser: bool) -> SourceRoom:
    ((slots, slots_used, senders, senders_used, sessions, sessions_used, limit, own),) = connection.execute(
        _ROOM
    ).fetchall()
    limited = limit >= 0 and not superuser  # PostgreSQL does not hold superusers to theirs
    return SourceRoom(
        Share(slots, slots_used),
        Share(senders, senders_used),
        Share(sessions, sessions_used),
        Share(limit, own) if limited else None,
    )
