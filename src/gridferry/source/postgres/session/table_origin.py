"""Which server, database and table a session reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg

from gridferry.errors import SourceRefused
from gridferry.model.origin import SourceOrigin
from gridferry.plan.table_names import spelled
from gridferry.source.postgres.session.connection import PostgresAddress
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.sql.names import relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

# The name of the log file that is written begins with the timeline, in hexadecimal digits. A standby cannot tell it.
_ORIGIN = """
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN '0'
            ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END,
       d.oid, d.datname,
       (SELECT pg_catalog.array_agg(coalesce(pg_catalog.to_regclass(n.name)::pg_catalog.oid, 0)::int8 ORDER BY n.number)
        FROM pg_catalog.unnest(%s::text[]) WITH ORDINALITY AS n(name, number)),
       coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), ''), coalesce(pg_catalog.inet_server_port(), 0),
       pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       pg_catalog.pg_is_in_recovery(),
       coalesce(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                ELSE pg_catalog.pg_current_wal_flush_lsn() END, '0/0')::pg_catalog.text
FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
"""
_MAY_ASK = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
# A statement of its own: PostgreSQL refuses one that names the function, also where it is not called.
_SYSTEM = "SELECT c.system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system() AS c"

_NAME = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.=) %s
"""


def may_ask_for_system(connection: Connection) -> bool:
    """Whether the role may ask for the cluster's system identifier. Raises: psycopg.Error."""
    (may_ask,) = connection.execute(_MAY_ASK).fetchone() or (False,)
    return bool(may_ask)


def fetch_system(connection: Connection) -> str:
    """The cluster's system identifier; "" where the role may not ask for it. Raises: psycopg.Error."""
    found = connection.execute(_SYSTEM).fetchone() if may_ask_for_system(connection) else None
    return "" if found is None else str(found[0])


def fetch_table_origin(connection: Connection, address: PostgresAddress, *, schema: str, table: str) -> SourceOrigin:
    """The origin of a table as this session sees it. Raises: SourceError."""
    return fetch_table_origins(connection, address, [(schema, table)])[0]


def fetch_table_origins(
    connection: Connection, address: PostgresAddress, tables: Sequence[tuple[str, str]]
) -> list[SourceOrigin]:
    """The same of many tables (schema, name), one at least, in their order."""
    names = [relation_sql(*table).as_string(None) for table in tables]
    with mapped("asking which server and database this is"):
        row = connection.execute(_ORIGIN, (names,)).fetchone()
        if row is None:
            raise SourceRefused("PostgreSQL does not list the database that this session is in")
        timeline, database_oid, database, oids, host, port, started, standby, log_end = row
        origin = SourceOrigin(
            system=fetch_system(connection),
            timeline=int(timeline, 16),
            database_oid=int(database_oid),
            table_oid=0,
            database=database,
            address=address.display,
            server=f"{host}:{port}" if host else "",
            started=started,
            standby=standby,
            log_end=log_end,
        )
    return [replace(origin, table_oid=int(oid)) for oid in oids]


def fetch_table_name(connection: Connection, oid: int) -> str:
    """The name of a table as a config takes it; "" where there is none of that OID. Raises: SourceError."""
    with mapped("asking for the name of a table"):
        found = connection.execute(_NAME, (oid,)).fetchone()
    return "" if found is None else spelled(*map(str, found))
