"""The source changes under a followed table: slots read or lost, restarts, failover, other servers, old backups."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, slot_of, sync, without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry
from tests.readings import make_numbered_readings

from gridferry.engine.events import Checkpointed, Event, Note
from gridferry.errors import SourceUnreachable
from gridferry.local.postgres import LocalPostgres
from gridferry.model.migration import DatabaseOrigin
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.source import PostgresSource

NAME = "plant"
SMALL_LOG = {"max_slot_wal_keep_size": "1MB", "wal_keep_size": "0", "min_wal_size": "32MB", "max_wal_size": "32MB"}


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        followed = ferry.of(READING)
        followed.load()
        yield followed


@contextmanager
def opened(server: LocalPostgres) -> Iterator[Database]:
    with psycopg.connect(server.dsn(NAME), autocommit=True) as connection:
        yield Database(server, NAME, connection)


@pytest.fixture
def plant() -> Iterator[LocalPostgres]:
    """A server that a test may stop, copy and promote, with the table in a database of its own."""
    with LocalPostgres(version=18) as server:
        server.create_database(NAME)
        with opened(server) as database:
            make_numbered_readings(database)
        yield server


def at(ferry: Ferry, server: LocalPostgres) -> Ferry:
    return replace(ferry, dsn=server.dsn(NAME)).of(READING)


def reloads(ferry: Ferry, database: Database, folder: Path) -> None:
    """The way back that every lost slot has."""
    assert command(ferry, folder, "load", "--replace", "--yes").code == 0
    database.run("DELETE FROM reading WHERE k = 4; INSERT INTO reading VALUES (500, 'd1', 5, '')")
    assert command(ferry, folder, "sync").code == 0
    assert_level(ferry, database)


def test_a_slot_that_another_process_reads_passes(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("DELETE FROM reading WHERE k = 1")
    feed = ChangeFeed(postgres.address)
    facts = feed.facts(slot_of(loaded))
    assert facts is not None
    assert facts.confirmed is not None
    with feed.stream(slot_of(loaded), start=facts.confirmed, wanted={}):
        refused(loaded, tmp_path, "sync", code=75, says="is active", advises="wait until the other process has ended")
    assert command(loaded, tmp_path, "sync").code == 0
    assert_level(loaded, postgres)


def test_a_slot_that_was_dropped(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run(f"SELECT pg_drop_replication_slot('{slot_of(loaded)}')")
    postgres.run("DELETE FROM reading WHERE k = 1")
    refused(loaded, tmp_path, "sync", code=3, says="does not exist any more", advises="gridferry load --replace")
    assert "changes since" in command(loaded, tmp_path, "status").text
    reloads(loaded, postgres, tmp_path)


def test_a_slot_that_another_process_has_read(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    sync(loaded)
    postgres.run("SET synchronous_commit = on; DELETE FROM reading WHERE k = 1")  # what is not on disk is not read
    slot = slot_of(loaded)
    postgres.run(
        f"SELECT count(*) FROM pg_logical_slot_get_binary_changes('{slot}', NULL, NULL, 'proto_version', '1',"
        f" 'publication_names', '{slot}_full')"
    )
    said = refused(loaded, tmp_path, "sync", code=3, says="by another process", advises="gridferry load --replace")
    assert "missing in the target" in said.text
    reloads(loaded, postgres, tmp_path)


@pytest.mark.parametrize("kind", ["physical", "other database"])
def test_a_slot_of_our_name_that_is_not_ours_is_neither_read_nor_dropped(
    loaded: Ferry, postgres: Database, tmp_path: Path, kind: str
) -> None:
    slot = slot_of(loaded)
    postgres.run(f"SELECT pg_drop_replication_slot('{slot}')")
    with ExitStack() as stack:
        other = stack.enter_context(psycopg.connect(postgres.server.dsn(), autocommit=True))
        if kind == "physical":
            other.execute(f"SELECT pg_create_physical_replication_slot('{slot}')")
        else:
            other.execute(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        stack.callback(other.execute, f"SELECT pg_drop_replication_slot('{slot}')")
        for words in (["sync"], ["drop-slot"], ["plan"]):
            refused(loaded, tmp_path, *words, code=2, says="is of somebody else", advises="pg_drop_replication_slot")
        said = command(loaded, tmp_path, "load", "--replace", "--yes")  # the table's slots have two names in turn
        assert said.code == 0
        assert "is of somebody else" in said.text
        assert slot_of(loaded) != slot
        assert_level(loaded, postgres)
        refused(loaded, tmp_path, "drop-slot", code=2, says="is of somebody else", advises="pg_drop_replication_slot")
        assert postgres.run("SELECT slot_name FROM pg_replication_slots") == [(slot,)]
    reloads(loaded, postgres, tmp_path)


def test_a_source_that_is_away_for_a_moment_gives_no_slot_a_strange_name(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which migration it is decides the slot's name, and the source says which."""
    make_numbered_readings(postgres)
    answers, asked = PostgresSource.fetch_origin, []

    def away_at_first(source: PostgresSource) -> DatabaseOrigin:
        asked.append(source)
        if len(asked) == 1:
            raise SourceUnreachable("the server closed the connection")
        return answers(source)

    monkeypatch.setattr(PostgresSource, "fetch_origin", away_at_first)
    followed = ferry.of(READING)
    with without_slots(postgres):
        with pytest.raises(SourceUnreachable):
            followed.load()
        followed.load()
        postgres.run("DELETE FROM reading WHERE k = 1")
        sync(followed)
        assert_level(followed, postgres)


def test_a_slot_whose_log_was_removed(ferry: Ferry, tmp_path: Path) -> None:
    """For real: max_slot_wal_keep_size lets PostgreSQL remove log that the slot needs."""
    with LocalPostgres(version=18, settings=SMALL_LOG) as server:
        server.create_database(NAME)
        with opened(server) as database:
            make_numbered_readings(database)
            followed = at(ferry, server)
            followed.load()
            sync(followed)
            database.run("DELETE FROM reading WHERE k = 1")
            for _ in range(4):
                database.run("SELECT pg_switch_wal()")
                database.run("CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t SELECT generate_series(1, 1000)")
            database.run("CHECKPOINT")
            assert database.run("SELECT wal_status FROM pg_replication_slots") == [("lost",)]
            said = command(followed, tmp_path, "status")
            assert "mode cdc, lost" in said.text
            assert "is of no use" in said.text
            said = refused(followed, tmp_path, "sync", code=3, says="has lost log that it needs", advises="--replace")
            assert "missing in the target" in said.text
            reloads(followed, database, tmp_path)


def test_a_source_that_restarts_while_it_is_followed(ferry: Ferry, plant: LocalPostgres) -> None:
    followed = at(ferry, plant)
    followed.load()
    stop, stored, lost = threading.Event(), threading.Event(), threading.Event()

    def hear(event: Event) -> None:
        if isinstance(event, Checkpointed) and event.updates:
            stored.set()
        if isinstance(event, Note) and "tried again" in event.message:
            lost.set()

    failures: list[BaseException] = []

    def follow() -> None:
        try:
            sync(followed, listener=hear, follow=True, interval_s=0.1, until=stop.is_set)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        for restart in range(2):
            with opened(plant) as database:
                database.run(f"UPDATE reading SET n = -{restart} WHERE k = 1")
            assert stored.wait(60), failures  # it reads the stream: a restart before that would not be seen
            stored.clear()
            lost.clear()
            plant.restart()
            assert lost.wait(60), failures
        with opened(plant) as database:
            database.run("DELETE FROM reading WHERE k = 2")
    finally:
        stop.set()
        thread.join()
    assert failures == []
    sync(followed)
    with opened(plant) as database:
        assert_level(followed, database)


def test_another_server_under_the_same_address_is_refused(ferry: Ferry, plant: LocalPostgres, tmp_path: Path) -> None:
    followed = at(ferry, plant)
    followed.load()
    with LocalPostgres(version=18) as stranger:
        stranger.create_database(NAME)
        with opened(stranger) as database:
            make_numbered_readings(database)
            for _ in range(2):  # before the first sync, and after it
                refused(
                    at(ferry, stranger), tmp_path, "sync", code=2, says="system identifier", advises="sync --new-source"
                )
                sync(followed)
            with opened(plant) as own:
                assert_level(followed, own)
            # Containers of another migration are not replaced: the advice is the way on.
            moved = at(ferry, stranger)
            assert command(moved, tmp_path, "sync", "--new-source", "--yes").code == 0
            assert_level(moved, database)


def replayed(primary: Database, standby: LocalPostgres) -> None:
    """Return when the standby has all that the primary wrote."""
    (lsn,) = primary.run("SELECT pg_current_wal_flush_lsn()::text")[0]
    deadline = time.monotonic() + 60
    with opened(standby) as database:
        while not database.run(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn")[0][0]:
            assert time.monotonic() < deadline
            database.run("SELECT pg_sleep(0.05)")


def promote(standby: LocalPostgres) -> None:
    with opened(standby) as database:
        database.run("SELECT pg_promote()")


def test_a_failover_to_a_server_that_has_the_slot_goes_on(ferry: Ferry, plant: LocalPostgres, tmp_path: Path) -> None:
    followed = at(ferry, plant)
    followed.load()
    standby = plant.standby()
    with ExitStack() as stack:
        stack.callback(standby.remove)
        standby.start()
        with opened(plant) as primary, opened(standby) as second:
            replayed(primary, standby)
            make = threading.Thread(
                target=lambda: second.run(
                    f"SELECT pg_create_logical_replication_slot('{slot_of(followed)}', 'pgoutput')"
                )
            )
            make.start()
            while make.is_alive():  # it waits for the primary to tell which transactions run
                primary.run("SELECT pg_log_standby_snapshot()")
                make.join(0.2)
            primary.run("UPDATE reading SET n = 9 WHERE k = 1")
            sync(followed)
            replayed(primary, standby)
        plant.stop()
        promote(standby)
        with opened(standby) as database:
            database.run("DELETE FROM reading WHERE k = 2")
            said = command(at(ferry, standby), tmp_path, "sync")
            assert said.code == 0, said.text
            assert "the source writes timeline 2 now" in said.text
            assert_level(at(ferry, standby), database)
            said = command(at(ferry, standby), tmp_path, "sync")
            assert "timeline" not in said.text


@pytest.mark.parametrize("complete", [True, False])
def test_a_failover_that_lost_the_slot_or_the_end_of_the_log(
    ferry: Ferry, plant: LocalPostgres, tmp_path: Path, complete: bool
) -> None:
    followed = at(ferry, plant)
    followed.load()
    standby = plant.standby()
    with ExitStack() as stack:
        stack.callback(standby.remove)
        standby.start()
        with opened(plant) as primary:
            replayed(primary, standby)
            if not complete:
                standby.stop()
            primary.run("UPDATE reading SET n = 9 WHERE k = 1")
            sync(followed)
            if complete:
                replayed(primary, standby)
        plant.stop()
        standby.start()
        promote(standby)
        says = "a slot comes along only as a failover slot" if complete else "a standby took over that had not got all"
        refused(at(ferry, standby), tmp_path, "sync", code=3, says=says, advises="gridferry sync --new-source")
        with opened(standby) as database:
            reloads(at(ferry, standby), database, tmp_path)


def test_a_source_that_was_restored_from_a_backup(ferry: Ferry, plant: LocalPostgres, tmp_path: Path) -> None:
    followed = at(ferry, plant)
    followed.load()
    plant.stop()
    backup = tmp_path / "backup"
    shutil.copytree(plant.data, backup)
    plant.start()
    with opened(plant) as database:
        database.run("INSERT INTO reading SELECT i, 'd0', i, repeat('x', 1000) FROM generate_series(1000, 1999) AS i")
        sync(followed)
    plant.stop()
    for part in plant.data.iterdir():
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    shutil.copytree(backup, plant.data, dirs_exist_ok=True)
    for path in [plant.data, *plant.data.rglob("*")]:
        shutil.chown(path, *own(plant))
    plant.start()
    said = refused(followed, tmp_path, "sync", code=3, says="its log ends at", advises="sync --new-source")
    assert "restored" in said.text
    with opened(plant) as database:
        reloads(followed, database, tmp_path)


def own(server: LocalPostgres) -> tuple[int, int]:
    """The account that the server's folder belongs to."""
    facts = server.folder.stat()
    return facts.st_uid, facts.st_gid
