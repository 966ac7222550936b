"""Values that a type cannot hold, made NULL or brought to its nearest end, because the config says so."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gridferry.griddb.wire.statement import MAX_STRING_BYTES, MAX_TIMESTAMP_MS
from gridferry.model.time_text import FIRST_US, INFINITE_DAYS, INFINITE_US

_MAX_US = MAX_TIMESTAMP_MS * 1000 + 999
_MAX_DAY = MAX_TIMESTAMP_MS // 86_400_000


def without(array: pa.Array, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Array:
    """An array with NULL in some rows."""
    mask = np.zeros(len(array), bool)
    mask[rows] = True
    return pc.if_else(pa.array(mask), pa.scalar(None, array.type), array)


def clamped_times(array: pa.Array) -> pa.Array:
    """Stamps, microseconds since 1970 as the readers give them, within GridDB's years."""
    numbers = array.view(pa.int64())
    # Infinity and the years after 294246 come as numbers far before all others; -infinity stays below.
    late = pc.and_(pc.less(numbers, FIRST_US), pc.not_equal(numbers, INFINITE_US[1]))
    return _between(numbers, late, _MAX_US).view(array.type)


def clamped_days(array: pa.Array) -> pa.Array:
    """Dates within GridDB's years."""
    days = array.cast(pa.date32()).view(pa.int32()).cast(pa.int64())
    return _between(days, pc.equal(days, INFINITE_DAYS[0]), _MAX_DAY).cast(pa.int32()).view(pa.date32())


def clamped_texts(array: pa.Array) -> pa.Array:
    """Texts of as many whole letters as a STRING can hold."""
    strings = array.cast(pa.utf8())
    long = pc.greater(pc.binary_length(strings), MAX_STRING_BYTES)
    if not pc.any(long).as_py():
        return strings
    rows = np.flatnonzero(pc.fill_null(long, False).to_numpy(zero_copy_only=False))
    values = strings.cast(pa.binary()).take(pa.array(rows)).to_pylist()
    short = [value[:MAX_STRING_BYTES].decode(errors="ignore") for value in values]
    mask = np.zeros(len(strings), bool)
    mask[rows] = True
    return pc.replace_with_mask(strings, pa.array(mask), pa.array(short, pa.utf8()))


def _between(numbers: pa.Array, late: pa.Array, most: int) -> pa.Array:
    kept = pc.if_else(late, pa.scalar(most, pa.int64()), numbers)
    inside = pc.if_else(pc.less(kept, 0), pa.scalar(0, pa.int64()), kept)
    return pc.if_else(pc.greater(inside, most), pa.scalar(most, pa.int64()), inside)
