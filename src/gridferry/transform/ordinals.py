"""Numbers that tell rows with equal values apart: 0, 1, 2 and so on among the rows of each hash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.plan.generated_key import HASH_COLUMN, ORDINAL_COLUMN

Ordinals = NDArray[np.int64]


def ordinals_of(hashes: pa.Array) -> Ordinals:
    """The number of each of n rows (n,) among those of its hash, in their order."""
    codes = hashes.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(codes) else np.zeros(0, np.int64)
    numbers = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    found = np.empty(len(codes), np.int64)
    found[order] = numbers
    return found


def renumbered(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows in the container's form or in the source's, with their numbers; all of each hash must be there."""
    return _with_ordinals(rows, ordinals_of(rows.column(rows.schema.get_field_index(HASH_COLUMN))))


def running_numbers(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """As `renumbered`, for rows that come in batches, those of one hash next to each other."""
    last, count = None, 0
    for batch in batches:
        if not len(batch):
            continue
        hashes = batch.column(batch.schema.get_field_index(HASH_COLUMN))
        ordinals = ordinals_of(hashes)
        first = np.flatnonzero(np.cumsum(ordinals == 0) == 1)  # those of the first hash
        if hashes[0].as_py() == last:
            ordinals[first] += count
        last, count = hashes[-1].as_py(), int(ordinals[-1]) + 1
        yield _with_ordinals(batch, ordinals)


def _with_ordinals(rows: pa.RecordBatch, ordinals: Ordinals) -> pa.RecordBatch:
    place = rows.schema.get_field_index(ORDINAL_COLUMN)
    columns = rows.columns
    columns[place] = pa.array(ordinals).cast(rows.schema.field(place).type)
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)
