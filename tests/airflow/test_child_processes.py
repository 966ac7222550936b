"""What processes leave behind is found by session and by parent, and ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from tests.airflow.live import is_alive

from gridferry.airflow.child_processes import ChildProcesses

# As Airflow does it: a task has a group of its own, is deaf, and has a process in another session.
PARENT = """
import os, signal, subprocess, sys, time
if os.fork() == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    other = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    print(os.getpid(), other.pid, flush=True)
    time.sleep(3600)
time.sleep(3600)
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


def family_of(parent: subprocess.Popen[str]) -> list[psutil.Process]:
    assert parent.stdout is not None
    return [psutil.Process(parent.pid), *(psutil.Process(int(pid)) for pid in parent.stdout.readline().split())]


def test_all_are_ended(parent: subprocess.Popen[str]) -> None:
    family = family_of(parent)
    ChildProcesses([parent.pid]).end()
    assert [process for process in family if is_alive(process)] == []


def test_orphans_are_ended_too(parent: subprocess.Popen[str]) -> None:
    _, *orphans = family_of(parent)
    offspring = ChildProcesses([parent.pid])
    offspring.look()
    parent.kill()
    parent.wait()
    assert [is_alive(orphan) for orphan in orphans] == [True, True]
    assert offspring.look() == set(orphans)
    offspring.end()
    assert [is_alive(orphan) for orphan in orphans] == [False, False]


def test_what_is_not_theirs_is_left_alone(parent: subprocess.Popen[str]) -> None:
    family = family_of(parent)
    with subprocess.Popen(["sleep", "3600"], start_new_session=True) as other:
        ChildProcesses([other.pid]).end()
        assert all(is_alive(process) for process in family)
    ChildProcesses([parent.pid]).end()
    assert ChildProcesses([parent.pid]).look() == set()
