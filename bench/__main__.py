"""`make bench`: how fast, how much memory, and how close to what the servers can do. Figures are of one run.

`python -m bench [--quick | --full | --tiny] [--only PART ...] [--target NAME] [--json FILE]`. Targets are the
emulator (embedded) and, where GRIDFERRY_TEST_GRIDDB=host:port/cluster is set, that server (real) too; the source
is a PostgreSQL of the run's own.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import WIDTH, Results, RunFailed
from bench.processes import facts
from bench.servers import Target, clean_up, embedded_target, named_target
from bench.tables import make_fleet, make_mixed, make_sensor
from rich.console import Console

from bench import (
    backlogs,
    ceilings,
    change_decoding,
    codec,
    databases,
    fetches,
    fleets,
    latencies,
    loads,
    syncs,
    verifies,
)
from gridferry.engine.workers import default_workers
from gridferry.errors import FerryError
from gridferry.local.postgres import LocalPostgres


@dataclass(frozen=True)
class Sizes:
    """How much is measured; `times` is how often where the middle of several counts."""

    codec_rows: int
    sensor_rows: int
    mixed_rows: int
    put_rows: int
    devices: int
    memory_rows: tuple[int, ...]
    memory_workers: tuple[int, ...]
    times: int
    decoded: int
    sync_containers: tuple[int, ...]
    bulk_rows: int
    latency_rate: int
    latency_s: float
    backlog_changes: tuple[int, ...]
    transaction_rows: tuple[int, ...]
    small_tables: int
    database_rows: int


SIZES = {
    "tiny": Sizes(
        codec_rows=1_000,
        sensor_rows=3_000,
        mixed_rows=500,
        put_rows=4_000,
        devices=20,
        memory_rows=(3_000,),
        memory_workers=(1,),
        times=1,
        decoded=2_000,
        sync_containers=(20,),
        bulk_rows=2_000,
        latency_rate=500,
        latency_s=1.0,
        backlog_changes=(2_000,),
        transaction_rows=(3_000,),
        small_tables=4,
        database_rows=400,
    ),
    "quick": Sizes(
        codec_rows=100_000,
        sensor_rows=1_000_000,
        mixed_rows=200_000,
        put_rows=1_000_000,
        devices=10_000,
        memory_rows=(1_000_000,),
        memory_workers=(1, 2, 4),
        times=5,
        decoded=300_000,
        sync_containers=(3, 1_000, 10_000),
        bulk_rows=200_000,
        latency_rate=20_000,
        latency_s=30.0,
        backlog_changes=(200_000, 1_000_000),
        transaction_rows=(200_000, 1_000_000),
        small_tables=500,
        database_rows=1_000_000,
    ),
    "full": Sizes(
        codec_rows=200_000,
        sensor_rows=4_000_000,
        mixed_rows=1_000_000,
        put_rows=4_000_000,
        devices=10_000,
        memory_rows=(1_000_000, 10_000_000),
        memory_workers=(2, 8),
        times=9,
        decoded=1_000_000,
        sync_containers=(3, 1_000, 10_000),
        bulk_rows=1_000_000,
        latency_rate=20_000,
        latency_s=60.0,
        backlog_changes=(1_000_000, 5_000_000),
        transaction_rows=(200_000, 2_000_000),
        small_tables=500,
        database_rows=10_000_000,
    ),
}
_FOLLOWED_DEVICES = 20
_IDLE_S = 5.0


@dataclass(frozen=True)
class Bench:
    """One run: its servers, its sizes, and where its figures go."""

    postgres: LocalPostgres
    targets: tuple[Target, ...]
    sizes: Sizes
    results: Results

    def codec(self) -> None:
        """Encode and decode; transform and split."""
        self.results.add(codec.measure(rows=self.sizes.codec_rows, times=self.sizes.times))
        dsn = self.postgres.dsn()
        for row, make in (("sensor row", make_sensor), ("wide mixed row", make_mixed)):
            table = make(dsn, self.sizes.codec_rows, name="bench_codec")
            self.results.add([ceilings.measure_transform(dsn, table, row=row, times=self.sizes.times)])

    def ceilings(self) -> None:
        """What each side can do on its own."""
        dsn, readers = self.postgres.dsn(), sorted({1, default_workers()})
        for row, table in (
            ("sensor row", make_sensor(dsn, self.sizes.sensor_rows)),
            ("wide mixed row", make_mixed(dsn, self.sizes.mixed_rows)),
        ):
            self.results.add(ceilings.measure_read(dsn, table, row=row, readers=readers))
        for target in self.targets:
            self.results.add(ceilings.measure_put(target, rows=self.sizes.put_rows, connections=(1, 2)))

    def load(self) -> None:
        """Whole loads, and the verification of both sides."""
        dsn = self.postgres.dsn()
        sensor, mixed = make_sensor(dsn, self.sizes.sensor_rows), make_mixed(dsn, self.sizes.mixed_rows)
        for target in self.targets:
            ceiling = self._lower_ceiling(target)
            self.results.add(loads.measure_load(self.postgres, target, sensor, row="sensor row", ceiling=ceiling))
            self.results.add(loads.measure_load(self.postgres, target, mixed, row="wide mixed row", ceiling=None))

    def memory(self) -> None:
        """The loading process's peak memory."""
        for rows in self.sizes.memory_rows:
            table = make_sensor(self.postgres.dsn(), rows)
            self.results.add(
                loads.measure_memory(self.postgres, self.targets[0], table, workers=self.sizes.memory_workers)
            )

    def fleet(self) -> None:
        """Many containers."""
        table = make_fleet(self.postgres.dsn(), self.sizes.devices)
        for target in self.targets:
            self.results.add(fleets.measure(self.postgres, target, table))

    def database(self) -> None:
        """Many tables in one load."""
        for target in self.targets:
            found = databases.measure(
                self.postgres,
                target,
                small=self.sizes.small_tables,
                rows_each=1_000,
                mixed=min(40, self.sizes.small_tables),
                rows=self.sizes.database_rows,
            )
            self.results.add(found)

    def fetch(self) -> None:
        """Rows read back."""
        for target in self.targets:
            self.results.add(fetches.measure(target, rows=self.sizes.put_rows, times=3))

    def decoding(self) -> None:
        """Change messages decoded, by the size of their transactions."""
        self.results.add(change_decoding.measure(changes=self.sizes.decoded))

    def sync(self) -> None:
        """Syncs with nothing to do, and with a new row in every container."""
        for target in self.targets:
            self.results.add(
                syncs.measure_fleets(
                    self.postgres, target, containers=self.sizes.sync_containers, times=min(3, self.sizes.times)
                )
            )

    def bulk(self) -> None:
        """Very many changes at once."""
        for target in self.targets:
            self.results.add(
                syncs.measure_bulk(self.postgres, target, rows=self.sizes.bulk_rows, devices=_FOLLOWED_DEVICES)
            )

    def latency(self) -> None:
        """From commit to readable."""
        for target in self.targets:
            found = latencies.measure(
                self.postgres,
                target,
                rate=self.sizes.latency_rate,
                seconds=self.sizes.latency_s,
                idle_s=min(_IDLE_S, self.sizes.latency_s),
                devices=_FOLLOWED_DEVICES,
            )
            self.results.add(found)

    def backlog(self) -> None:
        """The syncing process's peak memory."""
        target = self.targets[0]
        self.results.add(backlogs.measure_backlog(self.postgres, target, changes=self.sizes.backlog_changes))
        self.results.add(backlogs.measure_transaction(self.postgres, target, rows=self.sizes.transaction_rows))

    def verify(self) -> None:
        """Both sides compared by value: small and read whole, large and read by ranges; and the quick look."""
        dsn, times = self.postgres.dsn(), min(3, self.sizes.times)
        for target in self.targets:
            for rows in dict.fromkeys((min(405_184, self.sizes.sensor_rows), *self.sizes.memory_rows)):
                table = make_sensor(dsn, rows, name="bench_verify")
                indexed = rows > 405_184
                once = times if rows <= 1_000_000 else 1
                found = verifies.measure_full(
                    self.postgres, target, table, row="sensor row", times=once, indexed=indexed
                )
                self.results.add(found)
            fleet = make_fleet(dsn, self.sizes.devices)
            self.results.add(verifies.measure_quick(self.postgres, target, fleet, times=times))

    def _lower_ceiling(self, target: Target) -> float | None:
        """The lower one of read and put, where they were measured."""
        workers = default_workers()
        read = self.results.value("ceilings", f"read sensor rows, {workers} readers")
        put = self.results.value(f"ceilings, {target.name}", "put sensor rows, 2 connections")
        return None if read is None or put is None else min(read, put)


PARTS: dict[str, Callable[[Bench], None]] = {
    "codec": Bench.codec,
    "ceilings": Bench.ceilings,
    "load": Bench.load,
    "memory": Bench.memory,
    "fleet": Bench.fleet,
    "database": Bench.database,
    "fetch": Bench.fetch,
    "decoding": Bench.decoding,
    "sync": Bench.sync,
    "bulk": Bench.bulk,
    "latency": Bench.latency,
    "backlog": Bench.backlog,
    "verify": Bench.verify,
}


TARGETS = ("embedded", "real")


@contextmanager
def servers(results: Results, wanted: Sequence[str]) -> Iterator[tuple[LocalPostgres, tuple[Target, ...]]]:
    """A source, and the targets wanted that are there; the benchmark's containers in the named one are dropped."""
    with ExitStack() as stack:
        postgres = stack.enter_context(LocalPostgres(settings={"max_wal_size": "8GB"}))
        targets = [stack.enter_context(embedded_target())] if "embedded" in wanted else []
        named = named_target() if "real" in wanted else None
        if named is not None:
            clean_up(named)
            targets.append(named)
        elif "real" in wanted:
            results.notes.append("no real GridDB: set GRIDFERRY_TEST_GRIDDB=host:port/cluster")
        try:
            yield postgres, tuple(targets)
        finally:
            if named is not None:
                clean_up(named)


def run(sizes: Sizes, *, parts: Sequence[str], targets: Sequence[str], say: Callable[[str], None]) -> Results:
    """Measure the named parts, in the order of PARTS, against the named targets."""
    results = Results()
    with servers(results, targets) as (postgres, found):
        bench = Bench(postgres, found, sizes, results)
        for part, measure in PARTS.items():
            if part not in parts:
                continue
            say(f"measuring: {part}")
            start = time.perf_counter()
            try:
                measure(bench)
            except (FerryError, RunFailed) as error:
                # What was measured before is worth its time: it is shown, and the exit code tells.
                results.failed.append(f"{part}: {error}")
            results.seconds[part] = round(time.perf_counter() - start, 1)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write the document if asked."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    for name, words in (
        ("quick", "about ten minutes (default)"),
        ("full", "10 million rows and 5 million changes; about half an hour"),
        ("tiny", "seconds; the figures mean nothing"),
    ):
        size.add_argument(f"--{name}", dest="size", action="store_const", const=name, help=words)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="measure this part; may be repeated")
    parser.add_argument("--target", action="append", choices=TARGETS, help="only this target")
    parser.add_argument("--json", type=Path, help="write all figures to this file, with facts about the machine")
    options = parser.parse_args(arguments)
    console = Console(width=WIDTH)
    known = facts()
    try:
        results = run(
            SIZES[options.size or "quick"],
            parts=options.only or list(PARTS),
            targets=options.target or TARGETS,
            say=Console(stderr=True).print,
        )
    except FerryError as error:
        raise SystemExit(f"bench: {error}") from None
    console.print(results.table())
    for note in (*results.notes, *(f"failed: {what}" for what in results.failed)):
        console.print(note)
    console.print(_about(known))
    if options.json is not None:
        document = results.document({**known, "size": options.size or "quick", "load_average_after": os.getloadavg()})
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if results.failed:
        raise SystemExit(1)


def _about(known: dict[str, object]) -> str:
    machine, versions = known["machine"], known["versions"]
    assert isinstance(machine, dict)
    assert isinstance(versions, dict)
    load = ", ".join(f"{value:.1f}" for value in machine["load_average"])
    kit = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{machine['usable']} processors, load average {load} before; commit {known['commit']}; {kit}"


if __name__ == "__main__":
    main()
