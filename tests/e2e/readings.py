"""A table of readings that grows, and both ends of it as they are looked at by the tests, not by the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.readings import DAY, make_timed_readings

from gridferry.engine.events import TableSync

SYNC: dict[str, Any] = {"mode": "watermark"}
TABLE: dict[str, Any] = {"table": "reading", "split_by": "device", "key": "ts", "kind": "collection", "sync": SYNC}


def add(postgres: Database, seconds: str, *, device: str = "d0", n: int = 100) -> None:
    postgres.run(f"INSERT INTO reading VALUES ({DAY} + interval '{seconds}', '{device}', {n})")


def sync(ferry: Ferry, **options: Any) -> TableSync:
    with ferry.migration() as migration:
        (done,) = migration.syncs.sync(**options)
    return done


def stands(ferry: Ferry) -> list[tuple[str | None, int, int]]:
    """(device, microseconds, n) of every row in the target, sorted."""
    catalog = ferry.catalog("public.reading")
    return sorted((value or "", r["ts"], r["n"]) for value, name in catalog.items() for r in ferry.rows(name))


def source(postgres: Database) -> list[tuple[str, int, int]]:
    return sorted(postgres.run("SELECT device, (extract(epoch FROM ts) * 1000000)::bigint, n FROM reading"))


@contextmanager
def open_transaction(postgres: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session in a transaction; committed at the end of the block unless it was before."""
    with psycopg.connect(postgres.dsn) as connection:
        yield connection


def load_readings(ferry: Ferry, postgres: Database) -> Ferry:
    """The table made, and loaded."""
    make_timed_readings(postgres)
    ferry = ferry.of(TABLE)
    ferry.load()
    return ferry
