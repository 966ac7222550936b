"""Mode watermark end to end. The traps of docs/traps.md that any sync can fall into are in test_sync_traps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.conftest import Database
from tests.e2e.ferry import QUARANTINE, Ferry
from tests.e2e.readings import SYNC, TABLE, add, load_readings, open_transaction, source, stands, sync
from tests.readings import DAY, make_timed_readings

from gridferry.checkpoint.runs import RunState
from gridferry.engine.events import Event, TableSync
from gridferry.engine.standing import SyncStatus
from gridferry.errors import CheckpointError, ConfigError, DataError, TargetNotEmpty
from gridferry.model.watermark import Step


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Ferry:
    return load_readings(ferry, postgres)


def test_rows_between_the_load_and_the_first_sync_arrive(loaded: Ferry, postgres: Database) -> None:
    add(postgres, "20 seconds")
    done = sync(loaded)
    assert (done.outcome, done.read, done.rows, done.touched, done.created) == ("synced", 1, 1, 1, ())
    assert stands(loaded) == source(postgres)
    assert sync(loaded).outcome == "nothing new"
    assert loaded.equal()


def test_trap_7_a_new_device_gets_its_container_at_once(loaded: Ferry, postgres: Database) -> None:
    add(postgres, "1 hour", device="b8:27:eb", n=1)
    add(postgres, "1 hour", device="Ä", n=2)
    done = sync(loaded)
    assert sorted(done.created) == ["reading_=C3=84", "reading_b8=3A27=3Aeb"]
    assert stands(loaded) == source(postgres)
    assert loaded.equal()


def test_trap_15_an_empty_or_missing_container_means_nothing_yet(loaded: Ferry, postgres: Database) -> None:
    names = loaded.catalog("public.reading")
    with loaded.store() as store:
        store.drop_container(names["d0"])
        gone = store.open_container(names["d1"])
        assert gone is not None
        keys = gone.query("select *").read_all().select(["ts"]).combine_chunks().to_batches()[0]
        gone.delete(keys)
    add(postgres, "1 hour", device="d0", n=1)
    add(postgres, "1 hour", device="d1", n=2)
    done = sync(loaded)
    assert (done.read, done.created) == (2, ())
    hour = 1714521600_000000 + 3600_000000
    assert stands(loaded) == [("d0", hour, 1), ("d1", hour, 2)]


def test_the_first_run_after_a_stop_forgets_nothing_that_was_late(loaded: Ferry, postgres: Database) -> None:
    """Stopped twice under two snapshots, with late rows in between: all of them arrive."""
    for turn in range(3):
        postgres.run(
            f"INSERT INTO reading SELECT {DAY} + i * interval '1 minute', 't{turn}', i FROM generate_series(1, 60) AS i"
        )
        sync(loaded, rows_per_chunk=40, until=lambda: True)
    sync(loaded)
    assert stands(loaded) == source(postgres)


def test_a_clock_set_back_loses_nothing(loaded: Ferry, postgres: Database) -> None:
    add(postgres, "10 days", n=1)
    sync(loaded)
    sync(loaded)
    with loaded.migration() as migration:
        record = migration.endpoints.state.cursors.get("public.reading")
        assert record is not None
        cursor = replace(record.cursor, clock="2999-01-01T00:00:00.000000Z")
        migration.endpoints.state.cursors.save(replace(record, cursor=cursor))
    add(postgres, "1 day", n=2)
    done = sync(loaded)
    assert (done.read, done.swept) == (1, True)
    assert stands(loaded) == source(postgres)


def test_a_stamp_from_the_future_does_not_hide_what_comes_after_it(loaded: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading VALUES ('2999-01-01', 'd0', 1)")
    assert sync(loaded).position == "2999-01-01 00:00:00"
    sync(loaded)
    postgres.run("INSERT INTO reading VALUES (now() AT TIME ZONE 'UTC', 'd0', 2)")
    done = sync(loaded)
    assert (done.read, done.swept) == (1, False)
    assert stands(loaded) == source(postgres)


def test_a_session_that_began_long_ago_and_writes_now_is_found(loaded: Ferry, postgres: Database) -> None:
    """now() is frozen at BEGIN, and such a session has no transaction id until it writes."""
    ferry = loaded.of({**TABLE, "sync": {"mode": "watermark", "lookback": "0s"}})
    with open_transaction(postgres) as slow:
        slow.execute("SELECT now()")
        for _ in range(3):
            postgres.run("INSERT INTO reading VALUES (clock_timestamp() AT TIME ZONE 'UTC', 'd0', 1)")
            sync(ferry)
        slow.execute("INSERT INTO reading VALUES (now() AT TIME ZONE 'UTC', 'slow', 2)")
    done = sync(ferry)
    assert (done.swept, done.created) == (False, ("reading_slow",))
    assert stands(ferry) == source(postgres)


def test_rows_without_a_stamp_are_found(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE reading (id int PRIMARY KEY, ts timestamp, device text NOT NULL)")
    postgres.run("CREATE INDEX ON reading (ts)")
    postgres.run(f"INSERT INTO reading VALUES (1, {DAY}, 'a'), (2, NULL, 'a')")
    ferry = ferry.of({"table": "reading", "split_by": "device", "sync": {**SYNC, "column": "ts"}})
    ferry.load()
    for first in (3, 5, 7):
        postgres.run(f"INSERT INTO reading VALUES ({first}, NULL, 'b'), ({first + 1}, {DAY} + interval '1 day', 'b')")
        assert sync(ferry, rows_per_chunk=1).read == 2
    assert ferry.equal()
    assert {r["id"] for r in ferry.rows("reading_b")} == {3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize("type_name", ["smallint", "integer", "bigint", "numeric"])
def test_a_number_can_be_the_column_that_grows(ferry: Ferry, postgres: Database, type_name: str) -> None:
    postgres.run(f"CREATE TABLE reading (id {type_name} PRIMARY KEY, v float8)")
    ferry = ferry.of(
        {"table": "reading", "columns": {"id": "long"}, "sync": {**SYNC, "column": "id", "lookback_values": 3}}
    )
    ferry.load()
    postgres.run("INSERT INTO reading SELECT i, i FROM generate_series(1, 20) AS i")
    sync(ferry)
    sync(ferry)
    postgres.run("INSERT INTO reading VALUES (25, 1)")
    done = sync(ferry)
    assert (done.read, done.position, done.swept) == (1, "25", False)
    postgres.run("INSERT INTO reading VALUES (22, 1)")
    assert sync(ferry).read == 1
    assert ferry.equal()


def test_numbers_that_are_read_as_text_are_read_in_their_own_order(ferry: Ferry, postgres: Database) -> None:
    """A run that is stopped has stored all rows below where it stopped: by the number, 9 before 10."""
    postgres.run("CREATE TABLE reading (id numeric(12,0) PRIMARY KEY, v float8)")
    ferry = ferry.of({"table": "reading", "sync": {**SYNC, "lookback_values": 3}})
    ferry.load()
    sync(ferry)
    postgres.run("INSERT INTO reading SELECT i, i FROM generate_series(1, 1000) AS i")
    assert sync(ferry, rows_per_chunk=100, until=lambda: True).outcome == "stopped"
    assert sorted(r["id"] for r in ferry.rows("reading")) == list(range(1, 101))
    sync(ferry)
    assert ferry.equal()


def test_a_table_without_an_index_is_read_whole_and_finds_all(ferry: Ferry, postgres: Database) -> None:
    make_timed_readings(postgres, indexed=False)
    ferry = ferry.of(TABLE)
    ferry.load()
    add(postgres, "100 days", n=1)
    sync(ferry)
    sync(ferry)
    add(postgres, "1 day", n=2)
    done = sync(ferry)
    assert (done.read, done.swept) == (1, True)
    assert stands(ferry) == source(postgres)


def test_partitions_and_a_view(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE base (ts timestamp PRIMARY KEY, v int) PARTITION BY RANGE (ts)")
    for year in (2024, 2025):
        postgres.run(
            f"CREATE TABLE base_{year} PARTITION OF base FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')"
        )
    postgres.run("CREATE VIEW shown AS SELECT ts, v FROM base")
    ferry = ferry.of({"table": "base", "sync": SYNC}, {"table": "shown", "key": "ts", "sync": SYNC})
    ferry.load()
    for day in ("2024-03-01", "2025-03-01", "2025-03-02"):
        postgres.run(f"INSERT INTO base VALUES ('{day}', 1)")
        with ferry.migration() as migration:
            base, shown = migration.syncs.sync()
            assert base.read == 1
            assert shown.read >= 1
    with ferry.migration() as migration:
        assert migration.syncs.sync(["base"])[0].outcome == "nothing new"
    assert ferry.equal()


def test_a_load_that_is_not_finished_is_to_be_finished_first(ferry: Ferry, postgres: Database) -> None:
    make_timed_readings(postgres)
    ferry = ferry.of(TABLE)
    with pytest.raises(ConfigError, match="was not loaded") as caught:
        sync(ferry)
    assert "gridferry load" in caught.value.next_step
    ferry.load()
    with ferry.migration() as migration:
        run = migration.endpoints.state.runs.get("public.reading")
        assert run is not None
        migration.endpoints.state.runs._write(replace(run, state=RunState.LOADING))
    with pytest.raises(ConfigError, match="is not finished") as caught:
        sync(ferry)
    assert "gridferry load" in caught.value.next_step


def test_what_cannot_be_synced_is_said_plainly(loaded: Ferry, postgres: Database) -> None:
    with pytest.raises(ConfigError, match="no table in the config"):
        sync(loaded.of({**{k: v for k, v in TABLE.items() if k != "sync"}}))
    with pytest.raises(CheckpointError, match="options in the config"):
        sync(loaded.of({**TABLE, "rename": {"n": "number"}}))
    postgres.run("ALTER TABLE reading ALTER COLUMN n TYPE text")
    with pytest.raises(CheckpointError, match="the column n was bigint and is now text"):
        sync(loaded)


def test_a_source_with_fewer_transactions_is_another_one(loaded: Ferry, postgres: Database) -> None:
    sync(loaded)
    with loaded.migration() as migration:
        record = migration.endpoints.state.cursors.get("public.reading")
        assert record is not None
        cursor = replace(record.cursor, steps=(Step(2**40),))
        migration.endpoints.state.cursors.save(replace(record, cursor=cursor))
    with pytest.raises(CheckpointError, match="another server"):
        sync(loaded)


def test_a_reload_begins_anew(loaded: Ferry, postgres: Database) -> None:
    add(postgres, "1 hour")
    sync(loaded)
    loaded.load(replace=True)
    with loaded.migration() as migration:
        assert migration.endpoints.state.cursors.get("public.reading") is None
    add(postgres, "2 hours")
    assert sync(loaded).read == 1
    assert stands(loaded) == source(postgres)


def test_a_new_device_does_not_share_a_container_with_rows_of_someone_else(loaded: Ferry, postgres: Database) -> None:
    with loaded.store() as store:
        known = store.open_container("reading_d0")
        assert known is not None
        theirs = store.create_container("reading_theirs", known.schema)
        theirs.put(known.query("select *", limit=1).read_all().combine_chunks().to_batches()[0])
    before = loaded.rows("reading_theirs")
    add(postgres, "1 hour", device="theirs")
    with pytest.raises(TargetNotEmpty, match="reading_theirs"):
        sync(loaded)
    assert loaded.rows("reading_theirs") == before
    add(postgres, "2 hours", device="D0")
    postgres.run("DELETE FROM reading WHERE device = 'theirs'")
    with pytest.raises(DataError, match="would meet in container"):
        sync(loaded)


def test_a_bad_row_is_put_aside_once_however_often_it_is_read(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE reading (ts timestamp PRIMARY KEY, note text)")
    ferry = ferry.of({"table": "reading", "on_bad_row": "quarantine", "sync": SYNC})
    ferry.load()
    with open_transaction(postgres) as slow:
        slow.execute("INSERT INTO reading VALUES ('2024-01-01', 'slow')")
        postgres.run("INSERT INTO reading VALUES ('2024-01-02', repeat('x', 40000)), ('2024-01-03', 'good')")
        assert sync(ferry).quarantined == 1
        sync(ferry)  # the open transaction's xmin is still the bound
    sync(ferry)
    assert len(ferry.rows(QUARANTINE)) == 1
    assert [r["note"] for r in ferry.rows("reading")] == ["slow", "good"]


def test_status_tells_position_and_lag(loaded: Ferry, postgres: Database) -> None:
    def status() -> SyncStatus:
        with loaded.migration() as migration:
            (one,) = migration.status.tables()
        assert one.sync is not None
        return one.sync

    add(postgres, "1 hour 0.000001 seconds")
    before = status()
    assert (before.state, before.lag_rows, before.runs) == ("not begun", 1, 0)
    sync(loaded)
    after = status()
    assert (after.state, after.lag_rows, after.position) == ("idle", 0, "2024-05-01 01:00:00.000001")
    assert (after.runs, after.read, after.written, after.last_read) == (1, 1, 1, 1)
    assert after.lag_seconds is not None
    add(postgres, "2 hours")
    assert status().lag_rows == 1


def test_follow_goes_on_until_it_is_told(loaded: Ferry, postgres: Database) -> None:
    heard: list[TableSync] = []

    def listen(event: Event) -> None:
        if isinstance(event, TableSync):
            heard.append(event)
            if len(heard) < 4:
                add(postgres, f"{len(heard)} hours", n=len(heard))

    with loaded.migration(listen) as migration:
        (total,) = migration.syncs.sync(follow=True, interval_s=0, until=lambda: len(heard) >= 4)
    assert [each.read for each in heard] == [0, 1, 1, 1]
    assert (total.read, total.rows, total.outcome) == (3, 3, "synced")
    assert stands(loaded) == source(postgres)
