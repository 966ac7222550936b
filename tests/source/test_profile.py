"""Facts about data, against values that are easy to get wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.noted import noted

from gridferry.errors import ConfigError, SourceRefused
from gridferry.model.profile import ColumnProfile, ColumnRequest, Facts, KeyProfile, KeyRequest, ProfileRequest
from gridferry.source.postgres.catalog import profile

MAX_TIME_US = 253402300799999000


def facts(database, column: str, kind: Facts, *, low=None, high=None, table="t") -> ColumnProfile:
    request = ProfileRequest("public", table, (ColumnRequest(column, kind, low, high),))
    return database.source.fetch_profile(request).columns[0]


def key(database, *columns: str, split: int = 0, unique=False, truncate=None, facts_of=(), **more) -> KeyProfile:
    wanted = tuple(ColumnRequest(name, Facts.TIME) for name in facts_of)
    request = ProfileRequest(
        "public", "t", wanted, KeyRequest(columns, split=split, unique=unique, truncate=truncate), **more
    )
    found = database.source.fetch_profile(request).key
    assert found is not None
    return found


def test_times_before_1970_infinite_and_far(postgres_each):
    postgres_each.run("""
        CREATE TABLE t (ts timestamp, tz timestamptz, d date);
        INSERT INTO t VALUES
            ('1969-12-31 23:59:59.999999', '1969-12-31 23:59:59.999+00', '1969-12-31'),
            ('294276-12-31 23:59:59.5', '0044-03-15 BC', '5874897-12-31'), ('9999-12-31 23:59:59.999', NULL, NULL),
            ('infinity', '-infinity', 'infinity'),
            ('-infinity', 'infinity', '-infinity'), (NULL, NULL, '1970-01-02')""")
    ts = facts(postgres_each, "ts", Facts.TIME, low=0, high=MAX_TIME_US)
    assert (ts.nulls, ts.infinite, ts.fine, ts.outside) == (1, 2, 1, 2)
    assert (ts.minimum, ts.maximum) == (-1, 9224318015999500000)  # beyond 63 bits, and still exact
    tz = facts(postgres_each, "tz", Facts.TIME, low=0)
    assert (tz.nulls, tz.infinite, tz.fine, tz.outside, tz.maximum) == (2, 2, 0, 2, -1000)
    d = facts(postgres_each, "d", Facts.DATE, low=0, high=MAX_TIME_US)
    assert (d.nulls, d.infinite, d.outside, d.minimum) == (1, 2, 2, -86_400_000_000)
    assert d.maximum == int(np.datetime64("5874897-12-31", "D").astype(np.int64)) * 86_400_000_000


@pytest.mark.parametrize(("low", "outside"), [(0, 1), (-1, 0), (1, 2), (999_999, 2), (1_000_000, 2), (1_000_001, 3)])
def test_time_bounds_are_exact_to_the_microsecond(postgres, low, outside):
    postgres.run("CREATE TABLE t (ts timestamp); INSERT INTO t VALUES ('1969-12-31 23:59:59.999999'), "
                 "('1970-01-01'), ('1970-01-01 00:00:01'), ('infinity')")  # fmt: skip
    assert facts(postgres, "ts", Facts.TIME, low=low).outside == outside


def test_date_bounds_within_a_day(postgres):
    postgres.run("CREATE TABLE t (d date); INSERT INTO t VALUES ('1970-01-01'), ('1970-01-02'), ('infinity')")
    assert facts(postgres, "d", Facts.DATE, low=1).outside == 1
    assert facts(postgres, "d", Facts.DATE, high=86_400_000_000).outside == 0
    assert facts(postgres, "d", Facts.DATE, high=86_399_999_999).outside == 1


@pytest.mark.parametrize("kind", ["real", "float8"])
def test_floats_with_nan_and_infinity(postgres, kind):
    postgres.run(
        f"CREATE TABLE t (f {kind}); INSERT INTO t VALUES ('NaN'), ('Infinity'), ('-Infinity'), (-0.5), (2), (NULL)"
    )
    found = facts(postgres, "f", Facts.FLOAT, low=0, high=1)
    assert found == ColumnProfile("f", 1, minimum=-0.5, maximum=2.0, infinite=2, nan=1, outside=2)


def test_numerics_of_any_size(postgres_each):
    infinite = 2 if postgres_each.version >= 14 else 0  # before it, a numeric could not be
    postgres_each.run("""
        CREATE TABLE t (n numeric, m numeric(10, 4));
        INSERT INTO t VALUES ('NaN', 1.5), (0, 100), (0, 0.1250), (0.00120, NULL),
                             (-12345678901234567890123456789012, 0), (1500, 7), ('1e40', 8)""")
    if infinite:
        postgres_each.run("INSERT INTO t VALUES ('Infinity', 0), ('-Infinity', 0)")
    n = facts(postgres_each, "n", Facts.NUMERIC, low=-(10**20), high=10**20)
    assert n == ColumnProfile(
        "n", 0, minimum=-12345678901234567890123456789012, maximum=10**40, infinite=infinite, nan=1,
        max_scale=4, max_digits=32, outside=2, undoubled=1,
    )  # fmt: skip
    m = facts(postgres_each, "m", Facts.NUMERIC)
    assert (m.minimum, m.maximum, m.max_scale, m.max_digits, m.nulls) == (0, 100, 3, 3, 1)


def test_decimals_that_a_double_is_not_read_back_to(postgres_each):
    postgres_each.run("""
        CREATE TABLE t (n numeric);
        INSERT INTO t VALUES (0.1), ('0.100000000000000000'), (9007199254740992), (123456.12345678), ('1e50'), (NULL),
                             ('NaN'), (9007199254740993), ('0.1000000000000000055'), ('1e400'), ('-1e-400')""")
    assert facts(postgres_each, "n", Facts.NUMERIC).undoubled == 4


def test_arrays_that_are_not_flat_or_hold_what_griddb_cannot(postgres_each):
    postgres_each.run("""
        CREATE TABLE t (i int[], s text[], at timestamptz[], d date[]);
        INSERT INTO t VALUES ('{}', '{a,""}', '{2024-01-01 00:00:00.123+00}', '{2024-01-01}'), (NULL, NULL, NULL, NULL),
            ('{1,NULL}', '{a,NULL}', '{infinity}', '{1969-12-31}'), ('{{1},{2}}', '{{a},{b}}', '{}', '{infinity}'),
            ('[2:2]={1}', ARRAY[repeat('ä', 15873)], '{"2024-01-01 00:00:00.123456+00"}', '{10000-01-01}'),
            (array_fill(1, ARRAY[4001]), '{}', '{1969-12-31 23:59:59+00}', '{0044-03-15 BC}')""")
    kinds = {"i": Facts.LIST, "s": Facts.LIST_OF_TEXT, "at": Facts.LIST_OF_TIMES, "d": Facts.LIST_OF_TIMES}
    found = {name: facts(postgres_each, name, kind) for name, kind in kinds.items()}
    assert {name: profile.unlisted for name, profile in found.items()} == {"i": 4, "s": 3, "at": 3, "d": 4}
    assert found["i"].max_bytes == 2 * 4001 + 1


def test_lengths_are_bytes_of_what_would_be_stored(postgres_each):
    postgres_each.run("""
        CREATE TYPE mood AS ENUM ('glücklich');
        CREATE TABLE t (s text, c char(6), e mood, j jsonb, u uuid, b bytea, none text);
        INSERT INTO t VALUES ('äß', 'ä', 'glücklich', '{"a":1}', md5('')::uuid, '\\x00ff', NULL);
        INSERT INTO t VALUES ('a')""")
    lengths = {name: facts(postgres_each, name, Facts.TEXT).max_bytes for name in ("s", "c", "e", "j", "u", "none")}
    assert lengths == {"s": 4, "c": 7, "e": 10, "j": 8, "u": 36, "none": None}
    assert facts(postgres_each, "b", Facts.BYTES, high=1) == ColumnProfile("b", 1, max_bytes=2, outside=1)
    assert facts(postgres_each, "s", Facts.TEXT, high=3).outside == 1


def test_lengths_are_utf8_in_a_database_of_another_encoding(postgres):
    with postgres.in_latin1() as other:
        other.run("CREATE TABLE t (s text, c char(3)); INSERT INTO t VALUES ('äß', 'ä')")
        assert facts(other, "s", Facts.TEXT).max_bytes == 4
        assert facts(other, "c", Facts.TEXT).max_bytes == 4


def test_hundreds_of_columns_in_one_scan(postgres):
    names = [f"c{i}" for i in range(800)]
    postgres.run(f"CREATE TABLE t ({', '.join(f'{n} numeric' for n in names)})")
    postgres.run("INSERT INTO t DEFAULT VALUES; INSERT INTO t (c0, c799) VALUES (1, 2.50)")
    request = ProfileRequest("public", "t", tuple(ColumnRequest(n, Facts.NUMERIC) for n in names))
    found = postgres.source.fetch_profile(request)
    assert found.rows == 2
    assert [c.nulls for c in found.columns] == [1, *[2] * 798, 1]
    assert found.columns[-1].max_scale == 1


def test_an_empty_table(postgres):
    postgres.run("CREATE TABLE t (ts timestamp, f float8, n numeric, s text, i int)")
    kinds = {"ts": Facts.TIME, "f": Facts.FLOAT, "n": Facts.NUMERIC, "s": Facts.TEXT, "i": Facts.INTEGER}
    request = ProfileRequest(
        "public", "t", tuple(ColumnRequest(n, k, 0, 1) for n, k in kinds.items()), KeyRequest(("ts",)), "s"
    )
    found = postgres.source.fetch_profile(request)
    assert (found.rows, found.split, found.exact) == (0, (), True)
    assert all(c.nulls == 0 and c.minimum is None and c.outside == 0 for c in found.columns)
    assert found.key == KeyProfile(("ts",))


def test_hostile_column_names(postgres):
    postgres.run('CREATE TABLE t ("{c} %s ""x" int, "{}" timestamp); INSERT INTO t VALUES (3, now()), (4, now())')
    found = facts(postgres, '{c} %s "x', Facts.INTEGER, low=4)
    assert (found.minimum, found.maximum, found.outside) == (3, 4, 1)
    assert key(postgres, '{c} %s "x', "{}", split=1).colliding == 0


def test_split_values_with_their_rows_as_text(postgres):
    postgres.run("CREATE TABLE t (d text, b boolean, n numeric(4,1)); INSERT INTO t VALUES "
                 "('b', true, 1), ('a', false, 1.0), ('b', true, 2), (NULL, NULL, NULL), ('ü', true, 2)")  # fmt: skip

    def split(column: str, where: str = "") -> list[tuple[str | None, int]]:
        request = ProfileRequest("public", "t", split_by=column, where=where)
        return [(s.value, s.rows) for s in postgres.source.fetch_profile(request).split]

    assert split("d") == [("a", 1), ("b", 2), ("ü", 1), (None, 1)]
    assert split("b") == [("false", 1), ("true", 3), (None, 1)]
    assert split("n", "d = 'b'") == [("1.0", 1), ("2.0", 1)]


@pytest.mark.parametrize("where", ["v > 3) OR (true", "v > 3; DROP TABLE t", "v > 3) ; DROP TABLE t; SELECT (1"])
def test_a_condition_that_ends_its_own_parentheses_is_refused(postgres, where):
    """Beside the range of a chunk it would read every row for every chunk."""
    postgres.run("CREATE TABLE t (v int); INSERT INTO t SELECT generate_series(1, 5)")
    request = ProfileRequest("public", "t", where=where)
    with pytest.raises(SourceRefused, match=r"reading the condition of public\.t") as caught:
        postgres.source.fetch_profile(request)
    assert "condition in the config file" in caught.value.next_step
    assert postgres.source.fetch_profile(replace(request, where="v = 1 /* ) */ OR v = 2 -- )")).rows == 2


def test_too_many_split_values(postgres, monkeypatch):
    monkeypatch.setattr(profile, "SPLIT_LIMIT", 100)
    postgres.run("CREATE TABLE t (d int); INSERT INTO t SELECT generate_series(1, 101)")
    with pytest.raises(ConfigError, match=r"d of public\.t has more than 100 values"):
        postgres.source.fetch_profile(ProfileRequest("public", "t", split_by="d"))
    postgres.run("DELETE FROM t WHERE d = 1")
    assert len(postgres.source.fetch_profile(ProfileRequest("public", "t", split_by="d")).split) == 100


@pytest.fixture
def keyed(postgres):
    postgres.run("""
        CREATE TABLE t (ts timestamp, d text, v int);
        INSERT INTO t VALUES
            ('2020-01-01 00:00:00.001001', 'a', 1), ('2020-01-01 00:00:00.001002', 'a', 2),
            ('2020-01-01 00:00:00.001001', 'b', 3), ('2020-01-01 00:00:00.001001', 'b', 4),
            ('2020-01-01 00:00:00.001001', 'b', 5), ('2020-01-01', NULL, 6), ('2020-01-01', NULL, 7),
            (NULL, 'a', 8), (NULL, 'a', 9), ('infinity', 'c', 10), ('infinity', 'c', 11)""")
    return postgres


def test_collisions_count_rows_beyond_the_first(keyed):
    found = key(keyed, "d", "ts", split=1, truncate="ts")
    assert (found.colliding, found.nulls) == (4, 2)
    assert found.examples == (
        "b, 2020-01-01 00:00:00.001001", "c, infinity", "NULL, 2020-01-01 00:00:00",
    )  # fmt: skip
    assert found.truncated_colliding == 5
    assert "a, 2020-01-01 00:00:00.001" in found.truncated_examples


def test_collisions_within_the_condition(keyed):
    assert key(keyed, "d", "ts", split=1, where="v <> 4 AND d IS NOT NULL").colliding == 2


def test_a_constraint_spares_the_look_at_full_keys_only(keyed):
    found = key(keyed, "d", "ts", split=1, unique=True, truncate="ts")
    assert (found.colliding, found.truncated_colliding) == (0, 5)


def test_truncation_is_not_asked_where_nothing_is_cut_off(postgres, monkeypatch):
    postgres.run("CREATE TABLE t (ts timestamp); INSERT INTO t VALUES ('2020-01-01'), ('2020-01-01')")
    asked: list[Any] = []
    monkeypatch.setattr(profile, "_collisions", noted(asked, profile._collisions))
    found = key(postgres, "ts", truncate="ts", facts_of=("ts",))
    assert (found.colliding, found.truncated_colliding, len(asked)) == (1, 1, 1)


def test_a_missing_column_is_named(postgres):
    postgres.run("CREATE TABLE t (a int)")
    with pytest.raises(SourceRefused, match="nope"):
        key(postgres, "nope")
    with pytest.raises(SourceRefused, match="nope"):
        facts(postgres, "nope", Facts.INTEGER)


def test_a_sample_says_that_it_is_one(postgres):
    postgres.run("CREATE TABLE t (a int, d text); INSERT INTO t SELECT g, 'x' FROM generate_series(1, 50000) g")
    request = ProfileRequest("public", "t", (ColumnRequest("a", Facts.INTEGER),), split_by="d")
    found = postgres.source.fetch_profile(request, sample_percent=20)
    assert not found.exact
    assert 20_000 < found.rows < 100_000
    assert found.split[0].rows == found.rows
    postgres.run("CREATE VIEW v AS SELECT * FROM t")
    of_view = postgres.source.fetch_profile(ProfileRequest("public", "v"), sample_percent=20)
    assert (of_view.rows, of_view.exact) == (50_000, True)
    with pytest.raises(ConfigError, match="holds no rows"):
        postgres.source.fetch_profile(request, sample_percent=0)


def test_the_look_sees_the_snapshot_that_it_is_given(postgres):
    postgres.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    with postgres.source.open_snapshot() as snapshot:
        postgres.run("INSERT INTO t VALUES (2)")
        assert snapshot.fetch_profile(ProfileRequest("public", "t")).rows == 1
        with postgres.source_session() as connection:
            assert profile.fetch_profile(connection, ProfileRequest("public", "t")).rows == 2


def test_the_full_key_is_not_looked_at_where_the_cut_one_does_not_meet(postgres, monkeypatch):
    postgres.run(
        "CREATE TABLE t (ts timestamp); INSERT INTO t VALUES ('2020-01-01 00:00:00.000001'), ('2020-01-01 1:0')"
    )
    asked: list[Any] = []
    monkeypatch.setattr(profile, "_collisions", noted(asked, profile._collisions))
    found = key(postgres, "ts", truncate="ts", facts_of=("ts",))
    assert (found.colliding, found.truncated_colliding, len(asked)) == (0, 0, 1)
