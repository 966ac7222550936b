"""One client's connection: a thread that reads and answers at once what cannot wait, and one that works in order.

CONNECT is answered at once: it is how clients ask whether a long statement is still being worked on. So is what stops
a statement.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gridferry.embedded.answers.call import Peer
from gridferry.embedded.dispatch import TOGETHER
from gridferry.embedded.faults import Faults
from gridferry.errors import RemoteProtocolError
from gridferry.griddb.wire.frame import Frame, FrameReader, Role
from gridferry.griddb.wire.octets import Buffer
from gridferry.griddb.wire.statement import MAX_MESSAGE_BYTES

_log = logging.getLogger(__name__)

_RECEIVE_BYTES = 1 << 20
# Runs of requests of one connection that may wait for their turn; a peer that sends more is not read until one is done.
_WAITING_RUNS = 64
# Who has not logged in may hold little memory, and not for long.
_LONGEST_HELLO = 1 << 16
_HELLO_S = 60.0
_IDLE_S = 3600.0


class Answering(Protocol):
    """What answers the frames of a service. `at_once` are the statements that do not wait for their turn."""

    @property
    def at_once(self) -> frozenset[int]:
        """Statements that the thread that reads answers itself."""

    def answers(self, peer: Peer, frames: Sequence[Frame]) -> list[list[Buffer] | None]:
        """The answer to each: buffers, none of them for no answer; None ends the connection."""

    def cut(self, peer: Peer) -> None:
        """Nothing more comes from the peer: stop what runs for it."""

    def leave(self, peer: Peer) -> None:
        """The connection has ended."""


@dataclass(frozen=True)
class Idle:
    """Limits in seconds: `hello_s` from the beginning of a connection to its login, `silent_s` between two requests."""

    hello_s: float = _HELLO_S
    silent_s: float = _IDLE_S


class PeerConnection:
    """One client."""

    def __init__(
        self,
        sock: socket.socket,
        dispatcher: Answering,
        faults: Faults,
        gone: Callable[[PeerConnection], None],
        *,
        idle: Idle,
    ) -> None:
        self._sock = sock
        self._idle = idle
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)
        self._hello_until = time.monotonic() + idle.hello_s
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._dispatcher = dispatcher
        self._faults = faults
        self._gone = gone
        # What it was reached at is what it tells the peer to reach it at.
        self._peer = Peer(address=(str(sock.getsockname()[0]), int(sock.getsockname()[1])))
        self._sending = threading.Lock()
        self._runs: queue.Queue[list[Frame] | None] = queue.Queue(_WAITING_RUNS)
        self._reader = threading.Thread(target=self._read, name="gridferry-read", daemon=True)
        self._worker = threading.Thread(target=self._work, name="gridferry-work", daemon=True)

    def start(self) -> None:
        """Begin to read and work. Raises: RuntimeError where the system has no thread left; then it is closed."""
        try:
            self._worker.start()
        except RuntimeError:
            self._sock.close()
            raise
        try:
            self._reader.start()
        except RuntimeError:
            self._runs.put(None)  # for the worker, which closes the rest
            raise

    def close(self) -> None:
        """Break the connection; the threads end by themselves."""
        with contextlib.suppress(OSError):  # the peer may have gone first
            self._sock.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait for both threads to end."""
        self._reader.join()
        self._worker.join()

    def _read(self) -> None:
        try:
            self._read_frames()
        except RemoteProtocolError as error:
            _log.warning("a connection is closed: %s", error.message)
        except OSError as error:
            _log.info("a connection broke: %s", error)
        finally:
            self._dispatcher.cut(self._peer)
            self._runs.put(None)

    def _read_frames(self) -> None:
        """Hand on what comes in runs: requests that are done together are one, every other is a run of its own."""
        frames = FrameReader(Role.SERVER, max_body=_LONGEST_HELLO)
        known = False
        while data := self._receive(known):
            # The login was answered before its client sent more, so what was read before is judged as before it.
            if not known and self._peer.logged_in:
                known = True
                frames.allow(MAX_MESSAGE_BYTES)
            frames.receive(data)
            run: list[Frame] = []
            while (frame := frames.next_frame()) is not None:
                if frame.statement in self._dispatcher.at_once:
                    if not self._answer([frame]):
                        self.close()
                        return
                elif _joins(run, frame):
                    run.append(frame)
                else:
                    self._hand_on(run)
                    run = [frame]
            self._hand_on(run)

    def _receive(self, known: bool) -> bytes:
        """What comes next; b"" at the end, and when nothing comes for too long."""
        limit = self._idle.silent_s if known else self._hello_until - time.monotonic()
        # Not settimeout(): it would hold for what the other thread sends as well.
        if self._readable.poll(1000.0 * max(0.0, limit)):
            return self._sock.recv(_RECEIVE_BYTES if known else _LONGEST_HELLO)
        _log.info("a connection is closed: %s", "it was silent for too long" if known else "nobody logged in")
        self.close()
        return b""

    def _hand_on(self, run: list[Frame]) -> None:
        if run:
            self._runs.put(run)

    def _work(self) -> None:
        broken = False
        ahead: list[Frame] | None = []
        while ahead is not None and (run := ahead or self._runs.get()) is not None:
            run, ahead = self._with_waiting(run)
            # After a break the rest is only taken off the queue, so that the reader can end.
            if broken:
                continue
            try:
                broken = not self._answer_run(run)
            except OSError as error:
                _log.info("a connection broke: %s", error)
                broken = True
            if broken:
                self.close()
        self._dispatcher.leave(self._peer)
        self._sock.close()
        self._gone(self)

    def _with_waiting(self, run: list[Frame]) -> tuple[list[Frame], list[Frame] | None]:
        """A run with those behind it that are done together with it, and what was taken that is not: None the end."""
        run = list(run)
        while run[-1].statement in TOGETHER:
            try:
                following = self._runs.get_nowait()
            except queue.Empty:
                break
            if following is None or not _joins(run, following[0]):
                return run, following
            run += following
        return run, []

    def _answer_run(self, run: list[Frame]) -> bool:
        """As `_answer`; one by one where faults count statements."""
        if self._faults.by_statement:
            return all(self._answer([frame]) for frame in run)
        return self._answer(run)

    def _answer(self, run: Sequence[Frame]) -> bool:
        """Execute statements and send the answers; False ends the connection."""
        statement = run[0].statement
        if self._faults.on_statement is not None:
            self._faults.on_statement(statement)
        replies = self._dispatcher.answers(self._peer, run)
        if any(reply is None for reply in replies) or self._faults.cut_at(statement):
            return False
        self._faults.hold(statement)
        if self._faults.stall:
            return True
        return self._send([part for reply in replies for part in reply or ()])

    def _send(self, reply: Sequence[Buffer]) -> bool:
        data = b"".join(reply)
        if not data:
            return True
        allowed = self._faults.cut_within(len(data))
        with self._sending:
            self._sock.sendall(data if allowed is None else data[:allowed])
        return allowed is None


def _joins(run: Sequence[Frame], frame: Frame) -> bool:
    """Whether a request is done together with those right before it."""
    return not run or (frame.statement in TOGETHER and run[0].statement == frame.statement)
