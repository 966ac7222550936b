"""A bounded crew of threads over a list of jobs: the first error stops all, and is the one that is raised.

Blocking I/O and threads only: the heavy work (COPY, numpy, Arrow, sockets) runs outside Python's lock, and one
concurrency mode is enough to understand (docs/adr/0003).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import TypeVar

from gridferry.errors import FerryError

J = TypeVar("J")
W = TypeVar("W")
_MAX_WORKERS = 8
_PATIENCE_AFTER_INTERRUPT_S = 10.0


def default_workers() -> int:
    """As many workers as there are processors to use, eight at the most: more only wait for the server."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:
        available = os.cpu_count() or 1
    return max(2, min(_MAX_WORKERS, available))


class Stopped(FerryError):
    """Raised inside a worker when the crew was told to stop; never seen outside."""


class Crew:
    """Threads that take jobs from a queue. `open_worker` makes what a thread needs; it is called in that thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raises: Stopped if the crew was told to stop. Long jobs call this between their steps."""
        if self._stop.is_set():
            raise Stopped("stopped")

    def run(
        self,
        jobs: Iterable[J],
        *,
        work: Callable[[J, Callable[[], W]], None],
        open_worker: Callable[[], W],
        close_worker: Callable[[W], None],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Do all jobs; `meanwhile` runs in the calling thread. Raises: the first error of a job or of `meanwhile`.

        `work` gets a job and a function that gives the thread's worker, opened when it is first asked for.
        """
        queue: SimpleQueue[J] = SimpleQueue()
        for job in jobs:
            queue.put(job)
        threads = [
            threading.Thread(
                target=self._thread, args=(queue, work, open_worker, close_worker), name=f"worker {i}", daemon=True
            )
            for i in range(min(self._count, queue.qsize()))
        ]
        for thread in threads:
            thread.start()
        try:
            meanwhile()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)  # short waits, so that Ctrl-C is heard
        except BaseException as error:
            self._fail(error)
        finally:
            self._stop_and_wait(threads)
        if self._error is not None:
            raise self._error

    def _stop_and_wait(self, threads: list[threading.Thread]) -> None:
        if self._error is not None:
            self._stop.set()
        # After Ctrl-C a worker may still wait for a server that is gone: nothing depends on its end.
        interrupted = self._error is not None and not isinstance(self._error, Exception)
        for thread in threads:
            thread.join(_PATIENCE_AFTER_INTERRUPT_S if interrupted else None)

    def _thread(
        self,
        queue: SimpleQueue[J],
        work: Callable[[J, Callable[[], W]], None],
        open_worker: Callable[[], W],
        close_worker: Callable[[W], None],
    ) -> None:
        opened: list[W] = []

        def worker() -> W:
            if not opened:
                opened.append(open_worker())
            return opened[0]

        try:
            while not self._stop.is_set():
                try:
                    job = queue.get_nowait()
                except Empty:
                    return
                work(job, worker)
        except BaseException as error:
            self._fail(error)
        finally:
            self._close(opened, close_worker)

    def _close(self, opened: list[W], close_worker: Callable[[W], None]) -> None:
        try:
            for each in opened:
                close_worker(each)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._error is None and not isinstance(error, Stopped):
                self._error = error
            self._stop.set()
