"""Cutting encoded rows into runs that fit a message, and joining the row images of an answer. No loop over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gridferry.griddb.schema import ContainerKind, ContainerSchema
from gridferry.griddb.wire.encode import EncodedRows
from gridferry.griddb.wire.layout import row_layout
from gridferry.griddb.wire.row_replies import FoundRows, RowsPart


def cut_runs(rows: EncodedRows, bounds: NDArray[np.int64], max_bytes: int) -> tuple[EncodedRows, NDArray[np.int64]]:
    """The same rows, cut at `bounds` and where a run would take more than `max_bytes`; one row is never cut.

    Args: rows of one run; bounds (m + 1,) ascending, from 0 to n.
    Returns: the rows with k runs, empty ones left out, and (k,) which of the m each belongs to. The offsets of `rows`
    are changed in place: use the rows that are returned.
    """
    ends = rows.starts + np.arange(len(rows) + 1) * rows.fixed.dtype.itemsize
    sizes = np.diff(ends[bounds])
    cuts: list[NDArray[np.int64]] = []
    owners: list[NDArray[np.int64]] = []
    done = 0
    for large in np.flatnonzero(sizes > max_bytes).tolist():
        cuts.append(bounds[done:large])
        owners.append(np.arange(done, large))
        inner = _cut_one(ends, int(bounds[large]), int(bounds[large + 1]), max_bytes)
        cuts.append(inner)
        owners.append(np.full(len(inner), large))
        done = large + 1
    starts = np.concatenate([*cuts, bounds[done:-1]])
    belongs = np.concatenate([*owners, np.arange(done, len(bounds) - 1)])
    filled = np.diff(np.append(starts, bounds[-1])) > 0
    runs = np.append(starts[filled], bounds[-1])
    if rows.fixed.dtype.names is not None and "offset" in rows.fixed.dtype.names:
        rows.fixed["offset"] = rows.starts[:-1] - np.repeat(rows.starts[runs[:-1]], np.diff(runs))
    return replace(rows, runs=runs), belongs[filled]


def _cut_one(ends: NDArray[np.int64], first: int, last: int, max_bytes: int) -> NDArray[np.int64]:
    starts = []
    while first < last:
        starts.append(first)
        fits = int(np.searchsorted(ends, ends[first] + max_bytes, side="right")) - 1
        first = max(fits, first + 1)
    return np.asarray(starts, np.int64)


def joined(schema: ContainerSchema, entries: Sequence[FoundRows | RowsPart]) -> RowsPart:
    """The rows of many entries of an answer, all of this schema, as one row image: decoded at once, not one by one."""
    layout = row_layout(schema, row_ids=schema.kind is ContainerKind.COLLECTION)
    size = layout.dtype.itemsize
    images = [(e.count, memoryview(_bytes(e))) for e in entries if e.count]
    fixed = np.frombuffer(bytearray().join(image[: n * size] for n, image in images), layout.dtype)
    areas = [image[n * size :] for n, image in images]
    if layout.variable and images:
        counts = np.array([n for n, _ in images])
        lengths = np.array([len(area) for area in areas])
        first = np.cumsum(counts) - counts
        begins = np.cumsum(lengths) - lengths
        fixed["offset"] += np.repeat(begins - fixed["offset"][first], counts)
    return RowsPart(len(fixed), [fixed.tobytes(), *areas])


def _bytes(entry: FoundRows | RowsPart) -> bytes | bytearray | memoryview:
    image = entry.image
    return image if isinstance(image, (bytes, bytearray, memoryview)) else b"".join(image)
