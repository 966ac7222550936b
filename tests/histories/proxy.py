"""A TCP proxy with weather: after so many bytes the connections are cut, stand still for a moment, or come in bits."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE = 1 << 16
_BITS = 4000  # so many bytes come in bits
STALL_S = 0.4


class Weather:
    """`name`: cut, stall or split; it comes after `after` bytes of both directions. `split`: bytes of a bit."""

    def __init__(self, name: str, *, after: int, split: int = 1) -> None:
        self.name = name
        self.came = False
        self._split = split
        self._left = after
        self._bits = _BITS
        self._lock = threading.Lock()

    def pieces(self, data: bytes) -> Iterator[bytes | None]:
        """What of `data` is passed on, in turn; None: the connections are cut."""
        with self._lock:
            before = min(self._left, len(data))
            self._left -= before
            came, due = self.came, self._left == 0 and before < len(data)
            self.came = came or due
            bits = min(self._bits, len(data)) if due and self.name == "split" else 0
            self._bits -= bits
        if not due:
            yield data
        elif self.name == "split":
            for start in range(0, bits, self._split):
                yield data[start : min(start + self._split, bits)]
            yield data[bits:]
        elif came:
            yield data
        else:
            yield data[:before]
            if self.name == "cut":
                yield None
                return
            time.sleep(STALL_S)
            yield data[before:]


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes on to `target`."""

    def __init__(self, target: tuple[str, int], weather: Weather) -> None:
        self._target = target
        self._weather = weather
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self._cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:  # nobody listens there at the moment
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            for pair in ((client, server), (server, client)):
                thread = threading.Thread(target=self._pass, args=pair, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the other direction has ended
            while data := source.recv(_PIECE):
                for piece in self._weather.pieces(data):
                    if piece is None:
                        self._cut()
                        return
                    sink.sendall(piece)
        _shut(source, sink)

    def _cut(self) -> None:
        with self._lock:
            sockets, self._open = self._open, set()
        _shut(*sockets)
        for each in sockets:
            each.close()


def _shut(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(target: tuple[str, int], weather: Weather) -> Iterator[int]:
    """The port of a running proxy."""
    proxy = Proxy(target, weather)
    try:
        yield proxy.port
    finally:
        proxy.stop()
