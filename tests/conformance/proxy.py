"""A small TCP proxy that cuts, stalls and slows what passes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """Passes bytes on to `target`. The switches may be moved while it runs.

    `cut_up` and `cut_down` are bytes that still pass to the server, or to the client, before the connection is cut;
    None for all. They count over all connections, and a cut happens once.
    """

    target: tuple[str, int]
    cut_up: int | None = None
    cut_down: int | None = None
    refuse: bool = False
    piece: int = 1 << 16
    cuts: int = 0
    accepted: int = 0
    open: set[socket.socket] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):  # on some systems a listener cannot be shut down, only closed
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self.open):
            _shut(sock)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.refuse:
                client.close()
                continue
            server = socket.create_connection(self.target)
            self.open |= {client, server}
            pair = [
                threading.Thread(target=self._pass, args=(client, server, "cut_up")),
                threading.Thread(target=self._pass, args=(server, client, "cut_down")),
            ]
            self._threads += pair
            for thread in pair:
                thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, switch: str) -> None:
        with contextlib.suppress(OSError):  # the other direction was cut
            while data := source.recv(self.piece):
                passing = self._allowed(switch, len(data))
                sink.sendall(data[:passing])
                if passing < len(data):
                    break
        for sock in (source, sink):
            _shut(sock)
            self.open.discard(sock)

    def _allowed(self, switch: str, size: int) -> int:
        with self._lock:
            left: int | None = getattr(self, switch)
            if left is None:
                return size
            if size <= left:
                setattr(self, switch, left - size)
                return size
            setattr(self, switch, None)
            self.cuts += 1
            return left


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may have ended by itself
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


@contextmanager
def proxy_to(target: tuple[str, int]) -> Iterator[Proxy]:
    """A running proxy."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.stop()
