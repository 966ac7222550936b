"""Whether a slot holds changes that are not stored yet, and which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from gridferry.errors import SourceUnreachable
from gridferry.model.change import ChangePart
from gridferry.model.position import Lsn
from gridferry.source.postgres.log.decoder import ChangeDecoder, Wanted
from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.transactions import Work, begin
from gridferry.source.postgres.slots.slot_names import read_publications
from gridferry.source.postgres.slots.slots import send_heartbeat

Connection = psycopg.Connection[tuple[Any, ...]]

MOST_CHANGES = 10_000
MOST_MESSAGES = 200_000
# The first byte of a pgoutput message: Insert, Update, Delete, Truncate. Source: PostgreSQL, logicalproto.h.
_CHANGES = [ord(letter) for letter in "IUDT"]

# Only what is on disk is decoded. A statement of its own, before the other: within that it would be done afterwards.
_UNFLUSHED = """
SELECT NOT pg_catalog.pg_is_in_recovery() AND pg_catalog.pg_current_wal_flush_lsn() < %(until)s::pg_lsn
"""
# Insert, update and delete name their table behind the first byte; a truncate may name several.
_TABLE = """
SELECT c.oid::int8 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s
"""
# All messages of a transaction come together, so its last one tells where its commit lies. Positions as numbers: max()
# knows pg_lsn since PostgreSQL 13.
_PEEK = """
SELECT coalesce(sum(messages), 0)::int8,
       coalesce(bool_or(changed AND behind > %(position)s::pg_lsn - '0/0'::pg_lsn), false) FROM (
    SELECT count(*) AS messages,
           bool_or(pg_catalog.get_byte(data, 0) = ANY(%(changes)s::int4[])
                   AND (pg_catalog.get_byte(data, 0) = %(truncate)s OR %(oid)s::bytea IS NULL
                        OR pg_catalog.substring(data, 2, 4) = %(oid)s::bytea)) AS changed,
           max(lsn - '0/0'::pg_lsn) AS behind
    FROM pg_catalog.pg_logical_slot_peek_binary_changes(
        %(slot)s, %(until)s::pg_lsn, %(most)s, 'proto_version', '1', 'publication_names', %(names)s)
    GROUP BY xid) AS t
"""

_ROWS = """
SELECT data FROM pg_catalog.pg_logical_slot_peek_binary_changes(
    %(slot)s, %(until)s::pg_lsn, %(most)s, 'proto_version', '1', 'publication_names', %(names)s)
"""


def fetch_pending(address: PostgresAddress, slot: str, *, schema: str, table: str, position: Lsn, until: Lsn) -> bool:
    """Whether changes of a table that were committed behind `position` and up to `until` wait in a slot that nobody
    reads.

    True also where so much waits that not all of it is looked at. Takes nothing out of the slot. Log up to `until` that
    is not on disk yet is brought there: what an open transaction has written may lie in the server's memory for as long
    as nobody commits.
    Raises: SlotInUse if somebody reads it; SourceRefused, SourceUnreachable.
    """
    names = ",".join(read_publications(slot, address.for_changes.publications))
    asked = {
        "slot": slot,
        "position": str(position),
        "until": str(until),
        "most": MOST_CHANGES,
        "names": names,
        "changes": _CHANGES,
        "truncate": _CHANGES[-1],
        "schema": schema,
        "table": table,
        "oid": None,
    }
    with connect(address.for_changes, Work.LONG) as connection, mapped(f"looking what waits in the slot {slot}"):
        if (connection.execute(_UNFLUSHED, asked).fetchone() or (True,))[0]:
            send_heartbeat(connection)
            begin(connection, Work.LONG)
        found = connection.execute(_TABLE, asked).fetchone()
        asked["oid"] = None if found is None else found[0].to_bytes(4, "big")
        messages, pending = connection.execute(_PEEK, asked).fetchone() or (0, True)
    return bool(pending) or messages >= MOST_CHANGES


def read_pending(address: PostgresAddress, slot: str, *, until: Lsn, wanted: Wanted) -> Iterator[ChangePart]:
    """What waits in a slot that nobody reads, up to `until`; what was stored but not confirmed is among it.

    Log up to `until` has to be on disk: see `fetch_pending`. Takes nothing out of the slot.
    Raises: SourceUnreachable where more than MOST_MESSAGES wait; SlotInUse; SourceRefused, StreamBroken.
    """
    asked = {
        "slot": slot,
        "until": str(until),
        "most": MOST_MESSAGES,
        "names": ",".join(read_publications(slot, address.for_changes.publications)),
    }
    decoder, read = ChangeDecoder(wanted), 0
    with connect(address, Work.LONG) as connection, mapped(f"reading what waits in the slot {slot}"):
        for (message,) in connection.cursor().stream(_ROWS, asked, binary=True):
            read += 1
            decoder.receive(bytes(message))
            if decoder.ready:
                yield from (part for group in decoder.drain() for part in group.parts)
    yield from (part for group in decoder.drain() for part in group.parts)
    if read >= MOST_MESSAGES:
        raise SourceUnreachable(f"more than {MOST_MESSAGES:,} messages wait in the slot {slot}")
