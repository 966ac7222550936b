"""The way back from a lost slot without a new load: a new slot, a sync, a repair; killed at every step (P3)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, left_in_source, slot_of, sync, without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry
from tests.e2e.killer import Killer
from tests.e2e.test_lost_source import NAME, SMALL_LOG, at, opened
from tests.readings import make_numbered_readings

from gridferry.checkpoint.positions import CdcRecord
from gridferry.errors import ConfigError, PlanError, SlotInUse, SlotLost, SourceRefused
from gridferry.local.postgres import LocalPostgres
from gridferry.model.verification import Verdict
from gridferry.source.postgres.feed import ChangeFeed

NOT_FOLLOWED = "were not followed: run `gridferry repair` once"
PLAIN = {key: value for key, value in READING.items() if key != "sync"}


@pytest.fixture
def made(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        yield ferry.of(READING)


@pytest.fixture
def loaded(made: Ferry) -> Ferry:
    made.load()
    return made


def gap(postgres: Database) -> None:
    """Every sort of change: rows, keys, split values, and the containers of new ones."""
    postgres.run("INSERT INTO reading SELECT i, 'gap', i, 'new' FROM generate_series(100, 109) AS i")
    postgres.run("UPDATE reading SET n = -n, note = repeat(md5(k::text), 200) WHERE k BETWEEN 1 AND 5")
    postgres.run("DELETE FROM reading WHERE k BETWEEN 10 AND 12; UPDATE reading SET device = 'moved' WHERE k = 13")


def after_gap(postgres: Database) -> None:
    """Changes of rows that the gap changed, and of others."""
    postgres.run("UPDATE reading SET n = 7 WHERE k IN (1, 20, 100); DELETE FROM reading WHERE k IN (2, 21, 101)")
    postgres.run("INSERT INTO reading VALUES (10, 'd1', 5, 'again')")


def lose(ferry: Ferry, postgres: Database) -> None:
    postgres.run(f"SELECT pg_drop_replication_slot('{slot_of(ferry)}')")


def record_of(ferry: Ferry) -> CdcRecord:
    with ferry.migration() as migration:
        record = migration.endpoints.look_at_state().positions.get("public.reading")
    assert record is not None
    return record


def notes(ferry: Ferry) -> str:
    with ferry.migration() as migration:
        (status,) = migration.status.tables()
    assert status.sync is not None
    return "; ".join(status.sync.notes)


def repair(ferry: Ferry) -> None:
    with ferry.migration() as migration:
        report = migration.repairs.repair()
        assert report.verdict is Verdict.EQUAL
        (status,) = migration.status.tables()
    assert report.after is not None
    assert status.verified is not None
    assert status.verified.verdict is Verdict.EQUAL


def test_a_dropped_slot_is_made_anew_and_a_repair_brings_the_gap_level(
    loaded: Ferry, postgres: Database, tmp_path: Path
) -> None:
    sync(loaded)
    before = record_of(loaded).position
    gap(postgres)
    lose(loaded, postgres)
    refused(loaded, tmp_path, "sync", code=3, says="does not exist", advises="gridferry sync --new-slot")
    assert "gridferry sync --new-slot" in command(loaded, tmp_path, "status").text
    said = command(loaded, tmp_path, "sync", "--new-slot")
    assert said.code == 0, said.text
    assert f"changes committed between {before} and " in said.text
    assert NOT_FOLLOWED in said.text
    after_gap(postgres)
    assert command(loaded, tmp_path, "sync").code == 0
    assert NOT_FOLLOWED in command(loaded, tmp_path, "status").text
    assert "Both sides are equal now" in command(loaded, tmp_path, "repair").text
    assert_level(loaded, postgres)
    said = command(loaded, tmp_path, "status")
    assert "were not followed" not in said.text
    assert "verified full, equal" in said.text
    assert record_of(loaded).gap is None
    postgres.run("UPDATE reading SET n = 8 WHERE k = 20; DELETE FROM reading WHERE k = 22")
    sync(loaded)
    assert_level(loaded, postgres)
    assert left_in_source(postgres) == (1, 2)


def test_a_slot_that_lost_its_log_is_made_anew(ferry: Ferry, tmp_path: Path) -> None:
    with LocalPostgres(version=18, settings=SMALL_LOG) as server:
        server.create_database(NAME)
        with opened(server) as database:
            make_numbered_readings(database)
            followed = at(ferry, server)
            followed.load()
            gap(database)
            for _ in range(4):
                database.run("SELECT pg_switch_wal()")
                database.run("CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t SELECT generate_series(1, 1000)")
            database.run("CHECKPOINT")
            assert database.run("SELECT wal_status FROM pg_replication_slots") == [("lost",)]
            refused(followed, tmp_path, "sync", code=3, says="has lost log", advises="gridferry sync --new-slot")
            sync(followed, new_slot=True)
            after_gap(database)
            sync(followed)
            repair(followed)
            assert_level(followed, database)
            assert "not followed" not in notes(followed)


def test_another_server_in_the_place_of_the_first(ferry: Ferry, tmp_path: Path) -> None:
    """As after pg_upgrade, or a restored dump: other positions, another system identifier."""
    with LocalPostgres(version=18) as first, LocalPostgres(version=18) as second:
        for server in (first, second):
            server.create_database(NAME)
            with opened(server) as database:
                make_numbered_readings(database)
        at(ferry, first).load()
        moved = at(ferry, second)
        for words in (["sync"], ["sync", "--new-slot"], ["repair"]):
            refused(moved, tmp_path, *words, code=2, says="was not loaded", advises="gridferry sync --new-source")
        with opened(second) as database:
            gap(database)
            assert command(moved, tmp_path, "sync", "--new-source", "--yes").code == 0
            assert_level(moved, database)
            after_gap(database)
            sync(moved)
            assert_level(moved, database)
            assert record_of(moved).gap is None


def test_a_slot_that_is_well_stays_as_it_is(loaded: Ferry, postgres: Database) -> None:
    gap(postgres)
    start = ChangeFeed(postgres.address).facts(slot_of(loaded))
    sync(loaded, new_slot=True)
    assert_level(loaded, postgres)
    assert start is not None
    assert record_of(loaded).gap is None


def test_a_dropped_publication_and_a_second_loss_keep_the_first_position(loaded: Ferry, postgres: Database) -> None:
    sync(loaded)
    first = record_of(loaded).position
    gap(postgres)
    postgres.run(f"DROP PUBLICATION {slot_of(loaded)}_full")
    sync(loaded, new_slot=True)
    postgres.run("DELETE FROM reading WHERE k = 25")
    with loaded.migration() as migration:
        migration.syncs.drop_slots()
    postgres.run("DELETE FROM reading WHERE k = 26")
    sync(loaded, new_slot=True)
    found = record_of(loaded).gap
    assert found is not None
    assert found.before == first
    repair(loaded)
    assert_level(loaded, postgres)
    assert record_of(loaded).gap is None


def test_a_table_followed_by_watermark_is_followed_by_cdc_from_now_on(made: Ferry, postgres: Database) -> None:
    watermark = made.of({**READING, "sync": {"mode": "watermark", "column": "k"}})
    watermark.load()
    postgres.run("INSERT INTO reading VALUES (50, 'd0', 1, 'x')")
    sync(watermark)
    gap(postgres)
    with pytest.raises(SlotLost) as lost:
        sync(made)
    assert "--new-slot" in lost.value.next_step
    sync(made, new_slot=True)
    assert record_of(made).read >= 1
    after_gap(postgres)
    sync(made)
    repair(made)
    assert_level(made, postgres)
    assert "not followed" not in notes(made)


def test_what_cannot_be_followed_is_refused_before_anything_is_made(made: Ferry, postgres: Database) -> None:
    made.of(PLAIN).load()
    postgres.run("ALTER TABLE reading DROP CONSTRAINT reading_pkey, ADD COLUMN i serial PRIMARY KEY")
    with pytest.raises(PlanError, match="stops the sync"):
        sync(made, new_slot=True)
    assert left_in_source(postgres) == (0, 0)
    with pytest.raises(ConfigError, match="watermark"):
        sync(made.of({**READING, "sync": {"mode": "watermark", "column": "k"}}), new_slot=True, tables=["reading"])
    with pytest.raises(ConfigError, match="once"):
        sync(made, new_slot=True, follow=True)


def test_a_slot_of_somebody_else_stays(loaded: Ferry, postgres: Database) -> None:
    slot = slot_of(loaded)
    lose(loaded, postgres)
    postgres.run(f"SELECT pg_create_physical_replication_slot('{slot}')")
    try:
        with pytest.raises(SourceRefused, match="somebody else"):
            sync(loaded, new_slot=True)
        assert postgres.run(f"SELECT slot_type FROM pg_replication_slots WHERE slot_name = '{slot}'") == [("physical",)]
    finally:
        postgres.run(f"SELECT pg_drop_replication_slot('{slot}')")


def test_dropping_a_slot_in_use_says_that_nothing_was_dropped(loaded: Ferry, postgres: Database) -> None:
    feed = ChangeFeed(postgres.address)
    facts = feed.facts(slot_of(loaded))
    assert facts is not None
    assert facts.confirmed is not None
    with (
        feed.stream(slot_of(loaded), start=facts.confirmed, wanted={}),
        loaded.migration() as migration,
        pytest.raises(SlotInUse) as held,
    ):
        migration.syncs.drop_slots()
    assert held.value.state == "nothing was dropped"
    assert left_in_source(postgres) == (1, 2)


def test_a_note_stays_while_a_writer_from_before_it_is_open(made: Ferry, postgres: Database) -> None:
    """Its updates are seen by no snapshot yet, and were not published: equality proves nothing of them."""
    postgres.run("ALTER TABLE reading REPLICA IDENTITY NOTHING")
    made.load()
    postgres.run("ALTER TABLE reading REPLICA IDENTITY DEFAULT")
    with postgres.connect() as writer:
        writer.execute("BEGIN")
        writer.execute("UPDATE reading SET n = 99 WHERE k = 9")
        sync(made)
        with made.migration() as migration:
            assert migration.verifications.verify().tables[0].verdict is Verdict.EQUAL
        assert "were not published" in notes(made)
        writer.execute("COMMIT")
    sync(made)
    with made.migration() as migration:
        migration.repairs.repair()
    assert_level(made, postgres)
    assert "were not published" not in notes(made)


def test_a_running_sync_forgets_the_note_by_itself(
    loaded: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridferry.engine.sync.cdc.table.EVERY_S", 0.0)
    monkeypatch.setattr("gridferry.engine.sync.cdc.run.EVERY_S", 0.0)
    gap(postgres)
    lose(loaded, postgres)
    sync(loaded, new_slot=True)
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            sync(loaded, follow=True, until=stop.is_set)
        except BaseException as error:
            failures.append(error)

    with without_notes_written(loaded):
        repair(loaded)
        thread = threading.Thread(target=work)
        thread.start()
        try:
            # A transaction of the server's own, an autovacuum's, keeps a verification from proving it at once.
            deadline = time.monotonic() + 60
            while record_of(loaded).gap is not None and not failures:
                assert time.monotonic() < deadline
                postgres.run("UPDATE reading SET n = n WHERE k = 9")
                with loaded.migration() as migration:
                    migration.verifications.verify()
        finally:
            stop.set()
            thread.join()
    assert not failures
    assert record_of(loaded).gap is None


@contextmanager
def without_notes_written(ferry: Ferry) -> Iterator[None]:
    """Verifications leave the table's record alone, as beside a sync."""
    patch = pytest.MonkeyPatch()
    patch.setattr("gridferry.engine.verify.tables.clear_unseen", lambda state, found: None)
    try:
        yield
    finally:
        patch.undo()


STEPS: list[tuple[str, str, int]] = [
    ("position", "before", 1),
    ("position", "after", 1),
    ("with slot", "before", 1),
    ("with slot", "after", 1),
    ("drop slot", "after", 1),
    ("horizon", "before", 1),
    ("horizon", "after", 1),
    ("position", "before", 2),
    ("position", "after", 2),
    ("begin sync", "after", 1),
]


@pytest.mark.parametrize(("point", "moment", "call"), STEPS)
@pytest.mark.parametrize("loss", ["dropped", "drop-slot"])
def test_killed_anywhere_and_run_again_ends_the_same(
    loaded: Ferry,
    postgres: Database,
    killer: Killer,
    point: str,
    moment: str,
    call: int,
    loss: str,
) -> None:
    sync(loaded)
    before = record_of(loaded).position
    gap(postgres)
    losses: dict[str, Callable[[], Any]] = {
        "dropped": lambda: lose(loaded, postgres),
        "drop-slot": lambda: command_drop(loaded),
    }
    losses[loss]()
    died = killer.run(loaded, "sync", point=point, moment=moment, call=call, new_slot=True)
    assert died == -signal.SIGKILL
    after_gap(postgres)
    made = (point, moment, call) in (("position", "after", 2), ("begin sync", "after", 1))
    if not made:
        with pytest.raises(SlotLost) as lost:
            sync(loaded)
        assert "--new-slot" in lost.value.next_step
    sync(loaded, new_slot=True)
    found = record_of(loaded).gap
    assert found is not None
    assert found.before == before
    assert left_in_source(postgres) == (1, 2)
    repair(loaded)
    assert_level(loaded, postgres)
    assert record_of(loaded).gap is None


def command_drop(ferry: Ferry) -> None:
    with ferry.migration() as migration:
        migration.syncs.drop_slots()


def test_an_undo_brings_back_what_the_repair_made_up_for(loaded: Ferry, postgres: Database) -> None:
    sync(loaded)
    gap(postgres)
    lose(loaded, postgres)
    sync(loaded, new_slot=True)
    noted = record_of(loaded).gap
    assert noted is not None
    repair(loaded)
    assert record_of(loaded).gap is None
    with loaded.migration() as migration:
        (done,) = migration.repairs.all()
        migration.repairs.undo(done.record.run)
        (status,) = migration.status.tables()
    assert record_of(loaded).gap == noted
    assert status.verified is not None
    assert status.verified.verdict is Verdict.DIFFERENT
    sync(loaded)
    assert record_of(loaded).gap == noted
    repair(loaded)
    assert record_of(loaded).gap is None
    assert_level(loaded, postgres)
