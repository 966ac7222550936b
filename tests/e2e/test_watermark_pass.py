"""Many tables in mode watermark by one pass: those that stand still share it, all others go their own way."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.command import command
from tests.e2e.ferry import Ferry, kept_in

from gridferry.checkpoint.cursors import CursorStore
from gridferry.checkpoint.documents import STATE_SCHEMA
from gridferry.checkpoint.lease import Lease, LeaseHolder
from gridferry.checkpoint.lease_group import LeaseGroup
from gridferry.engine.events import Checkpointed, Event, SyncEnded, SyncStarted, TableSync
from gridferry.errors import LeaseHeld
from gridferry.griddb import PutMode
from gridferry.model.failed_tables import SomeTablesFailed
from gridferry.model.outcomes import SyncOutcome
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.source import PostgresSource

NAMES = [f"public.t{number}" for number in range(5)]
STILL, NEW = SyncOutcome.NOTHING_NEW, SyncOutcome.SYNCED


@pytest.fixture
def five(ferry: Ferry, postgres: Database) -> Ferry:
    """Five loaded tables, one of them partitioned, of which nothing is new."""
    for name in NAMES[:4]:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, v text)")
    postgres.run(
        f"CREATE TABLE {NAMES[4]} (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        f"CREATE TABLE {NAMES[4]}_1 PARTITION OF {NAMES[4]} FOR VALUES FROM (0) TO (1000)"
    )
    for name in NAMES:
        postgres.run(f"INSERT INTO {name} SELECT i, 'v' FROM generate_series(1, 5) AS i")
    ferry = ferry.of({"table": "public.*", "sync": {"mode": "watermark"}})
    ferry.load()
    sync(ferry)
    return ferry


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one with each snapshot that is opened."""
    taken: list[None] = []
    opened = PostgresSource.open_snapshot

    def counted(self: PostgresSource, **options: Any) -> AbstractContextManager[PostgresSnapshot]:
        taken.append(None)
        return opened(self, **options)

    monkeypatch.setattr(PostgresSource, "open_snapshot", counted)
    return taken


def sync(ferry: Ferry, heard: list[Event] | None = None, **options: Any) -> dict[str, TableSync]:
    with ferry.migration((heard if heard is not None else []).append) as migration:
        return {done.table: done for done in migration.syncs.sync(**options)}


def outcomes(done: dict[str, TableSync]) -> list[SyncOutcome]:
    return [done[name].outcome for name in NAMES]


def test_tables_that_stand_still_share_a_snapshot(five: Ferry, snapshots: list[None]) -> None:
    heard: list[Event] = []
    with five.store() as store:
        before = {name: kept_in(store).cursors.get(name) for name in NAMES}
        done = sync(five, heard)
        after = {name: kept_in(store).cursors.get(name) for name in NAMES}
        assert not kept_in(store).documents.scopes("lease:")
    assert (outcomes(done), len(snapshots)) == ([STILL] * 5, 1)
    for kind in (SyncStarted, Checkpointed, SyncEnded, TableSync):
        assert [event.table for event in heard if isinstance(event, kind)] == NAMES
    for name in NAMES:
        was, now = before[name], after[name]
        assert was is not None
        assert now is not None
        assert (now.runs, now.read) == (was.runs + 1, was.read)
        assert (now.cursor.clock, now.cursor.position) == (done[name].as_of, "5")
        assert done[name].coverage.columns == 2
    assert five.equal()


def test_what_is_new_or_changed_goes_its_own_way(five: Ferry, postgres: Database, snapshots: list[None]) -> None:
    postgres.run(
        "INSERT INTO t1 VALUES (6, 'new'); ALTER TABLE t2 ADD COLUMN more int DEFAULT 7;"
        "CREATE TABLE t4_2 (id int PRIMARY KEY, v text); INSERT INTO t4_2 VALUES (2000, 'old');"
        "ALTER TABLE t4 ATTACH PARTITION t4_2 FOR VALUES FROM (1000) TO (3000)"
    )
    done = sync(five)
    assert outcomes(done) == [STILL, NEW, STILL, STILL, NEW]
    assert (done["public.t1"].read, done["public.t4"].read) == (1, 1)
    assert {row["more"] for row in five.rows("t2")} == {7}
    assert len(snapshots) == 4  # one for all, and one each for t1, t2 and t4
    assert five.equal()


def test_a_row_of_a_transaction_that_was_open_is_found_later(five: Ferry, postgres: Database) -> None:
    with psycopg.connect(postgres.dsn) as late:
        late.execute("INSERT INTO t3 VALUES (0, 'late')")
        postgres.run("INSERT INTO t1 VALUES (7, 'new')")
        assert outcomes(sync(five)) == [STILL, NEW, STILL, STILL, STILL]
        assert sync(five)["public.t3"].outcome is STILL
    done = sync(five)
    assert (done["public.t3"].read, done["public.t0"].outcome) == (1, STILL)
    assert five.equal()


def test_one_that_fails_is_told_and_the_others_are_done(five: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("DROP TABLE t3; CREATE TABLE t3 (id int PRIMARY KEY, v text); ALTER TABLE t2 DROP COLUMN id")
    with pytest.raises(SomeTablesFailed) as caught:
        sync(five)
    assert [failed.table for failed in caught.value.failures] == ["public.t2", "public.t3"]
    assert [done.table for done in caught.value.done] == ["public.t0", "public.t1", "public.t4"]
    assert "dropped or renamed, and another one has its name" in caught.value.failures[1].error.message
    assert "public.t3" in command(five, tmp_path, "status").text
    with five.store() as store:
        state = kept_in(store)
        assert state.failures.get("public.t2") is not None
        assert state.failures.get("public.t0") is None


def test_a_statement_that_fails_is_of_one_table_only(ferry: Ferry, postgres: Database) -> None:
    for name in NAMES:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, v text); INSERT INTO {name} VALUES (1, '1')")
    tables: list[Any] = [{"table": name, "sync": {"mode": "watermark"}} for name in NAMES]
    tables[2]["where"] = "v::int > 0"
    ferry = ferry.of(*tables)
    ferry.load()
    postgres.run("INSERT INTO t2 VALUES (2, 'no number'); INSERT INTO t4 VALUES (2, '2')")
    with pytest.raises(SomeTablesFailed) as caught:
        sync(ferry)
    assert [failed.table for failed in caught.value.failures] == ["public.t2"]
    assert {done.table: done.outcome for done in caught.value.done} == {
        **dict.fromkeys(["public.t0", "public.t1", "public.t3"], STILL),
        "public.t4": NEW,
    }


def test_a_table_that_another_run_has_is_told(five: Ferry) -> None:
    with five.store() as store, kept_in(store).lease("public.t1"), pytest.raises(SomeTablesFailed) as caught:
        sync(five)
    assert [failed.table for failed in caught.value.failures] == ["public.t1"]
    assert "another run works on public.t1" in caught.value.failures[0].error.message
    assert len(caught.value.done) == 4


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are renewed all the time, and who holds one is not waited for long."""
    for kind in (Lease, LeaseGroup):
        defaults = kind.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "beat_s", 0.05)
        monkeypatch.setitem(defaults, "dead_after_s", 5.0)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("ends", [False, True], ids=["a look", "its end"])
def test_a_run_beside_a_pass_is_turned_away(five: Ferry, monkeypatch: pytest.MonkeyPatch, ends: bool) -> None:
    beside: list[SomeTablesFailed] = []
    alone: list[str] = []
    owner, name = (CursorStore, "save_all") if ends else (PostgresSnapshot, "find_new_each")
    original = getattr(owner, name)

    def in_the_middle(self: Any, *args: Any) -> Any:
        if not beside:
            with pytest.raises(SomeTablesFailed) as caught:
                sync(five)
            beside.append(caught.value)
        return original(self, *args)

    monkeypatch.setattr(owner, name, in_the_middle)
    acquire = Lease._acquire

    def acquiring(self: Lease) -> None:
        alone.append(self.table)
        acquire(self)

    monkeypatch.setattr(Lease, "_acquire", acquiring)
    assert outcomes(sync(five)) == [STILL] * 5
    (failed,) = beside
    assert [each.table for each in failed.failures] == NAMES
    assert all(isinstance(each.error, LeaseHeld) for each in failed.failures)
    assert all("another run works on" in each.error.message for each in failed.failures)
    assert alone == []  # who holds them was found out for all at once
    with five.store() as store:
        assert {kept_in(store).cursors.get(name).runs for name in NAMES} == {2}  # type: ignore[union-attr]


@pytest.mark.usefixtures("hasty")
def test_a_run_that_waits_for_a_pass_comes_after_it(five: Ferry, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    later: list[dict[str, TableSync]] = []
    original = PostgresSnapshot.find_new_each

    def in_the_middle(self: Any, *args: Any) -> Any:
        if not threads:
            threads.append(threading.Thread(target=lambda: later.append(sync(five, wait_s=60.0))))
            threads[0].start()
            time.sleep(0.3)  # it looks, and waits
            assert later == []
        return original(self, *args)

    monkeypatch.setattr(PostgresSnapshot, "find_new_each", in_the_middle)
    assert outcomes(sync(five)) == [STILL] * 5
    threads[0].join()
    assert outcomes(later[0]) == [STILL] * 5


def test_leases_of_a_pass_that_was_killed_are_taken_over(five: Ferry, snapshots: list[None]) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with five.store() as store:
        state = kept_in(store)
        for name in NAMES:
            with state.lease(name) as lease:
                row = lease.row().to_pylist()[0]
            dead = LeaseHolder(**{**json.loads(row["body"]), "pid": ended.pid})
            row["body"] = json.dumps(asdict(dead)).encode()
            rows = pa.RecordBatch.from_pylist([row], schema=STATE_SCHEMA.arrow_schema)
            state.documents.container().put(rows, mode=PutMode.INSERT)
    assert (outcomes(sync(five)), len(snapshots)) == ([STILL] * 5, 1)


@pytest.mark.usefixtures("impatient")
def test_nothing_is_written_of_a_table_whose_lease_was_lost(
    five: Ferry, monkeypatch: pytest.MonkeyPatch, snapshots: list[None]
) -> None:
    entered = LeaseGroup.__enter__

    def losing(self: LeaseGroup) -> LeaseGroup:
        group = entered(self)
        group.held["public.t2"].lose(None)
        return group

    monkeypatch.setattr(LeaseGroup, "__enter__", losing)
    assert outcomes(sync(five)) == [STILL] * 5
    assert len(snapshots) == 2  # one for all, and one for the run of that table alone


def test_paused_tables_are_left_out_and_a_sweep_looks_at_each(five: Ferry, tmp_path: Path) -> None:
    assert command(five, tmp_path, "pause", "t1").code == 0
    assert set(sync(five)) == {*NAMES} - {"public.t1"}
    assert all(done.swept for done in sync(five, sweep=True).values())


def test_a_sync_without_end_passes_too(five: Ferry, postgres: Database, snapshots: list[None]) -> None:
    turns: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, TableSync):
            turns.append(event.table)

    def ended() -> bool:
        if len(turns) == 5 and len(five.rows("t1")) != 6:
            postgres.run("INSERT INTO t1 VALUES (6, 'new') ON CONFLICT DO NOTHING")
        return len(turns) >= 15

    with five.migration(listen) as migration:
        done = migration.syncs.sync(follow=True, interval_s=0.0, until=ended)
    assert turns[:5] == NAMES
    assert [each.rows for each in done] == [0, 1, 0, 0, 0]
    assert len(snapshots) < 15
    assert five.equal()
