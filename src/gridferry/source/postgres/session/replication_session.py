"""Sessions that speak PostgreSQL's replication commands, and what their failures mean."""

from __future__ import annotations

import re
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import pq

from gridferry.errors import SlotInUse, SlotLost, SourceError, SourceRefused, SourceUnreachable
from gridferry.model.position import LogOrigin, Lsn
from gridferry.source.postgres.session.connection import PostgresAddress
from gridferry.source.postgres.session.failures import connect_failure, failure, plain
from gridferry.source.postgres.session.transactions import OWN_NAME, SEARCH_PATH, SETTINGS, Work, settings_select

Row = tuple[bytes | None, ...]
_OK = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COPY_BOTH)

# PgBouncer before 1.23, and most others, take no replication session.
POOLER_STEP = (
    "changes cannot be read through a pooler: give the server's own address beside the pooler's, as "
    "`source: {{dsn: ..., replication_dsn: ...}}`; or use `sync: {{mode: watermark}}`"
)
WAY_BACK = (
    "run `gridferry sync --new-slot`, then `gridferry repair` for what was missed; "
    "or `gridferry load --replace`, which loads again"
)

# What the server's text says, the error, and what to do. `{}` is the slot.
_AT_WORK: tuple[tuple[str, type[SourceError], str], ...] = (
    (r"replication slot .* is active", SlotInUse, "wait until the other process has ended, or end it"),
    (
        r"replication slot .* does not exist|invalidated|can no longer|has already been removed|lost the wal",
        SlotLost,
        WAY_BACK,
    ),
    (r"replication slot .* already exists", SourceRefused, "`gridferry drop-slot`, or give the sync another name"),
    (r"publication .* does not exist", SlotLost, WAY_BACK),
    (r"wal_level", SourceRefused, "ALTER SYSTEM SET wal_level = logical; and restart PostgreSQL"),
    (
        r"all replication slots are in use",
        SourceRefused,
        "drop a slot that nobody needs (see pg_replication_slots), or raise max_replication_slots and restart",
    ),
    (r"syntax error", SourceRefused, POOLER_STEP.format()),
    (r"in recovery", SourceRefused, "give the address of the primary: changes cannot be followed on this standby"),
)
_AT_LOGIN: tuple[tuple[str, type[SourceError], str], ...] = (
    (r"startup parameter|replication connections? (is|are) not", SourceRefused, POOLER_STEP),
    (
        r"permission denied to start wal sender|must be superuser or replication role",
        SourceRefused,
        "ALTER ROLE {user} REPLICATION; or sync in watermark mode, which needs no such right",
    ),
    (r"max_wal_senders", SourceUnreachable, "try again, or raise max_wal_senders and restart PostgreSQL"),
)
# A session that was closed, ours too, keeps its place at the server until its process there has seen it.
_CANCEL_LIMIT_S = 10.0
_PLACE_LIMIT_S = 5.0
_PLACE_PAUSE_S = 0.1


class ReplicationSession:
    """One session in replication mode on a database. Belongs to one thread."""

    def __init__(self, address: PostgresAddress) -> None:
        """Log in, with the settings of `transactions.SETTINGS`: they decide how values are written.

        Where the server has no place left for one more (max_wal_senders), it waits a few seconds for one.
        Raises: SourceUnreachable; SourceRefused, also for a role without the right to replicate.
        """
        self._connection = _log_in(address)
        self.pgconn = self._connection.pgconn
        try:
            # Before anything is set: a pooler that overlooked what was asked for gave us a session of the application.
            self.origin = self.identify()
            doing = f"setting up a session on {address.display}"
            # For the session, not for a transaction, which no command of replication may run in: nobody else ever gets
            # this session.
            self.run(f"SET search_path = {SEARCH_PATH}", doing=doing)
            self.run(settings_select(Work.LONG, self.server_version, local=False), doing=doing)
            # A slot begins when the transactions that are open now have ended; the server waits for them as for locks.
            self.run("SET lock_timeout = 0", doing=doing)
        except BaseException:
            self.close()
            raise

    @property
    def server_version(self) -> int:
        """As 160004."""
        return self.pgconn.server_version

    def run(
        self,
        command: str,
        *,
        doing: str,
        in_use: str = "nothing was read",
        meanwhile: Callable[[int], None] = lambda pid: None,
    ) -> list[Row]:
        """The rows that a command gives. Given up (KeyboardInterrupt), it is cancelled at the server too.

        Args: in_use: the state to report where another process reads the slot; meanwhile: called with the session's
            process id about every second until there is an answer; what it raises gives the command up.
        Raises: SourceError and its kinds, as `replication_failure` says.
        """
        with mapped_replication(doing):
            self.pgconn.send_query(command.encode())
            try:
                results = self._results(meanwhile)
            except BaseException:
                self._give_up()
                raise
        for result in results:
            if result.status not in _OK:
                raise result_failure(result, doing=doing, in_use=in_use)
        return [row for result in results for row in _rows(result)]

    def identify(self) -> LogOrigin:
        """Whose log this session reads. Raises: as `run`."""
        ((system, timeline, *_),) = self.run("IDENTIFY_SYSTEM", doing="asking which server this is")
        return LogOrigin((system or b"").decode(), int(timeline or b"0"))

    def timeline_ends(self, timeline: int) -> dict[int, Lsn]:
        """Where each timeline before `timeline` ended, by number. Raises: as `run`."""
        ((_, content),) = self.run(f"TIMELINE_HISTORY {timeline}", doing=f"reading the history of timeline {timeline}")
        lines = (line.split() for line in (content or b"").decode(errors="replace").splitlines())
        # Each line: the timeline, where it ended, why. PostgreSQL, timeline.c.
        return {int(words[0]): Lsn.parse(words[1]) for words in lines if len(words) > 1 and words[0].isdigit()}

    def close(self) -> None:
        """End the session; safe to call twice."""
        self._connection.close()

    def _give_up(self) -> None:
        """Cancel, and wait a little until the server has: what was half made is gone then."""
        self.pgconn.get_cancel().cancel()
        deadline = time.monotonic() + _CANCEL_LIMIT_S
        with suppress(psycopg.Error, OSError):
            while self.pgconn.is_busy() and time.monotonic() < deadline:
                select.select([self.pgconn.socket], [], [], 0.2)
                self.pgconn.consume_input()

    def _results(self, meanwhile: Callable[[int], None]) -> list[pq.abc.PGresult]:
        results: list[pq.abc.PGresult] = []
        while True:
            while self.pgconn.is_busy():
                # In turns: a signal is seen in between.
                ready, _, _ = select.select([self.pgconn.socket], [], [], 1.0)
                self.pgconn.consume_input()
                if not ready:
                    meanwhile(self.pgconn.backend_pid)
            result = self.pgconn.get_result()
            if result is None:
                return results
            results.append(result)
            if result.status == pq.ExecStatus.COPY_BOTH:
                return results


def result_failure(result: pq.abc.PGresult, *, doing: str, in_use: str = "nothing was read") -> SourceError:
    """The error for a command or stream that the server ended with one. Args: as `replication_failure`."""
    sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE)
    text = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode(errors="replace")
    detail = (result.error_field(pq.DiagnosticField.MESSAGE_DETAIL) or b"").decode(errors="replace")
    return replication_failure(
        None if sqlstate is None else sqlstate.decode(), text, detail=detail, doing=doing, in_use=in_use
    )


def replication_failure(
    sqlstate: str | None, text: str, *, doing: str, detail: str = "", in_use: str = "nothing was read"
) -> SourceError:
    """The error for what a replication command was answered.

    Args: `doing` as in `failures.failure`; in_use: what was left where another process reads the slot.
    """
    said = f"{plain(text)} ({plain(detail)})" if detail else plain(text)
    if sqlstate is not None and not sqlstate.startswith(("08", "57")):
        for pattern, kind, step in _AT_WORK:
            if re.search(pattern, said, re.IGNORECASE):
                return kind(f"PostgreSQL failed while {doing}: {said}", state=_state(kind, in_use), next_step=step)
    return failure(sqlstate, said, doing=doing)


@contextmanager
def mapped_replication(doing: str) -> Iterator[None]:
    """Turn a connection that breaks inside into SourceUnreachable."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        raise SourceUnreachable(
            f"the connection to PostgreSQL broke while {doing}: {plain(str(error))}",
            state="nothing after the last confirmed position was confirmed: those changes come again",
            next_step="run the same command again: it goes on where it stopped",
        ) from error


def _log_in(address: PostgresAddress) -> psycopg.Connection[Any]:
    deadline = time.monotonic() + _PLACE_LIMIT_S
    while True:
        try:
            return psycopg.connect(
                address.conninfo,
                replication="database",
                autocommit=True,
                client_encoding=SETTINGS["client_encoding"],
                application_name=OWN_NAME,
            )
        except psycopg.Error as error:
            if "max_wal_senders" not in str(error) or time.monotonic() > deadline:
                raise _login_failure(str(error), address) from None
        time.sleep(_PLACE_PAUSE_S)


def _login_failure(text: str, address: PostgresAddress) -> SourceError:
    for pattern, kind, step in _AT_LOGIN:
        if re.search(pattern, text, re.IGNORECASE):
            message = f"no replication connection to PostgreSQL at {address.display} as {address.user}: {plain(text)}"
            return kind(message, state="nothing was read", next_step=step.format(user=address.user))
    return connect_failure(text, display=address.display, user=address.user)


def _state(kind: type[SourceError], in_use: str) -> str:
    return {
        SlotLost: "changes since the last confirmed position are missing in the target",
        SlotInUse: in_use,
    }.get(kind, "nothing was changed")


def _rows(result: pq.abc.PGresult) -> list[Row]:
    return [tuple(result.get_value(row, column) for column in range(result.nfields)) for row in range(result.ntuples)]
