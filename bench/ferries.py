"""Loads and syncs of one table, each in a process of its own; and what the target holds afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from bench.figures import RunFailed
from bench.loads import run_load
from bench.processes import ROOT
from bench.servers import Target, drop_all, environment
from bench.tables import SourceTable

from gridferry.engine.migration import Migration
from gridferry.local.postgres import LocalPostgres
from gridferry.plan.addresses import SourceAddress
from gridferry.plan.config import Config

_LIMIT_S = 1800


@dataclass(frozen=True)
class Ferry:
    """One table on its way from the benchmark's source into one target."""

    postgres: LocalPostgres
    target: Target
    table: SourceTable

    def load(self) -> dict[str, Any]:
        """Load the table again. Returns what the process reported."""
        return run_load(self.postgres, self.target, self.table).told

    def call(self, what: str, *arguments: int) -> float:
        """Call a procedure of the table's own, such as `insert`; returns the seconds it took."""
        start = time.perf_counter()
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as connection:
            connection.execute(f"CALL {self.table.name}_{what}({', '.join(map(str, arguments))})".encode())
        return time.perf_counter() - start

    def sync(self) -> dict[str, Any]:
        """One bounded sync. Returns what the process reported. Raises: RunFailed."""
        with self.syncing(follow=False) as process:
            return self.told(process)

    @contextmanager
    def syncing(self, *, follow: bool) -> Iterator[subprocess.Popen[str]]:
        """A process that syncs, ended with the block if it has not ended before."""
        asked = {
            "dsn": self.postgres.dsn(),
            "target": self.target.url,
            "password": self.target.password,
            "table": self.table.name,
            "wishes": self.table.wishes,
            "follow": follow,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.sync_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=ROOT,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            process.stdout.readline()
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def told(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """End a process's input, wait for its end, and return what it reported. Raises: RunFailed."""
        out, err = process.communicate(timeout=_LIMIT_S)
        if process.returncode != 0:
            raise RunFailed(f"the sync of {self.table.name} failed: {err.strip()[-1500:]}")
        told: dict[str, Any] = json.loads(out)
        return told

    def require_parity(self, *, by_value: bool = True) -> None:
        """Raises: RunFailed unless the target holds what the source does: value by value, or by counts."""
        with self._migration() as migration:
            if by_value:
                if migration.verifications.verify().exit_code:
                    raise RunFailed(f"{self.table.name}: both sides differ after the sync")
                return
            stored = sum(each.rows or 0 for each in migration.status.containers())
        with psycopg.connect(self.postgres.dsn()) as connection:
            row = connection.execute(f"SELECT count(*) FROM {self.table.name}".encode()).fetchone()
        if row is None or row[0] != stored:
            raise RunFailed(f"{self.table.name}: {stored} rows are stored of {row[0] if row else 0}")

    def drop(self) -> None:
        """Drop the slot, if there is one, the containers, and the table with all that belongs to it."""
        with self._migration() as migration:
            migration.syncs.drop_slots()
        with self.target.connect() as store:
            drop_all(store, f"{self.table.name}_")
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as connection:
            connection.execute(f"DROP TABLE IF EXISTS {self.table.name}".encode())

    def _migration(self) -> Migration:
        return Migration(
            Config(
                source=SourceAddress(self.postgres.dsn()),
                target=self.target.address,
                tables=(self.table.options,),
            )
        )


@contextmanager
def followed(postgres: LocalPostgres, target: Target, table: SourceTable) -> Iterator[Ferry]:
    """A ferry whose table was loaded; everything of it is dropped at the end."""
    ferry = Ferry(postgres, target, table)
    try:
        ferry.load()
        yield ferry
    finally:
        ferry.drop()
