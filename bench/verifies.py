"""Verification: rows a second beside what each side can be read at, memory, and the quick look at many containers."""

from __future__ import annotations

from typing import Any

import psycopg
from bench.asked_process import ask
from bench.figures import Figure
from bench.loads import MEMORY_AIM_MB, run_load
from bench.servers import PREFIX, Target, drop_all
from bench.tables import SourceTable

from gridferry.local.postgres import LocalPostgres

_PART_OF_SLOWER = 0.8


def measure_full(
    postgres: LocalPostgres, target: Target, table: SourceTable, *, row: str, times: int, indexed: bool
) -> list[Figure]:
    """Load a table, and verify it by value."""
    if indexed:
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE INDEX ON {table.name} (ts); ANALYZE {table.name}".encode())
    told = _verified(postgres, target, table, quick=False, times=times)
    rows, seconds = told["rows"], told["seconds"]
    part = f"verify, {target.name}"
    name = f"verify {rows:,} {row}s" + (", by ranges" if indexed else "")
    told_of = f"{rows:,} rows"
    slower = max(told["source_s"], told["target_s"])
    both = told["source_s"] + told["target_s"]
    return [
        Figure(part, name, rows / seconds, "rows/s"),
        Figure(part, f"{told_of}: the source read alone", rows / told["source_s"], "rows/s"),
        Figure(part, f"{told_of}: the target read alone", rows / told["target_s"], "rows/s"),
        Figure(
            part,
            f"{told_of}: verify / the slower of both reads",
            slower / seconds,
            "",
            _PART_OF_SLOWER,
            more_is_better=True,
            note="one machine for all",
        ),
        Figure(part, f"{told_of}: verify / both reads in turn", both / seconds, "", more_is_better=True),
        Figure(part, f"{told_of}: CPU of gridferry, million rows", told["cpu_s"] / rows * 1e6, "s"),
        # What the comparison costs where each of the three processes has processors of its own.
        Figure(part, f"{told_of}: gridferry's CPU / its CPU of both reads", told["cpu_s"] / told["reads_cpu_s"], ""),
        Figure(
            part,
            f"{told_of}: peak memory",
            told["peak_mb"],
            "MB",
            MEMORY_AIM_MB,
            note=f"{told['base_mb']:.0f} MB at its start",
        ),
    ]


def measure_quick(postgres: LocalPostgres, target: Target, table: SourceTable, *, times: int) -> list[Figure]:
    """The quick look at very many containers."""
    told = _verified(postgres, target, table, quick=True, times=times)
    containers = table.rows // 10
    aim = 1.0 if containers == 10_000 else None
    note = f"{told['cpu_s']:.1f} s of it our own CPU"
    return [
        Figure(
            f"verify, {target.name}", f"quick look at {containers:,} containers", told["seconds"], "s", aim, note=note
        )
    ]


def _verified(
    postgres: LocalPostgres, target: Target, table: SourceTable, *, quick: bool, times: int
) -> dict[str, Any]:
    """Load the table, and verify it in a process of its own. Raises: RunFailed with what it said, if it failed."""
    run_load(postgres, target, table)
    asked = {
        "dsn": postgres.dsn(),
        "target": target.url,
        "password": target.password,
        "table": table.name,
        "wishes": table.wishes,
        "quick": quick,
        "times": times,
    }
    try:
        return ask("bench.verify_process", asked, doing=f"the verification of {table.name}")
    finally:
        with target.connect() as store:
            drop_all(store, f"{PREFIX}{table.name.removeprefix(PREFIX)}")
