"""A TCP proxy that breaks all its connections once a number of bytes came back from the server."""

from __future__ import annotations

import contextlib
import socket
import threading

_PIECE = 4096


class CuttingProxy:
    """Listens on `port` of 127.0.0.1; a context. `cut_after` bytes from the server everything is closed, once."""

    def __init__(self, target: tuple[str, int], *, cut_after: int) -> None:
        self._target = target
        self._left = cut_after
        self._armed = True
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    @property
    def was_cut(self) -> bool:
        return not self._armed

    def __enter__(self) -> CuttingProxy:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()
        for thread in self._threads:
            thread.join()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    self._sockets += [client, server]
                self._start(self._forward, client, server, False)
                self._start(self._forward, server, client, True)

    def _forward(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                if counted and self._reached(len(data)):
                    sink.sendall(data[: len(data) // 2])
                    self._cut()
                    return
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _reached(self, size: int) -> bool:
        with self._lock:
            self._left -= size
            reached = self._armed and self._left <= 0
            self._armed = self._armed and not reached
            return reached

    def _cut(self) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in sockets:
            each.close()
