"""Which database of which server a session is on, whatever address led there."""

from __future__ import annotations

from typing import Any

import psycopg

from gridferry.errors import SourceUnreachable
from gridferry.model.migration import DatabaseOrigin
from gridferry.source.postgres.session.connection import PostgresAddress
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.table_origin import fetch_system

_ORIGIN = """
SELECT d.oid::int8, d.datname::text
FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()
"""


def fetch_origin(connection: psycopg.Connection[tuple[Any, ...]], address: PostgresAddress) -> DatabaseOrigin:
    """The database of a session. Where the role may not ask for the server's identifier, its address stands for it."""
    with mapped(f"asking which database {address.display} is"):
        row = connection.execute(_ORIGIN).fetchone()
        system = fetch_system(connection)
    if row is None:
        raise SourceUnreachable("PostgreSQL answered the question for its database with nothing")
    oid, name = row
    return DatabaseOrigin(system or place_of(address), oid, name)


def place_of(address: PostgresAddress) -> str:
    """What stands for a server's identifier where the role may not ask for it: its host and port."""
    return f"{address.host}:{address.port}"
