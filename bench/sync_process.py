"""One sync in a process of its own, so that its memory and CPU time are its own.

Reads a line of JSON from its input: dsn, target, password, table, wishes, follow. With `follow` it goes on until its
input ends. Prints a line `{"ready": true}` before it begins, and one with what it did at its end.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from bench.processes import own_peak_mb
from bench.tables import SourceTable

from gridferry.engine.migration import Migration
from gridferry.griddb import parse_address
from gridferry.plan.addresses import SourceAddress
from gridferry.plan.config import Config


def run(asked: dict[str, Any], ended: threading.Event) -> dict[str, Any]:
    """Sync the table, with `follow` until `ended` is set. Returns what is printed."""
    table = SourceTable(asked["table"], 0, asked["wishes"])
    config = Config(
        source=SourceAddress(asked["dsn"]),
        target=parse_address(asked["target"], password=asked["password"]),
        tables=(table.options,),
    )
    base_mb = own_peak_mb()
    started, started_cpu = time.perf_counter(), time.process_time()
    with Migration(config) as migration:
        done = migration.syncs.sync(follow=asked["follow"], until=ended.is_set if asked["follow"] else None)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - started_cpu,
        "base_mb": base_mb,
        "peak_mb": own_peak_mb(),
        "read": sum(each.read for each in done),
        "rows": sum(each.rows for each in done),
        "deleted": sum(each.deleted for each in done),
        "touched": max((each.touched for each in done), default=0),
        "swept": any(each.swept for each in done),
    }


def main() -> None:
    """Sync."""
    asked = json.loads(sys.stdin.readline())
    ended = threading.Event()
    print(json.dumps({"ready": True}), flush=True)
    if asked["follow"]:

        def wait() -> None:
            sys.stdin.read()
            ended.set()

        threading.Thread(target=wait, daemon=True).start()
    print(json.dumps(run(asked, ended)), flush=True)


if __name__ == "__main__":
    main()
