"""The changes of one table from a moment on, beside the sync that follows it: read from a slot that ends with its
session.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg
from psycopg import sql

from gridferry.model.change import ChangeBatch
from gridferry.source.postgres.log.decoder import ChangeDecoder, Wanted
from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.transactions import Work, begin
from gridferry.source.postgres.slots.slot_names import PREFIX, read_publications
from gridferry.source.postgres.slots.slots import send_heartbeat

MESSAGES_A_READ = 20_000
_COPIES = 5
# A copy, not a new one: that would begin when every transaction that is open now, in any database, has ended.
_COPY = "SELECT pg_catalog.pg_copy_logical_replication_slot(%s, %s, true, 'pgoutput')"
_BEGIN_AT = "SELECT pg_catalog.pg_replication_slot_advance(%s, %s::pg_lsn)"
_READ = """
SELECT data FROM pg_catalog.pg_logical_slot_get_binary_changes(
    %(slot)s, %(until)s::pg_lsn, %(most)s, 'proto_version', '1', 'publication_names', %(names)s)
"""


class LogWindow:
    """Changes that are committed from when this was made. `open_log_window` makes it."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]], *, slot: str, names: str, wanted: Wanted):
        self._connection = connection
        self._slot = slot
        self._names = names
        self._decoder = ChangeDecoder(wanted)

    def changes(self) -> Iterator[ChangeBatch]:
        """Those up to now that were not handed out before; at least those of every commit that can be seen now.

        Raises: SourceRefused, SourceUnreachable, StreamBroken.
        """
        doing = f"reading the log through the slot {self._slot}"
        asked = {
            "slot": self._slot,
            "until": str(send_heartbeat(self._connection)),
            "most": MESSAGES_A_READ,
            "names": self._names,
        }
        while True:
            read = 0
            # Row by row: one transaction may be larger than the memory, and comes in one answer.
            with mapped(doing), _long(self._connection) as cursor:
                for (message,) in cursor.stream(_READ, asked, binary=True):
                    read += 1
                    self._decoder.receive(bytes(message))  # type: ignore[call-overload]
                    if self._decoder.ready:
                        yield from self._drained()
            yield from self._drained()
            if read < MESSAGES_A_READ:
                return

    def _drained(self) -> Iterator[ChangeBatch]:
        for group in self._decoder.drain():
            yield from (part for part in group.parts if isinstance(part, ChangeBatch))


@contextmanager
def _long(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[psycopg.Cursor[tuple[object, ...]]]:
    """A cursor inside a transaction of its own."""
    begin(connection, Work.LONG)
    with connection.cursor() as cursor:
        yield cursor
    connection.commit()


@contextmanager
def open_log_window(
    address: PostgresAddress, *, followed: str, wanted: Wanted, patience_s: float
) -> Iterator[LogWindow]:
    """A window that begins before the block does, on the publications of the slot `followed`, which may be in use.

    Making it takes `patience_s` at most: the log is decoded from where the oldest open transaction began.
    Raises: SourceRefused where no slot can be had; SourceUnreachable.
    """
    slot = f"{PREFIX}look_{secrets.token_hex(8)}"
    with closing(connect(address.for_changes, Work.LONG)) as connection:
        with mapped("making a slot for the time of a look"):
            _copy(connection, followed, slot, patience_s)
            now = send_heartbeat(connection)
            _begin_within(connection, patience_s)
            connection.execute(_BEGIN_AT, (slot, str(now)))
            connection.commit()
        try:
            names = ",".join(read_publications(followed, address.for_changes.publications))
            yield LogWindow(connection, slot=slot, names=names, wanted=wanted)
        finally:
            with suppress(psycopg.Error):  # where the session is not free or gone, the server drops it a moment later
                connection.rollback()
                begin(connection)
                connection.execute("SELECT pg_catalog.pg_drop_replication_slot(%s)", (slot,))
                connection.commit()


def _copy(connection: psycopg.Connection[tuple[object, ...]], followed: str, slot: str, patience_s: float) -> None:
    """Copy a slot; once more where its reader moved it meanwhile, which the server reports as 55000."""
    for left in reversed(range(_COPIES)):
        connection.rollback()
        _begin_within(connection, patience_s)
        try:
            connection.execute(_COPY, (followed, slot))
        except psycopg.errors.ObjectNotInPrerequisiteState:
            if not left:
                raise
        else:
            connection.commit()
            return


def _begin_within(connection: psycopg.Connection[tuple[object, ...]], patience_s: float) -> None:
    """Begin a transaction whose statements take `patience_s` at most."""
    begin(connection, Work.LONG)
    wait = sql.Literal(max(1, round(patience_s * 1000)))
    connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(wait))
