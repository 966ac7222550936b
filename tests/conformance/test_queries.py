"""TQL: rows, order, limits, aggregations and their types, and results that come in pages."""

from __future__ import annotations

import math

import psutil
import pyarrow as pa
import pytest
from tests.conformance.conftest import Place, Server
from tests.conformance.tables import batch, collection, rows_of, series

from gridferry.errors import LocalProtocolError, StatementError
from gridferry.griddb import GridType, Store, Timing

SERIES = series("ts TIMESTAMP(3)!, v DOUBLE, n INTEGER, s STRING")
ROWS = [(10, 1.5, 1, "a"), (20, -2.0, None, "b"), (30, 0.25, 3, None), (40, None, 4, "d")]
MANY = collection("k INTEGER!, s STRING")


@pytest.mark.parametrize(
    ("tql", "expected"),
    [
        ("select *", [10, 20, 30, 40]),
        ("select * order by ts desc", [40, 30, 20, 10]),
        ("select * limit 2", [10, 20]),
        ("select * order by ts desc limit 2 offset 1", [30, 20]),
        ("select * limit 0", []),
        ("select * where v > 0", [10, 30]),
        ("select * where v is null", [40]),
        ("select * where n is not null and s is not null", [10, 40]),
        ("select * where s = 'b' or n = 3", [20, 30]),
        ("select * where ts >= TIMESTAMP('1970-01-01T00:00:00.020Z') and ts < TO_TIMESTAMP_MS(40)", [20, 30]),
        ("select * where n > 1000", []),
        ("SELECT * WHERE not (n = 1)", [30, 40]),
        ("select * order by v", [20, 30, 10, 40]),
        ("select * order by v desc", [40, 10, 30, 20]),
    ],
)
def test_rows(place: Place, tql: str, expected: list[int]) -> None:
    made = place.make(SERIES)
    made.put(batch(SERIES, ROWS))
    result = made.query(tql)
    assert result.has_rows
    assert [row[0] for row in rows_of(result)] == expected


def test_limit_of_the_call(place: Place) -> None:
    made = place.make(SERIES)
    made.put(batch(SERIES, ROWS))
    assert [row[0] for row in rows_of(made.query("select *", limit=3))] == [10, 20, 30]
    assert [row[0] for row in rows_of(made.query("select *", limit=3, page_rows=1))] == [10, 20, 30]


AGGREGATES = [
    ("count(*)", GridType.LONG, 4),
    ("max(ts)", GridType.TIMESTAMP_MS, 40),
    ("min(ts)", GridType.TIMESTAMP_MS, 10),
    ("max(v)", GridType.DOUBLE, 1.5),
    ("min(v)", GridType.DOUBLE, -2.0),
    ("sum(v)", GridType.DOUBLE, -0.25),
    ("avg(n)", GridType.DOUBLE, 8 / 3),
    ("count(ts)", GridType.LONG, 4),
    ("variance(v)", GridType.DOUBLE, 3.1458333333333335),
    ("stddev(v)", GridType.DOUBLE, 1.773649721149397),
]


@pytest.mark.parametrize(("what", "kind", "value"), AGGREGATES, ids=[a[0] for a in AGGREGATES])
def test_aggregations(place: Place, what: str, kind: GridType, value: float) -> None:
    made = place.make(SERIES)
    made.put(batch(SERIES, ROWS))
    result = made.query(f"select {what}")
    assert not result.has_rows
    assert result.aggregate is not None
    assert result.aggregate.type is kind
    assert result.value == pytest.approx(value)


TYPES = [
    ("BYTE", GridType.INTEGER, 3),
    ("SHORT", GridType.INTEGER, 3),
    ("INTEGER", GridType.INTEGER, 3),
    ("LONG", GridType.LONG, 3),
    ("FLOAT", GridType.DOUBLE, 3.0),
    ("DOUBLE", GridType.DOUBLE, 3.0),
    ("TIMESTAMP(3)", GridType.TIMESTAMP_MS, 3),
    ("TIMESTAMP(6)", GridType.TIMESTAMP_US, 3),
    ("TIMESTAMP(9)", GridType.TIMESTAMP_NS, 3),
]


@pytest.mark.parametrize(("kind", "found", "value"), TYPES, ids=[t[0] for t in TYPES])
def test_the_type_of_a_maximum(place: Place, kind: str, found: GridType, value: object) -> None:
    schema = collection(f"k INTEGER!, v {kind}")
    made = place.make(schema)
    made.put(batch(schema, [(1, 1), (2, 3), (3, None)]))
    aggregate = made.query("select max(v)").aggregate
    assert aggregate is not None
    assert (aggregate.type, aggregate.value) == (found, value)
    table = made.query("select max(v)").read_all()
    assert (table.num_rows, table.column_names) == (1, ["value"])
    assert table["value"][0] == aggregate.scalar


@pytest.mark.parametrize("schema", [SERIES, collection("ts TIMESTAMP(3)!, v DOUBLE, n INTEGER, s STRING")])
@pytest.mark.parametrize("what", ["max(ts)", "min(v)", "sum(v)", "avg(v)", "stddev(n)"])
def test_aggregations_over_nothing_have_no_value(place: Place, schema: object, what: str) -> None:
    made = place.make(schema)  # type: ignore[arg-type]
    result = made.query(f"select {what}")
    assert result.value is None
    assert not result.has_rows
    assert result.read_all().num_rows == 0
    assert made.query("select count(*)").value == 0


def test_nan_is_the_greatest(place: Place) -> None:
    schema = collection("k INTEGER!, v DOUBLE")
    made = place.make(schema)
    made.put(batch(schema, [(1, math.nan), (2, math.inf), (3, 0.0), (4, None)]))
    assert math.isnan(made.query("select max(v)").value or 0)
    assert made.query("select min(v)").value == 0.0
    assert [k for k, _ in rows_of(made.query("select * order by v"))] == [3, 2, 1, 4]


@pytest.mark.parametrize(
    ("tql", "code"),
    [
        ("", 151002),
        ("select", 151002),
        ("selec *", 151001),
        ("select * where nothing = 1", 150012),
        ("select max(s)", 150020),
        ("select nonsense(v)", 150014),
        ("select * where s > 'a'", 150018),
        ("select * where ts > TIMESTAMP('yesterday')", 152010),
        ("select * limit -1", 151001),
        ("select v", 151002),
    ],
)
def test_wrong_tql(place: Place, tql: str, code: int) -> None:
    made = place.make(SERIES)
    made.put(batch(SERIES, ROWS))
    with pytest.raises(StatementError) as caught:
        made.query(tql)
    assert caught.value.code == code
    assert made.name in str(caught.value)
    assert made.count() == len(ROWS)


def test_the_wrong_half_of_a_result(place: Place) -> None:
    made = place.make(SERIES)
    with pytest.raises(LocalProtocolError):
        list(made.query("select count(*)").batches())
    with pytest.raises(LocalProtocolError):
        _ = made.query("select *").value


def test_read_all_of_no_rows(place: Place) -> None:
    table = place.make(SERIES).query("select *").read_all()
    assert table.num_rows == 0
    assert table.schema == SERIES.arrow_schema


def test_explain(place: Place) -> None:
    table = place.make(SERIES).query("explain select *").read_all()
    assert table.num_rows > 0
    assert table.column_names[:2] == ["ID", "DEPTH"]


@pytest.mark.parametrize("page_rows", [1, 3, 7, 99, 100, 101, 1000])
def test_pages(place: Place, page_rows: int) -> None:
    made = place.make(MANY)
    rows = [(i, None if i % 7 == 0 else "x" * (i % 200)) for i in range(100)]
    made.put(batch(MANY, rows))
    sizes = []
    found: list[pa.RecordBatch] = []
    for part in made.query("select *", page_rows=page_rows).batches():
        sizes.append(len(part))
        found.append(part)
    assert pa.Table.from_batches(found) == pa.Table.from_batches([batch(MANY, rows)])
    assert max(sizes) <= page_rows
    assert len(sizes) == math.ceil(100 / page_rows)


def test_pages_of_long_rows_are_short(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridferry.griddb.query.FIRST_ROWS_WITH_STRINGS", 10)
    monkeypatch.setattr("gridferry.griddb.query.PAGE_BYTES", 50_000)
    made = place.make(MANY)
    rows = [(i, "x" * 20_000) for i in range(30)] + [(i, "y" * 10) for i in range(30, 1000)]
    made.put(batch(MANY, rows))
    found = list(made.query("select * order by k").batches())
    assert pa.Table.from_batches(found) == pa.Table.from_batches([batch(MANY, rows)])
    sizes = [len(part) for part in found]
    assert sizes[:3] == [10, 2, 2]
    assert max(sizes) > 500


def test_pages_in_reverse_order(place: Place) -> None:
    made = place.make(MANY)
    made.put(batch(MANY, [(i, str(i)) for i in range(50)]))
    found = rows_of(made.query("select * order by k desc", page_rows=7))
    assert found == [(i, str(i)) for i in range(49, -1, -1)]


def test_a_paged_read_sees_other_statements_pass(place: Place) -> None:
    made = place.make(MANY)
    made.put(batch(MANY, [(i, str(i)) for i in range(20)]))
    seen = []
    for part in made.query("select *", page_rows=5).batches():
        seen += part["k"].to_pylist()
        assert made.count() == 20
    assert seen == list(range(20))


def _sockets(store: Store) -> int:
    """Open connections of this process to the server's port."""
    port = store.cluster.topology().master[1]
    return sum(
        1
        for c in psutil.Process().net_connections("tcp")
        if c.raddr and c.raddr.port == port and c.status == "ESTABLISHED"
    )


@pytest.mark.parametrize("how", ["never begun", "one page", "closed", "dropped", "last but one"])
def test_an_abandoned_result_gives_its_connection_back(server: Server, place: Place, how: str) -> None:
    with server.connect() as store:
        made = store.create_container(place.name(), MANY)
        made.put(batch(MANY, [(i, str(i)) for i in range(20)]))
        before = _sockets(store)
        for _ in range(5):
            result = made.query("select *", page_rows=5)
            pages = result.batches()
            if how != "never begun":
                next(pages)
            if how == "closed":
                pages.close()  # type: ignore[attr-defined]
            if how == "last but one":
                next(pages)
                next(pages)
            del result, pages
            assert made.count() == 20
        assert _sockets(store) <= before


def test_a_result_is_a_context(place: Place) -> None:
    made = place.make(MANY)
    made.put(batch(MANY, [(i, str(i)) for i in range(20)]))
    with made.query("select *", page_rows=5) as result:
        assert len(next(result.batches())) == 5
    assert list(result.batches()) == []


def test_a_dropped_container_ends_a_paged_read_with_an_error(place: Place) -> None:
    made = place.make(MANY)
    made.put(batch(MANY, [(i, str(i)) for i in range(30)]))
    pages = made.query("select *", page_rows=5).batches()
    next(pages)
    place.store.drop_container(made.name)
    with pytest.raises(StatementError):
        list(pages)
    assert place.store.open_container(made.name) is None


def test_reads_of_a_closed_store_are_refused(server: Server, place: Place) -> None:
    store = server.connect(timing=Timing(failover_s=1))
    made = store.create_container(place.name(), MANY)
    store.close()
    store.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        made.count()
