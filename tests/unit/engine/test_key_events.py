"""What a batch of changes does to each row key, in order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from gridferry.engine.rows.keys import NOWHERE, Keys, key_codes
from gridferry.engine.sync.cdc.key_events import KeyEvents


def events(keys: str, *, row: list[int], old: list[int], before: list[int], order: list[int]) -> KeyEvents:
    """Event i is about key `keys[i]`."""
    all_keys = Keys(pa.RecordBatch.from_arrays([pa.array(list(keys))], names=["k"]), None)
    numbers = [np.array(each, np.int64) for each in (row, old, before, order)]
    return KeyEvents(
        all_keys, numbers[0], numbers[1], numbers[2], np.empty(0, np.int64), key_codes(all_keys), numbers[3]
    )


def test_the_events_of_each_key_are_together_in_the_order_of_the_changes() -> None:
    # Rows come first, old keys behind them, as a fold makes them: the delete of `a` was made between its two inserts.
    found = events("aba", row=[0, 1, NOWHERE], old=[NOWHERE, NOWHERE, 0], before=[NOWHERE, NOWHERE], order=[5, 1, 2])
    assert found.sorted.tolist() == [2, 0, 1]
    assert found.starts.tolist() == [0, 2]
    assert found.last.tolist() == [0, 1]
    assert found.event_of(np.array([1, 0])).tolist() == [1, 0]


def test_no_events_are_no_keys() -> None:
    found = events("", row=[], old=[], before=[], order=[])
    assert (found.sorted.tolist(), found.starts.tolist(), found.last.tolist()) == ([], [], [])
    assert found.row_before(0).tolist() == []


def test_the_row_before_is_the_one_that_an_earlier_change_put_under_the_old_key() -> None:
    # Row 0 is put under `a`, moves to `b` (row 1; event 3 takes `a` away), and changes there (row 2).
    found = events(
        "abba",
        row=[0, 1, 2, NOWHERE], old=[NOWHERE, NOWHERE, NOWHERE, 0], before=[NOWHERE, 3, 2], order=[1, 3, 5, 2],
    )  # fmt: skip
    assert found.row_before(3).tolist() == [NOWHERE, 0, 1]


def test_a_row_of_another_key_is_never_the_row_before() -> None:
    found = events("ab", row=[0, 1], old=[NOWHERE, NOWHERE], before=[0, 1], order=[1, 3])
    assert found.row_before(2).tolist() == [NOWHERE, NOWHERE]
