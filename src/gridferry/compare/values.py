"""When two values are equal, column by column, without a loop over rows.

The source's side went through the plan's conversion, so both are of the container's type. Numbers and times are equal
if all their bits are; -0.0 and 0.0 therefore differ. All NaN are one. Text and bytes are equal byte for byte, arrays
element by element. NULL equals NULL only.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def differing(left: pa.Array, right: pa.Array) -> Mask | None:
    """Where two arrays of n values and one type differ, (n,); None where they nowhere do."""
    kind = left.type
    if pa.types.is_floating(kind):
        mask = _floats(left, right)
    elif pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        mask = _numbers(left) != _numbers(right)
    elif pa.types.is_list(kind):
        mask = _lists(left, right)
    else:
        if left.equals(right):
            return None
        mask = pc.fill_null(pc.not_equal(left, right), False).to_numpy(zero_copy_only=False)
    if left.null_count or right.null_count:
        here, there = (np.asarray(side.is_null()) for side in (left, right))
        mask = (mask & ~(here | there)) | (here != there)
    return mask if mask.any() else None


def _lists(left: pa.Array, right: pa.Array) -> Mask:
    """Where lists differ in their lengths or in an element, (n,)."""
    lengths, others = (np.asarray(side.value_lengths().fill_null(0)) for side in (left, right))
    mask: Mask = lengths != others
    same = np.flatnonzero(~mask)
    # NULL has length 0 here, and no elements: `flatten` leaves out what stands under it.
    parts = [side.take(pa.array(same)).flatten() for side in (left, right)]
    found = differing(*parts)
    if found is not None:
        mask[np.repeat(same, lengths[same])[found]] = True
    return mask


def _numbers(array: pa.Array) -> NDArray[np.int64]:
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    filled = array.fill_null(0) if array.null_count else array
    numbers: NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return numbers


def _floats(left: pa.Array, right: pa.Array) -> Mask:
    words = np.uint32 if pa.types.is_float32(left.type) else np.uint64
    a, b = ((s.fill_null(0.0) if s.null_count else s).to_numpy(zero_copy_only=False) for s in (left, right))
    mask: Mask = a.view(words) != b.view(words)
    if mask.any():
        mask &= ~(np.isnan(a) & np.isnan(b))
    return mask
