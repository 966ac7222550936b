"""Rows with equal values, numbered: the same numbers for every order of reading and every cut into batches."""

from __future__ import annotations

import itertools
from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from gridferry.plan.generated_key import HASH_COLUMN, ORDINAL_COLUMN
from gridferry.transform.ordinals import ordinals_of, renumbered, running_numbers

HASHES = st.lists(st.sampled_from("abcdefg"), max_size=40)


def rows(hashes: list[str]) -> pa.RecordBatch:
    """As the source reads them: all with number 0."""
    columns = [pa.array(hashes, pa.utf8()), pa.array([0] * len(hashes), pa.int64()), pa.array(hashes, pa.utf8())]
    return pa.RecordBatch.from_arrays(columns, names=[HASH_COLUMN, ORDINAL_COLUMN, "value"])


def keys(batch: pa.RecordBatch) -> list[tuple[str, int]]:
    return list(zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True))


def wanted(hashes: list[str]) -> set[tuple[str, int]]:
    return {(value, number) for value, count in Counter(hashes).items() for number in range(count)}


@given(HASHES)
def test_each_hash_has_the_numbers_from_0_up_to_the_count_of_its_rows(hashes: list[str]) -> None:
    batch = renumbered(rows(hashes))
    assert len(keys(batch)) == len(hashes)
    assert set(keys(batch)) == wanted(hashes)
    assert batch.column(2).to_pylist() == hashes


@given(HASHES, st.randoms(use_true_random=False))
def test_no_order_changes_what_is_stored(hashes: list[str], random: object) -> None:
    shuffled = list(hashes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert set(keys(renumbered(rows(hashes)))) == set(keys(renumbered(rows(shuffled))))


@given(HASHES, st.lists(st.integers(0, 40), max_size=6))
def test_no_cut_into_batches_changes_what_is_stored(hashes: list[str], cuts: list[int]) -> None:
    together = sorted(hashes)
    edges = sorted({0, len(together), *(cut for cut in cuts if cut < len(together))})
    batches = [rows(together[a:b]) for a, b in itertools.pairwise(edges)]
    numbered = list(running_numbers([rows([]), *batches]))
    assert [key for batch in numbered for key in keys(batch)] == keys(renumbered(rows(together)))


def test_a_group_that_reaches_over_three_batches_goes_on_counting() -> None:
    batches = [rows(["a", "b"]), rows(["b", "b", "b"]), rows(["b", "c"])]
    assert [key for batch in running_numbers(batches) for key in keys(batch)] == [
        ("a", 0), ("b", 0), ("b", 1), ("b", 2), ("b", 3), ("b", 4), ("c", 0),
    ]  # fmt: skip


def test_the_first_of_equal_rows_has_the_least_number() -> None:
    assert ordinals_of(pa.array(["b", "a", "b", "b", "a"])).tolist() == [0, 0, 1, 2, 1]
