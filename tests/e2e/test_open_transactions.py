"""Beside a transaction that stays open somewhere in the server: verify, repair and cut-over come to their end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, slot_of, sync, without_slots
from tests.e2e.command import command
from tests.e2e.ferry import Ferry
from tests.readings import make_numbered_readings

from gridferry.model.verification import Verdict

PLACES = {
    "another table": "INSERT INTO other VALUES (1)",
    "another database": "CREATE TABLE IF NOT EXISTS left_open (id int)",
    "the table itself": "UPDATE reading SET n = 5 WHERE k = 7",
    "a snapshot that is held": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM other",
}


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    postgres.run("CREATE TABLE other (id int)")
    with without_slots(postgres):
        followed = ferry.of(READING)
        followed.load()
        sync(followed)
        yield followed


@contextmanager
def left_open(postgres: Database, where: str) -> Iterator[None]:
    """A transaction that has written, and does not end."""
    with postgres.server_connection("postgres") if where == "another database" else postgres.connect() as session:
        session.autocommit = False
        session.execute(PLACES[where])
        yield
        session.rollback()


def damage(ferry: Ferry) -> None:
    """A row too few, one too many, and one with another value."""
    with ferry.store() as store:
        container = store.open_container("reading_d1")
        assert container is not None
        rows = container.scan().read_all().to_pylist()
        container.delete(pa.RecordBatch.from_pylist(rows[:1], schema=container.schema.key_schema.arrow_schema))
        changed: dict[str, Any] = {**rows[1], "n": -1}
        extra = {**changed, "k": 999}
        container.put(pa.RecordBatch.from_pylist([changed, extra], schema=container.schema.arrow_schema))


@pytest.mark.parametrize("where", PLACES)
def test_differences_are_proven_and_repaired(followed: Ferry, postgres: Database, where: str) -> None:
    damage(followed)
    with left_open(postgres, where), followed.migration() as migration:
        found = migration.verifications.verify()
        assert (found.verdict, found.exit_code) == (Verdict.DIFFERENT, 1)
        assert [(t.missing, t.extra, t.different, t.unsettled) for t in found.tables] == [(1, 1, 1, 0)]
        repaired = migration.repairs.repair()
        assert repaired.exit_code == 0
        assert migration.verifications.verify().verdict is Verdict.EQUAL
        (table,) = migration.cutover().tables
        missing = {check.name for check in table.checks if not check.ok}
        if where == "the table itself":  # its writer has to end before the application is pointed elsewhere
            assert missing
        else:  # PostgreSQL's count of writes comes late
            assert missing <= {"quiet"}


def test_after_a_lost_slot_the_advice_leads_to_equal(followed: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading VALUES (100, 'd1', 1, 'missed'); DELETE FROM reading WHERE k = 1")
    postgres.run(f"SELECT pg_drop_replication_slot('{slot_of(followed)}')")
    sync(followed, new_slot=True)
    with left_open(postgres, "another database"), followed.migration() as migration:
        assert migration.verifications.verify().verdict is Verdict.DIFFERENT
        assert migration.repairs.repair().exit_code == 0
        assert migration.verifications.verify().verdict is Verdict.EQUAL


def test_only_rows_that_a_change_waits_for_stay_in_doubt(followed: Ferry, postgres: Database) -> None:
    damage(followed)
    postgres.run("UPDATE reading SET n = 0 WHERE k IN (2, 5); UPDATE reading SET k = 200 WHERE k = 8")
    postgres.run("INSERT INTO reading VALUES (300, 'new', 0, ''); DELETE FROM reading WHERE k = 11")
    with followed.migration() as migration:
        (found,) = migration.verifications.verify().tables
        # In doubt: 2 and 5 changed; 8, 200, 300 and 11 moved, came and went.
        assert (found.missing, found.extra, found.different, found.unsettled) == (1, 1, 1, 6)
        report = migration.repairs.repair()
        assert report.exit_code == 75
        assert [(t.put, t.deleted, t.replaced) for t in report.tables] == [(1, 1, 1)]
        migration.syncs.sync()
        assert migration.verifications.verify().verdict is Verdict.EQUAL


def test_where_the_log_does_not_tell_the_keys_all_stay_in_doubt(followed: Ferry, postgres: Database) -> None:
    damage(followed)
    postgres.run("TRUNCATE reading; INSERT INTO reading SELECT i, 'd1', i, '' FROM generate_series(50, 60) AS i")
    with followed.migration() as migration:
        (found,) = migration.verifications.verify().tables
    assert (found.missing, found.extra, found.different) == (0, 0, 0)
    assert found.unsettled


def test_the_advice_after_a_repair_that_left_rows_in_doubt_works(
    followed: Ferry, postgres: Database, tmp_path: Path
) -> None:
    damage(followed)
    postgres.run("UPDATE reading SET n = 0 WHERE k IN (2, 5)")
    first = command(followed, tmp_path, "repair")
    assert first.code == 75
    assert "2 rows left alone: changes of them are not synced yet" in first.text
    assert "Next: gridferry repair --sync" in first.text
    assert command(followed, tmp_path, "repair", "--sync").code == 0
    assert command(followed, tmp_path, "verify").code == 0
