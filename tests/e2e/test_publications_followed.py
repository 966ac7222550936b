"""Publications beside a table that is followed: as complete as its identity allows, and harmless."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, slot_of, sync, without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry
from tests.readings import make_numbered_readings

from gridferry.engine.sync.cdc import source_checks as source_watch

UPDATE = "UPDATE reading SET n = n + 1 WHERE k = 1"
TOUCH = "UPDATE reading SET n = n"


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        followed = ferry.of(READING)
        followed.load()
        yield followed


@pytest.fixture
def keyless(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    """A table with a unique key, and without a replica identity."""
    make_numbered_readings(postgres)
    postgres.run(
        "ALTER TABLE reading DROP CONSTRAINT reading_pkey, ADD UNIQUE (device, k),"
        " ALTER device SET NOT NULL, ALTER k SET NOT NULL"
    )
    with without_slots(postgres):
        followed = ferry.of(READING)
        followed.load()
        yield followed


@pytest.mark.parametrize(
    "identity",
    ["ADD PRIMARY KEY (device, k)", "REPLICA IDENTITY FULL", "REPLICA IDENTITY USING INDEX reading_device_k_key"],
)
def test_an_identity_that_is_added_later_is_used_from_then_on(
    keyless: Ferry, postgres: Database, tmp_path: Path, identity: str
) -> None:
    postgres.run(f"{UPDATE}; ALTER TABLE reading {identity}; DELETE FROM reading WHERE k = 2")
    assert "will be followed from the next sync on" in command(keyless, tmp_path, "status").text
    said = command(keyless, tmp_path, "sync")
    assert said.code == 0
    assert "its updates and deletes are followed from here on" in said.text
    assert "run `gridferry repair` once" in said.text
    postgres.run("UPDATE reading SET n = 77 WHERE k = 5; DELETE FROM reading WHERE k = 6")
    said = command(keyless, tmp_path, "sync")
    assert "1 row deleted" in said.text
    assert "from here on" not in said.text
    assert "were not published: run `gridferry repair` once" in command(keyless, tmp_path, "status").text
    postgres.run(f"INSERT INTO reading VALUES (2, 'd2', 1, ''); DELETE FROM reading WHERE k = 2; {TOUCH}")
    sync(keyless)
    assert_level(keyless, postgres)


def test_an_identity_that_does_not_tell_the_key_is_not_used(keyless: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("ALTER TABLE reading ADD COLUMN id serial PRIMARY KEY")
    said = command(keyless, tmp_path, "sync")
    assert said.code == 0
    assert (
        "only its inserts can be followed: an update or delete in the source does not carry the old device, k"
        in said.text
    )
    postgres.run(f"{UPDATE}; INSERT INTO reading VALUES (100, 'd1', 1, 'x')")
    assert command(keyless, tmp_path, "sync").code == 0


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE reading DROP CONSTRAINT reading_pkey", "ALTER TABLE reading REPLICA IDENTITY NOTHING"],
)
def test_a_lost_identity_frees_the_application_at_the_next_sync(
    loaded: Ferry, postgres: Database, tmp_path: Path, statement: str
) -> None:
    postgres.run(f"{UPDATE}; {statement}")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        postgres.run(UPDATE)
    warned = command(loaded, tmp_path, "status")
    assert "PostgreSQL refuses the application's UPDATE and DELETE on it. Run `gridferry sync` at once" in warned.text
    said = command(loaded, tmp_path, "sync")
    assert said.code == 0
    assert "It was taken out of the publication of updates and deletes: they work again" in said.text
    assert_level(loaded, postgres)
    postgres.run(f"{UPDATE}; DELETE FROM reading WHERE k = 3; INSERT INTO reading VALUES (100, 'd1', 1, 'x')")
    said = command(loaded, tmp_path, "sync")
    assert said.code == 0
    assert "refuses" not in said.text
    assert any(row["k"] == 100 for row in loaded.rows("reading_d1"))
    assert "only inserts are followed" in command(loaded, tmp_path, "status").text
    postgres.run("ALTER TABLE reading DROP CONSTRAINT IF EXISTS reading_pkey, ADD PRIMARY KEY (device, k)")
    postgres.run("ALTER TABLE reading REPLICA IDENTITY DEFAULT")
    assert "from here on" in command(loaded, tmp_path, "sync").text


def test_a_lost_identity_frees_the_application_even_where_the_slot_is_lost(
    loaded: Ferry, postgres: Database, tmp_path: Path
) -> None:
    postgres.run("ALTER TABLE reading REPLICA IDENTITY NOTHING")
    postgres.run(f"SELECT pg_drop_replication_slot('{slot_of(loaded)}')")
    refused(loaded, tmp_path, "sync", code=3, says="does not exist any more", advises="--replace")
    postgres.run(UPDATE)


def test_a_lost_identity_frees_the_application_while_the_table_is_followed(
    loaded: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_watch, "EVERY_S", 0.0)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: sync(loaded, follow=True, interval_s=0.1, until=stop.is_set))
    thread.start()
    try:
        postgres.run("INSERT INTO reading VALUES (200, 'd1', 1, 'x')")
        postgres.run("ALTER TABLE reading DROP CONSTRAINT reading_pkey")
        deadline = time.monotonic() + 60
        for k in range(201, 10_000):
            postgres.run(f"INSERT INTO reading VALUES ({k}, 'd1', 1, 'x')")  # something to read
            try:
                postgres.run(UPDATE)
                break
            except psycopg.errors.ObjectNotInPrerequisiteState:
                assert time.monotonic() < deadline
    finally:
        stop.set()
        thread.join()
    postgres.run("UPDATE reading SET n = n - 1 WHERE k = 1")
    sync(loaded)
    assert_level(loaded, postgres)


@pytest.mark.parametrize(
    "change",
    [
        'ALTER PUBLICATION "{slot}_full" DROP TABLE reading',
        "ALTER PUBLICATION \"{slot}_full\" SET (publish = 'insert, delete')",
        'ALTER PUBLICATION "{slot}_full" SET (publish_via_partition_root = false)',
        'ALTER PUBLICATION "{slot}_full" SET TABLE reading (k, device)',
    ],
)
def test_publications_that_somebody_changed(loaded: Ferry, postgres: Database, tmp_path: Path, change: str) -> None:
    postgres.run(change.format(slot=slot_of(loaded)))
    if "(k, device)" not in change:  # a change without its columns cannot be stored, and stops the sync
        postgres.run(UPDATE)
    said = refused(loaded, tmp_path, "sync", code=3, says="were changed by somebody", advises="gridferry repair")
    mend = said.text.partition("Next: run ")[2].partition(";")[0]
    assert mend in command(loaded, tmp_path, "status").text
    postgres.run(mend)
    postgres.run(TOUCH)
    assert command(loaded, tmp_path, "sync").code == 0
    assert_level(loaded, postgres)


def test_a_publication_that_was_dropped(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run(f'DROP PUBLICATION "{slot_of(loaded)}_full"')
    postgres.run(UPDATE)
    refused(loaded, tmp_path, "sync", code=3, says="_full does not exist any more", advises="load --replace")
    assert "a publication of the slot is gone" in command(loaded, tmp_path, "status").text
    assert command(loaded, tmp_path, "load", "--replace", "--yes").code == 0
    postgres.run(UPDATE)
    assert command(loaded, tmp_path, "sync").code == 0
    assert_level(loaded, postgres)
