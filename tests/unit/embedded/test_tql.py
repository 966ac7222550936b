"""TQL as GridDB CE 5.9.0 answered it: the queries of this table were put to the real server first."""

# ruff: noqa: E501 - a query stands on one line, as it is sent

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from gridferry.embedded.catalog import Container
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.queries import Value, plan, run
from gridferry.embedded.refusal import Refusal
from gridferry.embedded.row_statements import put_rows
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

Make = Callable[..., Any]
SCHEMA = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        ColumnSpec("v", GridType.DOUBLE),
        ColumnSpec("i", GridType.INTEGER),
        ColumnSpec("b", GridType.BOOL),
        ColumnSpec("s", GridType.STRING),
        ColumnSpec("u", GridType.TIMESTAMP_US),
        ColumnSpec("n", GridType.TIMESTAMP_NS),
        ColumnSpec("a", GridType.INTEGER, array=True),
        ColumnSpec("l", GridType.LONG),
        ColumnSpec("f", GridType.FLOAT),
    ),
)


def filled(database: Database) -> Container:
    """A container with rows at 10, 20, 40 and 100 s after 1970."""
    container = put_container(database, "embp1", SCHEMA, partition=0)
    seconds = [10, 20, 40, 100]
    small = [1, -7, 4, None]
    columns: list[list[Any]] = [
        [t * 10**3 for t in seconds],
        [1.0, 3.0, 2.0, 8.0],
        small,
        [True, True, False, False],
        ["x", "yy", "Abc", "zz"],
        [t * 10**6 + 123456 for t in seconds],
        [t * 10**9 + 123456789 for t in seconds],
        [[i or 0, 2] for i in small],
        [(i or 0) * 10 for i in small],
        [1.0, 3.0, 2.0, 8.0],
    ]
    arrays = [
        pa.array(c).cast(f.type) if pa.types.is_timestamp(f.type) else pa.array(c, f.type)
        for c, f in zip(columns, SCHEMA.arrow_schema, strict=True)
    ]
    put_rows(database, container, pa.RecordBatch.from_arrays(arrays, schema=SCHEMA.arrow_schema))
    return container


@pytest.fixture(scope="module")
def store() -> Iterator[Database]:
    """A store that no test here changes."""
    database = Database(flush_interval_s=None)
    yield database
    database.kill()


@pytest.fixture(scope="module")
def probe(store: Database) -> Container:
    return filled(store)


# Query -> the rows' times in seconds.
ROWS: list[tuple[str, list[int]]] = [
    ("select * where TIMESTAMPDIFF(SECOND, ts, TIMESTAMP('1970-01-01T00:00:10.000Z')) = 10", [20]),
    ("select * where TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01T00:00:10.000Z'), ts) = -10", [20]),
    ("select * where TIMESTAMPDIFF(SECOND, TIMESTAMP('1970-01-01T00:00:10.000Z'), ts) = 10", []),
    ("select * where TIMESTAMPDIFF(MINUTE, ts, TIMESTAMP('1970-01-01T00:00:10.000Z')) = 1", [100]),
    ("select * where TIMESTAMPDIFF(MINUTE, TIMESTAMP('1970-01-01T00:00:10.000Z'), ts) = -1", [100]),
    ("select * where TIMESTAMPDIFF(MINUTE, TIMESTAMP('1970-01-01T00:00:10.000Z'), ts) = -2", []),
    ("select * where TIMESTAMPDIFF(MONTH, TIMESTAMP('1970-02-28T00:00:10.000Z'), ts) = 1", [10, 20, 40, 100]),
    ("select * where TIMESTAMPDIFF(YEAR, TIMESTAMP('1971-01-01T00:00:10.000Z'), ts) = 1", [10]),
    ("select * where TIMESTAMPDIFF(YEAR, TIMESTAMP('1970-12-31T00:00:10.000Z'), ts) = 1", []),
    ("select * where TIMESTAMPADD(MONTH, ts, 1) = TIMESTAMP('1970-02-01T00:00:10.000Z')", [10]),
    ("select * where TIMESTAMPADD(MICROSECOND, ts, 1500) = TIMESTAMP('1970-01-01T00:00:10.001Z')", [10]),
    ("select * where TIMESTAMPADD(SECOND, u, 1) = TIMESTAMP_US('1970-01-01T00:00:11.123456Z')", [10]),
    ("select * where TIMESTAMPADD('SECOND', ts, 1) = TIMESTAMP('1970-01-01T00:00:11.000Z')", [10]),
    ("select * where i / 2 = -3", [20]),
    ("select * where i / 2 = -4", []),
    ("select * where i % 4 = -3", [20]),
    ("select * where v / 0 > 1", [10, 20, 40, 100]),
    ("select * where i + 0.5 = 1.5", [10]),
    ("select * where i / 2.0 = -3.5", [20]),
    ("select * where CHAR_LENGTH(s) = 2", [20, 100]),
    ("select * where SUBSTRING(s,2) = 'bc'", [40]),
    ("select * where SUBSTRING(s,1,1) = 'A'", [40]),
    ("select * where CONCAT(s,'1') = 'x1'", [10]),
    ("select * where CONCAT(s,'1','2') = 'x12'", [10]),
    ("select * where UPPER(s) = 'YY'", [20]),
    ("select * where ROUND(v) = 3", [20]),
    ("select * where ROUND(v + 0.5) = 2", [10]),
    ("select * where ROUND(v + 0.5) = 3", [40]),
    ("select * where FLOOR(v+0.7)=3", [20]),
    ("select * where FLOOR(i)=4", [40]),
    ("select * where CEILING(v - 0.2) = 1", [10]),
    ("select * where ARRAY_LENGTH(a) = 2", [10, 20, 40, 100]),
    ("select * where ELEMENT(0,a) = 4", [40]),
    ("select * where ELEMENT(1,a) = 2", [10, 20, 40, 100]),
    ("select * where TO_EPOCH_MS(ts) = 20000", [20]),
    ("select * where TO_EPOCH_MS(u) = 20123", [20]),
    ("select * where ts = TO_TIMESTAMP_MS(20000)", [20]),
    ("select * where NOW() > ts", [10, 20, 40, 100]),
    ("select * where b", [10, 20]),
    ("select * where not b", [40, 100]),
    ("select * where b = b", [10, 20, 40, 100]),
    ("select * where b xor (i = 4)", [10, 20, 40]),
    ("select * where s like 'y%'", [20]),
    ("select * where s like 'A_c'", [40]),
    ("select * where s like 'A\\_c' escape '\\'", []),
    ("select * where s not like 'y%'", [10, 40, 100]),
    ("select * where l = 10 and i < 5", [10]),
    ("select * where -i = 7", [20]),
    ("select * where f = 3", [20]),
    ("select * where u = TIMESTAMP_US('1970-01-01T00:00:10.123456Z')", [10]),
    ("select * where u = TIMESTAMP('1970-01-01T00:00:10.123456Z')", []),
    ("select * where n = TIMESTAMP_NS('1970-01-01T00:00:10.123456789Z')", [10]),
    ("select * where u > ts", [10, 20, 40, 100]),
    ("select * where TIMESTAMP_MS('1970-01-01T00:00:10.000Z') = ts", [10]),
    ("select * where TIMESTAMP('1970-01-01T00:00:10Z') = ts", [10]),
    ("select * where TIMESTAMP('1970-01-01T09:00:10+09:00') = ts", [10]),
    ("select * where a is null", []),
    ("select * where i is null", [100]),
    ("select TIME_NEXT(*, TIMESTAMP('1970-01-01T00:00:11.000Z'))", [20]),
    ("select TIME_PREV(*, TIMESTAMP('1970-01-01T00:00:20.000Z'))", [20]),
    ("select TIME_PREV_ONLY(*, TIMESTAMP('1970-01-01T00:00:20.000Z'))", [10]),
    ("select TIME_NEXT_ONLY(*, TIMESTAMP('1970-01-01T00:00:20.000Z'))", [40]),
    ("select TIME_NEXT(*, TIMESTAMP('1970-01-01T00:00:11.000Z')) where v < 3", [40]),
    ("select TIME_INTERPOLATED(v, TIMESTAMP('1970-01-01T00:00:05.000Z'))", []),
    ("select MAX_ROWS(v)", [100]),
    ("select MIN_ROWS(i) where i > 0", [10]),
    ("select * order by v desc limit 2", [100, 20]),
    ("select * where i = 1 or i = 4 order by s", [40, 10]),
    ("select * order by i", [20, 10, 40, 100]),
    ("select * order by i desc", [100, 40, 10, 20]),
    ("select * limit 1 offset 1", [20]),
    ("select * from EMBP1", [10, 20, 40, 100]),
    ("select * where (i = 1) = (v = 1)", [10, 20, 40]),
    ("select * where i = 1 = b", [10, 40]),
    ("select * where null", []),
    ("select * where i = null", []),
    ("select * where s = 'it''s'", []),
    ("select * where i = 1.0", [10]),
    ("select * where CEILING(i / 2) = 0", [10]),
    ("select * where TIMESTAMPADD(SECOND, ts, i) > ts", [10, 40]),
    (
        "select * where ts > TIMESTAMP('1970-01-01T00:00:10.000Z') and ts <= TIMESTAMP('1970-01-01T00:00:40.000Z')",
        [20, 40],
    ),
    ("select * where LOWER(s) like 'a%' or v >= 8 and i is null", [40, 100]),
]
# Query -> time in seconds, v, i.
SAMPLES: list[tuple[str, list[tuple[int, float, int | None]]]] = [
    ("select TIME_INTERPOLATED(v, TIMESTAMP('1970-01-01T00:00:30.000Z'))", [(30, 2.5, -7)]),
    ("select TIME_INTERPOLATED(v, TIMESTAMP('1970-01-01T00:00:20.000Z'))", [(20, 3.0, -7)]),
    (
        "select TIME_SAMPLING(v, TIMESTAMP('1970-01-01T00:00:05.000Z'), TIMESTAMP('1970-01-01T00:02:00.000Z'), 15, SECOND)",
        [(20, 3.0, -7), (35, 2.25, -7), (50, 3.0, 4), (65, 4.5, 4), (80, 6.0, 4), (95, 7.5, 4)],
    ),
    (
        "select TIME_SAMPLING(*, TIMESTAMP('1970-01-01T00:00:05.000Z'), TIMESTAMP('1970-01-01T00:02:00.000Z'), 15, SECOND)",
        [(20, 3.0, -7), (35, 3.0, -7), (50, 2.0, 4), (65, 2.0, 4), (80, 2.0, 4), (95, 2.0, 4), (110, 8.0, None)],
    ),
    (
        "select TIME_SAMPLING(v, TIMESTAMP('1970-01-01T00:00:10.000Z'), TIMESTAMP('1970-01-01T00:00:40.000Z'), 10, SECOND)",
        [(10, 1.0, 1), (20, 3.0, -7), (30, 2.5, -7), (40, 2.0, 4)],
    ),
    (
        "select TIME_SAMPLING(v, TIMESTAMP('1970-01-01T00:00:10.000Z'), TIMESTAMP('1970-01-01T00:00:40.000Z'), 10, SECOND) where i > 0",
        [(10, 1.0, 1), (20, 1.3333333333333333, 1), (30, 1.6666666666666665, 1), (40, 2.0, 4)],
    ),
]
# Query -> type and value; None where there is no value.
VALUES: list[tuple[str, tuple[str, float] | None]] = [
    ("select count(s)", ("LONG", 4)),
    ("select sum(i)", ("INTEGER", -2)),
    ("select sum(f)", ("FLOAT", 14.0)),
    ("select max(f)", ("FLOAT", 8.0)),
    ("select min(i)", ("INTEGER", -7)),
    ("select TIME_AVG(v)", ("DOUBLE", 4.111111111111111)),
    ("select TIME_AVG(i)", ("DOUBLE", -2.0)),
    ("select TIME_AVG(v) where ts > TIMESTAMP('1970-01-01T00:00:10.000Z')", ("DOUBLE", 4.375)),
    ("select count(*) limit 0", None),
    ("select count(*) limit 1 offset 1", None),
    ("select STDDEV(v)", ("DOUBLE", 3.1091263510296048)),
    ("select VARIANCE(i)", ("DOUBLE", 32.333333333333336)),
    ("select MAX(ts) where i > 100", None),
    ("select count(i)", ("LONG", 4)),
    ("select count(i) where v > 0", ("LONG", 3)),
    ("select stddev_samp(v)", ("DOUBLE", 3.1091263510296048)),
    ("select variance_pop(v)", ("DOUBLE", 7.25)),
    ("select stddev_samp(v) where i = 1", ("DOUBLE", 0.0)),
]
REFUSED: list[tuple[str, int]] = [
    ("select * where TIMESTAMPADD(WEEK, ts, 1) = TIMESTAMP('1970-01-01T00:00:11.000Z')", 150012),
    ("select * where TIMESTAMPADD(SECOND, ts) = ts", 152011),
    ("select * where i / 0 = 1", 150016),
    ("select * where SUBSTRING(s,0,1) = 'A'", 152012),
    ("select * where CONCAT(s,1) = 'x1'", 152010),
    ("select * where ROUND(v,1) = 3", 152002),
    ("select * where ELEMENT(5,a) = 2", 152009),
    ("select * where ELEMENT(a,0) = 2", 152010),
    ("select * where v", 150019),
    ("select * where i", 150019),
    ("select * where s", 150019),
    ("select * where s + 'a' = 'xa'", 150018),
    ("select * where TIMESTAMP('1970-01-01T09:00:10.5Z') = ts", 152010),
    ("select * where TIMESTAMP('nonsense') = ts", 152010),
    ("select * where TIMESTAMP(5) = ts", 152010),
    ("select * where ts = 10000", 150018),
    ("select * where s = 1", 150018),
    ("select * where a = 1", 150018),
    ("select * where ABS(i) = 1", 150014),
    ("select * where MAX(i) = 1", 150014),
    ("select ABS(i)", 150014),
    ("select UPPER(s)", 152502),
    ("select MAX(s)", 150020),
    ("select MAX(nosuch)", 150012),
    ("select MAX(i+1)", 152010),
    ("select MAX(i,v)", 152011),
    ("select COUNT()", 152011),
    ("select avg(ts)", 150020),
    ("select TIME_AVG(s)", 150020),
    ("select TIME_NEXT(v, TIMESTAMP('1970-01-01T00:00:11.000Z'))", 150020),
    ("select TIME_INTERPOLATED(s, TIMESTAMP('1970-01-01T00:00:30.000Z'))", 152010),
    ("select TIME_INTERPOLATED(*, TIMESTAMP('1970-01-01T00:00:30.000Z'))", 152010),
    (
        "select TIME_SAMPLING(v, TIMESTAMP('1970-01-01T00:00:10.000Z'), TIMESTAMP('1970-01-01T00:00:40.000Z'), 0, SECOND)",
        152012,
    ),
    ("select MAX_ROWS(s)", 150020),
    ("select MAX_ROWS(*)", 150020),
    ("select * order by v+1", 151004),
    ("select * order by nosuch", 150012),
    ("select max(i) order by i", 151005),
    ("select * from nosuch", 150010),
    ("select * where x.v = 1", 150012),
    ("select * where s < 'b'", 150018),
    ("select * where i << 1 = 2", 153001),
    ("select * where i & 1 = 1", 153001),
    ("select * where ~i = 1", 151001),
    ("select *, v", 151001),
    ("select * where i in (1,2)", 151001),
    ("select * where TO_TIMESTAMP_MS('x') = ts", 152010),
    ("select max(*)", 150020),
    ("selekt *", 151001),
    ("select * where b = 1", 150018),
]
# Not put to the real server: what sqlglot would understand, and TQL does not.
NOT_TQL = [
    "drop table x", "select *; select *", "select 1", "select * from a join b", "select * from (select *)", "",
    "select distinct *", "select * group by i", "select * where exists(select 1)", "select * where i = (select 1)",
    "select * where a[1] = 2", "select * where i = b::int", "select * where case when b then b end",
    "select * where i = ?",
    "select * where i = :x", "select * where i = @x", "select * where (i, l) = (1, 2)",
    "select * where i is distinct from l",
    "select max(i) over ()", "select * where s -> 'x' = 1", "select * where upper(s order by s) = 'X'",
    "select * where s = 'x' 'y'", "select * limit 1.5", "select * limit i", "select * into x", "select * where 'open",
    "select * where " + "(" * 5000 + "b" + ")" * 5000, "select * where " + "not " * 5000 + "b",
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), ROWS)
def test_rows(store: Database, probe: Container, query: str, expected: list[int]) -> None:
    found = run(store, probe, plan(probe, query))
    assert not isinstance(found, Value)
    assert [t // 1000 for t in found.batch.column(0).cast(pa.int64()).to_pylist()] == expected


@pytest.mark.parametrize(("query", "expected"), SAMPLES)
def test_samples(
    store: Database, probe: Container, as_tuples: Make, query: str, expected: list[tuple[int, float, int | None]]
) -> None:
    found = [(t // 1000, v, i) for t, v, i, *_ in as_tuples(run(store, probe, plan(probe, query)))]
    assert [(t, i) for t, _, i in found] == [(t, i) for t, _, i in expected]
    assert [v for _, v, _ in found] == pytest.approx([v for _, v, _ in expected])


@pytest.mark.parametrize(("query", "expected"), VALUES)
def test_values(store: Database, probe: Container, query: str, expected: tuple[str, float] | None) -> None:
    found = run(store, probe, plan(probe, query))
    assert isinstance(found, Value)
    if expected is None:
        assert found.value is None
    else:
        assert found.type.name == expected[0]
        assert found.value == pytest.approx(expected[1])


@pytest.mark.parametrize(("query", "code"), REFUSED)
def test_refusals(store: Database, probe: Container, query: str, code: int) -> None:
    with pytest.raises(Refusal) as refused:
        run(store, probe, plan(probe, query))
    assert refused.value.code == code


@pytest.mark.parametrize("query", NOT_TQL, ids=range(len(NOT_TQL)))
def test_what_is_not_tql_is_refused(store: Database, probe: Container, query: str) -> None:
    with pytest.raises(Refusal) as refused:
        run(store, probe, plan(probe, query))
    assert 150000 <= refused.value.code < 154000


def test_a_query_that_fails_on_a_row_harms_nothing(db: Database, ask: Make) -> None:
    probe = filled(db)
    one = run(db, probe, plan(probe, "select * where i = 1"))
    assert not isinstance(one, Value)
    moved = one.batch.set_column(0, SCHEMA.arrow_schema.field(0), pa.array([5], one.batch.column(0).type))
    put_rows(db, probe, moved)
    with pytest.raises(Refusal):
        ask(probe, "select * where l * 9000000000000000000 > 5")
    assert ask(probe, "select count(*)")[1] == 5


@pytest.mark.slow
def test_long_chains_of_conditions(store: Database, probe: Container, ask: Make) -> None:
    wanted = " or ".join(f"i = {n}" for n in range(1500))
    assert ask(probe, f"select count(*) where {wanted}", db=store)[1] == 2
    assert ask(probe, f"select count(*) where {' and '.join(['b'] * 1500)}", db=store)[1] == 2


def test_text_is_only_ever_a_value(db: Database, ask: Make) -> None:
    probe = filled(db)
    nasty = "'; DROP TABLE x; -- \\ \" %_"
    one = run(db, probe, plan(probe, "select * where i = 1"))
    assert not isinstance(one, Value)
    put_rows(db, probe, one.batch.set_column(4, SCHEMA.arrow_schema.field(4), pa.array([nasty])))
    quoted = nasty.replace("'", "''")
    assert ask(probe, f"select count(*) where s = '{quoted}'")[1] == 1
