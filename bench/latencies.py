"""From commit to readable, while a writer commits changes at a steady rate and a sync follows in a process of its own.

Measured from outside. Each transaction's time and place in the log are noted when it is asked for and committed. It
counts as readable when a sync has confirmed to PostgreSQL that everything before that place is stored: only after put,
flush and checkpoint. Probes, single rows committed meanwhile and asked for at the target, show that this is
not too early.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from bench.asked_process import ask
from bench.ferries import Ferry, followed
from bench.figures import Figure, RunFailed
from bench.processes import cpu_seconds
from bench.servers import PREFIX, Target
from bench.tables import make_followed

from gridferry.local.postgres import LocalPostgres
from gridferry.model.position import Lsn

AIM_P99_S = 2.0
_INSERTS, _UPDATES, _DELETES = 40, 7, 3  # of each transaction
_LOOK_EVERY_S = 0.01
_PROBE_EVERY_S = 0.5
_PROBE_LOOKS_EVERY_S = 0.05  # seldom: each look costs the target something
_HELD = 0.98  # of the rate asked for
_LIMIT_S = 120.0
_CONFIRMED = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE active AND database = current_database()"


@dataclass
class Confirmed:
    """When which place was confirmed: `times` (monotonic) and `places`, both rising."""

    times: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def when(self, places: list[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """When each of some places was first seen confirmed. All of them must have been."""
        return np.array(self.times)[np.searchsorted(np.array(self.places), places)]


@dataclass(frozen=True)
class Probe:
    """One row: committed before `place`; the last look that missed it began at `missed`, one found it at `found`."""

    asked: float
    place: int
    missed: float
    found: float


@dataclass(frozen=True)
class Followed:
    """What was seen while a writer wrote."""

    written: dict[str, Any]
    waits: np.ndarray[Any, np.dtype[np.float64]]
    probes: list[Probe]
    told: dict[str, Any]
    cpu_s: dict[str, float]  # of each process, from the first commit to the last one stored
    idle_cpu: float


def measure(
    postgres: LocalPostgres, target: Target, *, rate: int, seconds: float, idle_s: float, devices: int
) -> list[Figure]:
    """The waits of all commits, and what the following process used; once nothing comes any more, too."""
    # The first transactions change rows that are there already.
    rows = 4 * _INSERTS
    table = make_followed(postgres.dsn(), devices=devices, rows=rows, mode="cdc", name=f"{PREFIX}follow")
    with followed(postgres, target, table) as ferry:
        seen = _follow(ferry, first=rows, rate=rate, seconds=seconds, idle_s=idle_s)
        ferry.require_parity()
    return _figures(target, seen, rate=rate)


def _figures(target: Target, seen: Followed, *, rate: int) -> list[Figure]:
    part = f"latency, {target.name}"
    changes, took_s = seen.written["changes"], seen.written["seconds"]
    reached = changes / took_s
    held = reached >= _HELD * rate
    words = "" if held else "NOT HELD: "
    words += f"{seen.written['late_s']:.1f} s late at worst"
    p50, p99, most = np.quantile(seen.waits, [0.5, 0.99, 1.0])
    probed = [probe.found - probe.asked for probe in seen.probes]
    return [
        Figure(part, f"rate held, of {rate:,} asked for", reached, "/s", _HELD * rate, True, note=words),
        Figure(part, "commit to readable, p50", float(p50), "s"),
        Figure(part, "commit to readable, p99", float(p99), "s", AIM_P99_S, note=f"at most {most:.2f} s"),
        Figure(part, f"the same by {len(probed)} probes, p50", float(np.median(probed)), "s"),
        Figure(part, "peak memory of gridferry", seen.told["peak_mb"], "MB"),
        *(Figure(part, f"CPU of {who}, million", used / changes * 1e6, "s") for who, used in seen.cpu_s.items()),
        Figure(part, "CPU of gridferry when idle", seen.idle_cpu * 100, "%"),
    ]


def _follow(ferry: Ferry, *, first: int, rate: int, seconds: float, idle_s: float) -> Followed:
    with ferry.syncing(follow=True) as process, _watching(ferry.postgres) as confirmed:
        _await(lambda: bool(confirmed.places), "the sync never began to read its slot", process)
        with _probing(ferry) as probes:
            before = _cpu(ferry, process)
            written = _write(ferry, first=first, rate=rate, seconds=seconds)
        places = [Lsn.parse(place).value for _, place in written["commits"]]
        last = max(places + [probe.place for probe in probes])
        _await(lambda: confirmed.places[-1] >= last, "the sync did not catch up", process)
        after, start = _cpu(ferry, process), time.monotonic()
        time.sleep(idle_s)
        idle = (_cpu(ferry, process)["gridferry"] - after["gridferry"]) / (time.monotonic() - start)
        told = ferry.told(process)
    waits = confirmed.when(places) - np.array([asked for asked, _ in written["commits"]])
    check_probes(probes, confirmed)
    return Followed(written, waits, probes, told, {who: after[who] - before[who] for who in after}, idle)


def _cpu(ferry: Ferry, process: subprocess.Popen[str]) -> dict[str, float]:
    """CPU seconds so far of each process that can be seen."""
    pids = {"PostgreSQL": ferry.postgres.pid, "gridferry": process.pid, "GridDB": ferry.target.pid}
    return {who: used for who, pid in pids.items() if (used := cpu_seconds(pid)) is not None}


def check_probes(probes: list[Probe], confirmed: Confirmed) -> None:
    """Raises: RunFailed if a look for a row missed it after its commit was confirmed."""
    when = confirmed.when([probe.place for probe in probes])
    early = [probe for probe, at in zip(probes, when.tolist(), strict=True) if probe.missed > at]
    if early:
        raise RunFailed(f"{len(early)} rows could not be read after their commits were confirmed")


def _write(ferry: Ferry, *, first: int, rate: int, seconds: float) -> dict[str, Any]:
    asked = {
        "dsn": ferry.postgres.dsn(),
        "table": ferry.table.name,
        "first": first,
        "rate": rate,
        "seconds": seconds,
        "inserts": _INSERTS,
        "updates": _UPDATES,
        "deletes": _DELETES,
    }
    return ask("bench.change_writer", asked, doing="the writer")


@contextmanager
def _watching(postgres: LocalPostgres) -> Iterator[Confirmed]:
    """What the active slot has confirmed, looked at again and again as long as the block lasts."""
    confirmed, ended = Confirmed(), threading.Event()

    def look() -> None:
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            while not ended.wait(_LOOK_EVERY_S):
                row = connection.execute(_CONFIRMED).fetchone()
                place = Lsn.parse(row[0]).value if row else 0
                if row and (not confirmed.places or place > confirmed.places[-1]):
                    confirmed.times.append(time.monotonic())
                    confirmed.places.append(place)

    with _thread(look, ended):
        yield confirmed


@contextmanager
def _probing(ferry: Ferry) -> Iterator[list[Probe]]:
    """Rows of a device of their own, committed one after the other and asked for until they are there."""
    probes: list[Probe] = []
    ended = threading.Event()
    insert = f"INSERT INTO {ferry.table.name} (ts, device, temp) VALUES (%s, 'probe', 1.0)"
    place_now = "SELECT pg_current_wal_insert_lsn()::text"

    def probe() -> None:
        stamp = datetime(2030, 1, 1, tzinfo=timezone.utc)
        settings = "-c synchronous_commit=on"
        with (
            psycopg.connect(ferry.postgres.dsn(), autocommit=True, options=settings) as connection,
            ferry.target.connect() as store,
        ):
            while not ended.wait(_PROBE_EVERY_S):
                stamp += timedelta(milliseconds=1)
                asked = time.monotonic()
                connection.execute(insert.encode(), (stamp.replace(tzinfo=None),))
                row = connection.execute(place_now).fetchone()
                place = Lsn.parse(row[0]).value if row else 0
                key = pa.record_batch([pa.array([stamp], pa.timestamp("ms", "UTC"))], names=["ts"])
                missed = asked
                while time.monotonic() < asked + _LIMIT_S:
                    began = time.monotonic()
                    container = store.open_container(f"{ferry.table.name}_probe")
                    if container is not None and len(container.get(key)):
                        probes.append(Probe(asked, place, missed, time.monotonic()))
                        break
                    missed = began
                    time.sleep(_PROBE_LOOKS_EVERY_S)

    with _thread(probe, ended):
        yield probes


@contextmanager
def _thread(work: Any, ended: threading.Event) -> Iterator[None]:
    """Runs `work` beside the block, which raises its error at the end if it had one."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # raised again where the block ends
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if errors:
        raise RunFailed(f"the measurement failed: {errors[0]}") from errors[0]


def _await(reached: Any, words: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while not reached():
        if time.monotonic() > deadline or process.poll() is not None:
            err = process.stderr.read() if process.poll() is not None and process.stderr else ""
            raise RunFailed(f"{words}: {err.strip()[-800:]}")
        time.sleep(_LOOK_EVERY_S)
