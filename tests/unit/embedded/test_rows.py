"""Puts, gets and deletes by key, and the order in which rows come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gridferry.embedded.catalog import Container
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.queries import plan, run
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.row_statements import PutMode, delete_rows, get_rows, put_many, put_rows, rows_exist
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

Make = Callable[..., Any]


@pytest.mark.parametrize("settle", [False, True], ids=["still waiting", "written"])
def test_a_row_replaces_the_one_with_its_key(
    db: Database, series: Container, batch: Make, ask: Make, settle: bool
) -> None:
    put_rows(db, series, batch(series.schema, (2, 1.0, "a"), (1, 2.0, "b"), (2, 3.0, "c")))
    if settle:
        db.settle()
    put_rows(db, series, batch(series.schema, (1, 9.0, "z"), (0, 0.5, "y")))
    assert ask(series, "select *") == [(0, 0.5, "y"), (1, 9.0, "z"), (2, 3.0, "c")]


def test_series_come_in_key_order_and_collections_as_they_were_put(
    db: Database, keyed: Container, batch: Make, ask: Make
) -> None:
    put_rows(db, keyed, batch(keyed.schema, ("b", 1, 1), ("a", 1, 2), ("b", 1, 3), ("a", 0, 4)))
    put_rows(db, keyed, batch(keyed.schema, ("a", 1, 5), ("c", 1, 6)))
    assert ask(keyed, "select *") == [("b", 1, 3), ("a", 1, 5), ("a", 0, 4), ("c", 1, 6)]


def test_a_replaced_row_keeps_its_row_id(db: Database, keyed: Container, batch: Make) -> None:
    put_rows(db, keyed, batch(keyed.schema, ("a", 1, 1), ("b", 1, 2)))
    before = run(db, keyed, plan(keyed, "select *"))
    put_rows(db, keyed, batch(keyed.schema, ("b", 1, 8), ("a", 1, 9)))
    after = run(db, keyed, plan(keyed, "select *"))
    assert before.row_ids.tolist() == after.row_ids.tolist()  # type: ignore[union-attr]


def test_without_a_key_every_put_inserts(db: Database, keyless: Container, batch: Make, ask: Make) -> None:
    for _ in range(2):
        put_rows(db, keyless, batch(keyless.schema, (1,), (1,)))
    assert ask(keyless, "select *") == [(1,)] * 4
    with pytest.raises(Refusal) as refused:
        rows_exist(db, keyless, batch(keyless.schema, (1,)))
    assert refused.value.code is Code.TQ_ROW_KEY_UNDEFINED


def test_get_and_delete_by_key(db: Database, keyed: Container, batch: Make, keys: Make, as_tuples: Make) -> None:
    put_rows(db, keyed, batch(keyed.schema, ("a", 1, 1), ("b", 1, None), ("b", 2, 3)))
    wanted = keys(keyed.schema, ("b", 2), ("no", 1), ("a", 1))
    assert as_tuples(get_rows(db, keyed, wanted)) == [("b", 2, 3), ("a", 1, 1)]
    assert rows_exist(db, keyed, wanted) == [True, False, True]
    assert delete_rows(db, keyed, wanted) == [True, False, True]
    assert delete_rows(db, keyed, wanted) == [False, False, False]
    assert as_tuples(get_rows(db, keyed, keys(keyed.schema, ("b", 1)))) == [("b", 1, None)]


@pytest.mark.parametrize("together", [False, True], ids=["one key", "two keys"])
@pytest.mark.parametrize("text", ["", "o'clock", "''", "a\\'b", "\u0130%_", "x; --"])
def test_a_key_is_found_as_it_was_put_whatever_is_in_its_text(
    db: Database, keyed: Container, batch: Make, keys: Make, as_tuples: Make, together: bool, text: str
) -> None:
    put_rows(db, keyed, batch(keyed.schema, (text, -(2**31), 1), (text + "'", 0, 2), ("other", 0, 3)))
    db.settle()
    put_rows(db, keyed, batch(keyed.schema, (text, -(2**31), 4)))
    wanted = [(text, -(2**31)), (text + "'", 0)] if together else [(text, -(2**31))]
    rows = [(text, -(2**31), 4), (text + "'", 0, 2)][: len(wanted)]
    assert as_tuples(get_rows(db, keyed, keys(keyed.schema, *wanted))) == rows
    assert delete_rows(db, keyed, keys(keyed.schema, *wanted)) == [True] * len(wanted)
    assert rows_exist(db, keyed, keys(keyed.schema, *wanted)) == [False] * len(wanted)


def test_put_modes(db: Database, series: Container, batch: Make, ask: Make) -> None:
    put_rows(db, series, batch(series.schema, (1, 1.0, "")), mode=PutMode.INSERT)
    for mode, rows, place in (
        (PutMode.INSERT, [(5, 5.0, ""), (1, 9.0, ""), (6, 6.0, "")], 1),
        (PutMode.INSERT, [(7, 7.0, ""), (7, 8.0, "")], 1),
        (PutMode.UPDATE, [(1, 2.0, ""), (8, 8.0, "")], 1),
    ):
        with pytest.raises(Refusal, match=f"row {place}") as refused:
            put_rows(db, series, batch(series.schema, *rows), mode=mode)
        assert refused.value.code == 60154
    assert [row[:2] for row in ask(series, "select *")] == [(1, 2.0), (5, 5.0), (7, 7.0)]


BAD_ROWS = {
    "a null key": [(None, 1.0, "")],
    "before 1970": [(-1, 1.0, "")],
    "after 9999": [(253402300800000, 1.0, "")],
    "a long string": [(3, 1.0, "x" * 31745)],
    "a NUL": [(3, 1.0, "a\0b")],
}


@pytest.mark.parametrize("bad", BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_rows_before_a_bad_one_stay(
    db: Database, series: Container, batch: Make, ask: Make, bad: list[tuple[Any, ...]]
) -> None:
    with pytest.raises(Refusal, match="row 1") as refused:
        put_rows(db, series, batch(series.schema, (2, 1.0, "ok"), *bad, (4, 1.0, "after")))
    assert refused.value.code == 60079
    assert ask(series, "select *") == [(2, 1.0, "ok")]


def test_text_that_is_not_utf8_is_refused(db: Database, series: Container, batch: Make) -> None:
    good = batch(series.schema, (1, 1.0, "ab"), (2, 1.0, "cd"))
    text = pa.Array.from_buffers(pa.utf8(), 2, [None, good.column(2).buffers()[1], pa.py_buffer(b"ab\xff\xfe")])
    broken = pa.RecordBatch.from_arrays([*good.columns[:2], text], schema=good.schema)
    with pytest.raises(Refusal, match=r"row 1.*UTF-8") as refused:
        put_rows(db, series, broken)
    assert refused.value.code == 60079


def test_arrays_are_checked_within(db: Database) -> None:
    schema = ContainerSchema(
        ContainerKind.COLLECTION,
        (ColumnSpec("t", GridType.TIMESTAMP_MS, array=True), ColumnSpec("l", GridType.LONG, array=True)),
        0,
    )
    container = put_container(db, "arrays", schema, partition=0)
    times = pa.array([[1], [], [2, -1]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("ms", "UTC")))
    for numbers, words in (([[1], [2], [3]], "row 2.*1970"), ([[1], [0] * 4001, [3]], "row 1.*4000")):
        rows = pa.RecordBatch.from_arrays([times, pa.array(numbers)], schema=schema.arrow_schema)
        with pytest.raises(Refusal, match=words):
            put_rows(db, container, rows)


def test_many_containers_at_once(db: Database, series: Container, batch: Make, ask: Make) -> None:
    others = [put_container(db, f"other{n}", series.schema, partition=n) for n in range(20)]
    put_many(db, [(c, batch(series.schema, (n, 1.0, ""), (n + 1, 2.0, ""))) for n, c in enumerate(others)])
    put_many(db, [(c, batch(series.schema, (n, 7.0, ""))) for n, c in enumerate(others)])
    assert ask(others[3], "select *") == [(3, 7.0, ""), (4, 2.0, "")]
    with pytest.raises(Refusal) as refused:
        put_many(
            db,
            [
                (others[0], batch(series.schema, (50, 1.0, ""))),
                (others[1], batch(series.schema, (51, 1.0, ""), (-5, 1.0, ""), (52, 1.0, ""))),
                (others[2], batch(series.schema, (53, 1.0, ""))),
            ],
        )
    assert refused.value.parameters == {"container": "other1"}
    stored = [ask(c, "select * where TO_EPOCH_MS(ts) >= 50") for c in others[:3]]
    assert stored == [[(50, 1.0, "")], [(51, 1.0, "")], []]


def test_random_puts_end_as_a_dictionary_does(db: Database, series: Container, batch: Make, ask: Make) -> None:
    random = np.random.default_rng(7)
    expected: dict[int, float] = {}
    for step in range(60):
        rows = [(int(k), float(v), "") for k, v in zip(random.integers(0, 300, 20), random.random(20), strict=True)]
        put_rows(db, series, batch(series.schema, *rows))
        expected |= {k: v for k, v, _ in rows}
        if step % 7 == 0:
            db.settle()
    assert [row[:2] for row in ask(series, "select *")] == sorted(expected.items())
