"""Whole loads, each in a process of its own: rows a second, CPU time of each side, and the loading process's memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.asked_process import ask
from bench.figures import Figure
from bench.processes import cpu_seconds
from bench.servers import PREFIX, Target, drop_all
from bench.tables import SourceTable

from gridferry.local.postgres import LocalPostgres

MEMORY_AIM_MB = 300


@dataclass(frozen=True)
class Measured:
    """What one loading process reported, and what the servers used meanwhile (None where it cannot be seen)."""

    told: dict[str, Any]
    source_cpu_s: float | None
    target_cpu_s: float | None

    @property
    def rows(self) -> int:
        """Rows put."""
        return int(self.told["rows"])


def run_load(
    postgres: LocalPostgres,
    target: Target,
    table: SourceTable,
    *,
    workers: int | None = None,
    verify: bool = False,
) -> Measured:
    """Load a table again in a process of its own. Raises: RunFailed with what it said, if it failed."""
    asked = {
        "dsn": postgres.dsn(),
        "target": target.url,
        "password": target.password,
        "table": table.name,
        "wishes": table.wishes,
        "workers": workers,
        "verify": verify,
    }
    before = cpu_seconds(postgres.pid), cpu_seconds(target.pid)
    told = ask("bench.load_process", asked, doing=f"the load of {table.name}")
    after = cpu_seconds(postgres.pid), cpu_seconds(target.pid)
    return Measured(told, _spent(before[0], after[0]), _spent(before[1], after[1]))


def measure_load(
    postgres: LocalPostgres, target: Target, table: SourceTable, *, row: str, ceiling: float | None
) -> list[Figure]:
    """One load and a verification by value; `ceiling` is the lower one of read and put, in rows a second."""
    measured = run_load(postgres, target, table)
    verified = run_load(postgres, target, table, verify=True).told["verify"]
    with target.connect() as store:
        drop_all(store, f"{PREFIX}{table.name.removeprefix(PREFIX)}")
    told, rows = measured.told, measured.rows
    speed = rows / told["load"]["seconds"]
    part = f"load, {target.name}"
    whole_s = told["load"]["seconds"] + told["plan"]["seconds"]
    found = [
        Figure(part, f"load {rows:,} {row}s, after the plan", speed, "rows/s"),
        Figure(part, f"load {row}s, with the plan", rows / whole_s, "rows/s"),
    ]
    if ceiling is not None:
        note = "one machine for all"
        found.append(
            Figure(part, f"{row}s: load / lower ceiling", speed / ceiling, "", 0.9, more_is_better=True, note=note)
        )
    found += _cpu(part, row, measured)
    found.append(Figure(part, f"verify {row}s by value", rows / verified["seconds"], "rows/s"))
    return found


def _cpu(part: str, row: str, measured: Measured) -> list[Figure]:
    own = measured.told["plan"]["cpu_s"] + measured.told["load"]["cpu_s"]
    spent = (
        ("PostgreSQL", measured.source_cpu_s),
        ("gridferry", own),
        ("GridDB", measured.target_cpu_s),
    )
    return [
        Figure(part, f"CPU of {who}, million {row}s", seconds / measured.rows * 1e6, "s")
        for who, seconds in spent
        if seconds is not None
    ]


def measure_memory(
    postgres: LocalPostgres, target: Target, table: SourceTable, *, workers: tuple[int, ...]
) -> list[Figure]:
    """The loading process's peak memory, by the number of workers."""
    found = []
    for count in workers:
        told = run_load(postgres, target, table, workers=count).told
        with target.connect() as store:
            drop_all(store, f"{PREFIX}{table.name.removeprefix(PREFIX)}")
        name = f"peak memory, {told['rows']:,} rows, {count} {'worker' if count == 1 else 'workers'}"
        note = f"{told['base_mb']:.0f} MB at its start"
        found.append(Figure("memory", name, told["peak_mb"], "MB", MEMORY_AIM_MB, note=note))
    return found


def _spent(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
