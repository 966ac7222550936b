"""Full verification end to end: planted differences are all found, and none is invented."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.sensors import TABLE, make_sensors

from gridferry.model.verification import DifferenceKind, Verdict


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Ferry:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    ferry.load()
    return ferry


def verified(ferry: Ferry, **options: Any) -> Any:
    with ferry.migration() as migration:
        return migration.verifications.verify(**options)


def change(ferry: Ferry, device: str, rows: list[int], **values: Any) -> None:
    """Write other values into some of a device's rows in the target, by their place there."""
    name = ferry.catalog("public.sensor")[device]
    with ferry.store() as store:
        container = store.open_container(name)
        assert container is not None
        batch = pa.concat_batches(list(container.scan().batches())).take(pa.array(rows))
        for column, value in values.items():
            place = batch.schema.get_field_index(column)
            new = pa.array([value] * len(rows), batch.schema.field(place).type)
            batch = batch.set_column(place, batch.schema.field(place), new)
        container.put(batch)


def test_equal_sides_are_equal(loaded: Ferry) -> None:
    report = verified(loaded)
    (table,) = report.tables
    assert report.verdict is Verdict.EQUAL
    assert (table.source_rows, table.target_rows, table.differences, table.unsettled) == (3000, 3000, 0, 0)
    assert sum(c.equal_rows for c in table.containers) == 3000


def test_a_changed_value_is_told(loaded: Ferry) -> None:
    change(loaded, "b8:27", [3], temp=1.5)
    report = verified(loaded)
    (difference,) = report.tables[0].first
    assert report.exit_code == 1
    assert difference.kind is DifferenceKind.DIFFERENT
    assert [(c.name, c.target) for c in difference.columns] == [("temp", "1.5")]


def test_a_quick_look_tells_rows_and_bounds(loaded: Ferry) -> None:
    report = verified(loaded, quick=True)
    assert report.verdict is Verdict.EQUAL
    name = loaded.catalog("public.sensor")["b8:27"]
    with loaded.store() as store:
        container = store.open_container(name)
        assert container is not None
        rows = pa.concat_batches(list(container.scan().batches()))
        container.delete(pa.RecordBatch.from_arrays(rows.columns[:1], names=["ts"]).slice(len(rows) - 1))
    (found,) = [c for c in verified(loaded, quick=True).tables[0].containers if c.verdict is Verdict.DIFFERENT]
    assert (found.name, found.missing, found.extra) == (name, 1, 0)
    assert found.bounds is not None
    assert found.bounds.source_low == found.bounds.target_low == "2020-07-12T00:00:00.000Z"
    assert (found.bounds.source_high, found.bounds.target_high) == (
        "2020-07-12T00:00:02.995Z",
        "2020-07-12T00:00:02.990Z",
    )


@pytest.mark.parametrize("split_by", [None, "kind"])
def test_a_large_table_without_a_row_to_cut_at_is_compared(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch, split_by: str | None
) -> None:
    postgres.run("CREATE TABLE event (k integer PRIMARY KEY, kind text)")
    postgres.run("INSERT INTO event SELECT i, 'a' FROM generate_series(1, 3000) AS i; ANALYZE event")
    ferry = ferry.of({"table": "event", **({"split_by": split_by} if split_by else {})})
    ferry.load()
    monkeypatch.setattr("gridferry.engine.comparison.ranges.ROWS_IN_MEMORY", 10)
    postgres.run("DELETE FROM event")  # PostgreSQL and the plan still say 3,000 rows
    (table,) = verified(ferry).tables
    assert (table.verdict, table.source_rows, table.extra) == (Verdict.DIFFERENT, 0, 3000)
