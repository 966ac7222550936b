"""Verifications in a process of its own, so that its memory is its own; and what each side can be read at.

Reads a JSON document from its input: dsn, target, password, table, wishes, quick, times. Prints one: rows, seconds (the
median), cpu_s, peak_mb, and with a full verification source_s and target_s, each side read alone, and reads_cpu_s,
what both took of this process's CPU.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.processes import own_peak_mb
from bench.tables import SourceTable

from gridferry.engine.load.copying import OpenReader
from gridferry.engine.migration import Migration
from gridferry.engine.workers import Crew, default_workers
from gridferry.griddb import parse_address
from gridferry.model.chunk import Chunk
from gridferry.plan.addresses import SourceAddress
from gridferry.plan.config import Config
from gridferry.plan.plan import TablePlan


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Verify the table, which is loaded. Returns what is printed."""
    table = SourceTable(asked["table"], 0, asked["wishes"])
    config = Config(
        source=SourceAddress(asked["dsn"]),
        target=parse_address(asked["target"], password=asked["password"]),
        tables=(table.options,),
    )
    base_mb = own_peak_mb()
    took, cpu = [], []
    rows = 0
    with Migration(config) as migration:
        for _ in range(asked["times"]):
            started, started_cpu = time.perf_counter(), time.process_time()
            report = migration.verifications.verify(quick=asked["quick"])
            took.append(time.perf_counter() - started)
            cpu.append(time.process_time() - started_cpu)
            if report.exit_code:
                raise SystemExit(f"both sides are {report.verdict.value}")
            rows = report.tables[0].source_rows
        found = {
            "rows": rows,
            "seconds": statistics.median(took),
            "cpu_s": statistics.median(cpu),
            "base_mb": base_mb,
            "peak_mb": own_peak_mb(),
        }
        if not asked["quick"]:
            plan = migration.plan().tables[0]
            found["source_s"], source_cpu = _medians(asked["times"], lambda: _read_source(migration, plan))
            found["target_s"], target_cpu = _medians(asked["times"], lambda: _read_target(migration))
            found["reads_cpu_s"] = source_cpu + target_cpu
    return found


def _medians(times: int, call: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and seconds of this process's CPU."""
    took, cpu = [], []
    for _ in range(times):
        started, started_cpu = time.perf_counter(), time.process_time()
        call()
        took.append(time.perf_counter() - started)
        cpu.append(time.process_time() - started_cpu)
    return statistics.median(took), statistics.median(cpu)


def _read_source(migration: Migration, plan: TablePlan) -> None:
    """Every row of the table, as a load reads it, to nowhere."""

    def work(chunk: Chunk, worker: Callable[[], OpenReader]) -> None:
        for _ in worker().reader.read_chunk(chunk, plan):
            pass

    with migration.endpoints.source.open_snapshot() as view:
        (table,) = view.fetch_tables([f"{plan.schema}.{plan.table}"])
        Crew(default_workers()).run(
            view.plan_chunks(table, rows_per_chunk=100_000),
            work=work,
            open_worker=lambda: OpenReader(view.open_reader),
            close_worker=OpenReader.close,
        )


def _read_target(migration: Migration) -> None:
    """Every row of the containers, to nowhere."""
    names = [container.name for container in migration.status.containers()]
    opened = migration.endpoints.store.open_containers(names)

    def work(name: str, worker: Callable[[], None]) -> None:
        container = opened[name]
        for _ in container.scan().batches() if container is not None else ():
            pass

    Crew(default_workers()).run(names, work=work, open_worker=lambda: None, close_worker=lambda _: None)


if __name__ == "__main__":
    print(json.dumps(run(json.load(sys.stdin))))
