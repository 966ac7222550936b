"""Mode cdc where it cannot go on: a clear error, the state left, nothing lost, and PostgreSQL left clean."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, left_in_source, slot_of, sync, without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry
from tests.readings import make_numbered_readings

from gridferry.checkpoint.lease import Lease
from gridferry.engine.events import Event, TableSync
from gridferry.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    LeaseHeld,
    PlanError,
    SlotInUse,
    SlotLost,
)
from gridferry.local.postgres import LocalPostgres
from gridferry.model.position import Lsn
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.connection import parse_address


@pytest.fixture
def made(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        yield ferry.of(READING)


@pytest.fixture
def loaded(made: Ferry) -> Ferry:
    made.load()
    return made


def test_two_syncs_at_once(loaded: Ferry) -> None:
    with loaded.migration() as migration:
        migration.status.tables()
        with Lease(migration.endpoints.state.documents, "public.reading"), pytest.raises(LeaseHeld):
            sync(loaded)
    assert sync(loaded)[0].outcome == "nothing new"


def test_drop_slot_leaves_postgresql_as_it_was_and_a_new_load_begins_anew(loaded: Ferry, postgres: Database) -> None:
    assert left_in_source(postgres) == (1, 2)
    with loaded.migration() as migration:
        dropped = migration.syncs.drop_slots()
        assert len(dropped) == 3
        assert migration.syncs.drop_slots() == []
        (status,) = migration.status.tables()
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
        (status,) = migration.status.tables()
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
        (status,) = migration.status.tables()
    found = status.sync
    assert found is not None
    assert (found.mode, found.state, found.runs, found.slot) == ("cdc", "idle", 1, slot_of(loaded))
    assert found.lag_bytes is not None
    assert found.lag_bytes > 1000
    assert Lsn.parse(found.confirmed) <= Lsn.parse(found.position)
    assert found.wal_status == ("reserved" if postgres.version >= 13 else "")


def test_a_slot_that_another_process_reads(loaded: Ferry, postgres: Database) -> None:
    feed = ChangeFeed(postgres.address)
    facts = feed.facts(slot_of(loaded))
    assert facts is not None
    assert facts.confirmed is not None
    with feed.stream(slot_of(loaded), start=facts.confirmed, wanted={}), pytest.raises(SlotInUse):
        sync(loaded)
    sync(loaded)


def test_an_unsound_plan_leaves_no_slot(made: Ferry, postgres: Database) -> None:
    postgres.run('ALTER TABLE reading ADD COLUMN "odd one" int')
    with pytest.raises(PlanError):
        made.load()
    assert left_in_source(postgres) == (0, 0)


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


@pytest.mark.parametrize(
    ("prepare", "table", "says", "advises"),
    [
        ("CREATE VIEW seen AS SELECT * FROM reading", {"table": "seen"}, "it is not a table", "mode: watermark"),
        ("ALTER TABLE reading SET UNLOGGED", {}, "it is unlogged or temporary", "mode: watermark"),
        (
            "ALTER TABLE reading DROP CONSTRAINT reading_pkey, ADD COLUMN i serial PRIMARY KEY, ADD UNIQUE (device, k)",
            {},
            "does not carry the old device, k",
            'ALTER TABLE "public"."reading" REPLICA IDENTITY FULL;',
        ),
        (
            "ALTER TABLE reading REPLICA IDENTITY FULL",
            {"split_by": None, "key": "n", "on_duplicate": "quarantine"},
            "mode cdc cannot quarantine",
            "on_duplicate: error",
        ),
        ("SELECT 1", {"where": "k > 1"}, "`where` cannot be applied", "leave `where` out"),
    ],
)  # fmt: skip
def test_plan_and_load_refuse_a_table_in_the_same_words(
    made: Ferry, postgres: Database, tmp_path: Path, prepare: str, table: dict[str, Any], says: str, advises: str
) -> None:
    postgres.run(prepare)
    ferry = made.of({key: value for key, value in {**READING, **table}.items() if value is not None})
    refused(ferry, tmp_path, "plan", code=2, says=says, advises=advises)
    refused(ferry, tmp_path, "load", code=2, says=says, advises=advises)
    assert left_in_source(postgres) == (0, 0)
    assert ferry.names() == []


def test_a_table_without_identity_is_loaded_for_its_inserts_and_the_plan_says_so(
    made: Ferry, postgres: Database, tmp_path: Path
) -> None:
    postgres.run("ALTER TABLE reading REPLICA IDENTITY NOTHING")
    said = command(made, tmp_path, "plan")
    assert said.code == 0
    assert "only inserts can be followed, not updates and deletes" in said.text
    assert "REPLICA IDENTITY FULL" in said.text
    assert command(made, tmp_path, "load").code == 0
    postgres.run("INSERT INTO reading VALUES (100, 'd0', 1, '')")
    sync(made)
    assert_level(made, postgres)
    postgres.run("UPDATE reading SET n = 7; DELETE FROM reading WHERE k = 3")  # the application is not harmed


def test_a_foreign_table_is_refused(made: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.needs(13, "publication of a partitioned table")
    postgres.run(
        "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER far FOREIGN DATA WRAPPER nothing;"
        " CREATE TABLE whole (k int, device text, n bigint, note text) PARTITION BY RANGE (k);"
        " CREATE FOREIGN TABLE part PARTITION OF whole DEFAULT SERVER far"
    )
    access = ChangeFeed(postgres.address).access([("public", "whole", "gridferry_x")])
    assert "a part of it is a foreign table" in access[0].obstacles[0].message


@pytest.fixture
def plain_role(made: Ferry, postgres: Database) -> Iterator[Ferry]:
    """The ferry of a role that may read the table, and nothing else."""
    postgres.run("DROP ROLE IF EXISTS plain_role; CREATE ROLE plain_role LOGIN; GRANT SELECT ON reading TO plain_role")
    yield Ferry(postgres.dsn_as("plain_role"), made.server, made.database, made.tables)
    postgres.run("REASSIGN OWNED BY plain_role TO CURRENT_USER; DROP OWNED BY plain_role; DROP ROLE plain_role")


def test_a_role_that_may_not_follow_is_told_all_it_lacks_at_once(
    plain_role: Ferry, postgres: Database, tmp_path: Path
) -> None:
    for verb in ("plan", "load"):
        said = refused(plain_role, tmp_path, verb, code=2, says='ALTER ROLE "plain_role" REPLICATION;')
        assert f'GRANT CREATE ON DATABASE "{postgres.name}" TO "plain_role";' in said.text
        assert 'ALTER TABLE "public"."reading" OWNER TO "plain_role";' in said.text
        assert "mode: watermark" in said.text
    assert left_in_source(postgres) == (0, 0)
    postgres.run('ALTER ROLE "plain_role" REPLICATION; ALTER TABLE "public"."reading" OWNER TO "plain_role"')
    postgres.run(f'GRANT CREATE ON DATABASE "{postgres.name}" TO "plain_role"')
    assert command(plain_role, tmp_path, "plan").code == 0
    assert command(plain_role, tmp_path, "load").code == 0
    postgres.run("DELETE FROM reading WHERE k = 5")
    assert command(plain_role, tmp_path, "sync").code == 0
    assert_level(plain_role, postgres)


def test_a_server_without_logical_log(ferry: Ferry, tmp_path: Path) -> None:
    with LocalPostgres(version=18, settings={"wal_level": "replica"}) as server:
        dsn = server.create_database("plain")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE reading (k int, device text, PRIMARY KEY (device, k))")
            plain = Ferry(dsn, ferry.server, ferry.database).of(READING)
            for verb in ("plan", "load"):
                refused(plain, tmp_path, verb, code=2, says="wal_level = replica", advises="wal_level = logical;")
            assert connection.execute("SELECT count(*) FROM pg_publication").fetchone() == (0,)


def test_a_server_without_a_free_slot_or_sender(ferry: Ferry, tmp_path: Path) -> None:
    """A table that has its slot takes no other, and two of one config take one; another config finds none."""
    settings = {"max_replication_slots": "1", "max_wal_senders": "1"}
    with LocalPostgres(version=18, settings=settings) as server:
        dsn = server.create_database("small")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE reading (k int, device text, PRIMARY KEY (device, k))")
            connection.execute("CREATE TABLE other (k int PRIMARY KEY)")
            other = {"table": "other", "sync": {"mode": "cdc"}}
            small = Ferry(dsn, ferry.server, ferry.database).of(READING)
            assert command(small.of(READING, other), tmp_path, "plan").code == 0
            assert command(small, tmp_path, "load").code == 0
            assert command(small, tmp_path, "plan").code == 0
            refused(small.of(other), tmp_path, "load", code=2, says="max_replication_slots")
            feed = ChangeFeed(parse_address(dsn))
            start = feed.facts(slot_of(small)).confirmed  # type: ignore[union-attr]
            assert start is not None
            with feed.stream(slot_of(small), start=start, wanted={}):
                refused(small.of(other), tmp_path, "plan", code=2, says="(max_wal_senders) are in use")
                refused(small, tmp_path, "sync", code=75, says="max_wal_senders", advises="trying again later")


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
