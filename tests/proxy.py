"""A small TCP proxy between the two ends of a test; what happens to the bytes on their way is the line's affair."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

_PIECE = 1 << 16


class Line(Protocol):
    """What becomes of the bytes that pass."""

    def pieces(self, data: bytes, *, up: bool) -> Iterator[bytes | None]:
        """What of `data` is passed on, in turn; None: the line is cut. `up`: on the way to the server."""
        ...


@dataclass
class Switches:
    """A line that is cut, or slow, as its switches stand. They may be moved while it runs.

    `cut_up` and `cut_down` are bytes that still pass to the server, or to the client, before the line is cut; None for
    all. They count over all connections, and a cut happens once. `piece`: so many bytes are sent at once.
    """

    cut_up: int | None = None
    cut_down: int | None = None
    piece: int = _PIECE
    cuts: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def pieces(self, data: bytes, *, up: bool) -> Iterator[bytes | None]:
        passing = self._allowed("cut_up" if up else "cut_down", len(data))
        piece = self.piece
        for start in range(0, passing, piece):
            yield data[start : min(start + piece, passing)]
        if passing < len(data):
            yield None

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


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes on to `target`, over a line.

    A cut ends the connection that it happens on, or with `cuts_all` every one that is open. While `refuse` is set, who
    comes is hung up on.
    """

    def __init__(self, target: tuple[str, int], line: Line, *, cuts_all: bool = False) -> None:
        self.refuse = False
        self._target = target
        self._line = line
        self._cuts_all = cuts_all
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return self.address[1]

    def stop(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):  # on some systems a listener cannot be shut down, only closed
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self._end(self._open.copy())
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:  # nobody listens there at the moment
                client.close()
                continue
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            for source, sink, up in ((client, server, True), (server, client, False)):
                thread = threading.Thread(target=self._pass, args=(source, sink, up), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):  # the other direction has ended
            while data := source.recv(_PIECE):
                for piece in self._line.pieces(data, up=up):
                    if piece is None:
                        # The others first: who sees its own connection end finds that they have ended, too.
                        if self._cuts_all:
                            self._end(self._open - {source, sink})
                        self._end({source, sink})
                        return
                    sink.sendall(piece)
        self._end({source, sink})

    def _end(self, sockets: set[socket.socket]) -> None:
        """Shut them down first, so that threads that wait on them wake, then close what nobody closed yet."""
        for each in sockets:
            with contextlib.suppress(OSError):  # it may have ended by itself
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            ours = sockets & self._open
            self._open -= ours
        for each in ours:
            each.close()


@contextmanager
def proxy_to(target: tuple[str, int], line: Line, *, cuts_all: bool = False) -> Iterator[Proxy]:
    """A running proxy."""
    proxy = Proxy(target, line, cuts_all=cuts_all)
    try:
        yield proxy
    finally:
        proxy.stop()
