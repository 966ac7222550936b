"""The whole store: one lock, what is in memory, and when it becomes durable.

Like the real server, a write is acknowledged before it is durable: it waits in memory until somebody reads, flushes or
a second has passed, and is then written in one DuckDB transaction with everything else that waits. A crash loses
what waited; it never loses a flushed row, and never leaves half a put of the last transaction.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gridferry.embedded.catalog import Catalog, Container
from gridferry.embedded.duck import FILE_NAME, Duck
from gridferry.embedded.faults import Faults
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.rows import RowStore
from gridferry.embedded.sessions import Sessions
from gridferry.embedded.transactions import Key, Transaction

_log = logging.getLogger(__name__)

PARTITIONS = 128
# What may wait in memory: as much as one transaction writes well, and no more than a crash may take.
_WAITING_ROWS = 262_144
_WAITING_BYTES = 64 << 20
_FLUSHED_NAME = FILE_NAME + ".flushed"


class Database:
    """An open store; `path` is a folder, None keeps it in memory. Thread-safe. Close or kill it in the end.

    Args: `flush_interval_s` None switches the timer off. `lock_timeout_s` is how long a write waits at most for a row
    that another transaction holds, however long its client would wait. `clock` gives seconds that never go back.
    Raises: ConfigError if the folder cannot be used.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        faults: Faults | None = None,
        flush_interval_s: float | None = 1.0,
        lock_timeout_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.faults = faults if faults is not None else Faults()
        self.clock = clock
        self.lock_timeout_s = lock_timeout_s
        self.lock = threading.RLock()
        # Told whenever a transaction may have ended.
        self._released = threading.Condition(self.lock)
        self._patience = threading.local()
        self._path = path
        if path is not None:
            _restore_flushed(path)
        self.duck = Duck(path)
        self.catalog = Catalog()
        self.rows = RowStore(self.duck)
        self.sessions = Sessions()
        self.catalog.load(self.duck)
        self.rows.recall(self.catalog.containers)
        if self.faults.lose_unflushed:
            self.flush()
        self._stopping = threading.Event()
        self._timer: threading.Thread | None = None
        if flush_interval_s is not None:
            self._timer = threading.Thread(
                target=self._tick, args=(flush_interval_s,), name="gridferry-flush", daemon=True
            )
            self._timer.start()

    # durability

    def settle(self) -> None:
        """Write what waits in memory. Raises: Refusal if the disk refuses; then it still waits."""
        with self.lock:
            if self.rows.dirty or self.catalog.dirty:
                with self.writing():
                    pass

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One DuckDB transaction: everything that waits, then the block. All of it, or nothing."""
        with self.lock:
            try:
                self.faults.check_write()
                with self.duck.transaction():
                    self.rows.write()
                    yield
                    self.catalog.save(self.duck)
            except BaseException:
                self.rows.failed()
                raise
            self.rows.written()
            self.catalog.saved()

    def settle_if_much(self) -> None:
        """Write what waits if it is enough for a good transaction."""
        if self.rows.waiting_rows >= _WAITING_ROWS or self.rows.waiting_bytes >= _WAITING_BYTES:
            self.settle()

    def flush(self) -> None:
        """Make every acknowledged write durable (FLUSH_LOG). Raises: Refusal if that is not possible now."""
        with self.lock:
            self.settle()
            if self.faults.lose_unflushed and self._path is not None:
                self.duck.run("CHECKPOINT")
                # Renamed into place, so that a crash while copying leaves the older copy whole.
                copy = self._path / (_FLUSHED_NAME + ".new")
                shutil.copyfile(self._path / FILE_NAME, copy)
                copy.replace(self._path / _FLUSHED_NAME)

    def _tick(self, interval_s: float) -> None:
        while not self._stopping.wait(interval_s):
            try:
                with self.lock:
                    self.expire_transactions()
                    if not self.faults.lose_unflushed:
                        self.settle()
            except Refusal as refusal:
                # Nothing is lost yet: the rows still wait, and the next put, read or flush will answer with this error.
                _log.warning("%s; what is not written yet stays in memory", refusal)

    def close(self) -> None:
        """Make everything durable and close."""
        self._stop_timer()
        with self.lock:
            try:
                self.flush()
            finally:
                self.duck.close()
        if self._path is not None:
            (self._path / _FLUSHED_NAME).unlink(missing_ok=True)

    def kill(self) -> None:
        """Close as a crash would: what waited in memory is lost."""
        self._stop_timer()
        with self.lock:
            self.duck.close()

    def give_up_waiting(self) -> None:
        """Let every write that waits for a lock fail now: the database is about to be closed."""
        self._stopping.set()
        self.released()

    def _stop_timer(self) -> None:
        self.give_up_waiting()
        if self._timer is not None:
            self._timer.join()

    # transactions

    def expire_transactions(self) -> None:
        """Drop the transactions whose time is over."""
        with self.lock:
            self.sessions.expire(self.clock())
            self._released.notify_all()

    def released(self) -> None:
        """Tell waiting writers that a transaction may have ended."""
        with self.lock:
            self._released.notify_all()

    @contextmanager
    def waiting(self, seconds: float) -> Iterator[None]:
        """A statement of this thread, which waits so long for a lock."""
        self._patience.seconds = seconds
        try:
            yield
        finally:
            del self._patience.seconds

    def wait_for(self, container: Container, keys: set[Key] | None, *, mine: Transaction | None = None) -> bool:
        """Wait until no other transaction holds one of the keys (None: any row). Returns whether one did.

        Raises: 60166, 60157.
        """
        began = self.clock()
        waited = False
        limit = min(self.lock_timeout_s, getattr(self._patience, "seconds", self.lock_timeout_s))
        while self.sessions.holder(container, keys, mine) is not None:
            waited = True
            elapsed = self.clock() - began
            if elapsed >= limit or self._stopping.is_set():
                raise Refusal(
                    Code.DS_CON_LOCK_CONFLICT,
                    f"(pId={container.partition}, containerId={container.id}) : Transaction timed out by lock conflict "
                    f"(elapsedMillis={elapsed * 1000:.0f}, timeoutMillis={limit * 1000:.0f})",
                )
            self._released.wait(min(limit - elapsed, 1.0))
            self.expire_transactions()
        if self.catalog.find(container.database_id, container.partition, container.name) is not container:
            raise Refusal(Code.DS_CONTAINER_UNEXPECTEDLY_REMOVED, f"container {container.name} was removed")
        return waited


def _restore_flushed(path: Path) -> None:
    """Go back to the last flush, if a server that forgets unflushed writes was killed here."""
    flushed = path / _FLUSHED_NAME
    if flushed.exists():
        (path / (FILE_NAME + ".wal")).unlink(missing_ok=True)
        flushed.replace(path / FILE_NAME)
