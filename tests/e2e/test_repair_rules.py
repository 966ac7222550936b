"""What a repair touches and what it leaves alone, what it refuses, and when an undo does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, without_slots
from tests.e2e.changes import sync as sync_all
from tests.e2e.ferry import JOURNAL, STATE, Ferry, kept_in
from tests.e2e.planted import PlainComparison, container_of, images, repair, stored_batch, with_value
from tests.readings import make_numbered_readings

from gridferry.checkpoint.lease import Lease
from gridferry.embedded.refusal import Code
from gridferry.embedded.server import Server as EmbeddedServer
from gridferry.engine.migration import Migration
from gridferry.engine.repair.table import RepairSettings
from gridferry.engine.repair.tables import RepairOfTables
from gridferry.errors import CheckpointError, ConfigError, FerryError, LeaseHeld
from gridferry.griddb import BulkWriter
from gridferry.griddb.handle import Handle
from gridferry.model.repair import RepairReport, RepairState
from gridferry.model.verification import DifferenceSink, Verdict, VerifyReport
from gridferry.plan.table_options import TableOptions

TABLE = "public.reading"
PLAIN: dict[str, Any] = {"table": "reading", "split_by": "device", "key": "k"}


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Ferry:
    make_numbered_readings(postgres)
    ferry = ferry.of(PLAIN)
    ferry.load()
    return ferry


def spoil(ferry: Ferry, name: str = "reading_d0") -> None:
    """One row of a container is missing, one differs, one is too many."""
    with ferry.store() as store:
        container = container_of(store, name)
        rows = stored_batch(container)
        container.delete(rows.slice(0, 1).select([0]))
        container.put(with_value(rows.slice(1, 1), 1, 4711))
        container.put(with_value(rows.slice(2, 1), 0, 9999))


@dataclass(frozen=True)
class ThenChanged:
    """A comparison after which something changes."""

    comparison: PlainComparison
    change: Callable[[], object]

    def run(
        self, tables: Sequence[TableOptions], *, output: Path | None = None, sink: DifferenceSink | None = None
    ) -> VerifyReport:
        """As the comparison."""
        found = self.comparison.run(tables, sink=sink)
        self.change()
        return found


def repaired_after(ferry: Ferry, change: Callable[[], object]) -> RepairReport:
    """A repair before whose writes, and after whose verification, something changes."""
    with ferry.migration() as migration:
        comparison = ThenChanged(PlainComparison(migration, TABLE), change)
        ends = migration.endpoints
        return RepairOfTables(ends.state, ends.source, comparison, RepairSettings()).run_once(ends.chosen())


def ns(ferry: Ferry, name: str) -> dict[int, int]:
    return {row["k"]: row["n"] for row in ferry.rows(name)}


def test_rows_that_do_not_differ_are_never_touched(loaded: Ferry, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(loaded)
    put: list[tuple[str, int]] = []
    deleted: list[tuple[str, int]] = []
    original_put, original_delete = BulkWriter.put, BulkWriter.delete

    def noting_put(self: Any, schema: Any, batch: pa.RecordBatch, handles: list[Handle], runs: Any) -> None:
        for i, handle in enumerate(handles):
            keys = batch.column(0).slice(runs[i], runs[i + 1] - runs[i]).to_pylist()
            put.extend((handle.name, key) for key in keys if not handle.name.startswith("gridferry_"))
        original_put(self, schema, batch, handles, runs)

    def noting_delete(self: Any, schema: Any, keys: pa.RecordBatch, handles: list[Handle], runs: Any) -> None:
        for i, handle in enumerate(handles):
            gone = keys.column(0).slice(runs[i], runs[i + 1] - runs[i]).to_pylist()
            deleted.extend((handle.name, key) for key in gone)
        original_delete(self, schema, keys, handles, runs)

    monkeypatch.setattr(BulkWriter, "put", noting_put)
    monkeypatch.setattr(BulkWriter, "delete", noting_delete)
    with loaded.migration() as migration:
        report = migration.repairs.repair()
    first, second = sorted(k for k in ns(loaded, "reading_d0"))[:2]
    assert sorted(put) == [("reading_d0", first), ("reading_d0", second)]
    assert deleted == [("reading_d0", 9999)]
    assert report.verdict is Verdict.EQUAL


def test_rows_that_change_at_the_source_meanwhile_are_left_to_the_sync(loaded: Ferry, postgres: Database) -> None:
    spoil(loaded)

    def change() -> None:
        postgres.run("DELETE FROM reading WHERE k = 0; UPDATE reading SET n = 1 WHERE k = 3")
        postgres.run("INSERT INTO reading VALUES (9999, 'd0', 5, 'new')")

    before = images(loaded)
    (done,) = repaired_after(loaded, change).tables
    assert (done.run, done.moved, done.settled, done.rows) == ("", 2, 1, 0)
    assert sorted(done.skipped) == ["device = d0, k = 3", "device = d0, k = 9999"]
    assert images(loaded) == before


def test_rows_that_change_in_the_target_meanwhile_are_left_alone_or_settled(loaded: Ferry) -> None:
    spoil(loaded)

    def change() -> None:
        with loaded.store() as store:
            container = container_of(store, "reading_d0")
            rows = stored_batch(container)
            changed = next(rows.slice(i, 1) for i in range(len(rows)) if rows.column(0)[i].as_py() == 3)
            container.put(with_value(changed, 1, 8))
            container.delete(pa.record_batch([pa.array([9999], pa.int32())], names=["k"]))

    (done,) = repaired_after(loaded, change).tables
    assert (done.put, done.replaced, done.deleted, done.settled, done.moved) == (1, 0, 0, 1, 1)
    assert ns(loaded, "reading_d0")[3] == 8
    assert repair(loaded, TABLE).replaced == 1


def test_a_container_that_is_missing_is_made_and_one_too_many_is_left_empty(loaded: Ferry, postgres: Database) -> None:
    postgres.run("DELETE FROM reading WHERE device = 'd2'")
    with loaded.store() as store:
        store.drop_container("reading_d1")
    with loaded.migration() as migration:
        (done,) = migration.repairs.repair().tables
        assert (done.put, done.deleted, done.created, done.emptied) == (10, 10, ("reading_d1",), ("reading_d2",))
        assert loaded.rows("reading_d2") == []
        assert migration.verifications.verify().verdict is Verdict.EQUAL
        migration.repairs.undo(done.run)
    assert (len(loaded.rows("reading_d2")), loaded.rows("reading_d1")) == (10, [])


def test_rows_that_share_a_key_are_refused_unless_the_plan_says_which_counts(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE reading (k int, device text, n bigint)")
    postgres.run("INSERT INTO reading SELECT i, 'd0', i FROM generate_series(1, 9) AS i")
    ferry = ferry.of(PLAIN)
    ferry.load()
    postgres.run("INSERT INTO reading VALUES (1, 'd0', 100), (2, 'd0', 200)")
    with ferry.store() as store:
        container = container_of(store, "reading_d0")
        container.delete(pa.record_batch([pa.array([2], pa.int32())], names=["k"]))
    with ferry.migration() as migration:
        report = migration.repairs.repair()
        assert report.tables[0].refused >= 2
        assert report.exit_code == 1
    assert ns(ferry, "reading_d0") == {1: 1, **{k: k for k in range(3, 10)}}
    with ferry.of({**PLAIN, "on_duplicate": "last"}).migration() as migration:
        assert migration.repairs.repair().exit_code == 0
    assert ns(ferry, "reading_d0") == {1: 100, 2: 200, **{k: k for k in range(3, 10)}}


@pytest.mark.parametrize("kind", ["uuid", "mood", "numeric(5,0)", "smallint", "char(4)", "date", "timestamptz"])
def test_keys_that_are_no_values_of_the_source_type_are_deleted(ferry: Ferry, postgres: Database, kind: str) -> None:
    postgres.run("CREATE TYPE mood AS ENUM ('fine', 'sad')")
    good = {"uuid": "00000000-0000-0000-0000-000000000001", "mood": "sad", "char(4)": "ab"}
    good |= {"date": "2024-02-29", "timestamptz": "2024-02-29 12:00:00.123456+02"}
    postgres.run(f"CREATE TABLE reading (k {kind} PRIMARY KEY, n bigint)")
    postgres.run(f"INSERT INTO reading VALUES ('{good.get(kind, '7')}', 1)")
    ferry = ferry.of({"table": "reading", "kind": "collection"})
    ferry.load()
    with ferry.store() as store:
        container = container_of(store, "reading")
        row = stored_batch(container)
        right = row.column(1)
        if pa.types.is_string(row.schema.field(0).type):
            odd: Any = "no such value"
        else:
            odd = {"smallint": 2**20, "numeric(5,0)": 10**12}.get(kind, 86_400_000)
        container.put(with_value(row, 0, odd))
        container.put(with_value(row, 1, 5))
    done = repair(ferry, TABLE)
    assert (done.replaced, done.deleted, done.moved) == (1, 1, 0)
    with ferry.store() as store:
        now = stored_batch(container_of(store, "reading"))
    assert now.equals(row)
    assert now.column(1).equals(right)


def test_many_keys_of_one_container_with_a_key_cut_to_milliseconds(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE reading (ts timestamptz, device text, n bigint, PRIMARY KEY (device, ts))")
    postgres.run(
        "INSERT INTO reading SELECT '2024-01-01 00:00:00.000123+00'::timestamptz + i * interval '1 second', 'd0', i "
        "FROM generate_series(1, 400) AS i"
    )
    ferry = ferry.of({"table": "reading", "split_by": "device", "key": "ts"})
    ferry.load()
    before = images(ferry)
    with ferry.store() as store:
        container = container_of(store, "reading_d0")
        rows = stored_batch(container)
        container.delete(rows.slice(0, 300).select([0]))
    with ferry.migration() as migration:
        (done,) = migration.repairs.repair(rows_per_group=256).tables
    assert (done.put, done.moved) == (300, 0)
    assert images(ferry) == before


def test_rows_that_changed_since_the_repair_are_kept_by_the_undo(loaded: Ferry) -> None:
    spoil(loaded)
    done = repair(loaded, TABLE)
    with loaded.store() as store:
        container = container_of(store, "reading_d0")
        rows = stored_batch(container)
        put_back = next(rows.slice(i, 1) for i in range(len(rows)) if rows.column(0)[i].as_py() == 0)
        container.put(with_value(put_back, 1, 77))
    with loaded.migration() as migration:
        undone = migration.repairs.undo(done.run)
        assert (undone.restored, undone.kept, undone.exit_code) == (2, 1, 1)
        assert undone.tables[0].changed == ("device = d0, k = 0",)
    stands = ns(loaded, "reading_d0")
    assert (stands[0], stands[3], 9999 in stands) == (77, 4711, True)


def test_what_cannot_be_undone_is_told(loaded: Ferry) -> None:
    spoil(loaded)
    done = repair(loaded, TABLE)
    with loaded.migration() as migration:
        with pytest.raises(ConfigError, match="there is no repair 4711"):
            migration.repairs.undo("4711")
        with loaded.store() as store, Lease(kept_in(store).documents, TABLE), pytest.raises(LeaseHeld):
            migration.repairs.undo(done.run)
        (listed,) = migration.repairs.all()
        assert (listed.record.run, listed.record.rows, listed.note) == (done.run, 3, "")
        assert "@" in listed.record.by
        migration.loads.load(replace=True)
        (listed,) = migration.repairs.all()
        assert "loaded again" in listed.note
        with pytest.raises(ConfigError, match="loaded again"):
            migration.repairs.undo(done.run)
        assert migration.repairs.forget("1d") == []
        assert migration.repairs.forget("0s") == [done.run]
        assert migration.repairs.all() == []
    assert loaded.rows(JOURNAL) == []


def test_a_run_of_another_table_is_not_undone(loaded: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE other (k int PRIMARY KEY, n bigint)")
    spoil(loaded)
    done = repair(loaded, TABLE)
    both = loaded.of(PLAIN, "other")
    both.load()
    with both.migration() as migration:
        with pytest.raises(ConfigError, match=r"is of public\.reading"):
            migration.repairs.undo(done.run, ["other"])
        with pytest.raises(ConfigError, match=r"is of public\.reading"):
            migration.repairs.forget(done.run, ["other"])
        assert migration.repairs.all(["other"]) == []
        assert migration.repairs.undo(done.run, ["reading"]).restored == 3


def test_a_journal_that_is_not_readable_stops_the_undo_and_can_be_forgotten(loaded: Ferry) -> None:
    spoil(loaded)
    done = repair(loaded, TABLE)
    with loaded.store() as store:
        journal = container_of(store, JOURNAL)
        row = stored_batch(journal)
        place = row.schema.get_field_index("row_before")
        journal.put(with_value(row, place, b"not Arrow at all"))
    before = images(loaded)
    with loaded.migration() as migration:
        with pytest.raises(CheckpointError, match="is not readable") as error:
            migration.repairs.undo(done.run)
        assert done.run in error.value.next_step
        assert images(loaded) == before
        assert migration.repairs.forget(done.run) == [done.run]


def test_a_record_that_is_not_readable_is_told_and_can_be_forgotten(loaded: Ferry) -> None:
    spoil(loaded)
    done = repair(loaded, TABLE)
    with loaded.store() as store:
        kept_in(store).documents.put(f"repair:{done.run}", {"run": {"version": 1, "state": "odd"}})
    with loaded.migration() as migration:
        with pytest.raises(CheckpointError, match="is not readable"):
            migration.repairs.undo(done.run)
        assert migration.repairs.forget(done.run) == [done.run]
        assert migration.repairs.all() == []


def test_beside_another_run_nothing_is_verified_or_changed(loaded: Ferry) -> None:
    spoil(loaded)
    before = images(loaded)
    with loaded.store() as store, loaded.migration() as migration, Lease(kept_in(store).documents, TABLE):
        with pytest.raises(LeaseHeld) as held:
            migration.repairs.repair()
        assert "--wait" in held.value.next_step
        assert held.value.exit_code == 75
    assert images(loaded) == before
    assert JOURNAL not in [n for n in loaded.names() if n.startswith("gridferry")]


def test_a_target_that_fails_midway_leaves_a_journal_that_leads_back(
    embedded_ferry: Ferry, stand_in: EmbeddedServer, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_numbered_readings(postgres)
    ferry = embedded_ferry.of(PLAIN)
    ferry.load()
    for name in ferry.names():
        spoil(ferry, name)
    before = images(ferry)
    puts = 0
    original = BulkWriter.put

    def filling(self: Any, schema: Any, batch: Any, handles: Any, runs: Any) -> None:
        nonlocal puts
        if not handles[0].name.startswith("gridferry_"):
            puts += 1
            stand_in.faults.refuse_puts = Code.CM_IO_ERROR if puts == 2 else None
        original(self, schema, batch, handles, runs)

    monkeypatch.setattr(BulkWriter, "put", filling)
    try:
        with pytest.raises(FerryError) as error:
            repair(ferry, TABLE, rows_per_group=3)
    finally:
        stand_in.faults.refuse_puts = None
    monkeypatch.undo()
    assert "journal" in error.value.state
    with ferry.migration() as migration:
        (listed,) = migration.repairs.all()
        assert listed.record.state is RepairState.WRITING
        assert listed.record.run in error.value.state
        assert error.value.next_step
        assert migration.repairs.undo(listed.record.run).kept == 0
        assert images(ferry) == before
        assert migration.repairs.repair().exit_code == 0


def test_nothing_different_leaves_no_trace(loaded: Ferry) -> None:
    with loaded.migration() as migration:
        report = migration.repairs.repair()
        assert (report.exit_code, report.tables[0].run) == (0, "")
        assert migration.repairs.all() == []
    with loaded.store() as store:
        assert JOURNAL not in store.container_names()
    assert not [r for r in loaded.rows(STATE) if "repair:" in r["scope"]]


@pytest.fixture
def streamed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    ferry = ferry.of(READING)
    with without_slots(postgres):
        ferry.load()
        yield ferry


def test_a_repair_before_the_stream_catches_up_ends_equal(streamed: Ferry, postgres: Database) -> None:
    """Rows are repaired from a snapshot that the stream has not reached: older changes come after, then newer ones."""
    spoil(streamed)
    postgres.run("UPDATE reading SET n = n + 1000 WHERE device = 'd0'; UPDATE reading SET n = n + 1 WHERE k < 9")
    postgres.run("UPDATE reading SET k = k + 100 WHERE k = 6; DELETE FROM reading WHERE k = 9")
    postgres.run("INSERT INTO reading VALUES (6, 'd0', 66, 'again'), (9999, 'd0', 99, 'as planted')")
    postgres.run(
        "UPDATE reading SET note = repeat(md5(k::text), 300) WHERE k = 12; UPDATE reading SET n = 1 WHERE k=12"
    )
    done = repair(streamed, TABLE)
    assert done.rows > 10
    sync_all(streamed)
    with streamed.migration() as migration:
        assert migration.verifications.verify().verdict is Verdict.EQUAL


def refused_beside_a_follower(migration: Migration) -> bool:
    """Tries until the follower has the table, and says so."""
    try:
        while True:
            migration.repairs.repair(settle_s=0.0)
    except LeaseHeld as error:
        return "--wait" in error.next_step


def test_under_write_load_beside_a_follower(streamed: Ferry, postgres: Database) -> None:
    """Follower and writer run; the repair gets the table between two runs of the follower. In the end all is equal."""
    stop_writing, stop_following = threading.Event(), threading.Event()

    def write() -> None:
        with postgres.connect() as other:
            number = 0
            while not stop_writing.is_set():
                number += 1
                other.execute(f"INSERT INTO reading VALUES ({1000 + number}, 'd{number % 3}', {number}, 'w')")
                other.execute(f"UPDATE reading SET n = n + 1 WHERE k = {number % 30}")

    def follow() -> None:
        with streamed.migration() as migration:
            migration.syncs.sync(follow=True, interval_s=0.1, until=stop_following.is_set)

    writer, follower = threading.Thread(target=write), threading.Thread(target=follow)
    writer.start()
    follower.start()
    try:
        with streamed.migration() as migration:
            spoil(streamed, "reading_d1")
            assert refused_beside_a_follower(migration)
            stop_following.set()
            follower.join()
            report = migration.repairs.repair(sync=True, settle_s=30.0)
            assert report.tables[0].refused == 0
    finally:
        stop_writing.set()
        stop_following.set()
        writer.join()
        follower.join()
    sync_all(streamed)
    with streamed.migration() as migration:
        for _ in range(3):
            if migration.repairs.repair(sync=True).exit_code == 0:
                break
        assert migration.verifications.verify(sync=True).verdict is Verdict.EQUAL
