"""A batch sorted by container, so that the rows of each are one run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_RADIX = 1 << 16  # numpy sorts 16-bit integers by radix, in O(n)


@dataclass(frozen=True)
class SplitBatch:
    """A batch whose rows come container by container, in their old order within each.

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


def split_batch(batch: pa.RecordBatch, by: pa.Array | None) -> SplitBatch:
    """`batch` sorted by `by` (as many values as it has rows), or as one run for value None where `by` is None.

    The first value to appear comes first. An empty batch has no containers.
    """
    count = batch.num_rows
    if count == 0:
        return SplitBatch(batch, (), np.zeros(1, np.int64))
    if by is None:
        return SplitBatch(batch, (None,), np.array([0, count], np.int64))
    codes, values = split_codes(by)
    sizes = np.bincount(codes, minlength=len(values))
    boundaries = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if bool(np.all(codes[1:] >= codes[:-1])):
        return SplitBatch(batch, values, boundaries)
    narrow = codes.astype(np.uint16) if len(values) <= _RADIX else codes
    order = np.argsort(narrow, kind="stable").astype(np.int64)
    return SplitBatch(batch.take(pa.array(order)), values, boundaries, order)


def split_codes(by: pa.Array) -> tuple[NDArray[np.int32], tuple[str | None, ...]]:
    """Each row's place (n,) among the distinct values of a split column, and these as text, in order of appearance."""
    encoded = _storage(by).dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy(zero_copy_only=False), _texts(encoded.dictionary)


def distinct_texts(by: pa.Array) -> tuple[str | None, ...]:
    """The distinct values of a split column as text, in the order of their first appearance."""
    return _texts(_storage(by).dictionary_encode(null_encoding="encode").dictionary)


def _texts(values: pa.Array) -> tuple[str | None, ...]:
    """Distinct values as PostgreSQL's text of them: what the plan knows containers by."""
    if pa.types.is_boolean(values.type):
        return tuple(None if v is None else str(v).lower() for v in values.to_pylist())
    return tuple(values.cast(pa.utf8()).to_pylist())


def _storage(array: pa.Array) -> pa.Array:
    return array.storage if isinstance(array, pa.ExtensionArray) else array
