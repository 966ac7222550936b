"""`load --replace` drops last: whatever refuses the new load, the old copy is whole; and so it is if it is killed."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, left_in_source, sync, without_slots
from tests.e2e.ferry import OWN, Ferry
from tests.e2e.killer import Killer
from tests.readings import make_numbered_readings

from gridferry.checkpoint.runs import RunState
from gridferry.engine.load.table_load import TableLoader
from gridferry.errors import FerryError, PlanError, SourceRefused, StatementError, TargetNotEmpty
from gridferry.griddb import Container, ContainerSchema, Store
from gridferry.source.postgres import feed as feed_module
from gridferry.source.postgres.one_snapshot import PostgresSnapshot

WATERMARK = {**READING, "sync": {"mode": "watermark", "column": "k", "lookback_values": 5}}


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        yield ferry.of(READING)


def rows_of(ferry: Ferry) -> dict[str, list[dict[str, Any]]]:
    return {name: sorted(ferry.rows(name), key=repr) for name in ferry.names()}


@contextmanager
def nothing_lost(ferry: Ferry, loaded_as: Ferry) -> Iterator[None]:
    """What was loaded is all there, counts as loaded, and is equal by the config that it was loaded with."""
    before = rows_of(ferry)
    assert sum(map(len, before.values())) == 30
    yield
    assert rows_of(ferry) == before
    with loaded_as.migration() as migration:
        run = migration.endpoints.look_at_state().runs.get("public.reading")
        assert run is not None
        assert (run.state, run.spare) == (RunState.LOADED, "")
    assert loaded_as.equal()


def refused(*_: Any, **__: Any) -> Any:
    raise SourceRefused("replication connections are refused here")


@pytest.mark.parametrize("loaded_as", [WATERMARK, READING], ids=["watermark", "cdc"])
def test_where_no_replication_connection_can_be_made(
    followed: Ferry, monkeypatch: pytest.MonkeyPatch, loaded_as: dict[str, Any]
) -> None:
    """As through a pooler: what `plan` asks is answered, and the replication connection is refused."""
    followed.of(loaded_as).load()
    with nothing_lost(followed, followed.of(loaded_as)), monkeypatch.context() as patch:
        patch.setattr(feed_module, "create_slot", contextmanager(refused))
        with pytest.raises(SourceRefused, match="refused here"):
            followed.load(replace=True)
    assert followed.load(replace=True)[0].outcome == "loaded"


@pytest.mark.parametrize("loaded_as", [WATERMARK, READING], ids=["watermark", "cdc"])
def test_where_the_role_may_not_replicate(followed: Ferry, postgres: Database, loaded_as: dict[str, Any]) -> None:
    followed.of(loaded_as).load()
    role = f"reader_{postgres.name.replace(' ', '_')}"
    postgres.run(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON reading TO {role}; GRANT CONNECT ON DATABASE "
                 f'"{postgres.name}" TO {role}')  # fmt: skip
    try:
        with nothing_lost(followed, followed.of(loaded_as)), pytest.raises(PlanError) as caught:
            replace(followed, dsn=postgres.dsn_as(role)).load(replace=True)
        assert "may not read changes" in str(caught.value.problems)
    finally:
        postgres.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_where_no_slot_is_free(followed: Ferry, postgres: Database) -> None:
    """The old slot stays until the new one is made: one more is needed for a moment, and the way out works."""
    followed.load()
    free = "current_setting('max_replication_slots')::int - (SELECT count(*)::int FROM pg_replication_slots)"
    ((count,),) = postgres.run(f"SELECT {free}")
    names = [f"filler_{i}" for i in range(count)]
    for name in names:
        postgres.run(f"SELECT pg_create_physical_replication_slot('{name}')")
    try:
        with nothing_lost(followed, followed), pytest.raises(PlanError) as caught:
            followed.load(replace=True)
        (problem,) = caught.value.problems
        assert "max_replication_slots" in problem
        assert "gridferry drop-slot --table public.reading" in problem
        with followed.migration() as migration:
            migration.syncs.drop_slots(["public.reading"])
        assert followed.load(replace=True)[0].outcome == "loaded"
    finally:
        for name in names:
            postgres.run(f"SELECT pg_drop_replication_slot('{name}')")
    assert_level(followed, postgres)


@pytest.mark.parametrize("mode", [WATERMARK, READING], ids=["watermark", "cdc"])
def test_where_the_target_makes_no_containers(
    followed: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, mode: dict[str, Any]
) -> None:
    ferry = followed.of(mode)
    ferry.load()
    slots = left_in_source(postgres)
    create: Callable[..., list[Container]] = Store.create_containers

    def read_only(self: Store, names: Sequence[str], schema: ContainerSchema, *, modify: bool = False) -> Any:
        if not set(names) <= set(OWN):
            raise StatementError("the database is read-only", code=10079)
        return create(self, names, schema, modify=modify)

    with nothing_lost(followed, ferry), monkeypatch.context() as patch:
        patch.setattr(Store, "create_containers", read_only)
        with pytest.raises(StatementError, match="read-only") as caught:
            ferry.load(replace=True)
        assert "nothing was dropped" in caught.value.state
    assert left_in_source(postgres) == slots


def test_where_the_source_takes_no_further_session(followed: Ferry, monkeypatch: pytest.MonkeyPatch) -> None:
    ferry = followed.of(WATERMARK)
    ferry.load()
    with nothing_lost(followed, ferry), monkeypatch.context() as patch:
        patch.setattr(PostgresSnapshot, "open_reader", contextmanager(refused))
        with pytest.raises(SourceRefused):
            ferry.load(replace=True)


def test_the_old_copy_stands_while_the_new_slot_is_waited_for(followed: Ferry, postgres: Database) -> None:
    followed.load()
    before = rows_of(followed)
    done: list[Any] = []
    with psycopg.connect(postgres.dsn) as other:
        other.execute("CREATE TABLE other (id int)")
        thread = threading.Thread(target=lambda: done.append(followed.load(replace=True, wait_s=5)))
        thread.start()
        deadline = time.monotonic() + 60
        while not postgres.run("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE_REPLICATION_SLOT%'"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        assert rows_of(followed) == before
        assert len(postgres.run("SELECT 1 FROM pg_replication_slots WHERE database = current_database()")) == 2
        other.rollback()
    thread.join(60)
    assert done[0][0].outcome == "loaded"
    assert left_in_source(postgres) == (1, 2)
    postgres.run("INSERT INTO reading VALUES (500, 'd1', 5, 'late')")
    sync(followed)
    assert_level(followed, postgres)


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [
        ("spare slot", "before", 1),
        ("spare slot", "after", 1),
        ("slot made", "before", 1),
        ("clear", "before", 1),
        ("begin run", "before", 1),
        ("begin run", "after", 1),
        ("catalog add", "after", 1),
        ("drop containers", "after", 2),
        ("drop containers", "before", 5),
        ("drop containers", "after", 5),
        ("clear", "after", 1),
        ("begin run", "before", 2),
        ("begin run", "after", 2),
        ("drop slot", "before", 1),
        ("drop slot", "after", 1),
        ("checkpoint", "after", 1),
        ("loaded", "before", 1),
    ],
)
def test_killed_anywhere_either_the_old_copy_is_whole_or_a_load_ends_it(
    followed: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    followed.load()
    before = rows_of(followed)
    status = killer.run(followed, "load", point=point, moment=moment, call=call, replace=True)
    assert status == -signal.SIGKILL, "the point was not reached"
    with followed.migration() as migration:
        run = migration.endpoints.look_at_state().runs.get("public.reading")
        assert run is not None
    if run.state is RunState.LOADED:
        assert rows_of(followed) == before
    postgres.run("UPDATE reading SET n = -n WHERE k < 10; INSERT INTO reading VALUES (400, 'fresh', 1, 'x')")
    if run.state is not RunState.LOADED or call == 2:
        followed.load()
    sync(followed)
    assert_level(followed, postgres)
    assert left_in_source(postgres) == (1, 2)
    assert followed.equal()


def test_rows_that_nobody_claims_are_dropped_only_with_a_second_consent(followed: Ferry) -> None:
    ferry = followed.of(WATERMARK)
    ferry.load()
    with followed.store() as store:
        opened = store.open_container("reading_d0")
        assert opened is not None
        theirs = store.create_container("copy_d0", opened.schema)
        theirs.put(next(iter(opened.scan().batches())).slice(0, 3))
    other = followed.of({**WATERMARK, "container": "copy_{value}"})
    with _kept(followed):
        with pytest.raises(TargetNotEmpty) as caught:
            other.load(replace=True)
        assert "--replace-unclaimed" in caught.value.next_step
    assert other.load(replace=True, replace_unclaimed=True)[0].outcome == "loaded"
    assert len(followed.rows("copy_d0")) == 10


@contextmanager
def _kept(ferry: Ferry) -> Iterator[None]:
    before = rows_of(ferry)
    yield
    assert rows_of(ferry) == before


def test_an_unreadable_state_is_forgotten_only_when_the_new_load_begins(
    followed: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry = followed.of(WATERMARK)
    ferry.load()
    with ferry.migration() as migration:
        migration.endpoints.look_at_state().documents.put("load:public.reading", {"run": {"version": 99}})
    with _kept(ferry), monkeypatch.context() as patch:
        patch.setattr(TableLoader, "_plan", refused)
        with pytest.raises(SourceRefused):
            ferry.load(replace=True)
    with pytest.raises(FerryError, match="version 99"):
        ferry.load()
    assert ferry.load(replace=True)[0].outcome == "loaded"
    assert ferry.equal()
