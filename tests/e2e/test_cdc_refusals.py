"""Mode cdc where it cannot go on: a clear error, the state left, nothing lost, and PostgreSQL left clean."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, left_in_source, make_readings, slot_of, sync, without_slots
from tests.e2e.ferry import Ferry

from gridferry.checkpoint.lease import Lease
from gridferry.demo.postgres import LocalPostgres
from gridferry.engine.events import Event, TableSync
from gridferry.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    LeaseHeld,
    PlanError,
    SlotInUse,
    SlotLost,
    SourceRefused,
)
from gridferry.model.position import Lsn
from gridferry.source.postgres.feed import ChangeFeed


@pytest.fixture
def made(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_readings(postgres)
    with without_slots(postgres):
        yield ferry.of(READING)


@pytest.fixture
def loaded(made: Ferry) -> Ferry:
    made.load()
    return made


def test_two_syncs_at_once(loaded: Ferry) -> None:
    with loaded.migration() as migration:
        migration.status()
        with Lease(migration._state.documents, "public.reading"), pytest.raises(LeaseHeld):
            sync(loaded)
    assert sync(loaded)[0].outcome == "nothing new"


def test_drop_slot_leaves_postgresql_as_it_was_and_a_new_load_begins_anew(loaded: Ferry, postgres: Database) -> None:
    assert left_in_source(postgres) == (1, 2)
    with loaded.migration() as migration:
        dropped = migration.drop_slot()
        assert len(dropped) == 3
        assert migration.drop_slot() == []
        (status,) = migration.status()
    assert left_in_source(postgres) == (0, 0)
    assert status.sync is not None
    assert status.sync.state == "not followed"
    with pytest.raises(SlotLost, match="no replication slot"):
        sync(loaded)
    loaded.load(replace=True)
    postgres.run("DELETE FROM reading WHERE k = 1")
    sync(loaded)
    assert_level(loaded, postgres)


def test_a_lost_slot_is_told_as_data_loss_with_the_way_back(loaded: Ferry, postgres: Database) -> None:
    postgres.run("DELETE FROM reading WHERE k = 1")
    postgres.run(f"SELECT pg_drop_replication_slot('{slot_of(loaded)}')")
    with pytest.raises(SlotLost) as lost:
        sync(loaded)
    assert "missing in the target" in lost.value.state
    with loaded.migration() as migration:
        (status,) = migration.status()
    assert status.sync is not None
    assert status.sync.state == "lost"
    loaded.load(replace=True)
    assert_level(loaded, postgres)
    assert left_in_source(postgres) == (1, 2)


def test_status_tells_position_lag_and_slot(loaded: Ferry, postgres: Database) -> None:
    sync(loaded)
    postgres.run("SET synchronous_commit = on")  # what is not written yet is no lag
    postgres.run("INSERT INTO reading SELECT i, 'd0', i, 'x' FROM generate_series(100, 199) AS i")
    with loaded.migration() as migration:
        (status,) = migration.status()
    found = status.sync
    assert found is not None
    assert (found.mode, found.state, found.runs, found.slot) == ("cdc", "idle", 1, slot_of(loaded))
    assert found.lag_bytes is not None
    assert found.lag_bytes > 1000
    assert Lsn.parse(found.confirmed) <= Lsn.parse(found.position)
    assert found.wal_status == "reserved"


def test_a_slot_that_another_process_reads(loaded: Ferry, postgres: Database) -> None:
    feed = ChangeFeed(postgres.address)
    facts = feed.facts(slot_of(loaded))
    assert facts is not None
    assert facts.confirmed is not None
    with feed.stream(slot_of(loaded), start=facts.confirmed, wanted={}), pytest.raises(SlotInUse):
        sync(loaded)
    sync(loaded)


def test_an_unsound_plan_leaves_no_slot(made: Ferry, postgres: Database) -> None:
    postgres.run("ALTER TABLE reading ADD COLUMN odd point")
    with pytest.raises(PlanError):
        made.load()
    assert left_in_source(postgres) == (0, 0)


def test_an_identity_without_the_key_is_refused_before_anything_is_made(ferry: Ferry, postgres: Database) -> None:
    postgres.run(
        "CREATE TABLE event (id int PRIMARY KEY, device text NOT NULL, ts timestamp NOT NULL, UNIQUE (device, ts))"
    )
    wish = ferry.of({"table": "event", "split_by": "device", "key": "ts", "sync": {"mode": "cdc"}})
    with without_slots(postgres):
        with pytest.raises(PlanError, match="does not tell the old device, ts") as refused:
            wish.load()
        assert "REPLICA IDENTITY FULL" in refused.value.next_step
        assert left_in_source(postgres) == (0, 0)
        postgres.run("ALTER TABLE event REPLICA IDENTITY FULL")
        wish.load()


def test_a_load_without_slot_cannot_be_followed(made: Ferry) -> None:
    plain = made.of({key: value for key, value in READING.items() if key != "sync"})
    with pytest.raises(ConfigError, match="not loaded"):
        sync(made)
    plain.load()
    with pytest.raises(SlotLost, match="without mode cdc"):
        sync(made)


def test_other_options_than_the_load_had(loaded: Ferry) -> None:
    with pytest.raises(CheckpointError, match="options"):
        sync(loaded.of({**READING, "exclude": ["note"]}))


def test_too_much_log_warns_then_stops(loaded: Ferry, postgres: Database) -> None:
    heard: list[Event] = []
    sync(loaded.of({**READING, "sync": {"mode": "cdc", "warn_lag": "0MB"}}), listener=heard.append)
    assert any("warn_lag" in getattr(event, "message", "") for event in heard)
    with pytest.raises(DataError, match="stop_lag") as stopped:
        sync(loaded.of({**READING, "sync": {"mode": "cdc", "stop_lag": "0MB"}}))
    assert "drop-slot" in stopped.value.next_step


def test_a_role_without_replication(made: Ferry, postgres: Database) -> None:
    postgres.run("DROP ROLE IF EXISTS plain_role; CREATE ROLE plain_role LOGIN")
    postgres.run(f'GRANT CREATE ON DATABASE "{postgres.name}" TO plain_role; ALTER TABLE reading OWNER TO plain_role')
    poor = Ferry(postgres.dsn_as("plain_role"), made.server, made.database, made.tables)
    with pytest.raises(SourceRefused) as refused:
        poor.load()
    assert "REPLICATION" in refused.value.next_step
    assert left_in_source(postgres) == (0, 0)
    postgres.run("REASSIGN OWNED BY plain_role TO CURRENT_USER; DROP OWNED BY plain_role; DROP ROLE plain_role")


def test_a_server_without_logical_log(ferry: Ferry) -> None:
    with LocalPostgres(version=18, settings={"wal_level": "replica"}) as server:
        dsn = server.create_database("plain")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE reading (k int, device text, PRIMARY KEY (device, k))")
        with pytest.raises(SourceRefused) as refused:
            Ferry(dsn, ferry.server, ferry.database).of(READING).load()
        assert "wal_level" in refused.value.next_step
        with psycopg.connect(dsn, autocommit=True) as connection:
            assert connection.execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)


def test_following_without_end_stops_in_order_and_says_what_it_did(loaded: Ferry, postgres: Database) -> None:
    stop = threading.Event()
    heard: list[str] = []

    def hear(event: Event) -> None:
        heard.append(json.dumps(type(event).__name__))
        if type(event).__name__ == "ChunkDone":
            stop.set()

    done: list[TableSync] = []
    thread = threading.Thread(
        target=lambda: done.extend(sync(loaded, listener=hear, follow=True, interval_s=0.1, until=stop.is_set))
    )
    thread.start()
    postgres.run("UPDATE reading SET n = 5 WHERE k = 5")
    thread.join()
    assert [(each.mode, each.read) for each in done] == [("cdc", 1)]
    assert_level(loaded, postgres)


def test_following_ends_with_the_error_that_will_not_pass(loaded: Ferry, postgres: Database) -> None:
    postgres.run("TRUNCATE reading")
    with pytest.raises(DataError, match="TRUNCATE"):
        sync(loaded, follow=True, interval_s=0.1)
