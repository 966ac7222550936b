"""Follow a table change by change, and hear what happens from a listener.

    python examples/follow.py
    GRIDDB_PASSWORD=... python examples/follow.py --source postgresql://me@HOST/db \\
        --target griddb://admin@HOST:10001/CLUSTER/public?sslmode=disable

Mode cdc needs a PostgreSQL with wal_level = logical and a role that may replicate (docs/source-role.md). Table, slot
and publications are the example's own and dropped at the end; its container in a GridDB of yours stays.
"""

from __future__ import annotations

import argparse
import threading
from dataclasses import dataclass, field

import psycopg

from ends import griddb, postgres, run
from gridferry.engine.events import Checkpointed, Event, Note, SyncStarted
from gridferry.engine.migration import Migration
from gridferry.plan.addresses import SourceAddress
from gridferry.plan.config import Config
from gridferry.plan.table_options import table_options

TABLE = "ferry_example_follow"
OPTIONS = table_options(table=f"public.{TABLE}", container=TABLE, key="id", sync={"mode": "cdc"})

# What happens at the source meanwhile: five changes of rows.
CHANGES = (
    f"INSERT INTO {TABLE} VALUES (4, 'new'), (5, 'new')",
    f"UPDATE {TABLE} SET state = 'changed' WHERE id = 1",
    f"DELETE FROM {TABLE} WHERE id IN (2, 3)",
)
EXPECTED = 5


@dataclass
class Heard:
    """A listener: called with each event, in the thread that works. It should be quick, and must not fail."""

    changes: int = 0
    begun: threading.Event = field(default_factory=threading.Event)

    def __call__(self, event: Event) -> None:
        """Take note of what is stored; most kinds of events are not looked at here."""
        if isinstance(event, SyncStarted):
            self.begun.set()
        elif isinstance(event, Checkpointed) and event.read:
            self.changes += event.read
            print(f"stored: {event.inserts} inserts, {event.updates} updates, {event.deletes} deletes")
        elif isinstance(event, Note) and event.level == "warning":
            print(f"warning: {event.message}")

    def everything(self) -> bool:
        """Whether all changes of this example are stored: asked by the sync, which then ends."""
        return self.changes >= EXPECTED


def change(dsn: str, begun: threading.Event) -> None:
    """Change rows, each statement a transaction, once the sync has begun."""
    begun.wait()
    with psycopg.connect(dsn, autocommit=True) as source:
        for statement in CHANGES:
            source.execute(statement)


def follow(migration: Migration, heard: Heard, dsn: str) -> None:
    """Load, then follow until everything is stored."""
    migration.loads.load(replace=True)
    writer = threading.Thread(target=change, args=(dsn, heard.begun), daemon=True)
    writer.start()
    # Without `until` it goes on until the process is stopped; a stop loses nothing.
    migration.syncs.sync(follow=True, interval_s=0.2, until=heard.everything)
    writer.join()

    container = migration.endpoints.store.open_container(TABLE)
    assert container is not None
    rows = container.scan().read_all().sort_by("id").to_pylist()
    print("in GridDB:", ", ".join(f"{row['id']} {row['state']}" for row in rows))
    print("verify:", migration.verifications.verify().verdict.value)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", help="a PostgreSQL of yours; without it one is started")
    parser.add_argument("--target", help="a GridDB of yours; without it an emulator is started")
    options = parser.parse_args()

    heard = Heard()
    with (
        griddb(options.target) as target,
        postgres(options.source) as dsn,
        psycopg.connect(dsn, autocommit=True) as source,
        Migration(Config(SourceAddress(dsn), target, (OPTIONS,)), listener=heard) as migration,
    ):
        source.execute(f"CREATE TABLE {TABLE} (id int PRIMARY KEY, state text)")
        try:
            source.execute(f"INSERT INTO {TABLE} SELECT n, 'old' FROM generate_series(1, 3) AS n")
            try:
                follow(migration, heard, dsn)
            finally:
                migration.syncs.drop_slots()  # or PostgreSQL would keep its log for it
        finally:
            source.execute(f"DROP TABLE {TABLE}")


if __name__ == "__main__":
    run(main)
