"""Planted differences: one in every column and edge value of the type table, a thousand at once; however it reads."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.planting import keys_of, open_all, other, stored, with_value
from tests.e2e.sensors import TABLE, make_sensors
from tests.e2e.test_type_table import CUT, PLAIN, good, table_of
from tests.type_samples import Sample, known_to

from gridferry.model.verification import DifferenceKind, DifferentRows, Verdict, VerifyReport

Cell = tuple[int, str]


def verified(ferry: Ferry, **options: Any) -> VerifyReport:
    with ferry.migration() as migration:
        return migration.verifications.verify(**options)


def _either(rows: DifferentRows) -> pa.RecordBatch:
    """The rows of the one side that has them, or of the source."""
    either = rows.source if rows.source is not None else rows.target
    assert either is not None
    return either


@pytest.mark.parametrize(("samples", "options"), [(PLAIN, {}), (CUT, {"precision": "truncate"})], ids=["plain", "cut"])
def test_one_other_value_in_every_column_and_row_of_the_type_table(
    ferry: Ferry, postgres: Database, samples: list[Sample], options: dict[str, Any]
) -> None:
    samples = known_to(samples, postgres.version)
    depth = max(len(good(s)) for s in samples)
    rows = [{i: good(s)[n].literal for i, s in enumerate(samples) if n < len(good(s))} for n in range(depth)]
    wishes = table_of(postgres, samples, [*rows, {}])
    ferry = ferry.of({"table": "t", **wishes, **options})
    ferry.load()
    assert verified(ferry).verdict is Verdict.EQUAL
    with ferry.store() as store:
        container = open_all(ferry, store, "public.t")[None]
        before = stored(container)
        for place in range(1, before.num_columns):
            changed = [
                with_value(before.slice(n, 1), place, other(before.column(place).slice(n, 1)))
                for n in range(len(before))
            ]
            container.put(pa.concat_batches(changed))
            found = cells(verified(ferry, most_differences=1000))
            name = before.schema.names[place]
            assert sorted(found) == sorted((n, name) for n in before.column(0).to_pylist()), name
            container.put(before)
    assert verified(ferry).verdict is Verdict.EQUAL


def cells(report: VerifyReport) -> list[Cell]:
    """The row number and the column of every value that differs."""
    assert {d.kind for t in report.tables for d in t.first} == {DifferenceKind.DIFFERENT}
    return [(int(d.key[0][1] or ""), c.name) for t in report.tables for d in t.first for c in d.columns]


@pytest.fixture(params=["whole", "ranges", "values", "partitions"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ways to read a table: small parts where it is not read whole."""
    if request.param != "whole":
        monkeypatch.setattr("gridferry.engine.comparison.ranges.ROWS_IN_MEMORY", 10)
        monkeypatch.setattr("gridferry.engine.comparison.ranges.LEAST_ROWS_A_PART", 10)
        monkeypatch.setattr("gridferry.engine.comparison.ranges.ROWS_A_PART", 300)
    return str(request.param)


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database, reading: str) -> Ferry:
    make_sensors(postgres, rows=6000)
    if reading != "values":
        postgres.run("ALTER TABLE sensor DROP CONSTRAINT sensor_pkey; ALTER TABLE sensor ALTER device DROP NOT NULL")
        postgres.run("UPDATE sensor SET device = NULL WHERE device = 'no such'")
    if reading == "ranges":
        postgres.run("CREATE INDEX ON sensor (ts)")
    postgres.run("VACUUM ANALYZE sensor")
    ferry = ferry.of(TABLE)
    ferry.load()
    return ferry


def test_a_thousand_planted_at_once_are_all_found_and_none_is_invented(
    loaded: Ferry, reading: str, tmp_path: Path
) -> None:
    chance = random.Random(11)
    expected: set[tuple[str, str | None, int]] = set()
    with loaded.store() as store:
        containers = open_all(loaded, store, "public.sensor")
        for value, container in containers.items():
            rows = stored(container)
            picked = chance.sample(range(len(rows)), 150)
            changed = pa.concat_batches(
                [
                    with_value(rows.slice(n, 1), place, other(rows.column(place).slice(n, 1)))
                    for n, place in zip(picked[:100], [1, 2, 3] * 40, strict=False)
                ]
            )
            container.put(changed)
            gone = rows.take(pa.array(picked[100:]))
            container.delete(keys_of(gone, container))
            # As if written to another device, or by somebody else: before, among and behind all the others.
            far = pa.array([1, 10**12, 2 * 10**12], pa.int64())
            near = pa.array([n * 2 + 10**11 for n in range(47)], pa.int64())
            keys = pa.concat_arrays([far, near]).view(rows.column(0).type)
            filled = rows.slice(0, 50)
            strangers = pa.RecordBatch.from_arrays([keys, *filled.columns[1:]], schema=rows.schema)
            container.put(strangers)
            for kind, which in (("different", changed), ("missing", gone), ("extra", strangers)):
                expected |= {(kind, value, key) for key in which.column(0).view(pa.int64()).to_pylist()}
    taken: list[DifferentRows] = []
    path = tmp_path / "found.jsonl"
    report = verified(loaded, output=path, sink=taken.append)
    found = [
        (rows.kind.value, rows.value, key)
        for rows in taken
        for key in _either(rows).column(0).view(pa.int64()).to_pylist()
    ]
    assert len(found) == len(set(found)) == len(expected) == 1000
    assert set(found) == expected
    (table,) = report.tables
    assert (table.missing, table.extra, table.different, report.exit_code) == (250, 250, 500, 1)
    assert sum(c.total for c in table.summary) == 1000
    assert sum(c.equal_rows for c in table.containers) == 6000 - 750
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 1000
    assert (len(table.first), table.source_rows, table.target_rows) == (10, 6000, 6000)
    told = {"ranges": "row numbers differ in", "partitions": "no index begins with ts or device"}
    assert [n for n in table.notes if not n.startswith(told.get(reading, "nothing"))] == []
    assert len(table.notes) == (reading in told)


def test_a_value_in_the_wrong_container_is_missing_there_and_extra_here(loaded: Ferry) -> None:
    with loaded.store() as store:
        containers = open_all(loaded, store, "public.sensor")
        row = stored(containers["b8:27"]).slice(77, 1)
        containers["b8:27"].delete(keys_of(row, containers["b8:27"]))
        containers["00:0f"].put(row)
    (table,) = verified(loaded).tables
    assert sorted((d.kind.value, d.value, d.key) for d in table.first) == [
        ("extra", "00:0f", table.first[0].key),
        ("missing", "b8:27", table.first[0].key),
    ]


def test_a_container_that_is_gone_misses_all_its_rows(loaded: Ferry, postgres: Database) -> None:
    name = loaded.catalog("public.sensor")["ß"]
    with loaded.store() as store:
        store.drop_container(name)
    (table,) = verified(loaded).tables
    assert (table.missing, table.differences) == (1200, 1200)
    assert f"containers are not there: {name}" in table.notes
    assert table.containers[0].note == "the container is not there"


def test_new_values_of_the_source_are_missing_in_containers_that_do_not_exist(
    loaded: Ferry, postgres: Database
) -> None:
    postgres.run("INSERT INTO sensor VALUES ('2020-07-12', 'fresh', 1, 1, 'x'), ('2020-07-13', 'fresh', 1, 1, 'x')")
    (table,) = verified(loaded).tables
    assert [(c.name, c.missing) for c in table.containers if c.differences] == [("sensor_fresh", 2)]
