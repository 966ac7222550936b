"""The change stream: a thread that receives and decodes, answers the server while the engine is busy, and tells it
nothing but what the engine confirmed.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from gridferry.errors import SourceError, SourceUnreachable
from gridferry.model.change import ChangedRelation, ChangeGroup
from gridferry.model.position import Lsn
from gridferry.source.postgres.log.decoder import GROUP_BYTES, ChangeDecoder, Former, Wanted
from gridferry.source.postgres.log.pgoutput import EPOCH_US, broken
from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.replication_session import ReplicationSession, mapped_replication, result_failure
from gridferry.source.postgres.slots.slot_names import read_publications
from gridferry.source.postgres.slots.slots import check_slot

_QUEUED = 2  # groups that wait for the engine, beside the one it has and the one that is being made
_LONGEST_SILENCE_S = 10.0
_ASK_AGAIN_S = 0.1
_GOODBYE_S = 5.0
_DEAF_AFTER_S = 60.0  # a server that is asked every _LONGEST_SILENCE_S and does not answer for so long is gone
_LOG_DATA, _KEEPALIVE = b"w"[0], b"k"[0]
_LOG_HEADER = 25  # tag, start, end, clock; then pgoutput's message
_DOING = "reading changes"


@dataclass(frozen=True)
class StreamOptions:
    """`streaming`: large transactions come while they are open (PostgreSQL 14 and newer), and wait in a temporary
    file here; otherwise they wait in the server's. `group_bytes`: about how large a group is. `gather_s`: how long
    after a group small changes gather into the next one, in a stream without end: a group costs the same whether it
    holds one change or a thousand.
    """

    streaming: bool = True
    group_bytes: int = GROUP_BYTES
    gather_s: float = 0.1


class ChangeStream:
    """Changes of a slot from a position on. A context manager; its methods belong to one thread, but `stop` to any."""

    def __init__(
        self,
        address: PostgresAddress,
        *,
        slot: str,
        start: Lsn,
        wanted: Wanted,
        confirmed: Lsn | None = None,
        former: Former | None = None,
        options: StreamOptions | None = None,
    ) -> None:
        """Start to read. Args: `start`: where the last applied and stored group ended, or where the slot began;
        `wanted`, `former` as in `ChangeDecoder`; `confirmed`: what the server may forget, if that is less than `start`.

        Raises: SlotLost (see `slots.check_slot`), SlotInUse, SourceRefused, SourceUnreachable.
        """
        options = options or StreamOptions()
        with connect(address) as connection:
            check_slot(connection, slot, start=start, given=address.publications)
            self._silence_s = _longest_silence_s(connection)
            names = _oids(connection, wanted)
        self._decoder = ChangeDecoder(wanted, names=names, former=former, group_bytes=options.group_bytes)
        self._gather_s = options.gather_s
        self._gathering_until = 0.0
        self._handed = self._heard = start
        self._confirmed = start if confirmed is None else min(start, confirmed)
        self._until: Lsn | None = None
        self._queue: deque[ChangeGroup] = deque()
        self._changed = threading.Condition()
        self._stopping = self._ended = False
        self._error: BaseException | None = None
        self._session = ReplicationSession(address)
        try:
            publications = read_publications(slot, address.publications)
            command = _start_command(
                self._session.server_version, slot=slot, start=start, names=publications, options=options
            )
            self._session.run(command, doing=f"starting to read the replication slot {slot}")
        except BaseException:
            self._session.close()
            raise
        self._pgconn = self._session.pgconn
        self._status_at = 0.0
        self._status_sent: Lsn | None = None
        self._listened_at = time.monotonic()  # when something came last, or we were too busy to hear it
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="gridferry-changes", daemon=True)
        self._thread.start()

    def groups(self, *, until: Lsn | None = None) -> Iterator[ChangeGroup]:
        """Groups in order, as they come; with `until`, those up to that position, the last one reaching it.

        Ends after `stop`. Raises: what ended the stream (SourceUnreachable, SlotLost, StreamBroken, ...), once every
        group that was received before has been handed out.
        """
        if until is not None and self._handed >= until:
            return
        self._until = until
        self._wake()
        while (group := self._next()) is not None:
            if group.position is not None:
                self._handed = max(self._handed, group.position)
            yield group
            if until is not None and self._handed >= until:
                return

    def table_of(self, relation: ChangedRelation) -> tuple[str, str]:
        """See `ChangeDecoder.table_of`."""
        return self._decoder.table_of(relation)

    def confirm(self, position: Lsn) -> None:
        """Tell the server that everything before `position`, of a group that was handed out, is stored and flushed.

        It is told with the next status message, which the stream's thread sends (`_send_status`).
        The position too has to be stored by then, also that of a group without parts: a slot that is ahead of the
        stored position was read by somebody else.
        Raises: SourceError if it was not handed out.
        """
        if position > self._handed:
            raise SourceError(f"{position} cannot be confirmed: changes were handed out up to {self._handed}")
        if position > self._confirmed:
            self._confirmed = position
            self._wake()

    def stop(self) -> None:
        """Let `groups` end after the group that is being worked on. May be called from any thread or signal handler."""
        self._stopping = True
        self._wake()

    def close(self) -> None:
        """Tell the server what was confirmed last, give the slot free, end the thread; safe to call twice."""
        self.stop()
        self._thread.join()

    def __enter__(self) -> ChangeStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The engine's side of the queue.

    def _next(self) -> ChangeGroup | None:
        with self._changed:
            while not self._queue and not self._ended:
                self._changed.wait()
            if self._stopping:
                return None
            if self._queue:
                group = self._queue.popleft()
                self._wake()
                return group
        if self._error is not None:
            raise self._error
        return None

    def _wake(self) -> None:
        with suppress(BlockingIOError, OSError):  # full: it is about to wake; closed: it has ended
            self._wake_out.send(b"\0")

    # The thread's side.

    def _run(self) -> None:
        try:
            with closing(self._session), closing(self._decoder), selectors.DefaultSelector() as selector:
                selector.register(self._wake_in, selectors.EVENT_READ)
                self._read(selector)
        except Exception as error:  # raised again where the engine waits
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._wake_in.close()
            self._wake_out.close()

    def _read(self, selector: selectors.BaseSelector) -> None:
        while not self._stopping:
            with mapped_replication(_DOING):
                self._pgconn.consume_input()
                idle = self._take_messages()
            if self._decoder.ready or (idle and self._is_wanted()):
                for group in self._decoder.drain():
                    self._hand(group, selector)
            with mapped_replication(_DOING):
                self._send_status_if_due()
            if idle and not self._stopping:
                self._wait(selector, for_server=True)
        with mapped_replication(_DOING):
            self._goodbye()

    def _take_messages(self) -> bool:
        """Take the messages at hand until a group is ready. Returns: True if there are no more at hand."""
        decoder, take = self._decoder, self._pgconn.get_copy_data
        taken = 0
        while not decoder.ready:
            size, data = take(1)
            if size < 0:
                raise self._end_of_stream()
            if size == 0:
                self._check_alive(taken)
                return True
            taken += 1
            if data[0] == _LOG_DATA:
                decoder.receive(bytes(data[_LOG_HEADER:]))
            else:
                self._keepalive(bytes(data))
        return False

    def _check_alive(self, taken: int) -> None:
        """Raises: SourceUnreachable if nothing was taken for too long, as when a cable was cut."""
        now = time.monotonic()
        if taken:
            self._listened_at = now
        elif now > self._listened_at + _DEAF_AFTER_S:
            raise SourceUnreachable(
                f"PostgreSQL has not answered for {now - self._listened_at:.0f} s while {_DOING}",
                state="nothing after the last confirmed position was confirmed: those changes come again",
                next_step="run the same command again: it goes on where it stopped",
            )

    def _keepalive(self, data: bytes) -> None:
        """`k`, the end of what was sent, the server's clock, and whether it wants an answer."""
        if data[0] != _KEEPALIVE or len(data) != 18:
            raise broken(f"the server sent {data[:1]!r} of {len(data)} bytes between the changes")
        self._heard = max(self._heard, Lsn(int.from_bytes(data[1:9], "big")))
        if data[17]:
            self._status_at = 0.0
            self._decoder.heard(self._heard)

    def _is_wanted(self) -> bool:
        """True if the engine waits for a group, however small, and has waited a moment since the one before: until
        then, and while it is busy, changes gather into a larger one.
        """
        if self._queue or self._decoder.in_transaction or self._gathering():
            return False
        reached = self._until is not None and self._heard >= self._until > self._handed
        if reached or time.monotonic() >= self._status_at + self._silence_s:
            self._decoder.heard(self._heard)
        return True

    def _gathering(self) -> bool:
        return self._until is None and time.monotonic() < self._gathering_until

    def _hand(self, group: ChangeGroup, selector: selectors.BaseSelector) -> None:
        """Wait for room in the queue, answering the server meanwhile."""
        while len(self._queue) >= _QUEUED and not self._stopping:
            with mapped_replication(_DOING):
                self._send_status_if_due()
            self._wait(selector, for_server=False)
            self._listened_at = time.monotonic()
        if group.parts:
            self._gathering_until = time.monotonic() + self._gather_s
        with self._changed:
            self._queue.append(group)
            self._changed.notify_all()

    def _wait(self, selector: selectors.BaseSelector, *, for_server: bool) -> None:
        """Until the engine calls, the server sends (if that is asked for), or a status is due."""
        timeout = self._status_at + self._silence_s - time.monotonic()
        if for_server:
            selector.register(self._pgconn.socket, selectors.EVENT_READ)
            if self._until is not None and self._heard < self._until:
                timeout = min(timeout, _ASK_AGAIN_S)
            if self._decoder.holding and self._gathering():
                timeout = min(timeout, self._gathering_until - time.monotonic())
        try:
            selector.select(max(timeout, 0.0))
        finally:
            if for_server:
                selector.unregister(self._pgconn.socket)
        with suppress(BlockingIOError):
            self._wake_in.recv(4096)

    def _send_status_if_due(self) -> None:
        now = time.monotonic()
        due = now >= self._status_at + self._silence_s
        ask = self._until is not None and self._heard < self._until and now >= self._status_at + _ASK_AGAIN_S
        if due or ask or self._status_sent != self._confirmed:
            self._send_status(ask=due or ask)

    def _send_status(self, *, ask: bool) -> None:
        """`r`; written, flushed and applied up to; our clock; whether an answer is wanted."""
        confirmed = self._confirmed
        place = confirmed.value.to_bytes(8, "big")
        clock = (time.time_ns() // 1000 - EPOCH_US).to_bytes(8, "big", signed=True)
        self._pgconn.put_copy_data(b"r" + 3 * place + clock + bytes([ask]))
        self._pgconn.flush()
        self._status_at = time.monotonic()
        self._status_sent = confirmed

    def _goodbye(self) -> None:
        """End the stream in good order, so that the slot is free when this returns; or give up after a while."""
        self._send_status(ask=False)
        self._pgconn.put_copy_end()
        self._pgconn.flush()
        deadline = time.monotonic() + _GOODBYE_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._pgconn.socket, selectors.EVENT_READ)
            while not self._is_over():
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    return
                self._pgconn.consume_input()

    def _is_over(self) -> bool:
        """True once the server has ended the stream on its side too; what it still sends is left unread."""
        while (size := self._pgconn.get_copy_data(1)[0]) > 0:
            pass
        if size == 0:
            return False
        while not self._pgconn.is_busy():
            if self._pgconn.get_result() is None:
                return True
        return False

    def _end_of_stream(self) -> SourceError:
        """The error for a stream that the server ended."""
        result = self._pgconn.get_result()
        if result is not None and result.error_message:
            return result_failure(result, doing=_DOING)
        return SourceUnreachable(
            "PostgreSQL ended the change stream: it is shutting down",
            state="nothing after the last confirmed position was confirmed: those changes come again",
            next_step="run the same command again when the server is up: it goes on where it stopped",
        )


def _longest_silence_s(connection: Any) -> float:
    """How often to report: well inside the server's wal_sender_timeout (0 is none)."""
    row = connection.execute("SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'")
    timeout_ms = row.fetchone()[0]
    return min(_LONGEST_SILENCE_S, timeout_ms / 4000) if timeout_ms else _LONGEST_SILENCE_S


def _oids(connection: Any, wanted: Wanted) -> dict[int, tuple[str, str]]:
    """What the wanted tables that exist are called, by oid."""
    schemas, tables = [schema for schema, _ in wanted], [table for _, table in wanted]
    statement = (
        "SELECT c.oid::int8, n.nspname::text, c.relname::text FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN ROWS FROM (unnest(%s::text[]), unnest(%s::text[])) AS w(nspname, relname)"
        " ON n.nspname = w.nspname AND c.relname = w.relname"
    )
    with mapped("looking for the tables"):
        rows = connection.execute(statement, (schemas, tables)).fetchall()
    return {oid: (schema, table) for oid, schema, table in rows}


def _start_command(server_version: int, *, slot: str, start: Lsn, names: Sequence[str], options: StreamOptions) -> str:
    """START_REPLICATION with the newest protocol that the server speaks."""
    version = 4 if server_version >= 160000 else 3 if server_version >= 150000 else 2 if server_version >= 140000 else 1
    settings = {"proto_version": str(version), "publication_names": _names(names)}
    if options.streaming and version >= 2:
        settings["streaming"] = "on"
    listed = ", ".join(f"{name} '{value}'" for name, value in settings.items())
    return f'START_REPLICATION SLOT "{slot}" LOGICAL {start} ({listed})'


def _names(names: Sequence[str]) -> str:
    return ",".join(f'"{name}"' for name in names)
