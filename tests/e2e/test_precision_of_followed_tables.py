"""A history of whole seconds, and rows with microseconds after it: a followed table keeps both."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.ferry import Ferry

from gridferry.errors import DataError

READING: dict[str, Any] = {"table": "reading", "split_by": "device"}
NOW = "timestamptz '2024-01-02 03:04:05.678901+00'"


@pytest.fixture
def history(postgres: Database) -> Database:
    """One reading a minute of two devices, as an import of old files leaves them."""
    postgres.run("CREATE TABLE reading (device int, ts timestamptz, v float8, PRIMARY KEY (device, ts))")
    postgres.run(
        "INSERT INTO reading SELECT d, '2024-01-01'::timestamptz + i * interval '1 min', i"
        " FROM generate_series(1, 2) d, generate_series(1, 5) i"
    )
    return postgres


@pytest.mark.parametrize("mode", ["watermark", "cdc"])
def test_microseconds_come_although_the_history_has_none(ferry: Ferry, history: Database, mode: str) -> None:
    ferry = ferry.of({**READING, "sync": {"mode": mode}})
    with without_slots(history):
        ferry.load()
        history.run(f"INSERT INTO reading VALUES (1, {NOW}, 7), (3, {NOW}, 8)")
        (done,) = sync(ferry)
        assert done.rows == 2
        assert ferry.equal()
        assert ferry.rows("reading_3") == [{"ts": 1704164645678, "ts_us": 1704164645678901, "v": 8.0}]


def test_a_sync_that_comes_later_goes_on_with_what_was_loaded(ferry: Ferry, history: Database) -> None:
    ferry = ferry.of(READING)
    ferry.load()
    ferry = ferry.of({**READING, "sync": {"mode": "watermark"}})
    (again,) = ferry.load()
    assert again.outcome == "already loaded"
    history.run("INSERT INTO reading VALUES (1, '2024-01-02', 7)")
    (done,) = sync(ferry)
    assert done.rows == 1
    assert ferry.equal()
    history.run(f"INSERT INTO reading VALUES (1, {NOW}, 7)")
    with pytest.raises(DataError, match="ts has digits below the millisecond") as refused:
        sync(ferry)
    assert "load it again" in refused.value.next_step


def test_updates_that_raise_the_followed_column_arrive_and_are_not_called_unseen(
    ferry: Ferry, postgres: Database
) -> None:
    postgres.run("CREATE TABLE orders (id bigint PRIMARY KEY, status text, updated_at timestamptz NOT NULL)")
    postgres.run("INSERT INTO orders SELECT g, 'new', timestamptz '2024-01-01' FROM generate_series(1, 9) g")
    ferry = ferry.of({"table": "orders", "sync": {"mode": "watermark", "column": "updated_at"}})
    ferry.load()
    postgres.run(f"UPDATE orders SET status = 'sent', updated_at = {NOW} WHERE id < 4")
    (done,) = sync(ferry)
    assert done.rows == 3
    assert ferry.equal()
    with ferry.migration() as migration:
        (state,) = migration.status.tables()
        (verified,) = migration.verifications.verify().tables
    assert state.sync is not None
    said = "updates that raise updated_at; other updates, and deletes, in the source are not seen"
    assert [note for note in state.sync.notes if said in note]
    assert [note for note in verified.notes if "updates that leave updated_at as it is, and deletes" in note]
