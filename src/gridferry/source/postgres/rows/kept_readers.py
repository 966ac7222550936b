"""Readers of one snapshot that wait for the next who has something to read: a session costs more than a small table."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from gridferry.source.postgres.rows.reader import Reader

R = TypeVar("R", bound=Reader)


class KeptReaders(Generic[R]):
    """Readers that nobody uses now. Safe for use by several threads; closed, it keeps none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[R] = []
        self._closed = False

    def take(self) -> R | None:
        """A reader, for its own use; None where none waits."""
        with self._lock:
            return self._waiting.pop() if self._waiting else None

    def give(self, reader: R) -> None:
        """Keep a reader that was used; one that did not end its last answer is closed."""
        with self._lock:
            kept = reader.is_free and not self._closed
            if kept:
                self._waiting.append(reader)
        if not kept:
            reader.close()

    def close(self) -> None:
        """Close all that wait; those in use are closed when they are given back."""
        with self._lock:
            waiting, self._waiting, self._closed = self._waiting, [], True
        for reader in waiting:
            reader.close()
