"""`make bench-official`: the same rows through GridDB's own clients and through ours, on one real server.

Every client uses one connection and one TIME_SERIES container of 8 columns, puts in batches of the same size, and reads
`select *`. Ours and GridDB's Python client take and give Arrow batches (the latter also Python lists); the Java client
takes and gives its row objects, from and to plain numbers. Figures are of one run on one machine: read the ratios.

When no server is named, or Java or a jar is missing, one line says which, and the exit code is 0. GridDB's Python
client takes part where it can be imported (`uv run --with griddb-python ...`) and its jars (gridstore-arrow and Arrow's
own) are in GRIDFERRY_TEST_JARS.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from bench.official_rows import SENSOR, sensor_batch, sensor_batches
from tests.oracle.jars import find_java
from tests.oracle.servers import Server, named_server

from gridferry.errors import FerryError
from gridferry.griddb import Store, connect

JAVA_PROGRAM = Path(__file__).with_name("OfficialClient.java")
CLIENT_LIMIT_S = 600


@dataclass(frozen=True)
class Figure:
    """Rows a second of one client, put and read."""

    client: str
    put: float
    read: float


def measure_ours(store: Store, name: str, *, rows: int, batch_rows: int) -> Figure:
    """Our driver; the batches are made before, as Arrow is what it is given in a load."""
    batches = list(sensor_batches(rows, batch_rows))
    container = store.create_container(name, SENSOR)
    start = time.perf_counter()
    for batch in batches:
        container.put(batch)
    stored = time.perf_counter()
    table = container.scan().read_all()
    end = time.perf_counter()
    if not table.equals(pa.Table.from_batches(batches)):
        raise SystemExit("our driver read back other rows than it put")
    return Figure("gridferry (Arrow)", rows / (stored - start), rows / (end - stored))


def measure_java(store: Store, server: Server, name: str, *, rows: int, batch_rows: int) -> Figure:
    """GridDB's Java client; what it stored is read back with ours and compared."""
    command = ["java", "-cp", find_java().classpath, str(JAVA_PROGRAM), server.address, server.cluster, server.user]
    said = _run([*command, name, str(rows), str(batch_rows)], server)
    seconds = {line.split()[0]: float(line.split()[1]) for line in said}
    container = store.open_container(name)
    stored = container.scan().read_all() if container is not None else None
    if stored is None or not stored.equals(pa.Table.from_batches([sensor_batch(0, rows)])):
        raise SystemExit("the Java client stored other rows than ours")
    return Figure("GridDB Java (row objects)", rows / seconds["put"], rows / seconds["read"])


def measure_python(server: Server, name: str, *, rows: int, batch_rows: int) -> list[Figure]:
    """GridDB's Python client, by lists and by Arrow batches."""
    command = [sys.executable, "-m", "bench.official_python", find_java().classpath, server.address, server.cluster]
    said = _run([*command, server.user, name, str(rows), str(batch_rows)], server)
    speed = {(way, what): int(count) / float(seconds) for way, what, count, seconds in map(str.split, said)}
    return [Figure(f"GridDB Python ({way})", speed[way, "put"], speed[way, "read"]) for way in ("lists", "arrow")]


def _run(command: list[str], server: Server) -> list[str]:
    environment = {**os.environ, "GRIDFERRY_TEST_GRIDDB_PASSWORD": server.password}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=CLIENT_LIMIT_S, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
    return done.stdout.splitlines()


def missing_for_python() -> str:
    """What GridDB's Python client lacks here, or ""."""
    lacks = [f"package {name}" for name in ("jpype", "griddb_python") if importlib.util.find_spec(name) is None]
    names = [Path(jar).name for jar in find_java().classpath.split(os.pathsep)]
    lacks += [
        f"jar {stem}*.jar" for stem in ("gridstore-arrow", "arrow-vector") if not any(n.startswith(stem) for n in names)
    ]
    return ", ".join(lacks)


def missing() -> str:
    """What is in the way of any comparison, or ""."""
    if named_server() is None:
        return "no server: set GRIDFERRY_TEST_GRIDDB=host:port/cluster"
    return "" if find_java().classpath else f"no GridDB client: {find_java().why}"


def table(figures: list[Figure]) -> list[str]:
    """The figures as lines of text, each with ours as a multiple of it."""
    ours = figures[0]
    lines = [f"{'client':<28}{'put rows/s':>12}{'ours is':>10}{'read rows/s':>14}{'ours is':>10}"]
    for figure in figures:
        times = f"{ours.put / figure.put:>9.1f}x", f"{ours.read / figure.read:>9.1f}x"
        lines.append(f"{figure.client:<28}{figure.put:>12,.0f}{times[0]}{figure.read:>14,.0f}{times[1]}")
    return lines


def compare(server: Server, *, rows: int, batch_rows: int) -> list[str]:
    """Run every client that is here and return the lines to print; containers of its own are dropped."""
    name = f"bench_official_{uuid.uuid4().hex[:8]}"
    sizes = {"rows": rows, "batch_rows": batch_rows}
    with connect(server.url, password=server.password) as store:
        try:
            measure_ours(store, f"{name}_warm", rows=min(rows, 40_000), batch_rows=batch_rows)
            figures = [
                measure_ours(store, f"{name}_ours", **sizes),
                measure_java(store, server, f"{name}_java", **sizes),
            ]
            lacks = missing_for_python()
            if not lacks:
                figures += measure_python(server, f"{name}_python", **sizes)
        finally:
            for suffix in ("warm", "ours", "java", "java_warm", "python"):
                store.drop_container(f"{name}_{suffix}")
    note = [f"GridDB's Python client left out, missing: {lacks}"] if lacks else []
    return [f"{rows:,} rows of 8 columns, batches of {batch_rows:,}; {find_java().why}", *table(figures), *note]


def main() -> None:
    """Print the comparison, or the line that says what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--batch-rows", type=int, default=20_000)
    options = parser.parse_args()
    server = named_server()
    if server is None or missing():
        print(f"bench-official: nothing measured; {missing()}")
        return
    try:
        lines = compare(server, rows=options.rows, batch_rows=options.batch_rows)
    except FerryError as error:
        raise SystemExit(f"bench-official: {error}") from None
    print("\n".join(lines))


if __name__ == "__main__":
    main()
