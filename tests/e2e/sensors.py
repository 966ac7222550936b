"""A small table of readings, split by device, and what GridDB must hold of it, told by PostgreSQL itself."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone
from typing import Any

from tests.conftest import Database
from tests.e2e.ferry import QUARANTINE, Ferry

DEVICES = ("b8:27", "00:0f", "1c:bf", "no such", "ß")
ROWS = 3000
CHUNK = 300
TABLE: dict[str, Any] = {"table": "sensor", "split_by": "device", "key": "ts"}
TOO_LONG = 31745


def make_sensors(postgres: Database, *, rows: int = ROWS, bad_every: int = 0) -> None:
    """The table with `rows` readings; every `bad_every`-th has a note that no STRING can hold."""
    postgres.run(
        "CREATE TABLE sensor (ts timestamp NOT NULL, device text NOT NULL, n bigint, temp float8, note text,"
        " PRIMARY KEY (device, ts)) WITH (autovacuum_enabled = off)"
    )
    add_sensors(postgres, 0, rows, bad_every=bad_every)


def add_sensors(postgres: Database, low: int, high: int, *, bad_every: int = 0, device: str = "") -> None:
    devices = f"'{device}'" if device else "(ARRAY['" + "','".join(DEVICES) + f"'])[1 + i % {len(DEVICES)}]"
    note = f"CASE WHEN i % {bad_every} = 0 THEN repeat('x', {TOO_LONG})" if bad_every else "CASE WHEN false THEN ''"
    postgres.run(
        "INSERT INTO sensor SELECT timestamp '2020-07-12' + i * interval '1 millisecond', "
        f"{devices}, i, sqrt(i), {note} WHEN i % 3 = 0 THEN NULL ELSE 'note ' || i END"
        f" FROM generate_series({low}, {high - 1}) AS i"
    )
    postgres.run("ANALYZE sensor")


def wanted(postgres: Database) -> dict[str, list[dict[str, Any]]]:
    """What GridDB must hold, by device: every row that fits, ordered by its key."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    statement = (
        f"SELECT device, ts, n, temp, note FROM sensor WHERE coalesce(length(note), 0) < {TOO_LONG} ORDER BY 1, 2"
    )
    for device, ts, n, temp, note in postgres.run(statement):
        since = ts.replace(tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
        found[device].append({"ts": round(since.total_seconds() * 1000), "n": n, "temp": temp, "note": note})
    return dict(found)


def unfit(postgres: Database) -> int:
    """Rows that do not fit."""
    return int(postgres.run(f"SELECT count(*) FROM sensor WHERE length(note) >= {TOO_LONG}")[0][0])


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its microseconds, which a table that is followed keeps beside its key: none has any here."""
    assert row.pop("ts_us", 1000 * row["ts"]) == 1000 * row["ts"]
    return row


def assert_arrived(ferry: Ferry, postgres: Database, *, quarantined: bool = False) -> None:
    """Every container holds exactly the rows of its device; every row that does not fit is quarantined exactly once."""
    expected = wanted(postgres)
    catalog = ferry.catalog("public.sensor")
    found = {device: sorted(map(_told, ferry.rows(name)), key=lambda r: r["ts"]) for device, name in catalog.items()}
    assert {d: r for d, r in found.items() if r} == expected
    assert sorted(catalog.values()) == ferry.names()
    if quarantined:
        assert len(ferry.rows(QUARANTINE)) == unfit(postgres)
