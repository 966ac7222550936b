"""Putting, getting and deleting rows of one container."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from tests.conformance.conftest import Place
from tests.conformance.tables import batch, collection, keys, plain, rows_of, series

from gridferry.errors import LocalProtocolError, RowExists, RowMissing
from gridferry.griddb import ContainerSchema, PutMode

KEYED = collection("k LONG!, s STRING")
SERIES = series("ts TIMESTAMP(3)!, v DOUBLE")
PAIR = collection("a STRING!, b INTEGER!, v DOUBLE", key=2)
KEYLESS = collection("a STRING, v DOUBLE", key=0)


def test_a_put_of_no_rows(place: Place) -> None:
    made = place.make(KEYED)
    made.put(batch(KEYED, []))
    assert made.count() == 0


def test_an_upsert_replaces_and_keeps_the_place(place: Place) -> None:
    made = place.make(KEYED)
    made.put(batch(KEYED, [(2, "two"), (1, "one")]))
    made.put(batch(KEYED, [(2, None), (3, "three")]))
    assert rows_of(made.scan()) == [(2, None), (1, "one"), (3, "three")]


def test_the_last_of_equal_keys_in_a_batch_wins(place: Place) -> None:
    made = place.make(KEYED)
    made.put(batch(KEYED, [(1, "a"), (2, "b"), (1, "c")]))
    assert rows_of(made.scan()) == [(1, "c"), (2, "b")]


def test_a_series_comes_in_key_order(place: Place) -> None:
    made = place.make(SERIES)
    made.put(batch(SERIES, [(30, 3.0), (10, 1.0), (20, 2.0), (10, 1.5)]))
    assert rows_of(made.scan()) == [(10, 1.5), (20, 2.0), (30, 3.0)]


def test_a_container_without_a_key_always_inserts(place: Place) -> None:
    made = place.make(KEYLESS)
    for _ in range(2):
        made.put(batch(KEYLESS, [("a", 1.0), ("a", 1.0)]))
    assert rows_of(made.scan()) == [("a", 1.0)] * 4


def test_a_container_without_a_key_has_no_rows_by_key(place: Place) -> None:
    made = place.make(KEYLESS)
    for call in (made.get, made.delete):
        with pytest.raises(LocalProtocolError, match="no row key"):
            call(batch(KEYLESS, []))


def test_put_mode_insert(place: Place) -> None:
    made = place.make(KEYED)
    made.put(batch(KEYED, [(1, "a")]), mode=PutMode.INSERT)
    with pytest.raises(RowExists) as caught:
        made.put(batch(KEYED, [(1, "b")]), mode=PutMode.INSERT)
    assert caught.value.code == 60154
    assert caught.value.node
    assert rows_of(made.scan()) == [(1, "a")]


def test_put_mode_update(place: Place) -> None:
    made = place.make(KEYED)
    made.put(batch(KEYED, [(1, "a")]))
    made.put(batch(KEYED, [(1, "b")]), mode=PutMode.UPDATE)
    with pytest.raises(RowMissing) as caught:
        made.put(batch(KEYED, [(2, "c")]), mode=PutMode.UPDATE)
    assert caught.value.code == 60154
    assert caught.value.node
    assert rows_of(made.scan()) == [(1, "b")]


@pytest.mark.parametrize("schema", [KEYED, SERIES, PAIR], ids=["collection", "series", "composite"])
def test_get_leaves_out_what_is_not_there(place: Place, schema: ContainerSchema) -> None:
    made = place.make(schema)
    rows_of_each: dict[ContainerSchema, list[tuple[Any, ...]]] = {
        KEYED: [(1, "a"), (2, None), (3, "c")],
        SERIES: [(1, 1.0), (2, None), (3, 3.0)],
        PAIR: [("a", 1, 1.0), ("a", 2, None), ("b", 1, 3.0)],
    }
    rows = rows_of_each[made.schema]
    made.put(batch(made.schema, rows))
    width = made.schema.key_length
    missing = (9,) if width == 1 else ("zz", 9)
    wanted = keys(made.schema, [rows[2][:width], missing, rows[1][:width]])
    assert sorted(plain(made.schema, made.get(wanted)), key=repr) == sorted(rows[1:], key=repr)


def test_get_of_one_key_twice(place: Place) -> None:
    made = place.make(KEYED)
    made.put(batch(KEYED, [(1, "a"), (2, "b")]))
    found = plain(KEYED, made.get(keys(KEYED, [(1,), (2,), (1,)])))
    assert sorted(found) == [(1, "a"), (1, "a"), (2, "b")]


def test_get_of_nothing(place: Place) -> None:
    made = place.make(KEYED)
    for wanted in ([], [(5,)]):
        found = made.get(keys(KEYED, wanted))
        assert len(found) == 0
        assert found.schema == KEYED.arrow_schema


def test_get_thousands(place: Place) -> None:
    schema = collection("k LONG!, s STRING, v DOUBLE, tags STRING[]")
    made = place.make(schema)
    rows = [(i, f"row {i}" * (i % 40), i / 3, [str(i)] * (i % 4)) for i in range(12_000)]
    made.put(batch(schema, rows))
    found = made.get(keys(schema, [(i,) for i in range(12_000)]))
    assert sorted(plain(schema, found)) == rows


def test_delete_counts(place: Place) -> None:
    made = place.make(KEYED)
    made.put(batch(KEYED, [(i, "x") for i in range(600)]))
    assert made.delete(keys(KEYED, [(i,) for i in range(300, 900)])) == 300  # more than are under way at once
    assert made.delete(keys(KEYED, [(300,)])) == 0
    assert made.delete(keys(KEYED, [])) == 0
    assert made.count() == 300


def test_delete_by_a_composite_key(place: Place) -> None:
    made = place.make(PAIR)
    made.put(batch(PAIR, [("a", 1, 1.0), ("a", 2, 2.0), ("A", 1, 3.0)]))
    assert made.delete(keys(PAIR, [("a", 1), ("b", 1)])) == 1
    assert rows_of(made.query("select * where a = 'a' and b = 2")) == [("a", 2, 2.0)]
    assert made.count() == 2


def test_keys_tell_case_and_form_apart(place: Place) -> None:
    schema = collection("k STRING!, v INTEGER")
    made = place.make(schema)
    texts = ["a", "A", "", "ä", "a\u0308", "a ", "z" * 31744]
    made.put(batch(schema, [(t, i) for i, t in enumerate(texts)]))
    assert made.count() == len(texts)
    for number, text in enumerate(texts):
        assert plain(schema, made.get(keys(schema, [(text,)]))) == [(text, number)]


@pytest.mark.parametrize(
    ("start", "end", "descending", "expected"),
    [
        (None, None, False, [10, 20, 30, 40]),
        (20, 30, False, [20, 30]),
        (20, None, False, [20, 30, 40]),
        (None, 20, False, [10, 20]),
        (11, 19, False, []),
        (30, 20, False, []),
        (None, None, True, [40, 30, 20, 10]),
        (20, 30, True, [30, 20]),
        (0, 0, False, []),
    ],
)
def test_range(place: Place, start: int | None, end: int | None, descending: bool, expected: list[int]) -> None:
    made = place.make(SERIES)
    made.put(batch(SERIES, [(t, t / 10) for t in (40, 10, 30, 20)]))
    found = made.range(start, end, descending=descending)
    assert [t for t, _ in rows_of(found)] == expected
    assert [t for t, _ in rows_of(made.range(start, end, descending=descending, page_rows=1))] == expected


def test_range_needs_a_series(place: Place) -> None:
    with pytest.raises(LocalProtocolError, match="TIME_SERIES"):
        place.make(KEYED).range()


def test_flush(place: Place) -> None:
    made = place.make(KEYED)
    made.put(batch(KEYED, [(1, "a")]))
    made.flush()
    other = place.make(KEYED, "other")
    assert place.store.flush([made, other]) == len({made.handle.partition, other.handle.partition})


def test_a_batch_of_other_columns_is_refused(place: Place) -> None:
    made = place.make(KEYED)
    wrong = pa.record_batch({"k": pa.array([1], pa.int32()), "s": pa.array(["a"])})
    with pytest.raises(LocalProtocolError, match='column "k"'):
        made.put(wrong)
    with pytest.raises(LocalProtocolError, match="columns"):
        made.put(pa.record_batch({"k": pa.array([1], pa.int64())}))


@pytest.mark.parametrize("mode", [PutMode.UPSERT, PutMode.INSERT])
def test_a_wide_put_is_split_into_messages(place: Place, monkeypatch: pytest.MonkeyPatch, mode: PutMode) -> None:
    monkeypatch.setattr("gridferry.griddb.container.PUT_BYTES", 300_000)
    schema = collection("k LONG!, b BLOB")
    made = place.make(schema)
    rows = [(i % 20, bytes([i]) * 100_000) for i in range(20 if mode is PutMode.INSERT else 30)]
    made.put(batch(schema, rows), mode=mode)
    assert dict(rows_of(made.query("select *", page_rows=3))) == dict(rows)


def test_keyless_rows_are_put_once_each_over_several_messages(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridferry.griddb.container.PUT_BYTES", 100)
    made = place.make(KEYLESS)
    rows = [("x" * 30, float(i)) for i in range(50)]
    made.put(batch(KEYLESS, rows))
    assert rows_of(made.scan()) == rows
