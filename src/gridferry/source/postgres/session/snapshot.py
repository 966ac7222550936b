"""One state of the database, exported and held open for every reader.

Export works on a standby too (PostgreSQL 10 and newer), and there the position is the last one replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from gridferry.errors import SnapshotGone, SourceError, SourceUnreachable
from gridferry.model.chunk import Snapshot
from gridferry.model.position import Lsn
from gridferry.source.postgres.session.connection import PostgresAddress, connect, is_pooled
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.table_origin import fetch_system
from gridferry.source.postgres.session.transactions import Work

Connection = psycopg.Connection[tuple[Any, ...]]

_WAL_PAGE = 8192  # PostgreSQL, pg_config_manual.h: XLOG_BLCKSZ
_LONGEST_PAGE_HEADER = 40  # PostgreSQL, xlog_internal.h: SizeOfXLogLongPHD

# txid_current_snapshot() is pg_current_snapshot() under the name that PostgreSQL 12 knows as well.
_TAKE = """
SELECT pg_catalog.pg_export_snapshot(),
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_lsn() END::text,
       pg_catalog.txid_current_snapshot()::text,
       pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       '/' || (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()),
       pg_catalog.pg_is_in_recovery(), pg_catalog.pg_backend_pid()
"""


@dataclass(frozen=True)
class HeldSnapshot:
    """A snapshot and the session that keeps it alive.

    The session's open transaction sees the snapshot: catalog, profile and chunk planning may run on `connection`, one
    at a time. `standby` says that the server is in recovery, where a replay conflict may cancel a long read; `pooled`
    that a pooler is in front of it, which lends out sessions that the application needs too.
    """

    snapshot: Snapshot
    connection: Connection
    standby: bool = False
    pooled: bool = False

    def check(self) -> None:
        """Raises: SnapshotGone if the session or its transaction has ended, so that no new reader can join."""
        try:
            with mapped("checking the snapshot"):
                self.connection.execute("SELECT 1")
        except SourceError as error:
            raise self._gone(error.message) from error
        if self.connection.info.transaction_status is not TransactionStatus.INTRANS:
            raise self._gone("its transaction has ended")

    def _gone(self, reason: str) -> SnapshotGone:
        return SnapshotGone(
            f"the snapshot {self.snapshot.name} of {self.snapshot.taken_at} was lost: {reason}",
            state="chunks that were finished stay finished",
            next_step="run the same command again: it goes on under a new snapshot",
        )


def seen_until(held: HeldSnapshot) -> Lsn:
    """A position in the log that lies behind every commit that the snapshot shows.

    Of the insert position, not the write position: a commit that does not wait for its log (synchronous_commit off)
    is seen before its record is written. A standby shows what it has replayed. A position just behind a page's header
    is given as the page's beginning: no record lies between the two, and what is sent to a stream ends there.
    """
    function = "pg_last_wal_replay_lsn" if held.standby else "pg_current_wal_insert_lsn"
    with mapped("asking for the position in the log"):
        row = held.connection.execute(
            sql.SQL("SELECT pg_catalog.{}()::text").format(sql.Identifier(function))
        ).fetchone()
    found = Lsn.parse(row[0] if row else "")
    behind = found.value % _WAL_PAGE
    return Lsn(found.value - behind) if behind <= _LONGEST_PAGE_HEADER else found


@contextmanager
def open_snapshot(address: PostgresAddress) -> Iterator[HeldSnapshot]:
    """Take a snapshot, export it, and hold it until the block ends.

    Raises: SourceUnreachable or SourceRefused; SnapshotGone comes from `check` and from readers that join too late.
    """
    with hold_snapshot(address) as held:
        yield held


@contextmanager
def hold_snapshot(address: PostgresAddress, *, join: Snapshot | None = None) -> Iterator[HeldSnapshot]:
    """Hold a new snapshot; or that of `join`, exported once more, so that it outlives the session that it is from.

    Raises: as `open_snapshot`; SnapshotGone if `join` does not exist any more.
    """
    connection = connect(address, Work.SNAPSHOT)
    try:
        with mapped(f"taking a snapshot of {address.display}"):
            if join is not None:
                try:
                    connection.execute(join_statement(join))
                except psycopg.Error as error:
                    raise cannot_join(join) from error
            row = connection.execute(_TAKE).fetchone()
            system = fetch_system(connection)
        if row is None:
            raise SourceUnreachable("PostgreSQL answered the request for a snapshot with nothing")
        name, lsn, visible, taken_at, database, standby, pid = row
        snapshot = Snapshot(name, lsn, visible, taken_at, f"{system}{database}")
        yield HeldSnapshot(snapshot, connection, standby=standby, pooled=is_pooled(connection, pid))
    finally:
        # Ended before it is closed: a pooler gives the session to the next client instead of throwing it away.
        with suppress(psycopg.Error):
            connection.rollback()
        connection.close()


@contextmanager
def apart(connection: Connection) -> Iterator[None]:
    """A savepoint around the block: a statement that fails inside does not end the transaction of the snapshot."""
    with mapped("beginning to look at a table"):
        connection.execute("SAVEPOINT gridferry_apart")
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):  # a session that is gone: the next statement says so
            connection.execute("ROLLBACK TO SAVEPOINT gridferry_apart")
        raise
    with mapped("going on after a table"):
        connection.execute("RELEASE SAVEPOINT gridferry_apart")


def apart_each(connection: Connection) -> Callable[[], AbstractContextManager[None]]:
    """The same for many blocks that only read: one savepoint for all of them, as there is nothing to be kept of any."""
    with mapped("beginning to look at tables"):
        connection.execute("SAVEPOINT gridferry_each")

    @contextmanager
    def block() -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(psycopg.Error):  # a session that is gone: the next statement says so
                connection.execute("ROLLBACK TO SAVEPOINT gridferry_each")
            raise

    return block


@contextmanager
def passing(connection: Connection) -> Iterator[None]:
    """A savepoint around a block that only reads: the locks that it takes end with it, however it ends."""
    with mapped("beginning to look at tables"):
        connection.execute("SAVEPOINT gridferry_passing")
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # a session that is gone: the next statement says so
            connection.execute("ROLLBACK TO SAVEPOINT gridferry_passing")


def join_statement(snapshot: Snapshot) -> sql.Composed:
    """The statement that makes a transaction, as its first one, see `snapshot`."""
    return sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot.name))


def cannot_join(snapshot: Snapshot) -> SnapshotGone:
    """The error for a reader that came too late."""
    return SnapshotGone(
        f"the snapshot {snapshot.name} of {snapshot.taken_at} does not exist any more: the session that held it ended",
        state="chunks that were finished stay finished",
        next_step="run the same command again: it goes on under a new snapshot",
    )
