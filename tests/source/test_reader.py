"""Rows as Arrow batches, type by type, and the rows that share a key."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import drop
from tests.profiles import FEW

from gridferry.errors import SourceError, SourceRefused
from gridferry.plan.plan import Kernel, ReadAs, TablePlan

P, T = ReadAs.PLAIN, ReadAs.TEXT


def read(database, plan: TablePlan, *, batch_bytes: int = 1 << 20) -> pa.Table:
    with database.source.open_snapshot() as snapshot, snapshot.open_reader(batch_bytes=batch_bytes) as reader:
        chunks = snapshot.plan_chunks(snapshot.fetch_tables([plan.qualified])[0], rows_per_chunk=1000)
        return pa.Table.from_batches([b for c in chunks for b in reader.read_chunk(c, plan)])


SAMPLES = [
    ("smallint", "-32768", pa.int16(), -32768),
    ("integer", "2147483647", pa.int32(), 2147483647),
    ("bigint", "-9223372036854775808", pa.int64(), -(2**63)),
    ("real", "1.1", pa.float32(), pytest.approx(1.1, rel=1e-7)),
    ("float8", "0.1", pa.float64(), 0.1),
    ("float8", "-Infinity", pa.float64(), float("-inf")),
    ("boolean", "true", pa.bool_(), True),
    ("text", "Grüße, 你好 \\ 'q'", pa.string(), "Grüße, 你好 \\ 'q'"),
    ("varchar(8)", "x", pa.string(), "x"),
    ("char(4)", "ab", pa.string(), "ab  "),
    ("name", "ab", pa.string(), "ab"),
    ("bytea", "\\x00ff61", pa.binary(), b"\x00\xffa"),
    ("date", "1969-12-31", pa.date32(), date(1969, 12, 31)),
    ("timestamp", "1969-12-31 23:59:59.999999", pa.timestamp("us"), datetime(1969, 12, 31, 23, 59, 59, 999999)),
    ("timestamp(3)", "2020-07-12 00:01:34.385", pa.timestamp("us"), datetime(2020, 7, 12, 0, 1, 34, 385000)),
    ("timestamptz", "2020-01-01 00:00:00.000001+02", pa.timestamp("us", tz="UTC"),
     datetime(2019, 12, 31, 22, 0, 0, 1, tzinfo=timezone.utc)),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", pa.string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", '{"b": 1,  "a": 2}', pa.string(), '{"b": 1,  "a": 2}'),
    ("jsonb", '{"b": 1,  "a": 2}', pa.string(), '{"a": 2, "b": 1}'),
    ("numeric(20,3)", "12345678901234567.100", pa.string(), "12345678901234567.100"),
    ("numeric", "NaN", pa.string(), "NaN"),
    ("mood", "it's ok", pa.string(), "it's ok"),
    ("feeling", "it's ok", pa.string(), "it's ok"),
    ("price", "1.50", pa.string(), "1.50"),
    ("years", "7", pa.int32(), 7),
]  # fmt: skip


def test_every_type_comes_as_a_plain_arrow_type(postgres_each, plan):
    postgres_each.run("CREATE TYPE mood AS ENUM ('it''s ok'); CREATE DOMAIN feeling AS mood")
    postgres_each.run("CREATE DOMAIN price AS numeric(8, 2); CREATE DOMAIN years AS int")
    names = [f"c{i}" for i in range(len(SAMPLES))]
    postgres_each.run(f"CREATE TABLE t ({', '.join(f'{n} {s[0]}' for n, s in zip(names, SAMPLES, strict=True))})")
    values = ", ".join("%s" for _ in SAMPLES)
    postgres_each.connection.execute(f"INSERT INTO t VALUES ({values})", [s[1] for s in SAMPLES])
    postgres_each.run("INSERT INTO t DEFAULT VALUES")
    table = read(postgres_each, plan("t", " ".join(names)))
    assert table.column_names == names
    assert [f.type for f in table.schema] == [s[2] for s in SAMPLES]
    assert [c[0].as_py() for c in table.columns] == [s[3] for s in SAMPLES]
    assert [c[1].as_py() for c in table.columns] == [None] * len(SAMPLES)


def test_read_as_text_is_postgresqls_own_text(postgres, plan):
    postgres.run("CREATE TABLE t (n numeric, ts timestamptz, f float8, i int[], v interval)")
    postgres.run("INSERT INTO t VALUES (1.50, '2020-01-01 00:00:00.5+02', 0.1, '{1,NULL}', '1 day 2 hours')")
    table = read(postgres, plan("t", {"n": T, "ts": T, "f": T, "i": T, "v": T}))
    assert [c[0].as_py() for c in table.columns] == ["1.50", "2019-12-31 22:00:00.5+00", "0.1", "{1,NULL}", "P1DT2H"]


def test_a_column_used_twice_comes_once_and_split_and_order_columns_come_too(postgres, plan):
    postgres.run('CREATE TABLE "T t" ("ts""x" timestamp, "De vice" int, v int, o date)')
    postgres.run("""INSERT INTO "T t" VALUES ('2020-01-01', 7, 1, '2020-01-02')""")
    wanted = plan("T t", 'v ts"x', split_by="De vice", order_by=("o", "v"))
    twice = TablePlan(**{**wanted.__dict__, "columns": (*wanted.columns, wanted.columns[0])})
    table = read(postgres, twice)
    assert table.column_names == ["v", 'ts"x', "De vice", "o"]
    assert table["De vice"].to_pylist() == ["7"]


def test_batches_are_bounded_and_a_reader_is_used_again(postgres, plan):
    postgres.run(
        "CREATE TABLE t (a int, pad text); INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g"
    )
    wanted = plan("t", "a pad")
    with postgres.source.open_snapshot() as snapshot, snapshot.open_reader(batch_bytes=100_000) as reader:
        (chunk,) = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=10**9)
        first = list(reader.read_chunk(chunk, wanted))
        abandoned = reader.read_chunk(chunk, wanted)
        next(abandoned)
        abandoned.close()
        again = list(reader.read_chunk(chunk, wanted))
    assert max(b.nbytes for b in first) < 300_000
    assert len(first) > 10
    assert pa.Table.from_batches(first) == pa.Table.from_batches(again)


def test_a_stream_left_open_does_not_stop_the_next_one(postgres, plan):
    postgres.run("CREATE TABLE t (a int, pad text)")
    postgres.run("INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g")
    with postgres.source.open_snapshot() as snapshot, snapshot.open_reader(batch_bytes=100_000) as reader:
        (chunk,) = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=10**9)
        left = reader.read_chunk(chunk, plan("t", "a pad"))
        next(left)
        assert sum(b.num_rows for b in reader.read_chunk(chunk, plan("t", "a"))) == 20000
        with pytest.raises(SourceError, match="another read"):
            next(left)


def test_a_stream_left_open_does_not_hide_the_error_that_left_it(postgres, plan):
    postgres.run("CREATE TABLE t AS SELECT i AS id, repeat('x', 900) AS v FROM generate_series(1, 4000) i")
    streams = []

    def read_a_part(snapshot):
        (chunk,) = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=100_000)
        with snapshot.open_reader(batch_bytes=10_000) as reader:
            streams.append(reader.read_chunk(chunk, plan("t", "id v")))
            assert next(streams[0]).num_rows < 4000
            raise SourceError("the reason")

    with postgres.source.open_snapshot() as snapshot, pytest.raises(SourceError, match="the reason"):
        read_a_part(snapshot)
    streams[0].close()


def test_an_empty_table_gives_no_batches(postgres, plan):
    postgres.run("CREATE TABLE t (a int)")
    with postgres.source.open_snapshot() as snapshot, snapshot.open_reader() as reader:
        (chunk,) = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=10)
        assert list(reader.read_chunk(chunk, plan("t", "a"))) == []


@pytest.mark.parametrize("where", ["a > 3 OR a < 2", "t.a <> 2 AND a <> 3 -- a comment", "t.b LIKE '%%x{}%s\\'"])
def test_conditions_stand_in_parentheses_of_their_own(postgres, plan, where):
    postgres.run("CREATE TABLE t (a int, b text); INSERT INTO t SELECT g, 'bx' FROM generate_series(1, 5) g")
    expected = postgres.connection.execute(f"SELECT count(*) FROM t WHERE {where}").fetchone()[0]
    wanted = plan("t", "a", where=where)
    with postgres.source.open_snapshot() as snapshot, snapshot.open_reader() as reader:
        (chunk,) = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=100)
        assert sum(b.num_rows for b in reader.read_chunk(chunk, wanted)) == expected
        assert snapshot.count_rows(wanted) == {None: expected}


def test_a_condition_may_call_a_partitioned_table_by_its_name(postgres, plan):
    postgres.run("CREATE TABLE t (a int) PARTITION BY RANGE (a); CREATE TABLE t1 PARTITION OF t DEFAULT")
    postgres.run("INSERT INTO t SELECT generate_series(1, 5)")
    wanted = plan("t", "a", where="EXISTS (SELECT FROM public.t AS other WHERE other.a = t.a + 2)")
    assert sorted(read(postgres, wanted)["a"].to_pylist()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("nope = 1", SourceRefused),
        ("a ==> 2", SourceRefused),
        ("a = 'x'", SourceRefused),
        ("1 / (a - 3) > 0", SourceError),
    ],
)
def test_a_bad_condition_is_refused_without_a_traceback(postgres, plan, where, kind):
    postgres.run("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 5)")
    with postgres.source.open_snapshot() as snapshot, snapshot.open_reader() as reader:
        (chunk,) = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=100)
        with pytest.raises(SourceError) as caught:
            list(reader.read_chunk(chunk, plan("t", "a", where=where)))
    assert type(caught.value) is kind
    assert "public.t" in caught.value.message
    assert "config file" in caught.value.next_step
    assert "SELECT" not in caught.value.message


def test_a_condition_cannot_write(postgres, plan):
    postgres.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE FUNCTION f() RETURNS boolean AS "
                 "'DELETE FROM public.t; SELECT true' LANGUAGE sql VOLATILE")  # fmt: skip
    with postgres.source.open_snapshot() as snapshot, pytest.raises(Exception, match="read-only"):
        snapshot.count_rows(plan("t", "a", where="public.f()"))
    assert postgres.run("SELECT count(*) FROM t") == [(1,)]


def test_bytes_that_are_no_text_come_as_they_are(postgres, plan):
    name = f"ascii {postgres.name}"
    postgres.run(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        with postgres.server_connection(name) as connection:
            connection.execute(r"CREATE TABLE t (a text); INSERT INTO t VALUES ('ok'), (E'\xff')")
        other = type(postgres)(postgres.server, name, postgres.connection)
        assert read(other, plan("t", "a"))["a"].cast("binary").to_pylist() == [b"ok", b"\xff"]
    finally:
        drop(postgres.server, name)


def test_text_of_another_server_encoding_comes_as_utf8(postgres, plan):
    with postgres.in_latin1() as other:
        other.run("CREATE TABLE t (a text); INSERT INTO t VALUES ('äöü')")
        assert read(other, plan("t", "a"))["a"].to_pylist() == ["äöü"]


def test_count_rows_by_split_value(postgres, plan):
    postgres.run("CREATE TABLE t (d char(3), v int); INSERT INTO t VALUES ('a', 1), ('a', 2), ('b', 1), (NULL, 1)")
    with postgres.source.open_snapshot() as snapshot:
        assert snapshot.count_rows(plan("t", "v", split_by="d")) == {"a": 2, "b": 1, None: 1}
        assert snapshot.count_rows(plan("t", "v", split_by="d", where="false")) == {}
        assert snapshot.count_rows(plan("t", "v", where="false")) == {None: 0}


def duplicates(database, plan) -> list[dict[str, Any]]:
    with database.source.open_snapshot() as snapshot, snapshot.open_reader() as reader:
        return [row for batch in reader.read_duplicates(plan) for row in batch.to_pylist()]


def test_duplicates_stand_together_in_the_order_that_decides(postgres_each, plan):
    postgres_each.run("""
        CREATE TABLE t (ts timestamp, d text, v int, o int);
        INSERT INTO t VALUES ('2020-01-02', 'b', 1, 3), ('2020-01-01', 'a', 2, NULL), ('2020-01-02', 'b', 3, 1),
            ('2020-01-01', 'a', 4, 5), ('2020-01-02', 'a', 5, 1), ('2020-01-01', NULL, 6, 1),
            ('2020-01-01', NULL, 7, 0), (NULL, 'a', 8, 1), (NULL, 'a', 9, 1), ('2020-01-01', 'a', 10, 5)""")
    by_order = duplicates(postgres_each, plan("t", "ts v", key=("ts",), split_by="d", order_by=("o",)))
    assert [r["v"] for r in by_order] == [4, 10, 2, 3, 1, 7, 6]
    by_place = duplicates(postgres_each, plan("t", "ts v", key=("ts",), split_by="d"))
    assert [r["v"] for r in by_place] == [2, 4, 10, 1, 3, 6, 7]
    unsplit = duplicates(postgres_each, plan("t", "ts v", key=("ts",)))
    assert [r["v"] for r in unsplit] == [2, 4, 6, 7, 10, 1, 3, 5]
    assert duplicates(postgres_each, plan("t", "ts v", key=("ts", "v"), split_by="d")) == []


def test_duplicates_under_a_key_that_is_cut_to_milliseconds(postgres, plan):
    postgres.run("""
        CREATE TABLE t (ts timestamptz, v int);
        INSERT INTO t VALUES ('2020-01-01 00:00:00.001999Z', 1), ('2020-01-01 00:00:00.001Z', 2),
                             ('2020-01-01 00:00:00.002Z', 3), ('1969-12-31 23:59:59.999001Z', 4)""")
    wanted = plan("t", "ts v", key=("ts",))
    assert duplicates(postgres, wanted) == []
    cut = TablePlan(**{**wanted.__dict__, "columns": (
        type(wanted.columns[0])(**{**wanted.columns[0].__dict__, "kernel": Kernel.TIME_MS_TRUNCATE}),
        wanted.columns[1],
    )})  # fmt: skip
    assert [r["v"] for r in duplicates(postgres, cut)] == [1, 2]


def test_duplicates_of_a_view_and_of_a_partitioned_table(postgres, plan):
    postgres.run("""
        CREATE TABLE p (k int, v int) PARTITION BY LIST (v); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE TABLE p2 PARTITION OF p DEFAULT; INSERT INTO p VALUES (1, 1), (1, 2), (2, 1), (1, 1);
        CREATE VIEW w AS SELECT k, v FROM p""")
    assert [r["v"] for r in duplicates(postgres, plan("p", "k v", key=("k",)))] == [1, 1, 2]
    assert sorted(r["v"] for r in duplicates(postgres, plan("w", "k v", key=("k",), order_by=("v",)))) == [1, 1, 2]


def test_a_missing_key_column_is_named(postgres, plan):
    postgres.run("CREATE TABLE t (a int)")
    with pytest.raises(SourceRefused, match=r"public\.t has no column nope"):
        duplicates(postgres, plan("t", "a", key=("nope",)))


@settings(max_examples=FEW, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(
    st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
    st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)),
    st.one_of(st.none(), st.floats(width=64)),
    st.one_of(st.none(), st.binary(max_size=20)),
    st.one_of(st.none(), st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))),
    st.one_of(st.none(), st.decimals(-10**20, 10**20, allow_nan=False, allow_infinity=False, places=4)),
), max_size=40))  # fmt: skip
def test_any_rows_come_back_as_they_went_in(postgres, plan, rows):
    postgres.run("DROP TABLE IF EXISTS t; CREATE TABLE t (i int, s text, f float8, b bytea, ts timestamp, n numeric)")
    with postgres.connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s)", rows)
    if not rows:
        return
    table = read(postgres, plan("t", "i s f b ts n"))
    back = [
        (r["i"], r["s"], r["f"], r["b"], r["ts"], None if r["n"] is None else Decimal(r["n"]))
        for r in table.to_pylist()
    ]
    key = repr
    assert sorted(map(key, _exact(back))) == sorted(map(key, _exact(rows)))


def _exact(rows):
    epoch = datetime(1970, 1, 1)
    for i, s, f, b, ts, n in rows:
        yield i, s, f, b, None if ts is None else (ts - epoch) // timedelta(microseconds=1), n
