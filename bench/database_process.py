"""One load of several tables in a process of its own, so that its memory is its own.

Reads a JSON document from its input: dsn, target, password, tables. Prints one: rows, seconds, peak_mb.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from bench.processes import own_peak_mb

from gridferry.engine.migration import Migration
from gridferry.griddb import parse_address
from gridferry.plan.addresses import SourceAddress
from gridferry.plan.config import Config
from gridferry.plan.table_options import table_options


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Load the tables again. Returns what is printed."""
    config = Config(
        source=SourceAddress(asked["dsn"]),
        target=parse_address(asked["target"], password=asked["password"]),
        tables=tuple(table_options(table=f"public.{name}", container=name) for name in asked["tables"]),
    )
    started = time.perf_counter()
    with Migration(config) as migration:
        loads = migration.loads.load()
        seconds = time.perf_counter() - started
        for name in asked["tables"]:  # the next run is to find nothing of them
            migration.endpoints.state.runs.forget(f"public.{name}")
            migration.endpoints.state.catalog.remove(migration.endpoints.state.catalog.entries(f"public.{name}"))
    return {"rows": sum(load.rows for load in loads), "seconds": seconds, "peak_mb": own_peak_mb()}


if __name__ == "__main__":
    print(json.dumps(run(json.load(sys.stdin))))
