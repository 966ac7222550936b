"""Which rows of two batches are the same to the last bit. Stricter than a verification: NaN counts by its payload."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def same_rows(left: pa.RecordBatch, right: pa.RecordBatch) -> Mask:
    """(n,): whether row i of both has the same NULLs and the same bits in every column.

    Both have n rows, and columns of the same types in the same order.
    """
    same = np.ones(len(left), bool)
    for a, b in zip(left.columns, right.columns, strict=True):
        same &= _same(a, b)
    return same


def _same(left: pa.Array, right: pa.Array) -> Mask:
    null_left, null_right = _nulls(left), _nulls(right)
    equal = _same_lists(left, right) if pa.types.is_list(left.type) else _same_values(left, right)
    same: Mask = (null_left == null_right) & (null_left | equal)
    return same


def _same_values(left: pa.Array, right: pa.Array) -> Mask:
    """Where neither is NULL; anything elsewhere."""
    kind = left.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        equal = pc.equal(left.cast(pa.binary()), right.cast(pa.binary()))
    elif pa.types.is_floating(kind) or pa.types.is_timestamp(kind):
        whole = pa.int32() if kind.bit_width == 32 else pa.int64()
        equal = pc.equal(left.view(whole), right.view(whole))
    else:
        equal = pc.equal(left, right)
    same: Mask = equal.fill_null(False).to_numpy(zero_copy_only=False)
    return same


def _same_lists(left: pa.Array, right: pa.Array) -> Mask:
    lengths = [np.asarray(side.value_lengths().fill_null(0)).astype(np.int64) for side in (left, right)]
    alike: Mask = lengths[0] == lengths[1]
    at = pa.array(np.flatnonzero(alike))
    elements = _same(left.take(at).flatten(), right.take(at).flatten())
    owners = np.repeat(np.flatnonzero(alike), lengths[0][alike])
    alike[owners[~elements]] = False
    return alike


def _nulls(array: pa.Array) -> Mask:
    nulls: Mask = array.is_null().to_numpy(zero_copy_only=False)
    return nulls
