"""What a verification cannot compare, and what it says then: message, next step, exit code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.command import command
from tests.e2e.ferry import STATE, Ferry, kept_in
from tests.e2e.sensors import CHUNK, TABLE, make_sensors

from gridferry.engine.events import ChunkDone, Event
from gridferry.errors import CheckpointError, ConfigError
from gridferry.griddb import ColumnSpec, ContainerSchema, GridType
from gridferry.model.coverage import Why
from gridferry.model.verification import Verdict, VerifyReport


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Ferry:
    make_sensors(postgres, rows=100)
    ferry = ferry.of(TABLE)
    ferry.load()
    return ferry


def verified(ferry: Ferry, **options: Any) -> VerifyReport:
    with ferry.migration() as migration:
        return migration.verifications.verify(**options)


@pytest.mark.parametrize("quick", [False, True])
def test_a_table_that_was_never_loaded(ferry: Ferry, postgres: Database, quick: bool) -> None:
    make_sensors(postgres, rows=10)
    with pytest.raises(ConfigError, match="was not loaded into this target") as caught:
        verified(ferry.of(TABLE), quick=quick)
    assert (caught.value.exit_code, caught.value.next_step) == (
        2,
        "run `gridferry load` first, then `gridferry verify`",
    )


def test_a_load_that_is_not_finished(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=2 * CHUNK)
    ferry = ferry.of(TABLE)

    def stop(event: Event) -> None:
        if isinstance(event, ChunkDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ferry.load(rows_per_chunk=CHUNK, workers=1, listener=stop)
    with pytest.raises(ConfigError, match=r"the load of public\.sensor is not finished") as caught:
        verified(ferry)
    assert caught.value.exit_code == 2


def test_a_state_that_is_not_readable(loaded: Ferry) -> None:
    with loaded.store() as store:
        state = store.open_container(STATE)
        assert state is not None
        rows = pa.concat_batches(list(state.scan().batches()))
        mine = rows.filter(pa.compute.equal(rows.column("scope"), kept_in(store).documents.full("load:public.sensor")))
        broken = mine.set_column(2, "body", pa.array([b"{"] * len(mine), pa.binary()))
        state.put(pa.RecordBatch.from_arrays(broken.columns, schema=state.schema.arrow_schema))
    with pytest.raises(CheckpointError, match="is not readable") as caught:
        verified(loaded)
    assert caught.value.exit_code == 3
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE sensor DROP COLUMN ts", "the column ts was dropped"),
        ("ALTER TABLE sensor ALTER n TYPE text", "the column n was bigint and is now text"),
        ("ALTER TABLE sensor RENAME device TO machine", "the column device was dropped or renamed"),
    ],
)
def test_a_column_of_the_source_that_changed(loaded: Ferry, postgres: Database, change: str, said: str) -> None:
    postgres.run(change)
    with pytest.raises(CheckpointError, match=said) as caught:
        verified(loaded)
    assert "gridferry load --replace" in caught.value.next_step


@pytest.mark.parametrize(
    ("change", "dropped"),
    [
        ("ALTER TABLE sensor DROP COLUMN temp", ("temp",)),
        ("ALTER TABLE sensor ALTER n TYPE integer", ()),
        ("ALTER TABLE sensor RENAME note TO remark", ()),
    ],
)
def test_a_column_of_the_source_that_changed_in_what_containers_follow(
    loaded: Ferry, postgres: Database, change: str, dropped: tuple[str, ...]
) -> None:
    postgres.run(change)
    report = verified(loaded)
    assert (report.verdict, report.tables[0].coverage.dropped) == (Verdict.EQUAL, dropped)


def test_a_column_that_was_added_to_the_source_is_told(loaded: Ferry, postgres: Database) -> None:
    postgres.run("ALTER TABLE sensor ADD COLUMN more integer DEFAULT 7")
    report = verified(loaded)
    assert report.verdict is Verdict.EQUAL
    (column,) = report.tables[0].coverage.left_out
    assert (column.name, column.why) == ("more", Why.ADDED)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("temp", None, "temp is missing"),
        ("n", GridType.INTEGER, "n is INTEGER, not LONG"),
        ("extra", GridType.BOOL, "extra is new"),
    ],
)
def test_a_container_with_other_columns(loaded: Ferry, name: str, change: GridType | None, said: str) -> None:
    container = loaded.catalog("public.sensor")["b8:27"]
    with loaded.store() as store:
        opened = store.open_container(container)
        assert opened is not None
        schema: ContainerSchema = opened.schema
        columns = [c for c in schema.columns if change is not None or c.name != name]
        columns = [replace(c, type=change) if c.name == name and change is not None else c for c in columns]
        if name not in schema.names and change is not None:
            columns.append(ColumnSpec(name, change))
        store.drop_container(container)
        store.create_container(container, replace(schema, columns=tuple(columns)))
    for quick in (False, True):
        with pytest.raises(CheckpointError, match=f'"{container}": {said}') as caught:
            verified(loaded, quick=quick)
        assert caught.value.state == "nothing was compared"


def test_another_precision_of_times_on_both_sides(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE t (id integer PRIMARY KEY, at timestamp)")
    postgres.run("INSERT INTO t VALUES (1, '2020-01-01 00:00:00.123456')")
    ferry = ferry.of("t")
    ferry.load()
    with ferry.store() as store:
        opened = store.open_container("t")
        assert opened is not None
        columns = tuple(replace(c, type=GridType.TIMESTAMP_MS) if c.name == "at" else c for c in opened.schema.columns)
        store.drop_container("t")
        store.create_container("t", replace(opened.schema, columns=columns))
    with pytest.raises(CheckpointError, match=r"at is TIMESTAMP\(3\), not TIMESTAMP\(6\)"):
        verified(ferry)


def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(loaded: Ferry, tmp_path: Path) -> None:
    for path in (tmp_path / "a.csv", tmp_path / "no" / "a.jsonl"):
        with pytest.raises(ConfigError):
            verified(loaded, output=path)


def test_rows_put_aside_and_rows_that_gave_way_are_explained(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE m (at timestamp(3), v text)")
    postgres.run(
        "INSERT INTO m SELECT timestamp '2024-01-01' + i % 90 * interval '1 ms', 'v' || i"
        " FROM generate_series(0, 99) AS i"
    )
    postgres.run("INSERT INTO m VALUES ('2025-01-01', repeat('x', 40000))")
    ferry = ferry.of({"table": "m", "key": "at", "on_duplicate": "last", "order_by": "v", "on_bad_row": "quarantine"})
    ferry.load()
    for quick in (False, True):
        report = verified(ferry, quick=quick)
        assert report.verdict is Verdict.INCOMPLETE, report.tables[0].first
        (table,) = report.tables
        assert (table.quarantined, table.superseded, table.source_rows) == (1, 10, 101)
        assert (table.coverage.stored, report.exit_code) == (90, 1)
    with ferry.store() as store:
        opened = store.open_container("m")
        assert opened is not None
        rows = pa.concat_batches(list(opened.scan().batches())).slice(3, 1)
        opened.put(rows.set_column(1, rows.schema.field(1), pa.array(["v3"])))  # the row that had to give way
    (difference,) = verified(ferry).tables[0].first
    assert [(c.source, c.target) for c in difference.columns] == [("v93", "v3")]
    postgres.run("INSERT INTO m VALUES ('2026-01-01', repeat('y', 40000))")
    (table,) = verified(ferry).tables
    assert (table.missing, table.different) == (1, 1)
    assert "m: 1 row of the source cannot be stored and is not in the quarantine" in table.notes


def test_what_was_found_is_kept_and_forgotten_with_the_load(loaded: Ferry, postgres: Database) -> None:
    first = verified(loaded)
    postgres.run("DELETE FROM sensor WHERE n = 5")
    second = verified(loaded)
    for _ in range(12):
        verified(loaded, quick=True)
    with loaded.migration() as migration:
        (status,) = migration.status.tables()
        kept = migration.endpoints.state.verifications.of("public.sensor")
    assert status.verified == kept[0]
    assert len(kept) == 10
    assert kept[0].extra == second.tables[0].extra == 1
    assert first.tables[0].verdict is Verdict.EQUAL
    loaded.load(replace=True)
    with loaded.migration() as migration:
        assert migration.status.tables()[0].verified is None


def test_it_reads_back_what_it_wrote(loaded: Ferry, postgres: Database) -> None:
    postgres.run("UPDATE sensor SET temp = temp + 1 WHERE n = 5")
    report = verified(loaded)
    with loaded.migration() as migration:
        assert migration.endpoints.state.verifications.last("public.sensor") == report.tables[0]


def test_a_verification_that_is_not_readable_is_told_by_the_status_and_forgotten_by_the_next(
    loaded: Ferry, tmp_path: Path
) -> None:
    verified(loaded)
    with loaded.store() as store:
        state = store.open_container(STATE)
        assert state is not None
        rows = pa.concat_batches(list(state.scan().batches()))
        mine = rows.filter(
            pa.compute.equal(rows.column("scope"), kept_in(store).documents.full("verify:public.sensor"))
        )
        assert len(mine) == 1
        broken = mine.set_column(2, "body", pa.array([b'{"version": 2}'], pa.binary()))
        state.put(pa.RecordBatch.from_arrays(broken.columns, schema=state.schema.arrow_schema))
    said = command(loaded, tmp_path, "status")
    assert said.code == 0
    assert "verify:public.sensor" in said.text
    assert "is not readable" in said.text
    assert "verify the table again" in said.text
    assert "note" in said.text
    verified(loaded)
    said = command(loaded, tmp_path, "status")
    assert "not readable" not in said.text
    assert "verified full, equal" in said.text
