"""Rows that share a row key, and quarantined rows: which stay, what is counted, and what a replay does."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import QUARANTINE, Ferry

from gridferry.errors import PlanError

ROWS = 4000
KEYS = 700
SMALL: dict[str, Any] = {"rows_per_chunk": 300, "workers": 2}
BASE: dict[str, Any] = {"table": "t", "key": "k"}


@pytest.fixture
def doubled(postgres: Database) -> Database:
    """A table whose rows share 700 keys, each over several chunks; `at` and `n` order them, neither by place."""
    postgres.run("CREATE TABLE t (k integer NOT NULL, at integer, n integer, note text)")
    postgres.run(
        f"INSERT INTO t SELECT (i * 31) % {KEYS}, CASE WHEN i % 11 > 0 THEN (i * 7919) % 1009 END, i, 'row ' || i"
        f" FROM generate_series(1, {ROWS}) i"
    )
    postgres.run("ANALYZE t")
    return postgres


def chosen(postgres: Database, order: str) -> list[dict[str, Any]]:
    """The row of each key that comes first by `order`."""
    rows = postgres.run(f"SELECT DISTINCT ON (k) k, at, n, note FROM t ORDER BY k, {order}")
    return [dict(zip(("k", "at", "n", "note"), row, strict=True)) for row in rows]


def stored(ferry: Ferry) -> list[dict[str, Any]]:
    return sorted(ferry.rows("t"), key=lambda r: r["k"])


def test_by_default_nothing_is_loaded_and_a_key_is_named(ferry: Ferry, doubled: Database) -> None:
    with pytest.raises(PlanError) as caught:
        ferry.of(BASE).load(**SMALL)
    assert "on_duplicate" in caught.value.problems[0]
    assert ferry.names() == []


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"on_duplicate": "first"}, "ctid"),
        ({"on_duplicate": "last"}, "ctid DESC"),
        ({"on_duplicate": "first", "order_by": ["at", "n"]}, "at NULLS LAST, n"),
        ({"on_duplicate": "last", "order_by": ["at", "n"]}, "at DESC NULLS FIRST, n DESC"),
        ({"on_duplicate": "last", "order_by": "at"}, "at DESC NULLS FIRST, ctid DESC"),
        ({"on_duplicate": "quarantine", "order_by": ["at", "n"]}, "at NULLS LAST, n"),
    ],
    ids=lambda v: "-".join(map(str, v.values())) if isinstance(v, dict) else "",
)
def test_the_row_that_stays_is_the_one_asked_for_whatever_chunk_it_is_in(
    ferry: Ferry, doubled: Database, options: dict[str, Any], order: str
) -> None:
    ferry = ferry.of({**BASE, **options})
    (load,) = ferry.load(**SMALL)
    assert stored(ferry) == chosen(doubled, order)
    assert load.superseded == ROWS - KEYS
    held = ROWS - KEYS if options["on_duplicate"] == "quarantine" else 0
    assert load.quarantined == held
    if held:
        assert len(ferry.rows(QUARANTINE)) == held
    assert ferry.equal()


def test_rows_that_meet_only_in_the_millisecond_are_chosen_within_their_device(
    ferry: Ferry, postgres: Database
) -> None:
    postgres.run("CREATE TABLE t (device text, ts timestamp, n integer, PRIMARY KEY (device, ts))")
    postgres.run(
        "INSERT INTO t SELECT 'd' || i % 3, timestamp '2020-01-01' + (i * 37) % 900 * interval '100 us', i"
        " FROM generate_series(1, 900) i ON CONFLICT DO NOTHING"
    )
    options = {"split_by": "device", "key": "ts", "precision": "truncate", "on_duplicate": "last", "order_by": "ts"}
    ferry = ferry.of({"table": "t", **options})
    ferry.load(**SMALL)
    for device, name in ferry.catalog("public.t").items():
        last = postgres.run(
            "SELECT DISTINCT ON (m) (extract(epoch from date_trunc('milliseconds', ts)) * 1000)::bigint AS m, n"
            f" FROM t WHERE device = '{device}' ORDER BY m, ts DESC"
        )
        assert sorted((r["ts"], r["n"]) for r in ferry.rows(name)) == last
    assert ferry.equal()


def test_a_replay_of_a_row_that_lost_its_millisecond_does_not_overwrite_the_one_that_stays(
    ferry: Ferry, postgres: Database
) -> None:
    postgres.run("CREATE TABLE t (ts timestamp PRIMARY KEY, n integer)")
    postgres.run("INSERT INTO t VALUES ('2020-01-01 00:00:00.000100', 1), ('2020-01-01 00:00:00.000200', 2)")
    options = {"precision": "truncate", "on_duplicate": "quarantine", "order_by": "ts"}
    ferry = ferry.of({"table": "t", **options})
    ferry.load()
    with ferry.migration() as migration:
        (replay,) = migration.repairs.replay()
    assert (replay.replayed, replay.gone, replay.still_held) == (0, 0, 1)
    assert [r["n"] for r in ferry.rows("t")] == [1]
    postgres.run("DELETE FROM t WHERE n = 1")
    with ferry.migration() as migration:
        (replay,) = migration.repairs.replay()
    assert (replay.replayed, replay.gone, replay.still_held) == (1, 0, 0)
    assert [r["n"] for r in ferry.rows("t")] == [2]


def test_a_replay_stores_what_was_mended_forgets_what_is_gone_and_keeps_the_rest(
    ferry: Ferry, postgres: Database
) -> None:
    postgres.run("CREATE TABLE t (device text, k integer, at timestamp, PRIMARY KEY (device, k))")
    postgres.run("INSERT INTO t SELECT 'd' || i % 2, i, '1969-01-01' FROM generate_series(1, 6) i")
    postgres.run("INSERT INTO t SELECT 'd0', i, 'infinity' FROM generate_series(7, 8) i")
    postgres.run("INSERT INTO t SELECT 'only bad', i, 'infinity' FROM generate_series(9, 10) i")
    ferry = ferry.of({"table": "t", "split_by": "device", "key": "k", "on_bad_row": "quarantine"})
    (load,) = ferry.load()
    assert load.quarantined == 10
    postgres.run("UPDATE t SET at = '2020-01-01' WHERE k IN (1, 2, 7, 9)")
    postgres.run("DELETE FROM t WHERE k IN (3, 8)")
    with ferry.migration() as migration:
        held = migration.status.quarantine()
        assert {row.reason for row in held} == {"time_range"}
        assert {row.key for row in held} >= {"device = d1, k = 1", "device = only bad, k = 10"}
        (only,) = migration.repairs.replay(ids=[row.id for row in held if row.key == "device = d1, k = 1"])
        assert (only.replayed, only.gone, only.still_held) == (1, 0, 0)
        (replay,) = migration.repairs.replay()
        assert (replay.replayed, replay.gone, replay.still_held) == (3, 2, 4)
        assert {row.key.rpartition(" ")[2] for row in migration.status.quarantine()} == {"4", "5", "6", "10"}
    catalog = ferry.catalog("public.t")
    found = {device: sorted(r["k"] for r in ferry.rows(name)) for device, name in catalog.items()}
    assert found == {"d0": [2, 7], "d1": [1], "only bad": [9]}
    assert ferry.equal()


def test_a_row_that_is_bad_in_several_columns_is_put_aside_once(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE t (k integer PRIMARY KEY, a timestamp, b timestamp, c text)")
    postgres.run("INSERT INTO t VALUES (1, 'infinity', '-infinity', repeat('x', 40000)), (2, NULL, NULL, NULL)")
    (load,) = ferry.of({"table": "t", "on_bad_row": "quarantine"}).load()
    assert load.quarantined == 1
    assert len(ferry.rows(QUARANTINE)) == 1
    assert [r["k"] for r in ferry.rows("t")] == [2]
