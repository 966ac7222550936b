"""Ranges, transactions, put modes, added columns and indexes: what one client does, the other sees."""

from __future__ import annotations

import random

import pytest
from tests.oracle.judge import Judge
from tests.oracle.tql_table import COLLECTION, COLLECTION_ROWS, SECOND_NS, SERIES, SERIES_ROWS
from tests.oracle.values import Nanos, Row, Value, from_arrow, in_key_order, to_arrow

from gridferry.errors import RowExists, RowMissing
from gridferry.griddb import ColumnSpec, ContainerSchema, GridType, PutMode, Store

pytestmark = pytest.mark.oracle

LAST = Nanos(2**63)
BY_KEY = in_key_order(COLLECTION, COLLECTION_ROWS)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("start", "end"), [(None, None), (10, 30), (9, 31), (11, 29), (None, 20), (30, None), (30, 10), (99, None)]
)
def test_both_read_the_same_range(
    judge: Judge, store: Store, name: str, *, start: int | None, end: int | None, descending: bool
) -> None:
    container = store.create_container(name, SERIES)
    container.put(to_arrow(SERIES, SERIES_ROWS))
    bounds = [None if second is None else Nanos(second * SECOND_NS) for second in (start, end)]
    theirs = judge.range(name, SERIES, *bounds, descending=descending)
    ours = container.range(
        *(None if second is None else second * 1000 for second in (start, end)), descending=descending
    )
    assert from_arrow(SERIES, ours.read_all()) == theirs
    first, last = bounds[0] or Nanos(0), LAST if bounds[1] is None else bounds[1]
    inside = [r for r in SERIES_ROWS if isinstance(r[0], int) and first <= r[0] <= last]
    assert theirs == (inside[::-1] if descending else inside)


@pytest.mark.parametrize(
    ("second", "operator", "found"),
    [
        (20, "PREVIOUS", 20),
        (25, "PREVIOUS", 20),
        (20, "PREVIOUS_ONLY", 10),
        (0, "PREVIOUS_ONLY", None),
        (20, "NEXT", 20),
        (25, "NEXT", 30),
        (20, "NEXT_ONLY", 30),
        (50, "NEXT_ONLY", None),
    ],
)
def test_griddbs_client_finds_neighbours_of_our_rows(
    judge: Judge, store: Store, name: str, *, second: int, operator: str, found: int | None
) -> None:
    store.create_container(name, SERIES).put(to_arrow(SERIES, SERIES_ROWS))
    rows = judge.related(name, SERIES, Nanos(second * SECOND_NS), operator)
    assert [row[0] for row in rows] == ([] if found is None else [found * SECOND_NS])


def test_only_a_commit_shows_our_transaction_to_others(judge: Judge, store: Store, name: str) -> None:
    container = store.create_container(name, COLLECTION)
    batch = to_arrow(COLLECTION, COLLECTION_ROWS)
    with container.transaction() as transaction:
        transaction.put(batch)
        assert judge.count(name) == 0
    assert in_key_order(COLLECTION, judge.read(name, COLLECTION)) == BY_KEY


def test_a_broken_off_transaction_leaves_nothing(judge: Judge, store: Store, name: str) -> None:
    container = store.create_container(name, COLLECTION)

    def fail_inside() -> None:
        with container.transaction() as transaction:
            transaction.put(to_arrow(COLLECTION, COLLECTION_ROWS))
            raise KeyError("the caller failed")

    with pytest.raises(KeyError):
        fail_inside()
    assert judge.count(name) == 0


def test_put_modes_meet_rows_of_the_other_client(judge: Judge, store: Store, name: str) -> None:
    judge.create(name, COLLECTION)
    judge.put(name, COLLECTION, COLLECTION_ROWS[:1])
    container = store.open_container(name)
    assert container is not None
    with pytest.raises(RowExists):
        container.put(to_arrow(COLLECTION, COLLECTION_ROWS[:1]), mode=PutMode.INSERT)
    with pytest.raises(RowMissing):
        container.put(to_arrow(COLLECTION, COLLECTION_ROWS[1:2]), mode=PutMode.UPDATE)
    container.put(to_arrow(COLLECTION, COLLECTION_ROWS[1:2]), mode=PutMode.INSERT)
    assert judge.read(name, COLLECTION) == COLLECTION_ROWS[:2]


def test_columns_we_add_are_null_in_rows_of_the_other_client(judge: Judge, store: Store, name: str) -> None:
    judge.create(name, COLLECTION)
    judge.put(name, COLLECTION, COLLECTION_ROWS)
    container = store.open_container(name)
    assert container is not None
    container.add_columns([ColumnSpec("more", GridType.STRING), ColumnSpec("when", GridType.TIMESTAMP_US)])
    wider = ContainerSchema(COLLECTION.kind, (*COLLECTION.columns, *container.schema.columns[-2:]))
    assert judge.schema(name) == wider
    assert judge.read(name, wider) == [(*row, None, None) for row in COLLECTION_ROWS]


def test_indexes_are_seen_by_the_other_client(judge: Judge, store: Store, name: str) -> None:
    container = store.create_container(name, SERIES)
    container.create_index(["v"])
    container.create_index(["i", "s"], name="both")
    assert judge.indexes(name) == {("TREE", "v"), ("TREE", "i,s")}
    judge.create_index(name, "s")
    assert {tuple(index.columns) for index in container.indexes()} == {(1,), (2, 3), (3,)}
    container.drop_index(["v"])
    assert judge.indexes(name) == {("TREE", "s"), ("TREE", "i,s")}


PAIRS = ContainerSchema(
    COLLECTION.kind, (ColumnSpec("k", GridType.LONG, nullable=False), ColumnSpec("v", GridType.STRING))
)


@pytest.mark.parametrize("seed", range(12))
def test_a_transaction_of_many_statements_does_each_of_them(judge: Judge, store: Store, name: str, seed: int) -> None:
    """The server skips, with success, a write whose statement id it takes for done: see ContainerTransaction."""
    dice = random.Random(seed)
    container = store.create_container(name, PAIRS)
    container.put(to_arrow(PAIRS, [(k, "before") for k in range(5)]))
    expected: dict[Value, Row] = {k: (k, "before") for k in range(5)}
    with container.transaction() as transaction:
        for step in range(dice.randint(1, 12)):
            if dice.random() < 0.3:
                assert transaction.query("select count(*)").value == len(expected)
            rows: list[Row] = [(k, f"step {step}") for k in dice.sample(range(30), dice.choice((0, 1, 1, 2, 7)))]
            if dice.random() < 0.3:
                there = [row[0] for row in rows if row[0] in expected]
                assert transaction.delete(to_arrow(PAIRS.key_schema, [row[:1] for row in rows])) == len(there)
                expected = {k: row for k, row in expected.items() if k not in there}
            else:
                transaction.put(to_arrow(PAIRS, rows))
                expected |= {row[0]: row for row in rows}
    assert in_key_order(PAIRS, judge.read(name, PAIRS)) == in_key_order(PAIRS, expected.values())


def test_containers_are_made_while_a_transaction_is_open(judge: Judge, store: Store, name: str) -> None:
    """Each opens a session; one session id in two partitions at once makes a real node shut itself down."""
    container = store.create_container(name, PAIRS)
    others = [f"{name}_{number}" for number in range(150)]
    try:
        with container.transaction() as transaction:
            transaction.put(to_arrow(PAIRS, [(1, "held")]))
            made = store.create_containers(others, PAIRS)
            made[0].create_index(["v"])
        assert judge.count(name) == 1
        assert [judge.count(other) for other in others[:3]] == [0, 0, 0]
    finally:
        store.drop_containers(others)
