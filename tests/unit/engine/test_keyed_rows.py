"""Rows by row key: numbers for keys, keys matched with rows, and two sides held against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from gridferry.engine.rows.keyed_rows import KeyedRows, agree, as_seen, matched
from gridferry.engine.rows.keys import Keys, key_codes

Key = tuple[int, str, str | None]
KEYS = st.tuples(st.integers(0, 2), st.sampled_from(["", "a", "b"]), st.sampled_from([None, "", "x"]))
HERE = pa.RecordBatch.from_pydict({"k": [1, 2, 3], "v": [1.0, None, -0.0]})


def keys_of(keys: list[Key]) -> Keys:
    n, t, split = (list(column) for column in zip(*keys, strict=True)) if keys else ([], [], [])
    batch = pa.RecordBatch.from_arrays([pa.array(n, pa.int64()), pa.array(t, pa.utf8())], names=["n", "t"])
    return Keys(batch, pa.array(split, pa.utf8()))


def keyed(rows: pa.RecordBatch, *places: int) -> KeyedRows:
    return KeyedRows(rows, np.array(places, np.int64))


def changed(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({**HERE.to_pydict(), **columns})


@given(st.lists(KEYS, max_size=12))
def test_keys_have_one_number_exactly_where_they_are_equal(keys: list[Key]) -> None:
    codes = key_codes(keys_of(keys)).tolist()
    assert [[a == b for b in codes] for a in codes] == [[a == b for b in keys] for a in keys]


@given(st.lists(KEYS, max_size=8), st.lists(KEYS, max_size=8))
def test_each_key_finds_the_first_row_that_has_it_and_how_many_do(wanted: list[Key], found: list[Key]) -> None:
    places, counts = matched(keys_of(wanted), keys_of(found))
    assert places.tolist() == [found.index(key) if key in found else -1 for key in wanted]
    assert counts.tolist() == [found.count(key) for key in wanted]


def test_both_sides_agree_where_they_have_the_same_row_or_none() -> None:
    there = changed(v=[1.0, None, 0.0]).take(pa.array([2, 1, 0]))  # 0.0 is not -0.0
    assert agree(keyed(HERE, 0, 1, 2, -1, -1, 0), keyed(there, 2, 1, 0, -1, 0, -1)).tolist() == [
        True, True, False, True, False, False,
    ]  # fmt: skip


def test_a_row_is_as_it_was_seen_only_if_it_is_still_there_and_the_same() -> None:
    now = changed(v=[1.0, 5.0, -0.0])
    assert as_seen(HERE, keyed(now, 0, 1, -1)).tolist() == [True, False, False]


def test_where_nothing_was_seen_nothing_may_be_stored() -> None:
    assert as_seen(None, keyed(HERE, 0, -1)).tolist() == [False, True]
