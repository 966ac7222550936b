"""The source's log beside a sync, as a verification reads it to prove rows that only the target has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, left_in_source, slot_of, without_slots
from tests.e2e.ferry import Ferry
from tests.readings import make_numbered_readings

from gridferry.source.postgres.log import window as log_window
from gridferry.source.postgres.log.decoder import Wanted
from gridferry.source.postgres.log.window import LogWindow, open_log_window


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        followed = ferry.of(READING)
        followed.load()
        yield followed


def keys(window: LogWindow) -> set[int]:
    return {key for batch in window.changes() for key in batch.rows.column("k").to_pylist()}


def wanted(ferry: Ferry) -> Wanted:
    with ferry.migration() as migration:
        run = migration.endpoints.look_at_state().runs.get("public.reading")
    assert run is not None
    assert run.plan is not None
    return {("public", "reading"): tuple(c for c in run.plan.source_columns if c.name in ("k", "device"))}


def test_every_change_from_the_window_on_is_told_once(
    followed: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_window, "MESSAGES_A_READ", 5)
    slot, columns = slot_of(followed), wanted(followed)
    before = left_in_source(postgres)
    postgres.run("INSERT INTO reading VALUES (99, 'd1', 0, 'before')")
    with open_log_window(postgres.address, followed=slot, wanted=columns, patience_s=10.0) as window:
        postgres.run("INSERT INTO reading SELECT i, 'd1', 0, '' FROM generate_series(100, 400) AS i")  # one answer
        for key in range(500, 520):
            postgres.run(f"INSERT INTO reading VALUES ({key}, 'd2', 0, ''); DELETE FROM reading WHERE k = {key}")
        assert keys(window) == {*range(100, 401), *range(500, 520)}
        assert keys(window) == set()
        postgres.run("UPDATE reading SET n = 7 WHERE k = 3")
        assert keys(window) == {3}
    assert left_in_source(postgres) == before


@pytest.mark.parametrize("where", ["in another table", "in the table", "in another database"])
def test_it_begins_at_once_beside_an_open_transaction(followed: Ferry, postgres: Database, where: str) -> None:
    slot, columns = slot_of(followed), wanted(followed)
    before = left_in_source(postgres)
    postgres.run("CREATE TABLE other (id int)")
    with postgres.server_connection("postgres") if where == "in another database" else postgres.connect() as busy:
        busy.autocommit = False
        if where == "in another database":
            busy.execute("SELECT txid_current()")
        else:
            row = "other VALUES (99)" if where == "in another table" else "reading VALUES (99, 'd1', 0, '')"
            busy.execute(f"INSERT INTO {row}")
        postgres.run("INSERT INTO reading VALUES (98, 'd1', 0, 'before')")
        with open_log_window(postgres.address, followed=slot, wanted=columns, patience_s=30) as window:
            postgres.run("INSERT INTO reading VALUES (100, 'd1', 0, '')")
            assert keys(window) == {100}
            busy.commit()
            assert keys(window) == ({99} if where == "in the table" else set())
    assert left_in_source(postgres) == before
