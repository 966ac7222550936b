"""The emulator's sockets: it listens, and gives each connection two threads.

One thread reads and answers CONNECT at once, which is how clients ask whether a long statement is still being worked
on; the other executes statements in the order they came.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import queue
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gridferry.embedded.answers.call import Node, Peer
from gridferry.embedded.database import Database
from gridferry.embedded.dispatch import TOGETHER, Dispatcher
from gridferry.embedded.faults import Faults
from gridferry.errors import ConfigError, RemoteProtocolError
from gridferry.griddb.wire.frame import Frame, FrameReader, Role
from gridferry.griddb.wire.octets import Buffer
from gridferry.griddb.wire.statement import MAX_MESSAGE_BYTES, Statement

_log = logging.getLogger(__name__)

_RECEIVE_BYTES = 1 << 20
# Runs of requests of one connection that may wait for their turn; a peer that sends more is not read until one is done.
_WAITING_RUNS = 64
# What keeps a connection from being taken passes when another one ends; until then it waits in the system's queue.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED})
_PAUSE_S = 0.2
# Who has not logged in may hold little memory, and not for long.
_LONGEST_HELLO = 1 << 16
_HELLO_S = 60.0
_IDLE_S = 3600.0


def password_digest(password: str) -> str:
    """The digest that a login sends: lowercase hex SHA-256."""
    return hashlib.sha256(password.encode()).hexdigest()


def serve(
    host: str = "127.0.0.1",
    port: int = 10001,
    *,
    path: Path | None = None,
    user: str = "admin",
    password: str = "admin",  # noqa: S107 - GridDB's own default, for a development server
    users: dict[str, str] | None = None,
    cluster: str = "myCluster",
    faults: Faults | None = None,
    flush_interval_s: float | None = 1.0,
    lock_timeout_s: float = 300.0,
    idle: Idle | None = None,
) -> Server:
    """A started server. `users` (name -> password digest) replaces `user` and `password`. Stop it in the end.

    Args: port 0 takes a free one; path None keeps everything in memory; idle: how long connections may say nothing.
    Raises: ConfigError if the address or the folder cannot be used.
    """
    known = users if users is not None else {user: password_digest(password)}
    faults = faults if faults is not None else Faults()
    database = Database(path, faults=faults, flush_interval_s=flush_interval_s, lock_timeout_s=lock_timeout_s)
    server = Server(database, host=host, port=port, users=known, cluster=cluster, idle=idle or Idle())
    try:
        server.start()
    except ConfigError:
        database.close()
        raise
    return server


@dataclass(frozen=True)
class Idle:
    """Limits in seconds: `hello_s` from the beginning of a connection to its login, `silent_s` between two requests."""

    hello_s: float = _HELLO_S
    silent_s: float = _IDLE_S


class Server:
    """A GridDB-protocol server over one database, which it closes when it stops."""

    def __init__(
        self, database: Database, *, host: str, port: int, users: dict[str, str], cluster: str, idle: Idle
    ) -> None:
        self.database = database
        self._idle = idle
        self.cluster = cluster
        self._bound = (host, port)
        self._dispatcher = Dispatcher(database, Node(cluster, users))
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self._connections: set[_Connection] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._ended = threading.Event()

    @property
    def faults(self) -> Faults:
        """The switches of this server."""
        return self.database.faults

    @property
    def address(self) -> tuple[str, int]:
        """Host (IPv4) and port that clients reach it at."""
        host, port = self._bound
        # A server on all addresses is reached at this machine's own.
        return ("127.0.0.1" if host == "0.0.0.0" else host, port)  # noqa: S104 - compared, not bound

    def start(self) -> None:
        """Listen. Raises: ConfigError."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(self._bound)
            listener.listen(128)
        except (OSError, OverflowError) as error:
            listener.close()
            raise ConfigError(
                f"cannot listen on {self._bound[0]}:{self._bound[1]}: {error}",
                next_step="choose another --port, or stop what uses this one",
            ) from error
        self._listener = listener
        self._bound = (str(listener.getsockname()[0]), int(listener.getsockname()[1]))
        self._accepting = threading.Thread(target=self._accept, args=(listener,), name="gridferry-accept", daemon=True)
        self._accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        waiting = False
        while True:
            try:
                sock, _ = listener.accept()
            except OSError as error:
                if self._stopping:
                    return
                if error.errno not in _PASSING:
                    _log.warning("no more connections are taken: %s", error)
                    return
                if not waiting:
                    _log.warning("new connections wait: %s", error)
                waiting = True
                self._ended.wait(_PAUSE_S)
                continue
            waiting = False
            connection = _Connection(sock, self._dispatcher, self.faults, self._gone, idle=self._idle)
            with self._lock:
                if self._stopping:
                    connection.close()
                    return
                self._connections.add(connection)
            try:
                connection.start()
            except RuntimeError as error:
                _log.warning("a connection is not taken: %s", error)
                self._gone(connection)

    def _gone(self, connection: _Connection) -> None:
        with self._lock:
            self._connections.discard(connection)

    def stop(self) -> None:
        """End all connections, make everything durable, and close. A second call does nothing."""
        if self._disconnect():
            self.database.close()

    def kill(self) -> None:
        """End as a crash would: connections break, and what was not written is lost."""
        if self._disconnect():
            self.database.kill()

    def _disconnect(self) -> bool:
        with self._lock:
            if self._stopping:
                return False
            self._stopping = True
            self._ended.set()
            connections = list(self._connections)
        if self._listener is not None:
            with contextlib.suppress(OSError):  # not connected: that is how a listener that waits is woken
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        if self._accepting is not None:
            self._accepting.join()
        for connection in connections:
            connection.close()
        self.database.give_up_waiting()
        for connection in connections:
            connection.join()
        return True


class _Connection:
    """One client."""

    def __init__(
        self,
        sock: socket.socket,
        dispatcher: Dispatcher,
        faults: Faults,
        gone: Callable[[_Connection], None],
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
                if frame.statement == Statement.CONNECT:
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
        allowed = self._faults.cut_within(len(data))
        with self._sending:
            self._sock.sendall(data if allowed is None else data[:allowed])
        return allowed is None


def _joins(run: Sequence[Frame], frame: Frame) -> bool:
    """Whether a request is done together with those right before it."""
    return not run or (frame.statement in TOGETHER and run[0].statement == frame.statement)
