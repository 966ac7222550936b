"""A port of the emulator: takes connections for one service, until it is closed."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading

from gridferry.embedded.faults import Faults
from gridferry.embedded.peer_connection import Answering, Idle, PeerConnection
from gridferry.errors import ConfigError

_log = logging.getLogger(__name__)

# What keeps a connection from being taken passes when another one ends; until then it waits in the system's queue.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED})
_PAUSE_S = 0.2


class Listener:
    """Listens at once; `start` takes connections. Close it, then join it.

    Raises: ConfigError where the address cannot be used; `option` is what chooses another port.
    """

    def __init__(
        self, bound: tuple[str, int], dispatcher: Answering, faults: Faults, *, idle: Idle, option: str
    ) -> None:
        self._dispatcher = dispatcher
        self._faults = faults
        self._idle = idle
        self._connections: set[PeerConnection] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._ended = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(bound)
            self._socket.listen(128)
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise ConfigError(
                f"cannot listen on {bound[0]}:{bound[1]}: {error}",
                next_step=f"choose another {option}, or stop what uses this one",
            ) from error
        self.bound = (str(self._socket.getsockname()[0]), int(self._socket.getsockname()[1]))
        self._accepting = threading.Thread(target=self._accept, name="gridferry-accept", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host (IPv4) and port that clients reach it at."""
        host, port = self.bound
        # A server on all addresses is reached at this machine's own.
        return ("127.0.0.1" if host == "0.0.0.0" else host, port)  # noqa: S104 - compared, not bound

    def start(self) -> None:
        """Take connections."""
        self._accepting.start()

    def _accept(self) -> None:
        waiting = False
        while True:
            try:
                sock, _ = self._socket.accept()
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
            connection = PeerConnection(sock, self._dispatcher, self._faults, self._gone, idle=self._idle)
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

    def _gone(self, connection: PeerConnection) -> None:
        with self._lock:
            self._connections.discard(connection)

    def close(self) -> list[PeerConnection]:
        """Take no more connections, and break those that there are. Returns them, to be joined."""
        with self._lock:
            self._stopping = True
            self._ended.set()
            connections = list(self._connections)
        with contextlib.suppress(OSError):  # not connected: that is how a listener that waits is woken
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._accepting.ident is not None:
            self._accepting.join()
        for connection in connections:
            connection.close()
        return connections
