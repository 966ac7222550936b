"""What GridDB's client can ask beyond what gridferry asks: both servers answer it alike."""

from __future__ import annotations

import time

import pytest
from tests.oracle.judge import Judge, JudgeError
from tests.oracle.tql_table import SECOND_NS, SERIES
from tests.oracle.values import Bits, Nanos, Row

from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

pytestmark = pytest.mark.oracle

DAY_NS = 86_400 * SECOND_NS
K, M, V = (ColumnSpec("k", GridType.LONG), ColumnSpec("m", GridType.STRING), ColumnSpec("v", GridType.STRING))


def _of(*columns: ColumnSpec, key: int) -> ContainerSchema:
    found = tuple(ColumnSpec(c.name, c.type, nullable=place >= key) for place, c in enumerate(columns))
    return ContainerSchema(ContainerKind.COLLECTION, found, key)


PAIRS, TRIPLES, KEYLESS = _of(K, V, key=1), _of(K, M, V, key=2), _of(K, V, key=0)


def test_an_appended_row_gets_the_servers_time(judge: Judge, name: str) -> None:
    judge.create(name, SERIES)
    row: Row = (Nanos(0), Bits("3ff8000000000000"), 1, "appended")
    assert not judge.append(name, SERIES, row)
    [(at, *values)] = judge.read(name, SERIES)
    assert values == list(row[1:])
    assert isinstance(at, int)
    assert abs(at - time.time_ns()) < DAY_NS


def test_a_row_is_appended_before_rows_of_the_future(judge: Judge, name: str) -> None:
    judge.create(name, SERIES)
    future: Row = (Nanos(4_000_000_000 * SECOND_NS), None, 2, "future")
    judge.put(name, SERIES, [future])
    judge.append(name, SERIES, (Nanos(0), None, 1, "now"))
    assert [row[3] for row in judge.read(name, SERIES)] == ["now", "future"]


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("schema", [PAIRS, TRIPLES, KEYLESS], ids=["key", "composite key", "no key"])
def test_fetched_rows_are_updated_and_removed(
    judge: Judge, name: str, schema: ContainerSchema, *, commit: bool
) -> None:
    rows: list[Row] = [(k, *(["m"] * (len(schema.columns) - 2)), f"v{k}") for k in range(5)]
    judge.create(name, schema)
    judge.put(name, schema, rows)
    new: Row = (*rows[1][:-1], "new")
    judge.edit(name, schema, "select * where k >= 1", [new, "remove", "keep"], commit=commit)
    assert judge.read(name, schema) == ([rows[0], new, rows[3], rows[4]] if commit else rows)


def test_a_row_without_key_takes_any_values(judge: Judge, name: str) -> None:
    judge.create(name, KEYLESS)
    judge.put(name, KEYLESS, [(1, "a"), (2, "b"), (3, "c")])
    judge.edit(name, KEYLESS, "select * order by k desc", [(None, None), "keep", "remove"])
    assert judge.read(name, KEYLESS) == [(2, "b"), (None, None)]


def test_a_row_keeps_its_key_when_it_is_updated(judge: Judge, name: str) -> None:
    judge.create(name, PAIRS)
    judge.put(name, PAIRS, [(1, "a"), (2, "b")])
    judge.edit(name, PAIRS, "select *", [(99, "new")])
    assert judge.read(name, PAIRS) == [(1, "new"), (2, "b")]


def test_fetched_rows_of_a_series_are_updated_and_removed(judge: Judge, name: str) -> None:
    rows: list[Row] = [(Nanos(second * SECOND_NS), None, second, "old") for second in range(4)]
    judge.create(name, SERIES)
    judge.put(name, SERIES, rows)
    new: Row = (rows[0][0], None, 7, "new")
    judge.edit(name, SERIES, "select *", [new, "remove"])
    assert judge.read(name, SERIES) == [new, *rows[2:]]


@pytest.mark.parametrize("tql", ["select count(*)", "select MAX_ROWS(i)", "select TIME_AVG(v)", "explain select *"])
def test_only_plain_rows_are_fetched_for_update(judge: Judge, name: str, tql: str) -> None:
    judge.create(name, SERIES)
    judge.put(name, SERIES, [(Nanos(0), Bits("3ff8000000000000"), 1, "a")])
    with pytest.raises(JudgeError) as refused:
        judge.edit(name, SERIES, tql, ["keep"])
    assert refused.value.code == 150017


@pytest.mark.parametrize(
    ("schema", "listed"),
    [(PAIRS, {("TREE", "k")}), (TRIPLES, {("TREE", "k,m")}), (KEYLESS, set()), (SERIES, set())],
    ids=["key", "composite key", "no key", "series"],
)
def test_which_indexes_a_new_container_lists(
    judge: Judge, name: str, schema: ContainerSchema, listed: set[tuple[str, str]]
) -> None:
    judge.create(name, schema)
    assert judge.indexes(name) == listed
    if schema is SERIES:
        with pytest.raises(JudgeError) as refused:
            judge.create_index(name, "ts")
        assert refused.value.code == 60081
    else:
        judge.create_index(name, "k")
        assert judge.indexes(name) == listed | {("TREE", "k")}


def test_indexes_of_the_default_type_come_and_go(judge: Judge, name: str) -> None:
    place = ColumnSpec("g", GridType.GEOMETRY)
    judge.create(name, _of(K, V, place, key=1))
    judge.create_index(name, "g")
    judge.create_index(name, "v")
    assert judge.indexes(name) == {("TREE", "k"), ("TREE", "v"), ("SPATIAL", "g")}
    for column in ("g", "v", "v", "k"):
        judge.drop_index(name, column)
    assert judge.indexes(name) == set()


def test_a_container_is_not_dropped_as_another_kind(judge: Judge, name: str) -> None:
    judge.create(name, PAIRS)
    with pytest.raises(JudgeError) as refused:
        judge.drop_series(name)
    assert refused.value.code == 60026
    assert judge.count(name) == 0
