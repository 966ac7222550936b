"""The crew: all jobs, the first error, an end for every worker."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from gridferry.engine.workers import Crew, Stopped, at_most, default_workers
from gridferry.errors import NoSessionFree


class Workers:
    """Opened and closed workers, counted."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.lock = threading.Lock()

    def open(self) -> object:
        with self.lock:
            self.opened += 1
        return object()

    def close(self, worker: object) -> None:
        with self.lock:
            self.closed += 1


def use(worker: Callable[[], object]) -> None:
    worker()


def run(crew: Crew, jobs: list[int], work: Callable[[int], None], workers: Workers, **more: Callable[[], None]) -> None:
    def working(job: int, worker: Callable[[], object]) -> None:
        worker()
        work(job)

    crew.run(jobs, work=working, open_worker=workers.open, close_worker=workers.close, **more)


def test_every_job_is_done_once_by_no_more_workers_than_there_are() -> None:
    done: list[int] = []
    workers = Workers()
    run(Crew(3), list(range(50)), done.append, workers)
    assert sorted(done) == list(range(50))
    assert 1 <= workers.opened <= 3
    assert workers.closed == workers.opened


def test_without_jobs_only_what_runs_meanwhile_is_done() -> None:
    done: list[str] = []
    workers = Workers()
    run(Crew(3), [], lambda _: None, workers, meanwhile=lambda: done.append("meanwhile"))
    assert done == ["meanwhile"]
    assert workers.opened == 0


def test_the_first_error_is_raised_and_the_others_stop() -> None:
    crew, workers = Crew(2), Workers()
    both = threading.Barrier(2)

    def work(job: int) -> None:
        both.wait()
        if job == 0:
            raise ValueError("first")
        while True:
            crew.check()
            threading.Event().wait(0.001)

    with pytest.raises(ValueError, match="first"):
        run(crew, list(range(100)), work, workers)
    assert workers.closed == workers.opened == 2
    with pytest.raises(Stopped):
        crew.check()


def test_an_error_while_the_workers_work_stops_them() -> None:
    crew, workers = Crew(2), Workers()
    begun = threading.Event()

    def work(job: int) -> None:
        begun.set()
        while True:
            crew.check()
            threading.Event().wait(0.001)

    def meanwhile() -> None:
        begun.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(crew, [1, 2, 3], work, workers, meanwhile=meanwhile)
    assert workers.closed == workers.opened


def test_a_worker_that_cannot_be_opened_is_the_error() -> None:
    def refuse() -> object:
        raise OSError("no reader")

    with pytest.raises(OSError, match="no reader"):
        Crew(2).run([1, 2], work=lambda _, worker: use(worker), open_worker=refuse, close_worker=lambda _: None)


def test_a_worker_that_cannot_be_closed_is_the_error_unless_there_was_one_before() -> None:
    def refuse(worker: object) -> None:
        raise OSError("not closed")

    with pytest.raises(OSError, match="not closed"):
        Crew(1).run([1], work=lambda _, worker: use(worker), open_worker=object, close_worker=refuse)

    def fail(_: int, worker: Callable[[], object]) -> None:
        worker()
        raise ValueError("the work")

    with pytest.raises(ValueError, match="the work"):
        Crew(1).run([1], work=fail, open_worker=object, close_worker=refuse)


def test_there_are_always_two_workers_or_more_and_never_many() -> None:
    assert 2 <= default_workers() <= 8


class Places(Workers):
    """No more than so many workers at a time; a worker beyond that is refused."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.places = places
        self.refused = threading.Event()

    def open(self) -> object:
        if self.opened - self.closed >= self.places:
            self.refused.set()
            raise NoSessionFree("too many connections for role")
        return super().open()


def test_a_worker_without_a_place_gives_its_job_back_and_it_is_told_once() -> None:
    done: list[int] = []
    told: list[str] = []
    workers = Places(1)

    def work(job: int) -> None:
        assert workers.refused.wait(10)
        done.append(job)

    run(Crew(4, fewer=lambda error: told.append(error.message)), list(range(30)), work, workers)
    assert sorted(done) == list(range(30))
    assert workers.opened == workers.closed
    assert told == ["too many connections for role"]


def test_where_no_worker_has_a_place_the_run_ends_with_that() -> None:
    workers = Places(0)
    with pytest.raises(NoSessionFree):
        run(Crew(3), list(range(9)), lambda _: None, workers)


def test_at_most_holds_inside_and_not_after() -> None:
    usual = default_workers()
    with at_most(1):
        assert default_workers() == 1
        with at_most(None):
            assert default_workers() == 1
    assert default_workers() == usual
