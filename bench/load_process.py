"""One load in a process of its own, so that its memory and CPU time are its own.

Reads a JSON document from its input: dsn, target, password, table, wishes, workers, verify. Prints one: rows, seconds,
cpu_s, peak_mb, and of each step (plan, load, verify) what it took.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from bench.processes import own_peak_mb
from bench.tables import SourceTable

from gridferry.engine.events import Event, LoadStarted
from gridferry.engine.migration import Migration
from gridferry.griddb import parse_address
from gridferry.plan.addresses import SourceAddress
from gridferry.plan.config import Config


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Load the table again, and verify if asked. Returns what is printed."""
    table = SourceTable(asked["table"], 0, asked["wishes"])
    config = Config(
        source=SourceAddress(asked["dsn"]),
        target=parse_address(asked["target"], password=asked["password"]),
        tables=(table.options,),
    )
    planned: list[tuple[float, float]] = []

    def listen(event: Event) -> None:
        if isinstance(event, LoadStarted):
            planned.append((time.perf_counter(), time.process_time()))

    base_mb = own_peak_mb()
    started, started_cpu = time.perf_counter(), time.process_time()
    with Migration(config, listener=listen) as migration:
        (load,) = migration.loads.load(replace=True, workers=asked["workers"], **asked.get("load", {}))
        loaded, loaded_cpu = time.perf_counter(), time.process_time()
        ((copying, copying_cpu),) = planned
        found: dict[str, Any] = {
            "rows": load.rows,
            "base_mb": base_mb,
            "peak_mb": own_peak_mb(),
            "plan": {"seconds": copying - started, "cpu_s": copying_cpu - started_cpu},
            "copy": {"seconds": load.seconds},
            "load": {"seconds": loaded - copying, "cpu_s": loaded_cpu - copying_cpu},
        }
        if asked["verify"]:
            report = migration.verifications.verify()
            if report.exit_code:
                raise SystemExit("both sides differ after the load")
            found["verify"] = {
                "seconds": time.perf_counter() - loaded,
                "cpu_s": time.process_time() - loaded_cpu,
                "peak_mb": own_peak_mb(),
            }
    return found


if __name__ == "__main__":
    print(json.dumps(run(json.load(sys.stdin))))
