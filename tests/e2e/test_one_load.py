"""Several tables in one load: one snapshot, one crew; each of them can fail, be busy, or be loaded before."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import assert_level
from tests.e2e.ferry import Ferry
from tests.e2e.killer import Killer

from gridferry.engine import retry
from gridferry.engine.events import ChunkDone, Event, LoadsStarted, LoadStarted, TableFailed, TableLoad
from gridferry.engine.rows.copier import ChunkCopier
from gridferry.errors import ConnectionLost, DataError, LeaseHeld, SourceRefused
from gridferry.model.failed_tables import SomeTablesFailed
from gridferry.source.postgres.one_snapshot import PostgresSnapshot

SMALL = ("a", "b", "c", "d", "e")
NAMES = (*SMALL, "large")
CHUNK = 400
OPTIONS: dict[str, Any] = {"rows_per_chunk": CHUNK, "workers": 2}


def make(postgres: Database, name: str, rows: int) -> None:
    postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, amount int NOT NULL, note text)")
    postgres.run(f"INSERT INTO {name} SELECT i, 10, repeat('n', 90) || i FROM generate_series(1, {rows}) AS i")
    postgres.run(f"ANALYZE {name}")


@pytest.fixture
def made(ferry: Ferry, postgres: Database) -> Ferry:
    """Five small tables and one of several chunks; nothing is loaded."""
    for number, name in enumerate(SMALL):
        make(postgres, name, 10 * number)
    make(postgres, "large", 3 * CHUNK)
    return ferry.of(*NAMES)


def outcomes(loads: list[TableLoad]) -> dict[str, str]:
    return {load.table.removeprefix("public."): str(load.outcome) for load in loads}


def level(ferry: Ferry, postgres: Database, *names: str) -> None:
    for name in names or NAMES:
        assert_level(ferry, postgres, name, split=None)


def failing(monkeypatch: pytest.MonkeyPatch, name: str, *, at: Callable[[int], bool] = lambda chunk: True) -> None:
    """Let the copying of some chunks of a table fail, after rows of it were put."""
    send = ChunkCopier.send_chunk

    def sending(self: ChunkCopier, writer: Any, reader: Any, chunk: Any) -> Any:
        sent = send(self, writer, reader, chunk)
        if chunk.relation == name and at(chunk.number):
            raise DataError("a row that no container holds", next_step="change it")
        return sent

    monkeypatch.setattr(ChunkCopier, "send_chunk", sending)


def test_all_tables_show_one_state_of_the_source(made: Ferry, postgres: Database) -> None:
    heard: list[Event] = []

    def between(event: Event) -> None:
        heard.append(event)
        if isinstance(event, LoadsStarted):
            postgres.run("BEGIN; " + "; ".join(f"UPDATE {name} SET amount = 0" for name in NAMES) + "; COMMIT")

    loads = made.load(listener=between, **OPTIONS)
    assert set(outcomes(loads).values()) == {"loaded"}
    assert [load.table for load in loads] == [f"public.{name}" for name in NAMES]
    assert {row["amount"] for name in NAMES for row in made.rows(name)} == {10}
    (started,) = (event for event in heard if isinstance(event, LoadsStarted))
    assert (started.tables, started.rows, started.done_rows) == (6, 100 + 3 * CHUNK, 0)
    assert started.octets > 0
    assert sum(isinstance(event, LoadStarted) for event in heard) == 6


def test_the_workers_have_one_session_each(made: Ferry, postgres: Database) -> None:
    seen: list[int] = []

    def count(event: Event) -> None:
        if isinstance(event, ChunkDone):
            own = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            seen.append(postgres.run(f"SELECT count(*) FROM pg_stat_activity WHERE {own}")[0][0])

    made.load(listener=count, **OPTIONS)
    assert max(seen) <= OPTIONS["workers"] + 2  # one holds the snapshot, one is for questions
    level(made, postgres)


@pytest.mark.parametrize("name", ["c", "large"])
def test_one_table_that_fails_in_mid_load_is_left_and_the_others_go_on(
    made: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    heard: list[Event] = []
    others = [each for each in NAMES if each != name]
    with monkeypatch.context() as patch:
        failing(patch, name, at=lambda chunk: chunk != 1 if name == "large" else True)
        with pytest.raises(SomeTablesFailed) as caught:
            made.load(listener=heard.append, **OPTIONS)
    assert [failed.table for failed in caught.value.failures] == [f"public.{name}"]
    assert caught.value.exit_code == 3
    assert set(caught.value.finished) == {f"public.{each}" for each in others}
    assert [event.table for event in heard if isinstance(event, TableFailed)] == [f"public.{name}"]
    level(made, postgres, *others)
    again = outcomes(made.load(**OPTIONS))
    assert again == {**dict.fromkeys(others, "already loaded"), name: "resumed"}
    level(made, postgres)
    assert made.equal()


def test_a_table_whose_rows_cannot_be_counted_is_left_and_the_others_go_on(
    made: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = PostgresSnapshot.count_all

    def counting(self: PostgresSnapshot, plan: Any) -> int:
        if plan.table == "large":
            raise SourceRefused("canceling statement due to statement timeout")
        return count(self, plan)

    with monkeypatch.context() as patch:
        patch.setattr(PostgresSnapshot, "count_all", counting)
        with pytest.raises(SomeTablesFailed, match=r"public\.large: canceling statement"):
            made.load(**OPTIONS)
    level(made, postgres, *SMALL)
    assert outcomes(made.load(**OPTIONS))["large"] == "resumed"
    level(made, postgres)


def test_loaded_half_loaded_and_new_tables_in_one_load(
    made: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, "large", at=lambda chunk: chunk > 1)
        with pytest.raises(SomeTablesFailed):
            made.of("a", "b", "large").load(**OPTIONS)
    postgres.run("UPDATE large SET amount = 11 WHERE id % 7 = 0; INSERT INTO c VALUES (999, 1, 'late')")
    heard: list[Event] = []
    assert outcomes(made.load(listener=heard.append, **OPTIONS)) == {
        "a": "already loaded", "b": "already loaded", "c": "loaded", "d": "loaded", "e": "loaded", "large": "resumed"
    }  # fmt: skip
    (started,) = (event for event in heard if isinstance(event, LoadsStarted))
    assert started.tables == 4
    assert 0 < started.done_rows < started.rows
    level(made, postgres)
    assert made.equal()


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [
        ("catalog add", "after", 1),
        ("begin run", "after", 3),
        ("create containers", "after", 3),
        ("put", "after", 4),
        ("checkpoint", "before", 4),
        ("documents", "after", 2),
        ("loaded", "after", 2),
        ("give back", "before", 1),
    ],
)
def test_killed_anywhere_the_same_command_ends_it(
    made: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    assert killer.run(made, "load", point=point, moment=moment, call=call, **OPTIONS) == -signal.SIGKILL
    postgres.run("UPDATE large SET amount = 11 WHERE id % 7 = 0; UPDATE c SET amount = 12; DELETE FROM e")
    made.load(**OPTIONS)
    with made.migration() as migration:
        assert {status.state for status in migration.status.tables()} == {"loaded"}
        migration.repairs.repair()  # what was deleted after it was stored, or changed after it was loaded
    level(made, postgres)


def test_a_table_that_another_run_works_on_is_left_or_waited_for(made: Ferry, postgres: Database) -> None:
    with made.migration() as migration:
        state = migration.endpoints.state
        state.begin()
        lease = state.lease("public.b")
        lease.__enter__()
        threading.Timer(8.0, lambda: lease.__exit__(None, None, None)).start()
        with pytest.raises(SomeTablesFailed) as caught:
            made.load(**OPTIONS)
        assert isinstance(caught.value.failures[0].error, LeaseHeld)
        level(made, postgres, *(name for name in NAMES if name != "b"))
        assert outcomes(made.load(wait_s=30.0, **OPTIONS))["b"] == "loaded"
    level(made, postgres)


def test_a_loaded_table_is_not_held_up_by_a_load_of_others(made: Ferry, postgres: Database) -> None:
    made.of("a", "b").load()
    with made.migration() as migration, migration.endpoints.state.lease("public.b"):
        assert outcomes(made.load(**OPTIONS))["b"] == "already loaded"
    level(made, postgres)


def test_an_error_of_all_ends_all_and_says_which_were_not_done(
    made: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> Any:
        raise ConnectionLost("the server is away")

    defaults = retry.with_patience.__kwdefaults__
    assert defaults is not None
    with monkeypatch.context() as patch:
        patch.setattr(ChunkCopier, "send_chunk", lost)
        patch.setitem(defaults, "patience_s", 0.0)
        with pytest.raises(ConnectionLost):
            made.load(**OPTIONS)
    assert set(outcomes(made.load(**OPTIONS)).values()) == {"resumed"}
    level(made, postgres)
