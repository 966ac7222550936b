"""Tables that are followed by mode cdc in a test, and an independent look at both ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from tests.conftest import Database
from tests.e2e.ferry import Ferry

from gridferry.engine.events import Listener, TableSync, ignore
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.slots.slots import drop_slot

READING: dict[str, Any] = {"table": "reading", "split_by": "device", "key": "k", "sync": {"mode": "cdc"}}


@contextmanager
def without_slots(postgres: Database) -> Iterator[None]:
    """Leaves no slot in the end: the database could not be dropped."""
    try:
        yield
    finally:
        for (slot,) in postgres.run("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"):
            drop_slot(postgres.address, slot)


def sync(ferry: Ferry, *, listener: Listener = ignore, **options: Any) -> list[TableSync]:
    with ferry.migration(listener) as migration:
        return migration.syncs.sync(**options)


def plain(value: Any) -> Any:
    """A value of PostgreSQL as the target's readers show it."""
    if isinstance(value, datetime):
        return round(
            (value.replace(tzinfo=timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds() * 1e3
        )
    return value


def source_rows(postgres: Database, table: str, split: str | None) -> list[tuple[Any, ...]]:
    """(split value, row as sorted pairs) of every row of the source, told by PostgreSQL alone."""
    cursor = postgres.connection.execute(f"SELECT * FROM {table}")
    names = [column.name for column in cursor.description or ()]
    found = []
    for row in cursor.fetchall():
        values = {name: plain(value) for name, value in zip(names, row, strict=True)}
        found.append((values.pop(split) if split else None, tuple(sorted(values.items()))))
    return sorted(found, key=repr)


def target_rows(ferry: Ferry, table: str) -> list[tuple[Any, ...]]:
    """The same of the target."""
    catalog = ferry.catalog(f"public.{table}")
    found = [(value, tuple(sorted(row.items()))) for value, name in catalog.items() for row in ferry.rows(name)]
    return sorted(found, key=repr)


def assert_level(ferry: Ferry, postgres: Database, table: str = "reading", split: str | None = "device") -> None:
    assert target_rows(ferry, table) == source_rows(postgres, table, split)


def slot_of(ferry: Ferry, table: str = "reading") -> str:
    with ferry.migration() as migration:
        run = migration.endpoints.look_at_state().runs.get(f"public.{table}")
        whose = migration.endpoints.look_at_state().whose()
        first = ChangeFeed(parse_address(ferry.dsn)).slot_for(
            f"public.{table}", str(migration.endpoints.config.target), whose
        )
        return run.slot if run is not None and run.slot else first


def left_in_source(postgres: Database) -> tuple[int, int]:
    """How many slots and publications this database has."""
    (slots,) = postgres.run("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()")
    (publications,) = postgres.run("SELECT count(*) FROM pg_publication")
    return slots[0], publications[0]
