"""Where the benchmark reads from and writes to, each server a process of its own so that its CPU time is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import ROOT, listener
from tests.oracle.servers import named_server

from gridferry.checkpoint.state import TargetState
from gridferry.griddb import GridDBAddress, Store, connect, parse_address
from gridferry.model.migration import DatabaseOrigin, MigrationEntry

PREFIX = "bench_"
"""Every container of the benchmark's own begins so."""


@dataclass(frozen=True)
class Target:
    """A GridDB server. `pid` is None where its process cannot be seen."""

    name: str
    url: str
    password: str = field(repr=False)
    pid: int | None

    @property
    def address(self) -> GridDBAddress:
        """The address, password and all."""
        return parse_address(self.url, password=self.password)

    def connect(self) -> Store:
        """A new connection."""
        return connect(self.address)


@contextmanager
def embedded_target(folder: Path | None = None) -> Iterator[Target]:
    """The emulator, in a process of its own for as long as the block lasts; in memory without a folder."""
    command = [sys.executable, "-m", "bench.embedded_process", *([str(folder)] if folder else [])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), cwd=ROOT)
    try:
        port = json.loads(process.stdout.readline() if process.stdout else b"")["port"]
        yield Target("embedded", f"griddb://admin@127.0.0.1:{port}/myCluster/public", "admin", process.pid)
    finally:
        process.communicate()  # the end of its input ends it


def named_target() -> Target | None:
    """The server that GRIDFERRY_TEST_GRIDDB=host:port/cluster names, or None."""
    server = named_server()
    if server is None:
        return None
    host, _, port = server.address.rpartition(":")
    pid = listener(int(port)) if host in ("127.0.0.1", "localhost") else None
    return Target("real", server.url, server.password, pid)


def environment() -> dict[str, str]:
    """This process's environment, with the checkout on Python's path."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}


def drop_all(store: Store, prefix: str = PREFIX) -> None:
    """Drop the containers whose names begin so."""
    store.drop_containers([name for name in store.container_names() if name.lower().startswith(prefix)])


NOBODY = MigrationEntry("none", "", DatabaseOrigin("", 0))


def clean_up(target: Target) -> None:
    """Drop every container of the benchmark's own, and what gridferry's state there has of its loads."""
    with target.connect() as store:
        drop_all(store)
        any_one = TargetState(store, lambda: NOBODY)
        for state in map(any_one.of, any_one.registry.all()):
            for table in [run.table for run in state.runs.all() if run.table.startswith(f"public.{PREFIX}")]:
                state.catalog.remove(state.catalog.entries(table))
                state.runs.forget(table)
