"""A bounded crew of threads over a list of jobs: the first error stops all, and is the one that is raised.

Blocking I/O and threads only: the heavy work (COPY, numpy, Arrow, sockets) runs outside Python's lock, and one
concurrency mode is enough to understand (docs/adr/0003).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import TypeVar

from gridferry.errors import FerryError, NoSessionFree

J = TypeVar("J")
W = TypeVar("W")
_MAX_WORKERS = 8
_PATIENCE_AFTER_INTERRUPT_S = 10.0
_TRIES_ALONE = 3  # to open the only worker; each waits a few seconds by itself
_most: ContextVar[int | None] = ContextVar("most_workers", default=None)


def default_workers() -> int:
    """As many workers as there are processors to use, eight at the most: more only wait for the server.

    Inside `at_most`, as many as that says.
    """
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:
        available = os.cpu_count() or 1
    most = _most.get()
    usual = max(2, min(_MAX_WORKERS, available))
    return usual if most is None else most


@contextmanager
def at_most(workers: int | None) -> Iterator[None]:
    """Let `default_workers` say no more than this inside the block, in this thread. None: as it is."""
    token = _most.set(workers if workers is not None else _most.get())
    try:
        yield
    finally:
        _most.reset(token)


class _NoWorker(FerryError):
    """Carries `NoSessionFree` from the opening of a worker out of the job that asked for it."""


class Stopped(FerryError):
    """Raised inside a worker when the crew was asked to stop; never seen outside."""


class Crew:
    """Threads that take jobs from a queue. `open_worker` makes what a thread needs; it is called in that thread.

    Where there is no place for the session of one more worker, its job goes back and the others go on without it.
    """

    def __init__(self, count: int, *, fewer: Callable[[NoSessionFree], None] = lambda _: None) -> None:
        """Args: fewer: is called, once a run, where there are fewer workers than `count`, and why."""
        self._count = count
        self._fewer = fewer
        self._told = False
        self._at_work = 0  # threads that have a worker, or are about to open one
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raises: Stopped if the crew was asked to stop. Long jobs call this between their steps."""
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
        self._at_work, self._told = len(threads), False
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
                try:
                    opened.append(open_worker())
                except NoSessionFree as error:
                    raise _NoWorker(error.message) from error
            return opened[0]

        try:
            while not self._stop.is_set():
                # Under one lock with the giving back of a job: it comes while another is still there to take it, or
                # is kept by who has it.
                with self._lock:
                    try:
                        job = queue.get_nowait()
                    except Empty:
                        self._at_work -= 1
                        return
                if not self._do(job, work, worker, queue):
                    return
        except BaseException as error:
            self._fail(error)
        finally:
            self._close(opened, close_worker)

    def _do(
        self,
        job: J,
        work: Callable[[J, Callable[[], W]], None],
        worker: Callable[[], W],
        queue: SimpleQueue[J],
    ) -> bool:
        """Do a job. Returns: False if it was given back, because there is no place for this thread's session.

        Raises: what the job raises; NoSessionFree if nobody is left to give it back to.
        """
        for left in reversed(range(_TRIES_ALONE)):
            try:
                work(job, worker)
            except _NoWorker as error:
                refused = error.__cause__
                if not isinstance(refused, NoSessionFree):
                    raise
                with self._lock:
                    if self._at_work > 1:
                        self._at_work -= 1
                        queue.put(job)
                        told, self._told = self._told, True
                        if not told:
                            self._fewer(refused)
                        return False
                if not left:
                    raise refused from None
            else:
                return True
            self.check()
        return True

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
