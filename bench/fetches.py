"""Rows a second read back out of one container by the driver."""

from __future__ import annotations

import time

from bench.codec import SENSOR, sensor_rows
from bench.figures import Figure, RunFailed
from bench.servers import PREFIX, Target

ROWS_A_PUT = 50_000


def measure(target: Target, *, rows: int, times: int) -> list[Figure]:
    """Fill a container and scan it several times; the middle one counts."""
    name = f"{PREFIX}fetch"
    with target.connect() as store:
        store.drop_container(name)
        container = store.create_container(name, SENSOR)
        try:
            for first in range(0, rows, ROWS_A_PUT):
                container.put(sensor_rows(min(ROWS_A_PUT, rows - first), first=first))
            runs = []
            for _ in range(times):
                start, cpu = time.perf_counter(), time.process_time()
                seen = sum(batch.num_rows for batch in container.scan().batches())
                runs.append((time.perf_counter() - start, time.process_time() - cpu))
                if seen != rows:
                    raise RunFailed(f"{seen} rows came back of {rows}")
        finally:
            store.drop_container(name)
    seconds, cpu = sorted(runs)[len(runs) // 2]
    part = f"fetch, {target.name}"
    note = f"own CPU {cpu / rows * 1e6:.2f} us a row"
    return [Figure(part, f"scan {rows:,} sensor rows", rows / seconds, "rows/s", note=note)]
