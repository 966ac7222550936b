"""A look for a key in PostgreSQL: statistics, a sample, and a counted scan of what the sample leaves open."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Database

from gridferry.model.key_advice import KeyAdvice
from gridferry.plan.table_options import table_options
from gridferry.source.postgres.catalog import key_advice


def look(postgres: Database, name: str = "t", **wishes: Any) -> KeyAdvice:
    options = table_options(table=name, **wishes)
    with postgres.source.open_snapshot() as view:
        (table,) = view.fetch_tables([name])
        return view.fetch_key_advice(table, options)


def readings(postgres: Database, rows: int = 700) -> None:
    postgres.run("CREATE TABLE t (note text, ts timestamptz, device int, v float8)")
    postgres.run(
        "INSERT INTO t SELECT CASE WHEN g % 9 > 0 THEN 'x' END, '2024-01-01'::timestamptz + (g / 7) * interval '1 s',"
        f" g % 7, (g % 5)::float8 FROM generate_series(0, {rows - 1}) AS g"
    )


def test_device_and_time_are_proven_in_a_small_table(postgres_each: Database) -> None:
    readings(postgres_each)
    assert look(postgres_each) == KeyAdvice(("device", "ts"), 700, proven=True)
    assert look(postgres_each, split_by="device").columns == ("device", "ts")
    assert look(postgres_each, where="device < 2", split_by="device") == KeyAdvice(("device", "ts"), 200, proven=True)
    assert look(postgres_each, exclude=["device"]).columns == ()


def test_no_columns_are_named_where_rows_are_equal(postgres: Database) -> None:
    readings(postgres)
    postgres.run("INSERT INTO t SELECT * FROM t WHERE device = 3")
    found = look(postgres)
    assert (found.columns, found.rows, found.repeated) == ((), 800, 100)


def test_the_smallest_set_of_many_columns(postgres: Database) -> None:
    postgres.run("CREATE TABLE t (a int, b int, c int, d int, e int)")
    postgres.run(
        "INSERT INTO t SELECT x, y, z, 1, (x + y) % 2 FROM generate_series(0, 4) x, generate_series(0, 4) y,"
        " generate_series(0, 4) z"
    )
    assert look(postgres).columns == ("a", "b", "c")
    postgres.run("UPDATE t SET d = a * 25 + b * 5 + c")
    assert look(postgres).columns == ("d",)


def test_a_large_table_is_sampled_then_counted_once(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_advice, "SAMPLE_ROWS", 500)
    readings(postgres, rows=20_000)
    postgres.run("ANALYZE t")
    assert look(postgres) == KeyAdvice(("device", "ts"), 20_000, proven=True)
    postgres.run("INSERT INTO t SELECT note, ts, device, 9 FROM t ORDER BY ts DESC LIMIT 1")
    assert look(postgres).columns != ("device", "ts")  # the sample need not have that row
    monkeypatch.setattr(key_advice, "COUNTED_ROWS", 10_000)
    found = look(postgres)
    assert (found.proven, found.rows) == (False, 500)


def test_a_look_that_takes_too_long_or_fails_proves_nothing_and_ends_no_snapshot(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings(postgres)
    postgres.run("CREATE VIEW bad AS SELECT 1 / (device - device) AS a FROM t")
    monkeypatch.setattr(key_advice, "_limit", lambda connection, seconds: None)
    with postgres.source.open_snapshot() as view:
        for name, found in (("bad", KeyAdvice()), ("t", KeyAdvice(("device", "ts"), 700, proven=True))):
            (table,) = view.fetch_tables([name])
            assert view.fetch_key_advice(table, table_options(table=name)) == found


def test_an_empty_table_and_one_without_columns_for_a_key(postgres: Database) -> None:
    postgres.run("CREATE TABLE t (a int)")
    postgres.run("CREATE TABLE docs AS SELECT '{}'::json AS doc")
    assert look(postgres) == KeyAdvice((), 0, proven=True)
    assert look(postgres, "docs") == KeyAdvice()


def test_a_table_of_which_only_too_many_columns_tell_the_rows_apart(postgres: Database) -> None:
    names = [f"c{i}" for i in range(17)]
    postgres.run(f"CREATE TABLE t ({', '.join(f'{n} int NOT NULL' for n in names)}, PRIMARY KEY ({', '.join(names)}))")
    one = [",".join("1" if i == j else "0" for j in range(17)) for i in range(17)]
    postgres.run("INSERT INTO t VALUES " + ", ".join(f"({row})" for row in (*one, ",".join("0" * 17))))
    assert look(postgres) == KeyAdvice((), 18, proven=True)


def test_null_in_a_column_that_the_sample_missed_is_no_key(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_advice, "SAMPLE_ROWS", 100)
    postgres.run("CREATE TABLE t (a int)")
    postgres.run("INSERT INTO t SELECT g FROM generate_series(1, 5000) AS g")
    postgres.run("ANALYZE t")
    assert look(postgres) == KeyAdvice(("a",), 5000, proven=True)
    postgres.run("INSERT INTO t VALUES (NULL)")
    assert look(postgres).columns == ()
