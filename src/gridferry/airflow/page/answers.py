"""Answers of a database that may be slow or away: asked once, waited for a little while, and kept for seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Generic, TypeVar

KEEP_S = 10.0
# An answer that came too late for all who asked; the page asks again after 30 seconds, and finds it.
KEEP_LATE_S = 40.0
WAIT_S = 5.0
# For each of two kinds of answers: what the state tells, and what containers hold now.
AT_ONCE = 2  # sessions at targets at the same time
MOST_WAITING = 4  # threads of the API server, which has other work to do, that wait at the same time

T = TypeVar("T")


class StillAsking(Exception):
    """There is no answer yet; it is being waited for, and a later call may have it."""


@dataclass
class _Entry(Generic[T]):
    future: Future[T]
    asked: float
    until: float | None = None  # when an answer that is there gets too old


class Answers(Generic[T]):
    """Answers by key. An error is an answer too, and is kept as long, so that a dead server is not asked on and on."""

    def __init__(
        self,
        *,
        keep_s: float = KEEP_S,
        keep_late_s: float = KEEP_LATE_S,
        wait_s: float = WAIT_S,
        at_once: int = AT_ONCE,
        most_waiting: int = MOST_WAITING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep_s, self._keep_late_s, self._wait_s, self._clock = keep_s, keep_late_s, wait_s, clock
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(most_waiting)
        self._asking = ThreadPoolExecutor(at_once, thread_name_prefix="gridferry-parity")
        self._entries: dict[Hashable, _Entry[T]] = {}

    def get(self, key: Hashable, ask: Callable[[], T]) -> T:
        """The answer to `ask`, or the one that is there. Raises: StillAsking; what `ask` raises."""
        future = self._entry(key, ask).future
        if future.done():
            return future.result()
        if not self._waiting.acquire(blocking=False):
            raise StillAsking
        try:
            return future.result(self._wait_s)
        except FutureTimeout:
            if future.done():  # the error is the answer's own
                raise
            raise StillAsking from None
        finally:
            self._waiting.release()

    def close(self) -> None:
        """Let what is under way end, and ask no more."""
        self._asking.shutdown(wait=True, cancel_futures=True)

    def _entry(self, key: Hashable, ask: Callable[[], T]) -> _Entry[T]:
        with self._lock:
            now = self._clock()
            for old in [k for k, e in self._entries.items() if e.until is not None and e.until <= now]:
                del self._entries[old]
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry(self._asking.submit(ask), now)
                added = entry
            else:
                return entry
        # Outside the lock: of a future that has ended already it is called here and now.
        added.future.add_done_callback(lambda _: self._answered(added))
        return added

    def _answered(self, entry: _Entry[T]) -> None:
        with self._lock:
            now = self._clock()
            # A failure is not kept for longer: what was away may be back.
            late = now - entry.asked > self._wait_s and not entry.future.cancelled() and not entry.future.exception()
            entry.until = now + (self._keep_late_s if late else self._keep_s)
