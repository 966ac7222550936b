"""A signal at the worst moment: a process has been started, and nobody knows of it yet."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gridferry.demo.servers import LocalGridDB
from gridferry.local.interrupts import held, undisturbed
from gridferry.local.postgres import LocalPostgres

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Heard(BaseException):
    pass


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    def hear(number: int, _: Any) -> None:
        raise Heard(number)

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_held_it_is_heard_at_the_end(number: signal.Signals) -> None:
    done = []

    def work() -> None:
        with held():
            signal.raise_signal(number)
            done.append("what stands after it")

    with pytest.raises(Heard) as caught:
        work()
    assert caught.value.args == (number,)
    assert done == ["what stands after it"]


def test_an_error_inside_does_not_swallow_it() -> None:
    def fail() -> None:
        with held():
            signal.raise_signal(signal.SIGTERM)
            raise ValueError

    with pytest.raises(Heard) as caught:
        fail()
    assert isinstance(caught.value.__context__, ValueError)


def test_without_a_signal_nothing_happens_and_handlers_are_as_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with held():
        pass
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_undisturbed_it_is_ignored(number: signal.Signals) -> None:
    with undisturbed():
        signal.raise_signal(number)
    with pytest.raises(Heard):
        signal.raise_signal(number)


@pytest.mark.parametrize("kept_out", [held, undisturbed])
def test_another_thread_hears_no_signals_and_changes_no_handlers(kept_out: Callable[[], Any]) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen: list[Any] = []

    def work() -> None:
        with kept_out():
            seen.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before


def start_postgres(folder: Path) -> None:
    with LocalPostgres(folder / "postgres"):
        pytest.fail("the signal was not heard")


def start_griddb(folder: Path) -> None:
    with LocalGridDB(folder):
        pytest.fail("the signal was not heard")


@pytest.mark.parametrize("start", [start_postgres, start_griddb])
def test_a_process_that_was_just_started_is_ended(
    monkeypatch: pytest.MonkeyPatch, start: Callable[[Path], None]
) -> None:
    real, pids = subprocess.Popen, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        process = real(*arguments, **options)
        pids.append(process.pid)
        if "initdb" not in str(arguments[0][0]):
            signal.raise_signal(signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with tempfile.TemporaryDirectory(prefix="interrupt-") as name:
        Path(name).chmod(0o755)  # as root PostgreSQL runs as another user, who has to pass through
        with pytest.raises(Heard):
            start(Path(name))
    assert pids
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
