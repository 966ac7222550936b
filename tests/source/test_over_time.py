"""Rows over time, as PostgreSQL counts them."""

from __future__ import annotations

import pytest

from gridferry.errors import SourceRefused
from gridferry.model.over_time import Buckets, GroupBounds

HOUR = 3600
START = 1_714_521_600  # 2024-05-01 00:00 UTC


@pytest.fixture
def readings(postgres_each):
    """Hourly readings of two devices and of none, with times that no chart can show."""
    database = postgres_each
    database.run("CREATE TABLE r (ts timestamp, device text, id int)")
    database.run(
        "INSERT INTO r SELECT timestamp '2024-05-01' + i * interval '30 min', (ARRAY['a', 'B'' x', NULL])[i % 3 + 1], i"
        " FROM generate_series(0, 11) AS i"
    )
    database.run("INSERT INTO r VALUES ('infinity', 'a', 100), ('-infinity', 'a', 101), (NULL, 'a', 102)")
    return database


def test_rows_and_bounds_of_each_group(readings, plan) -> None:
    wanted = plan("r", "ts id", split_by="device")
    with readings.source.open_snapshot() as view:
        assert view.fetch_bounds(wanted, "ts", time=True) == {
            "a": GroupBounds(7, START, START + 4.5 * HOUR),
            "B' x": GroupBounds(4, START + 0.5 * HOUR, START + 5 * HOUR),
            None: GroupBounds(4, START + HOUR, START + 5.5 * HOUR),
        }
        assert view.fetch_bounds(wanted, "id", time=False)["a"] == GroupBounds(7, 0, 102)
        assert view.fetch_bounds(wanted, None, time=False)["a"] == GroupBounds(7)


def test_rows_by_bucket_of_those_chosen_and_of_the_others(readings, plan) -> None:
    buckets = Buckets(START, 2 * HOUR, 3)
    wanted = plan("r", "ts id", split_by="device")
    with readings.source.open_snapshot() as view:
        chosen, others = view.fetch_counts(wanted, "ts", buckets=buckets, values=["B' x", None])
        assert chosen == [[1, 2, 1], [1, 1, 2]]
        assert others == [2, 1, 1]
        everything, none = view.fetch_counts(wanted, "ts", buckets=buckets, values=["a", "B' x", None])
        assert [sum(column) for column in zip(*everything, strict=True)] == [4, 4, 4]
        assert none == [0, 0, 0]


def test_a_table_that_is_not_split_is_one_group(readings, plan) -> None:
    with readings.source.open_snapshot() as view:
        wanted = plan("r", "ts id")
        assert view.fetch_bounds(wanted, "ts", time=True) == {None: GroupBounds(15, START, START + 5.5 * HOUR)}
        assert view.fetch_counts(wanted, "ts", buckets=Buckets(START, 3 * HOUR, 2), values=[None]) == ([[6, 6]], [0, 0])


def test_an_empty_table_has_no_bounds(postgres, plan) -> None:
    postgres.run("CREATE TABLE r (ts timestamptz, id int)")
    with postgres.source.open_snapshot() as view:
        assert view.fetch_bounds(plan("r", "ts id"), "ts", time=True) == {None: GroupBounds(0)}


def test_a_column_that_is_gone_is_refused_and_leaves_the_snapshot_whole(postgres, plan) -> None:
    postgres.run("CREATE TABLE r (id int)")
    with postgres.source.open_snapshot() as view:
        with pytest.raises(SourceRefused):
            view.fetch_bounds(plan("r", "id"), "ts", time=True)
        with pytest.raises(SourceRefused):
            view.fetch_counts(plan("r", "id"), "ts", buckets=Buckets(0, HOUR, 1), values=[None])
        assert view.fetch_bounds(plan("r", "id"), "id", time=False) == {None: GroupBounds(0)}
