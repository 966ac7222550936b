"""What stands at the target already: other runs, other plans, other people's rows (P2, P3)."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database, database_on
from tests.e2e.command import command
from tests.e2e.ferry import STATE, Ferry, kept_in
from tests.e2e.sensors import CHUNK, TABLE, assert_arrived, make_sensors

from gridferry.checkpoint.documents import STATE_SCHEMA
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.lease_group import LeaseGroup
from gridferry.engine.events import ChunkDone, Event
from gridferry.errors import CheckpointError, LeaseHeld, PlanError, TargetNotEmpty
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.local.postgres import LocalPostgres

SMALL: dict[str, Any] = {"rows_per_chunk": CHUNK, "workers": 2}
OTHER = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("k", GridType.LONG, nullable=False),))


def put_keys(ferry: Ferry, name: str, keys: list[int]) -> None:
    with ferry.store() as store:
        store.create_container(name, OTHER).put(pa.record_batch([keys], schema=OTHER.arrow_schema))


@pytest.fixture
def sensors(ferry: Ferry, postgres: Database) -> Ferry:
    make_sensors(postgres, rows=600)
    return ferry.of(TABLE)


def test_a_second_load_is_refused_while_the_first_one_works(sensors: Ferry) -> None:
    with (
        sensors.migration() as migration,
        Lease(migration.endpoints.look_at_state().documents, "public.sensor", beat_s=0.1),
    ):
        with pytest.raises(LeaseHeld, match=r"public\.sensor") as caught:
            sensors.load(**SMALL)
        assert caught.value.exit_code == 75
        assert "--wait" in caught.value.next_step
    assert sensors.names() == []


def test_with_wait_the_second_load_begins_when_the_first_one_ends(sensors: Ferry, postgres: Database) -> None:
    begun, done = threading.Event(), []

    def load() -> None:
        begun.set()
        done.append(sensors.load(wait_s=60, **SMALL))

    thread = threading.Thread(target=load)
    with (
        sensors.migration() as migration,
        Lease(migration.endpoints.look_at_state().documents, "public.sensor", beat_s=0.1),
    ):
        thread.start()
        begun.wait()
        thread.join(2)
        assert not done
    thread.join(60)
    assert [load.outcome for loads in done for load in loads] == ["loaded"]
    assert_arrived(sensors, postgres)


def test_two_loads_at_once_end_as_one(sensors: Ferry, postgres: Database) -> None:
    outcomes: list[Any] = []

    def load() -> None:
        try:
            outcomes.append(sensors.load(**SMALL)[0].outcome)
        except LeaseHeld:
            outcomes.append("held")

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("loaded") == 1
    assert set(outcomes) <= {"loaded", "held", "already loaded"}
    assert_arrived(sensors, postgres)


def test_a_lost_lease_stops_the_load_and_another_run_goes_on(sensors: Ferry, postgres: Database) -> None:
    taken = threading.Event()

    def take_over(event: Event) -> None:
        if isinstance(event, ChunkDone) and not taken.is_set():
            taken.set()
            with sensors.store() as store:
                kept_in(store).documents.delete("lease:public.sensor", ["lease"])
            leases[0]._renew() if leases else None

    leases: list[LeaseGroup] = []
    original = LeaseGroup.__enter__

    def entering(self: LeaseGroup) -> LeaseGroup:
        self._beat_s = 0.05
        leases.append(self)
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LeaseGroup, "__enter__", entering)
        with pytest.raises(LeaseHeld):
            sensors.load(listener=take_over, rows_per_chunk=50, workers=1)
    sensors.load(rows_per_chunk=50)
    assert_arrived(sensors, postgres)


def test_containers_with_rows_of_someone_else_are_left_alone(sensors: Ferry) -> None:
    put_keys(sensors, "sensor_b8=3A27", [1, 2])
    with pytest.raises(TargetNotEmpty, match=r'"sensor_b8=3A27" \(2 rows\)') as caught:
        sensors.load(**SMALL)
    assert caught.value.exit_code == 2
    assert "--replace" in caught.value.next_step
    assert sensors.rows("sensor_b8=3A27") == [{"k": 1}, {"k": 2}]
    assert sensors.names() == ["sensor_b8=3A27"]


def test_empty_containers_with_other_columns_are_left_alone(sensors: Ferry) -> None:
    put_keys(sensors, "sensor_b8=3A27", [])
    with pytest.raises(PlanError, match="other columns") as caught:
        sensors.load(**SMALL)
    assert caught.value.next_step
    assert sensors.names() == ["sensor_b8=3A27"]


def test_replace_drops_the_tables_own_containers_and_no_others(sensors: Ferry, postgres: Database) -> None:
    put_keys(sensors, "sensor_other", [1])
    postgres.run("CREATE TABLE bare (id integer PRIMARY KEY)")
    postgres.run("INSERT INTO bare VALUES (1)")
    both = sensors.of(TABLE, "bare")
    both.load(**SMALL)
    postgres.run("DELETE FROM sensor WHERE device = 'no such'")
    (load,) = sensors.load(replace=True, **SMALL)
    assert load.outcome == "loaded"
    assert "sensor_no=20such" not in sensors.names()
    assert sensors.rows("sensor_other") == [{"k": 1}]
    assert sensors.rows("bare") == [{"id": 1}]
    postgres.run("DROP TABLE bare")
    with sensors.store() as store:
        store.drop_containers(["sensor_other", "bare"])
    assert_arrived(sensors, postgres)


@pytest.mark.parametrize("replace", [False, True])
def test_two_tables_do_not_share_a_container_even_while_it_is_empty(
    ferry: Ferry, postgres: Database, replace: bool
) -> None:
    postgres.run("CREATE TABLE one (id integer PRIMARY KEY)")
    postgres.run("CREATE TABLE two (id integer PRIMARY KEY)")
    postgres.run("INSERT INTO two VALUES (2)")
    ferry.of({"table": "one", "container": "Same"}).load()
    with pytest.raises(PlanError, match=r"public\.one"):
        ferry.of({"table": "two", "container": "same"}).load(replace=replace)
    assert ferry.rows("Same") == []
    assert set(ferry.catalog("public.two")) == set()


def test_other_options_or_other_columns_are_told_and_nothing_is_changed(sensors: Ferry, postgres: Database) -> None:
    sensors.load(**SMALL)
    before = sensors.everything()
    with pytest.raises(CheckpointError, match="options") as caught:
        sensors.of({**TABLE, "exclude": ["note"]}).load()
    assert "--replace" in caught.value.next_step
    postgres.run("ALTER TABLE sensor ALTER n TYPE text")
    with pytest.raises(CheckpointError, match="column n "):
        sensors.load()
    assert sensors.everything() == before


def test_a_dry_run_changes_nothing(sensors: Ferry, tmp_path: Path) -> None:
    with sensors.migration() as migration:
        (dry,) = migration.loads.preview(migration.plan())
    assert dry.outcome == "planned"
    assert sensors.everything() == {}
    sensors.load(**SMALL)
    before = sensors.everything()
    with sensors.migration() as migration:
        (dry,) = migration.loads.preview(migration.plan())
    assert dry.outcome == "planned"
    assert "loaded" in dry.notes[0]
    assert "planned" in command(sensors, tmp_path, "load", "--dry-run", "--replace").text
    assert sensors.everything() == before


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", json.dumps({"version": 2}).encode(), None])
def test_a_state_that_cannot_be_read_is_told_and_replace_gets_over_it(
    sensors: Ferry, postgres: Database, body: bytes | None
) -> None:
    sensors.load(**SMALL)
    now = datetime.now(timezone.utc)
    with sensors.store() as store:
        state = store.open_container(STATE)
        assert state is not None
        scope = kept_in(store).documents.full("load:public.sensor")
        state.put(pa.record_batch([[scope], ["run"], [body], [now]], schema=STATE_SCHEMA.arrow_schema))
    with pytest.raises(CheckpointError, match=r"public\.sensor") as caught:
        sensors.load(**SMALL)
    assert "--replace" in caught.value.next_step
    sensors.load(replace=True, **SMALL)
    assert_arrived(sensors, postgres)


def test_the_same_table_of_another_database_is_not_taken_for_the_one_that_was_loaded(
    sensors: Ferry, postgres_server: LocalPostgres
) -> None:
    sensors.load(**SMALL)
    before = sensors.everything()
    for other in database_on(postgres_server):
        make_sensors(other, rows=600)
        either: tuple[dict[str, Any], ...] = ({}, {"replace": True})
        for options in either:
            with pytest.raises(PlanError, match="of another migration") as caught:
                replace(sensors, dsn=other.dsn).load(**options, **SMALL)
            assert "--replace" not in caught.value.next_step
            assert other.name in caught.value.next_step
    assert sensors.everything() == before
    assert sensors.load(**SMALL)[0].outcome == "already loaded"
