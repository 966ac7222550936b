"""A source that is a standby, and one that takes over: changes are read there, and nothing is written."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from tests.e2e.changes import sync
from tests.e2e.ferry import Ferry, Server, database_of

from gridferry.errors import PlanError, SourceError
from gridferry.local.postgres import LocalPostgres

PHYSICAL = "standby_1"


class Pair:
    """A primary and its standby, which has all that was committed before `caught_up` returns."""

    def __init__(self, primary: LocalPostgres, standby: LocalPostgres) -> None:
        self.primary = primary
        self.standby = standby

    def run(self, statement: str, *, at: LocalPostgres | None = None, database: str = "postgres") -> list[Any]:
        with psycopg.connect((at or self.primary).dsn(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def until(self, condition: str, *, at: LocalPostgres | None = None) -> None:
        deadline = time.monotonic() + 60
        while not self.run(f"SELECT {condition}", at=at)[0][0]:
            assert time.monotonic() < deadline, condition
            time.sleep(0.05)

    def caught_up(self) -> None:
        ((end,),) = self.run("SELECT pg_current_wal_lsn()")
        self.until(f"pg_last_wal_replay_lsn() >= '{end}'", at=self.standby)


@pytest.fixture(scope="module")
def pair(postgres_of: Callable[[int], LocalPostgres]) -> Iterator[Pair]:
    """PostgreSQL 18: a primary and a standby with a slot of its own, which keeps logical slots in step."""
    # A commit that is not flushed at once may lie behind the position that `caught_up` waits for.
    settings = {"hot_standby_feedback": "on", "synchronous_commit": "on"}
    with LocalPostgres(version=18, settings=settings) as primary:
        with psycopg.connect(primary.dsn(), autocommit=True) as connection:
            connection.execute(f"SELECT pg_create_physical_replication_slot('{PHYSICAL}')")
            connection.execute("CREATE TABLE item (id int PRIMARY KEY, v text)")
            connection.execute("INSERT INTO item SELECT i, 'v' FROM generate_series(1, 50) i")
            connection.execute("CREATE PUBLICATION given FOR TABLE item")
        copy = primary.standby()
        copy._settings |= {
            "hot_standby_feedback": "on",
            "primary_slot_name": PHYSICAL,
            "sync_replication_slots": "on",
            "primary_conninfo": f"host={primary.folder} port={primary.port} user=postgres dbname=postgres",
            "max_standby_streaming_delay": "-1",
        }
        with copy as standby:
            yield Pair(primary, standby)


@pytest.fixture
def place(stand_in: Any) -> Iterator[Ferry]:
    host, port = stand_in.address
    name = f"e2e_{uuid.uuid4().hex[:10]}"
    with database_of(Server(f"{host}:{port}"), name):
        yield Ferry("", Server(f"{host}:{port}"), name)


def config(place: Ferry, server: LocalPostgres, **wish: Any) -> Ferry:
    return replace(place.of({"table": "item", "sync": wish}), dsn=server.dsn())


class SnapshotsOfPrimary:
    """While the block runs, the primary writes down now and then which transactions are open, as it does by itself."""

    def __init__(self, pair: Pair) -> None:
        import threading

        self._pair = pair
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._ended.wait(0.2):
            self._pair.run("SELECT pg_log_standby_snapshot()")


def test_a_table_is_loaded_and_followed_from_a_standby_by_the_primarys_publication(pair: Pair, place: Ferry) -> None:
    with pytest.raises(PlanError) as refused:
        config(place, pair.standby, mode="cdc").load()
    assert "make a publication on the primary server" in " ".join(refused.value.problems)
    ferry = config(place, pair.standby, mode="cdc", publication="given")
    with SnapshotsOfPrimary(pair):
        ferry.load()
    pair.run("UPDATE item SET v = 'w' WHERE id < 5; DELETE FROM item WHERE id = 9; INSERT INTO item VALUES (100, 'n')")
    pair.caught_up()
    sync(ferry)
    assert ferry.equal()
    pair.run("ALTER TABLE item ADD more int DEFAULT 3; INSERT INTO item VALUES (101, 'n', 4)")
    pair.caught_up()
    sync(ferry)
    assert ferry.equal()
    with ferry.migration() as migration:
        (state,) = migration.status.tables()
        assert state.sync is not None
        assert state.sync.lag_bytes is not None
        migration.syncs.drop_slots()
    assert pair.run("SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical'", at=pair.standby) == []


def test_a_table_is_loaded_and_followed_from_a_standby_by_watermark(pair: Pair, place: Ferry) -> None:
    ferry = config(place, pair.standby, mode="watermark", column="id")
    ferry.load()
    pair.run("INSERT INTO item VALUES (200, 'n'), (201, 'm')")
    pair.caught_up()
    sync(ferry)
    assert ferry.equal()


def test_a_slot_of_failover_goes_on_at_the_standby_that_takes_over(pair: Pair, place: Ferry) -> None:
    with pytest.raises(PlanError) as refused:
        config(place, pair.standby, mode="cdc", publication="given", failover=True).load()
    assert "a slot that is made there is of no other server" in " ".join(refused.value.problems)
    plain = config(place, pair.primary, mode="cdc")
    plain.load()
    ferry = config(place, pair.primary, mode="cdc", failover=True)
    with ferry.migration() as migration:
        (state,) = migration.status.tables()
    assert state.sync is not None
    assert any("without failover: the next sync sets it" in note for note in state.sync.notes)
    pair.run("INSERT INTO item VALUES (300, 'before')")
    sync(ferry)
    with ferry.migration() as migration:
        (state,) = migration.status.tables()
    assert state.sync is not None
    assert any("synchronized_standby_slots is empty" in note for note in state.sync.notes)
    there = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{state.sync.slot}' AND synced AND NOT temporary"
    deadline = time.monotonic() + 120
    while not pair.run(there, at=pair.standby):  # the standby keeps it once the primary's has come as far as its own
        assert time.monotonic() < deadline
        pair.run("SELECT pg_log_standby_snapshot(); UPDATE item SET v = v || '.' WHERE id = 300")
        sync(ferry)
        time.sleep(0.2)
    pair.run("INSERT INTO item VALUES (301, 'sent')")
    pair.caught_up()
    pair.primary.stop()
    pair.run("SELECT pg_promote()", at=pair.standby)
    pair.until("NOT pg_is_in_recovery()", at=pair.standby)
    pair.run("INSERT INTO item VALUES (302, 'after'); DELETE FROM item WHERE id = 300", at=pair.standby)
    moved = replace(ferry, dsn=pair.standby.dsn())
    with pytest.raises(SourceError):
        sync(ferry)
    sync(moved)
    assert moved.equal()
