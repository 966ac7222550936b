"""Rows by key, many containers at once, pages, geometry: one client checks what the other did."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from tests.oracle.judge import Judge, JudgeError
from tests.oracle.samples import Sample, random_sample, samples
from tests.oracle.servers import Server
from tests.oracle.tql_table import COLLECTION, COLLECTION_ROWS, COLLECTION_TQL, ask
from tests.oracle.values import Nanos, Row, from_arrow, in_key_order, to_arrow

from gridferry.errors import DataError
from gridferry.griddb import Container, Store
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

pytestmark = pytest.mark.oracle

KEYED = [s for s in (*samples(), *map(random_sample, range(40, 52))) if s.schema.key_length and len(s.rows) > 2]
PLACES = ContainerSchema(
    ContainerKind.COLLECTION, (ColumnSpec("k", GridType.LONG, nullable=False), ColumnSpec("g", GridType.GEOMETRY))
)


@pytest.fixture
def make(judge: Judge, store: Store, name: str) -> Callable[[Sample], Container]:
    """Makes the container of a sample and fills it through GridDB's client."""

    def filled(sample: Sample) -> Container:
        judge.create(name, sample.schema)
        judge.put(name, sample.schema, sample.rows)
        container = store.open_container(name)
        assert container is not None
        return container

    return filled


def _keys(schema: ContainerSchema, rows: list[Row]) -> pa.RecordBatch:
    return to_arrow(schema.key_schema, [row[: schema.key_length] for row in rows])


@pytest.mark.parametrize("sample", KEYED, ids=lambda sample: sample.label)
def test_both_get_the_same_rows_by_key(
    judge: Judge, make: Callable[[Sample], Container], name: str, sample: Sample
) -> None:
    container, wanted = make(sample), in_key_order(sample.schema, sample.rows[::2])
    ours = from_arrow(sample.schema, container.get(_keys(sample.schema, wanted)))
    assert in_key_order(sample.schema, ours) == wanted

    keys = [row[: sample.schema.key_length] for row in wanted]
    assert in_key_order(sample.schema, judge.multi_get(name, sample.schema, keys)) == wanted
    assert judge.get(name, sample.schema, keys[0]) == wanted[:1]


@pytest.mark.parametrize("sample", KEYED, ids=lambda sample: sample.label)
def test_a_row_deleted_by_one_is_gone_for_the_other(
    judge: Judge, make: Callable[[Sample], Container], name: str, sample: Sample
) -> None:
    container, (first, second, *others) = make(sample), in_key_order(sample.schema, sample.rows)
    width = sample.schema.key_length
    assert container.delete(_keys(sample.schema, [first])) == 1
    assert judge.get(name, sample.schema, first[:width]) == []
    assert not judge.delete(name, sample.schema, first[:width])

    assert judge.delete(name, sample.schema, second[:width])
    assert len(container.get(_keys(sample.schema, [second]))) == 0
    assert container.delete(_keys(sample.schema, [second])) == 0
    assert in_key_order(sample.schema, judge.read(name, sample.schema)) == others


def test_each_reads_the_others_multi_put(judge: Judge, store: Store, name: str) -> None:
    schema, batches = COLLECTION, {f"{name}_{i}": COLLECTION_ROWS[i : i + 3] for i in range(5)}
    try:
        containers = store.create_containers(list(batches), schema)
        store.multi_put([(c, to_arrow(schema, rows)) for c, rows in zip(containers, batches.values(), strict=True)])
        for member, rows in batches.items():
            assert judge.read(member, schema) == rows

        judge.multi_put(schema, dict.fromkeys(batches, COLLECTION_ROWS))
        for container in containers:
            rows = from_arrow(schema, container.scan().read_all())
            assert in_key_order(schema, rows) == in_key_order(schema, COLLECTION_ROWS)
        assert store.counts(containers) == [len(COLLECTION_ROWS)] * len(containers)
    finally:
        store.drop_containers(batches)


@pytest.mark.parametrize("page_rows", [1, 2, 3, 7, 8, 9])
@pytest.mark.parametrize("tql", [tql for tql in COLLECTION_TQL if tql.startswith("select * order by k")])
def test_pages_join_to_the_same_answer(judge: Judge, store: Store, name: str, tql: str, page_rows: int) -> None:
    container = store.create_container(name, COLLECTION)
    container.put(to_arrow(COLLECTION, COLLECTION_ROWS))
    rows = from_arrow(COLLECTION, container.query(tql, page_rows=page_rows).read_all())
    assert rows == judge.query(name, COLLECTION, tql)
    assert " ".join(["rows", *(str(row[0]) for row in rows)]) == ask(judge, name, tql)


WKT = (
    "POINT(1 2)",
    "POINT(0.1 -1e300 3)",
    "LINESTRING(0 0,1 1,2 0)",
    "POLYGON((0 0,10 0,10 10,0 10,0 0),(3 3,4 3,4 4,3 3))",
    "POLYHEDRALSURFACE(((0 0 0,0 1 0,1 1 0,1 0 0,0 0 0)),((0 0 0,0 1 0,0 1 1,0 0 1,0 0 0)))",
    None,
)


@pytest.fixture
def copy_name(judge: Judge, name: str) -> Iterator[str]:
    """A second container."""
    yield f"{name}_copy"
    judge.drop(f"{name}_copy")


def test_geometry_bytes_pass_through_us_unchanged(judge: Judge, store: Store, name: str, copy_name: str) -> None:
    rows: list[Row] = list(enumerate(WKT))
    judge.create(name, PLACES)
    judge.put(name, PLACES, rows)
    written = judge.read(name, PLACES)
    assert [row[1] is None for row in written] == [text is None for text in WKT]

    source = store.open_container(name)
    assert source is not None
    table = source.scan().read_all()
    assert table.column("g").null_count == 1
    copy = store.create_container(copy_name, PLACES)
    copy.put(table.combine_chunks().to_batches()[0])
    assert judge.read(copy_name, PLACES) == written


def test_a_nanosecond_that_arrow_cannot_hold_is_an_error_not_another_time(
    server: Server, judge: Judge, store: Store, name: str
) -> None:
    schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("k", GridType.TIMESTAMP_NS, nullable=False),))
    judge.create(name, schema)
    late: list[Row] = [(Nanos(253_402_300_799_999_999_999),)]
    if server.embedded:  # it keeps only what Arrow can hold
        with pytest.raises(JudgeError) as refused:
            judge.put(name, schema, late)
        assert refused.value.code == 60079
        return
    judge.put(name, schema, late)
    container = store.open_container(name)
    assert container is not None
    with pytest.raises(DataError, match="k"):
        container.scan().read_all()
