"""The target fails or is changed under a followed table, in both modes: told clearly, and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, sync, without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry, Server
from tests.readings import make_numbered_readings

from gridferry.embedded.refusal import Code
from gridferry.embedded.server import Server as EmbeddedServer
from gridferry.engine.events import ChunkDone, Event, Note
from gridferry.griddb import ContainerSchema, Store
from gridferry.griddb.wire.statement import Statement

TABLES: dict[str, dict[str, Any]] = {
    "watermark": {**READING, "sync": {"mode": "watermark", "column": "k"}},
    "cdc": READING,
}
_PUTS = (Statement.PUT_MULTIPLE_ROWS, Statement.PUT_MULTIPLE_CONTAINER_ROWS)


@pytest.fixture(params=TABLES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database, mode: str) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        followed = ferry.of(TABLES[mode])
        followed.load()
        yield followed


@pytest.fixture
def failing(embedded_ferry: Ferry, postgres: Database, mode: str, impatient: None) -> Iterator[Ferry]:
    """The same on the embedded target, whose faults a test may switch on."""
    make_numbered_readings(postgres)
    with without_slots(postgres):
        followed = embedded_ferry.of(TABLES[mode])
        followed.load()
        yield followed


def add(postgres: Database, first: int = 100) -> None:
    postgres.run(
        f"INSERT INTO reading SELECT i, 'd' || i % 4, i, 'new' FROM generate_series({first}, {first} + 19) AS i"
    )


@pytest.mark.parametrize("put", [0, 2])
def test_a_full_disk(failing: Ferry, postgres: Database, faulty: EmbeddedServer, tmp_path: Path, put: int) -> None:
    """Full from the start, and full from the n-th put on."""
    add(postgres)
    faults = faulty.faults
    puts = [0]

    def count(statement: int) -> None:
        puts[0] += statement in _PUTS
        faults.disk_full = puts[0] >= put

    faults.on_statement = count
    refused(failing, tmp_path, "sync", code=3, says="no space left", advises="its disk may be full")
    faults.on_statement = None
    faults.disk_full = False
    assert command(failing, tmp_path, "sync", "--wait", "30").code == 0
    assert_level(failing, postgres)


def test_a_user_that_may_not_write(failing: Ferry, postgres: Database, faulty: EmbeddedServer, tmp_path: Path) -> None:
    add(postgres)
    faulty.faults.refuse_puts = Code.TXN_OPERATION_NOT_ALLOWED
    refused(failing, tmp_path, "sync", code=3, says="OPERATION_NOT_ALLOWED", advises="log in as a user that may write")
    faulty.faults.refuse_puts = None
    assert command(failing, tmp_path, "sync", "--wait", "30").code == 0
    assert_level(failing, postgres)


def test_a_wrong_password(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    add(postgres)
    wrong = replace(loaded, server=replace(loaded.server, password="not this one"))
    refused(wrong, tmp_path, "sync", code=2, says="admin")
    assert command(loaded, tmp_path, "sync").code == 0
    assert_level(loaded, postgres)


def test_a_target_that_is_away(loaded: Ferry, tmp_path: Path, impatient: None) -> None:
    away = replace(loaded, server=Server("127.0.0.1:1"))
    refused(away, tmp_path, "sync", code=75, says="127.0.0.1:1", advises="This may pass")


def test_a_target_that_falls_silent_in_the_middle(
    failing: Ferry, postgres: Database, faulty: EmbeddedServer, tmp_path: Path
) -> None:
    add(postgres)

    def stall(statement: int) -> None:
        faulty.faults.stall = faulty.faults.stall or statement == Statement.FLUSH_LOG

    faulty.faults.on_statement = stall
    refused(failing, tmp_path, "sync", code=75, says="", advises="This may pass")
    faulty.faults.on_statement = None
    faulty.faults.stall = False
    assert command(failing, tmp_path, "sync", "--wait", "30").code == 0
    assert_level(failing, postgres)


def test_a_container_that_somebody_dropped_is_made_anew_and_told(
    loaded: Ferry, postgres: Database, tmp_path: Path
) -> None:
    with loaded.store() as store:
        store.drop_container("reading_d1")
    add(postgres)
    said = command(loaded, tmp_path, "sync")
    assert said.code == 0
    assert "containers were gone, and were made again without the rows that they held: reading_d1;" in said.text
    assert "gridferry repair" in said.text
    assert {row["k"] for row in loaded.rows("reading_d1")} == {101, 105, 109, 113, 117}
    assert "gone" not in command(loaded, tmp_path, "sync").text
    assert command(loaded, tmp_path, "load", "--replace", "--yes").code == 0
    assert_level(loaded, postgres)


def test_a_container_that_is_dropped_while_the_table_is_followed(loaded: Ferry, postgres: Database, mode: str) -> None:
    heard: list[str] = []
    stop = threading.Event()

    def hear(event: Event) -> None:
        if isinstance(event, ChunkDone) and not heard:
            heard.append("dropped")
            with loaded.store() as store:
                store.drop_container("reading_d1")
            add(postgres, 200)
        elif isinstance(event, ChunkDone):
            stop.set()
        elif isinstance(event, Note) and "were gone" in event.message:
            heard.append(event.message)

    add(postgres)
    sync(loaded, listener=hear, follow=True, interval_s=0.05, until=stop.is_set)
    assert len(heard) == 2
    assert "reading_d1;" in heard[1]
    assert {row["k"] for row in loaded.rows("reading_d1")} == {201, 205, 209, 213, 217}
    loaded.load(replace=True)
    assert_level(loaded, postgres)


def test_a_container_whose_columns_somebody_changed(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    with loaded.store() as store:
        whole = schema_of(store, "reading_d1")
        short = ContainerSchema(whole.kind, whole.columns[:-1], whole.key_length)
        store.create_containers(["reading_d1"], short, modify=True)
        add(postgres)
        refused(
            loaded, tmp_path, "sync", code=3, says='"reading_d1" of public.reading has other columns', advises="give it"
        )
        store.create_containers(["reading_d1"], whole, modify=True)
    assert command(loaded, tmp_path, "sync").code == 0
    assert {row["k"] for row in loaded.rows("reading_d1")} >= {101, 105, 109, 113, 117}
    assert command(loaded, tmp_path, "load", "--replace", "--yes").code == 0
    assert_level(loaded, postgres)


@pytest.mark.parametrize("kind", ["timeseries", "collection"])
def test_rows_that_somebody_removed_are_told_by_the_cross_check(
    ferry: Ferry, postgres: Database, tmp_path: Path, kind: str
) -> None:
    """MAX of each container that gets rows, against what an earlier run left there; it is never taken for a bound."""
    postgres.run("CREATE TABLE reading (ts timestamp(3), device text, n bigint, PRIMARY KEY (device, ts))")
    postgres.run("CREATE INDEX ON reading (ts)")
    ferry = ferry.of(
        {"table": "reading", "split_by": "device", "key": "ts", "kind": kind, "sync": {"mode": "watermark"}}
    )

    def insert(hour: int) -> None:
        postgres.run(
            f"INSERT INTO reading SELECT timestamp '2024-05-01' + interval '{hour} hours' + i * interval '1 second',"
            " 'd' || i % 2, i FROM generate_series(0, 9) AS i"
        )

    def remove(name: str, keep: int) -> None:
        with ferry.store() as store:
            container = store.open_container(name)
            assert container is not None
            rows = container.query("select *").read_all().sort_by("ts").select(["ts"]).combine_chunks()
            container.delete(rows.slice(keep).to_batches()[0])

    insert(0)
    ferry.load()
    insert(1)
    assert "removed" not in command(ferry, tmp_path, "sync").text
    insert(2)
    assert "removed" not in command(ferry, tmp_path, "sync").text
    remove("reading_d1", keep=3)
    insert(3)
    said = command(ferry, tmp_path, "sync")
    assert said.code == 0
    assert "containers held less than an earlier run left in them: reading_d1; somebody removed" in said.text
    assert "gridferry repair" in said.text
    assert "reading_d0" not in said.text
    insert(4)
    assert "removed" not in command(ferry, tmp_path, "sync").text
    assert len(ferry.rows("reading_d0")) == 25
    assert len(ferry.rows("reading_d1")) == 3 + 10


def test_rows_that_vanish_behind_a_put_are_told_by_the_cross_check(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_numbered_readings(postgres)
    ferry = ferry.of(TABLES["watermark"])
    ferry.load()
    add(postgres)

    def remove(event: Event) -> None:
        if isinstance(event, ChunkDone):
            with ferry.store() as store:
                container = store.open_container("reading_d1")
                assert container is not None
                (batch,) = container.query("select * where k > 110").batches()
                container.delete(batch.select(["k"]))

    with ferry.migration(remove) as migration:
        (done,) = migration.syncs.sync()
    assert "got rows and do not hold them now: reading_d1;" in done.notes[0]


def schema_of(store: Store, name: str) -> ContainerSchema:
    container = store.open_container(name)
    assert container is not None
    return container.schema
