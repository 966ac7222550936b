"""Numbers that look like times, found in the rows that PostgreSQL reads first."""

from __future__ import annotations

from tests.conftest import Database

from gridferry.model.table import Table
from gridferry.plan.epoch_advice import CountedTime


def looked_at(postgres: Database) -> tuple[CountedTime, ...]:
    tables: list[Table] = postgres.source.fetch_tables(["t"])
    return postgres.source.fetch_counted_times(tables).get("public.t", ())


def test_each_unit_is_known_by_its_numbers(postgres: Database) -> None:
    postgres.run(
        "CREATE TABLE t (clock int, ts bigint, time_us bigint, time_ns bigint, at float8, n bigint, started bigint)"
    )
    postgres.run(
        "INSERT INTO t SELECT s, s * 1000, s * 1000000, s * 1000000000, s + 0.25, s, g FROM"
        " (SELECT g, 1704067200 + g::bigint * 3600 FROM generate_series(1, 9) g) AS made (g, s)"
    )
    wishes = [each.wish for each in looked_at(postgres)]
    assert wishes == [
        "clock: {type: timestamp(3), from: epoch_s}",
        "ts: {type: timestamp(3), from: epoch_ms}",
        "time_us: {type: timestamp(6), from: epoch_us}",
        "time_ns: {type: timestamp(6), from: epoch_ns}",
        "at: {type: timestamp(6), from: epoch_s}",
    ]
    assert looked_at(postgres)[0].counts == "seconds since 1970: 2024-01-01 to 2024-01-01"


def test_what_would_be_refused_is_not_suggested(postgres: Database) -> None:
    postgres.run("CREATE TABLE t (at float8, ts float8, clock int)")
    postgres.run("INSERT INTO t VALUES ('NaN', 1704067200.0000001, NULL), (1704067200, 1704067200.0000002, NULL)")
    assert looked_at(postgres) == ()


def test_a_look_that_fails_finds_nothing(postgres: Database) -> None:
    postgres.run("CREATE VIEW t AS SELECT 1 / (g - 1) AS clock FROM generate_series(1, 2) g")
    assert looked_at(postgres) == ()
