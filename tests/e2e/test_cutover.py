"""Cut-over: READY only when everything is stored, equal and still; else what is missing, each with its next step."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, without_slots
from tests.e2e.ferry import Ferry, kept_in
from tests.e2e.planted import container_of, stored_batch, with_value
from tests.e2e.statistics import wait_for_statistics
from tests.readings import make_numbered_readings

from gridferry.checkpoint.lease import Lease, holder_of
from gridferry.checkpoint.state import TargetState
from gridferry.errors import LeaseHeld
from gridferry.model.cutover import CutoverReport, TableCutover

WATERMARK = {**READING, "sync": {"mode": "watermark", "column": "k"}}


@pytest.fixture(params=[READING, WATERMARK], ids=["cdc", "watermark"])
def table(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


@pytest.fixture
def followed(ferry: Ferry, postgres: Database, table: dict[str, Any]) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    postgres.run("CREATE INDEX ON reading (k)")
    ferry = ferry.of(table)
    with without_slots(postgres):
        ferry.load()
        yield ferry


def cutover(ferry: Ferry, **options: Any) -> CutoverReport:
    with ferry.migration() as migration:
        return migration.cutover(**options)


def missing(report: CutoverReport) -> dict[str, str]:
    """What is not so, by name, and its next step."""
    (table,) = report.tables
    return {check.name: check.next_step for check in table.checks if not check.ok}


def only(report: CutoverReport) -> TableCutover:
    (table,) = report.tables
    return table


def test_a_drained_equal_and_quiet_table_is_ready(followed: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading SELECT i, 'd0', i, 'late' FROM generate_series(100, 149) AS i")
    wait_for_statistics(postgres)
    report = cutover(followed)
    assert (missing(report), report.ready, report.exit_code) == ({}, True, 0)
    assert only(report).rows == 80
    names = [check.name for check in only(report).checks]
    assert {"loaded", "drained", "verified", "quarantine", "repairs", "quiet", "sessions"} <= set(names)
    assert all(not check.next_step and check.detail for check in only(report).checks)


def test_a_difference_is_missing_and_repair_is_the_next_step(followed: Ferry, postgres: Database) -> None:
    wait_for_statistics(postgres)
    with followed.store() as store:
        container = container_of(store, "reading_d0")
        container.put(with_value(stored_batch(container).slice(0, 1), 1, 4711))
    report = cutover(followed)
    assert missing(report) == {"verified": "gridferry repair, then run `gridferry cutover` again"}
    assert (report.ready, report.exit_code) == (False, 1)
    with followed.migration() as migration:
        assert migration.repairs.repair().exit_code == 0
    assert cutover(followed).ready


def test_a_table_that_is_not_loaded_is_not_ready(ferry: Ferry, postgres: Database) -> None:
    make_numbered_readings(postgres)
    report = cutover(ferry.of(READING))
    assert missing(report)["loaded"] == "gridferry load"
    assert "verified" in missing(report)


def test_rows_put_aside_are_missing(ferry: Ferry, postgres: Database) -> None:
    make_numbered_readings(postgres)
    postgres.run("INSERT INTO reading VALUES (77, 'd0', 1, repeat('x', 40000))")
    wait_for_statistics(postgres)
    ferry = ferry.of({**READING, "sync": None, "on_bad_row": "quarantine"})
    ferry.load()
    report = cutover(ferry)
    assert list(missing(report)) == ["quarantine"]
    assert "1 row in quarantine" in next(c.detail for c in only(report).checks if c.name == "quarantine")


def test_writes_that_go_on_and_open_transactions_are_told(followed: Ferry, postgres: Database) -> None:
    wait_for_statistics(postgres)
    with postgres.connect() as other:
        other.execute("BEGIN")
        other.execute("INSERT INTO reading VALUES (500, 'd0', 1, 'not yet')")
        report = cutover(followed)
        assert "sessions" in missing(report)
        other.execute("ROLLBACK")
    assert cutover(followed).ready


def test_a_source_that_is_still_written_is_not_ready(followed: Ferry, postgres: Database) -> None:
    """A row comes while both sides are compared: after the drain, before the end."""
    wait_for_statistics(postgres)
    with followed.migration() as migration:
        verify = migration.verifications.verify

        def slow(*tables: Any, **options: Any) -> Any:
            found = verify(*tables, **options)
            postgres.run("INSERT INTO reading VALUES (600, 'd0', 1, 'late')")
            return found

        migration.verifications.verify = slow  # type: ignore[method-assign]
        report = migration.cutover()
    assert "quiet" in missing(report)
    assert not report.ready


@pytest.mark.parametrize("mode", [None, {"mode": "watermark"}], ids=["not followed", "watermark"])
def test_a_view_does_not_tell_whether_it_is_still(
    ferry: Ferry, postgres: Database, mode: dict[str, str] | None
) -> None:
    make_numbered_readings(postgres)
    postgres.run("CREATE VIEW shown AS SELECT * FROM reading")
    ferry = ferry.of({"table": "shown", "key": "k", "sync": mode})
    ferry.load()
    report = cutover(ferry)
    assert list(missing(report)) == ["quiet"]
    assert "`gridferry verify`" in missing(report)["quiet"]
    (detail,) = (check.detail for check in only(report).checks if check.name == "quiet")
    assert "does not show" in detail
    assert "written while" not in detail


def test_a_slot_that_is_gone_is_told_with_the_way_back(ferry: Ferry, postgres: Database) -> None:
    make_numbered_readings(postgres)
    ferry = ferry.of(READING)
    with without_slots(postgres):
        ferry.load()
        (slot,) = postgres.run("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")[0]
        postgres.run(f"SELECT pg_drop_replication_slot('{slot}')")
        report = cutover(ferry)
    assert {"drained", "verified"} <= set(missing(report))
    assert "gridferry load --replace" in missing(report)["drained"]
    assert "gridferry sync --new-slot" in missing(report)["slot"]


@pytest.mark.parametrize("began", ["before it", "while it looked"])
def test_beside_a_running_follower_it_waits_for_the_stream(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, began: str
) -> None:
    make_numbered_readings(postgres)
    ferry = ferry.of(READING)
    ended, syncing = threading.Event(), threading.Event()
    with without_slots(postgres):
        ferry.load()
        with ferry.migration(lambda event: syncing.set()) as migration:
            work = threading.Thread(target=lambda: migration.syncs.sync(follow=True, until=ended.is_set))
            work.start()
            try:
                postgres.run("INSERT INTO reading VALUES (700, 'd0', 1, 'by the follower')")
                wait_for_statistics(postgres)
                assert syncing.wait(60)
                with ferry.store() as store:
                    until = time.monotonic() + 60
                    while holder_of(kept_in(store).documents, "public.reading") is None:
                        assert time.monotonic() < until
                looks = itertools.count(1 if began == "before it" else 0)
                look = TargetState.holder_of
                monkeypatch.setattr(TargetState, "holder_of", lambda *of: look(*of) if next(looks) else None)
                report = cutover(ferry, wait_s=60.0)
            finally:
                ended.set()
                work.join()
    assert missing(report) == {}
    assert only(report).rows == 31


def test_beside_another_run_it_is_tried_later(followed: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading VALUES (900, 'd0', 1, 'new')")
    with followed.store() as store, Lease(kept_in(store).documents, "public.reading"), pytest.raises(LeaseHeld) as held:
        cutover(followed)
    assert "--wait" in held.value.next_step
    assert held.value.exit_code == 75
