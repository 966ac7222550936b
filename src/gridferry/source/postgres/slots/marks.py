"""A mark of our own at the source: a copy that was made before it was left does not have it.

It is the comment of the slot's publication. A copy of a server's files has its slots and identifiers, and a log that
goes on as it likes; what was written into the catalog after it was made is what it cannot have.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.transactions import Work
from gridferry.source.postgres.slots.slot_names import publication_names

Connection = psycopg.Connection[tuple[Any, ...]]

_MARK = """
SELECT p.oid::int8, coalesce(pg_catalog.obj_description(p.oid, 'pg_publication'), ''),
       NOT pg_catalog.pg_is_in_recovery() AND pg_catalog.pg_has_role(p.pubowner, 'USAGE')
FROM pg_catalog.pg_publication p WHERE p.pubname = %(name)s
"""


def fetch_mark(address: PostgresAddress, slot: str) -> tuple[int, str] | None:
    """The OID of the slot's publication and the mark that stands there, "" for none; None without a publication."""
    if address.publications:
        return None
    with connect(address) as connection, mapped(f"looking for the mark of the slot {slot}"):
        row = connection.execute(_MARK, {"name": _name(slot)}).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def leave_mark(address: PostgresAddress, slot: str, mark: str) -> int:
    """Leave a mark, on the server's disk when the call returns. Returns the OID of the publication that has it.

    0: there is none, or it is not ours, or the server is a standby: nothing was written.
    """
    if address.publications:  # what stands in their comments is somebody else's
        return 0
    with connect(address, Work.WRITE) as connection, mapped(f"leaving a mark at the slot {slot}"):
        row = connection.execute(_MARK, {"name": _name(slot)}).fetchone()
        if row is None or not row[2]:
            return 0
        connection.execute("SET LOCAL synchronous_commit = local")
        statement = sql.SQL("COMMENT ON PUBLICATION {} IS {}").format(sql.Identifier(_name(slot)), sql.Literal(mark))
        connection.execute(statement)
    return int(row[0])


def _name(slot: str) -> str:
    return publication_names(slot)[0]
