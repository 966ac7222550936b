"""A batch sorted by container, so that the rows of each are one run; and the rows of one key within a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_RADIX = 1 << 16  # numpy sorts 16-bit integers by radix, in O(n)


@dataclass(frozen=True)
class SplitBatch:
    """A batch whose rows stand container by container, in their old order within each.

    Container i (split value `values[i]` as text, None for NULL) has the rows `boundaries[i]` up to, not including,
    `boundaries[i + 1]`. `order` (n,) are the rows' positions before the sort; None where nothing moved.
    """

    batch: pa.RecordBatch
    values: tuple[str | None, ...]
    boundaries: NDArray[np.int64]
    order: NDArray[np.int64] | None = None

    def part(self, number: int) -> pa.RecordBatch:
        """The rows of container `number`, without a copy."""
        start, end = int(self.boundaries[number]), int(self.boundaries[number + 1])
        return self.batch.slice(start, end - start)


@dataclass(frozen=True)
class DuplicateRuns:
    """Rows that share a row key within a container: run j is `rows[starts[j]:starts[j + 1]]`, each two rows or more.

    Rows are positions in the split batch; within a run they stand in the order asked for, ties by position.
    """

    rows: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def not_first(self) -> NDArray[np.int64]:
        """The rows beyond the first of each run: what `on_duplicate: first` leaves out."""
        return np.delete(self.rows, self.starts[:-1])

    @property
    def not_last(self) -> NDArray[np.int64]:
        """The rows before the last of each run: what `on_duplicate: last` leaves out."""
        return np.delete(self.rows, self.starts[1:] - 1)


def split_batch(batch: pa.RecordBatch, by: pa.Array | None) -> SplitBatch:
    """`batch` sorted by `by` (as many values as it has rows), or as one run for value None where `by` is None.

    The first value to appear comes first. An empty batch has no containers.
    """
    count = batch.num_rows
    if count == 0:
        return SplitBatch(batch, (), np.zeros(1, np.int64))
    if by is None:
        return SplitBatch(batch, (None,), np.array([0, count], np.int64))
    encoded = _storage(by).dictionary_encode(null_encoding="encode")
    values = _texts(encoded.dictionary)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    sizes = np.bincount(codes, minlength=len(values))
    boundaries = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if bool(np.all(codes[1:] >= codes[:-1])):
        return SplitBatch(batch, values, boundaries)
    narrow = codes.astype(np.uint16) if len(values) <= _RADIX else codes
    order = np.argsort(narrow, kind="stable").astype(np.int64)
    return SplitBatch(batch.take(pa.array(order)), values, boundaries, order)


def duplicate_runs(split: SplitBatch, key_length: int, *, order_by: Sequence[pa.Array] = ()) -> DuplicateRuns:
    """The rows of `split` that share the first `key_length` columns with another row of their container.

    `order_by` are arrays in the order of `split.batch`; NULL comes last, as in PostgreSQL. Equality is that of
    GridDB's row keys: the same bytes.
    """
    none = DuplicateRuns(np.empty(0, np.int64), np.zeros(1, np.int64))
    count = split.batch.num_rows
    if count < 2 or key_length == 0:
        return none
    keys = [_numbers(split.batch.column(position)) for position in range(key_length)]
    container = np.repeat(np.arange(len(split.values)), np.diff(split.boundaries))
    if key_length == 1 and _strictly_rising(keys[0], container):
        return none
    order = np.lexsort([*reversed(keys), container])
    equal = container[order][1:] == container[order][:-1]
    for key in keys:
        equal &= key[order][1:] == key[order][:-1]
    if not equal.any():
        return none
    in_run = np.concatenate([equal, [False]]) | np.concatenate([[False], equal])
    begins = in_run & ~np.concatenate([[False], equal])
    rows, run = order[in_run], np.cumsum(begins[in_run])
    ranks = [_ranks(array)[rows] for array in order_by]
    rows = rows[np.lexsort([rows, *reversed(ranks), run])]
    starts = np.concatenate([np.flatnonzero(np.diff(run, prepend=0)), [len(rows)]])
    return DuplicateRuns(rows.astype(np.int64), starts.astype(np.int64))


def _texts(values: pa.Array) -> tuple[str | None, ...]:
    """Distinct values as PostgreSQL's text of them: what the plan knows containers by."""
    if pa.types.is_boolean(values.type):
        return tuple(None if v is None else str(v).lower() for v in values.to_pylist())
    return tuple(values.cast(pa.utf8()).to_pylist())


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _numbers(array: pa.Array) -> NDArray[np.int64]:
    """Integers that are equal where the key values are. Key columns hold no NULL."""
    if pa.types.is_string(array.type):
        return np.asarray(array.dictionary_encode().indices.to_numpy(zero_copy_only=False), np.int64)
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    return np.asarray(array.to_numpy(zero_copy_only=False), np.int64)


def _strictly_rising(key: NDArray[np.int64], container: NDArray[np.int64]) -> bool:
    return bool(np.all((key[1:] > key[:-1]) | (container[1:] != container[:-1])))


def _ranks(array: pa.Array) -> NDArray[np.int64]:
    ranks = pc.rank(_storage(array), sort_keys="ascending", tiebreaker="dense")
    return np.asarray(ranks.to_numpy(zero_copy_only=False), np.int64)
