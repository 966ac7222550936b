"""`status --containers`: how each container stands, in both modes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, without_slots
from tests.e2e.changes import sync as sync_changes
from tests.e2e.ferry import Ferry
from tests.e2e.readings import add, load_readings, sync
from tests.readings import make_numbered_readings

from gridferry.engine.standing import ContainerState


def states(ferry: Ferry, match: str = "") -> dict[str | None, ContainerState]:
    with ferry.migration() as migration:
        return {state.value: state for state in migration.status.container_states(match=match)}


def test_by_watermark_it_tells_what_waits_for_whom(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "1 hour")
    add(postgres, "2 hours", device="new")
    add(postgres, "3 hours", device="new")
    found = states(ferry)
    assert {v: (s.rows, s.waiting, s.written) for v, s in found.items()} == {
        "d0": (5, 1, 0), "d1": (5, 0, 0), "new": (None, 2, 0)
    }  # fmt: skip
    assert (found["new"].name, found["new"].newest) == ("reading_new", None)
    assert found["d1"].newest == "2024-05-01T00:00:09.000000Z"
    sync(ferry)
    found = states(ferry)
    assert {v: (s.rows, s.waiting, s.written) for v, s in found.items()} == {
        "d0": (6, 0, 1), "d1": (5, 0, 0), "new": (2, 0, 2)
    }  # fmt: skip
    assert found["new"].last_written > ""
    assert found["d1"].last_written == ""
    add(postgres, "4 hours")
    sync(ferry)
    assert states(ferry)["d0"].written == 2
    assert list(states(ferry, "*_NEW")) == ["new"]
    assert list(states(ferry, "d?")) == ["d0", "d1"]
    ferry.load(replace=True)
    assert {s.written for s in states(ferry).values()} == {0}


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        loaded = ferry.of({**READING, "on_bad_row": "quarantine"})
        loaded.load()
        yield loaded


def test_by_cdc_the_log_alone_knows_what_waits(followed: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading VALUES (100, 'd0', 1, NULL); DELETE FROM reading WHERE k IN (1, 4, 7)")
    postgres.run("UPDATE reading SET note = repeat('x', 40000) WHERE k = 2")
    sync_changes(followed)
    found = states(followed)
    assert {v: (s.rows, s.newest, s.waiting, s.written, s.deleted, s.quarantined) for v, s in found.items()} == {
        "d0": (11, 100, None, 1, 0, 0),
        "d1": (7, 28, None, 0, 3, 0),
        "d2": (9, 29, None, 0, 1, 1),
    }


def test_a_source_that_is_away_hides_only_what_waits(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    away = Ferry("postgresql://127.0.0.1:1/nowhere", ferry.server, ferry.database, ferry.tables)
    assert {v: (s.rows, s.waiting) for v, s in states(away).items()} == {"d0": (5, None), "d1": (5, None)}


def test_a_table_that_is_not_loaded_has_none(ferry: Ferry, postgres: Database) -> None:
    assert states(ferry.of("reading")) == {}
