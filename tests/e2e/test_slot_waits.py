"""A new slot beside a transaction that stays open: it is said for whom it waits, and how long; then nothing is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, slot_of, sync, without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry
from tests.readings import make_numbered_readings

from gridferry.engine.events import Event, Note
from gridferry.source.postgres.session import blockers
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.session.lock_holders import OpenTransaction


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockers, "FIRST_LOOK_S", 0.0)


@pytest.fixture
def made(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    postgres.run("CREATE TABLE other (id int)")
    with without_slots(postgres):
        yield ferry.of(READING)


@contextmanager
def idle_writer(postgres: Database, database: str | None = None) -> Iterator[tuple[str, str]]:
    """Yields how it is called, and what ends it."""
    with postgres.server_connection(database) if database else postgres.connect() as session:
        session.autocommit = False
        session.execute("SET application_name = 'nightly'; SELECT txid_current()")
        pid = session.info.backend_pid
        name = f"process {pid} (nightly) of postgres in the database {database or postgres.name}, idle in transaction"
        yield name, f"SELECT pg_terminate_backend({pid});"
        with suppress(psycopg.OperationalError):  # it was ended
            session.rollback()


@contextmanager
def prepared(postgres: Database) -> Iterator[tuple[str, str]]:
    postgres.run("BEGIN; INSERT INTO other VALUES (1); PREPARE TRANSACTION 'month''s end'")
    try:
        yield 'the prepared transaction "month\'s end" of postgres', "ROLLBACK PREPARED 'month''s end';"
    finally:
        postgres.run("ROLLBACK PREPARED 'month''s end'")


@contextmanager
def holder(postgres: Database, kind: str) -> Iterator[tuple[str, str]]:
    if kind == "prepared":
        with prepared(postgres) as found:
            yield found
    else:
        with idle_writer(postgres, "postgres" if kind == "another database" else None) as found:
            yield found


def nothing_left(postgres: Database) -> bool:
    slots = postgres.run("SELECT 1 FROM pg_replication_slots WHERE database = current_database()")
    return not slots and not postgres.run("SELECT 1 FROM pg_publication")


@pytest.mark.parametrize("kind", ["same database", "another database", "prepared"])
def test_a_load_says_for_whom_it_waits_and_ends(made: Ferry, postgres: Database, tmp_path: Path, kind: str) -> None:
    with holder(postgres, kind) as (name, way_out):
        said = refused(
            made, tmp_path, "load", "--wait-for-transactions", "3s",
            code=75, says="no replication slot could begin within 3.0 s", advises=way_out,
        )  # fmt: skip
        assert said.text.count(name) == 2  # a warning while it waits, and the error
        assert "public.reading: a new replication slot begins when" in said.text
        assert "--wait-for-transactions" in said.text
        assert nothing_left(postgres)
    assert command(made, tmp_path, "load").code == 0
    assert command(made, tmp_path, "verify").code == 0


def test_a_new_slot_says_for_whom_it_waits_and_goes_on_when_that_has_ended(made: Ferry, postgres: Database) -> None:
    made.load()
    postgres.run(f"SELECT pg_drop_replication_slot('{slot_of(made)}')")
    told: list[Event] = []
    with idle_writer(postgres) as (name, _), postgres.connect() as ending:
        pid = int(name.split()[1])

        def hear(event: Event) -> None:
            told.append(event)
            if isinstance(event, Note) and name in event.message:
                ending.execute("SELECT pg_terminate_backend(%s)", (pid,))

        (synced,) = sync(made, new_slot=True, listener=hear)
    assert synced.outcome != "stopped"
    assert len([e for e in told if isinstance(e, Note) and name in e.message]) == 1
    assert made.equal()


def test_a_new_slot_that_waited_in_vain_is_made_by_the_next_call(
    made: Ferry, postgres: Database, tmp_path: Path
) -> None:
    made.load()
    postgres.run(f"SELECT pg_drop_replication_slot('{slot_of(made)}')")
    with prepared(postgres) as (name, way_out):
        refused(
            made, tmp_path, "sync", "--new-slot", "--wait-for-transactions", "1s",
            code=75, says=name, advises=way_out,
        )  # fmt: skip
        assert nothing_left(postgres)
    assert command(made, tmp_path, "sync", "--new-slot").code == 0
    assert command(made, tmp_path, "repair").code == 0


def test_a_reader_holds_nothing_up(made: Ferry, postgres: Database) -> None:
    with postgres.connect() as reading:
        reading.autocommit = False
        reading.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM other")
        told: list[Event] = []
        made.load(listener=told.append)
        assert not [event for event in told if isinstance(event, Note) and "waiting" in event.message.lower()]
        reading.rollback()


def test_a_role_that_may_not_see_others_still_names_the_process(made: Ferry, postgres: Database) -> None:
    postgres.run("DROP ROLE IF EXISTS watcher")
    postgres.run("CREATE ROLE watcher LOGIN")
    with postgres.connect() as holding, postgres.connect() as waiting:
        holding.autocommit = False
        holding.execute("SET application_name = 'nightly'; UPDATE reading SET n = 0 WHERE k = 1")
        update = threading.Thread(target=lambda: waiting.execute("UPDATE reading SET n = 1 WHERE k = 1"))
        update.start()
        found: list[OpenTransaction] | None = []
        while not found:
            found = blockers.fetch_blockers(parse_address(postgres.dsn_as("watcher")), waiting.info.backend_pid)
        pid = holding.info.backend_pid
        holding.rollback()
        update.join()
    assert [str(each) for each in found] == [
        f"process {pid} (nightly) of postgres in the database {postgres.name}, at work"
    ]
    postgres.run("DROP ROLE watcher")
