"""A digest of rows that does not depend on their order: 128 bits a set of rows, added up row by row.

Equal sets have equal digests. Sets that differ by accident have different ones, but for a chance of about 2**-128: it
finds faults, it is no seal against someone who wants to cheat it. Sums can be added and subtracted, so both sides may
be read in any order and in any number of parts.

Values count by their stored bits, so -0.0 and 0.0 differ; all NaN are one. NULL is a value of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from typing_extensions import Self

Words = NDArray[np.uint64]

_SEEDS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_MULTIPLIERS = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_NULL = np.uint64(0xA5A5_5A5A_1234_8765)
_SHIFT = np.uint64(32)
_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class RowsDigest:
    """How many rows, and two 64-bit sums over them."""

    rows: int = 0
    first: int = 0
    second: int = 0

    def __add__(self, other: RowsDigest) -> RowsDigest:
        return RowsDigest(
            self.rows + other.rows, (self.first + other.first) & _MASK, (self.second + other.second) & _MASK
        )

    def __sub__(self, other: RowsDigest) -> RowsDigest:
        return RowsDigest(
            self.rows - other.rows, (self.first - other.first) & _MASK, (self.second - other.second) & _MASK
        )


@dataclass(frozen=True)
class RunDigests:
    """Digests of runs of rows: run i is rows `runs[i]` up to `runs[i + 1]`."""

    runs: tuple[RowsDigest, ...]

    @classmethod
    def of(cls, batch: pa.RecordBatch, runs: NDArray[np.int64] | list[int] | None = None) -> Self:
        """The digests of a batch's runs (default: one run of all rows)."""
        bounds = np.asarray([0, len(batch)] if runs is None else runs, np.int64)
        sums = []
        for seed, multiplier in zip(_SEEDS, _MULTIPLIERS, strict=True):
            total = np.zeros(len(batch) + 1, np.uint64)
            np.cumsum(_rows(batch, seed, multiplier), out=total[1:])
            sums.append(total[bounds[1:]] - total[bounds[:-1]])
        sizes = np.diff(bounds)
        return cls(tuple(RowsDigest(int(n), int(a), int(b)) for n, a, b in zip(sizes, *sums, strict=True)))


def digest_of(batch: pa.RecordBatch) -> RowsDigest:
    """The digest of all rows of a batch."""
    return RunDigests.of(batch).runs[0]


def row_words(columns: Sequence[pa.Array], *, seed: int = 0) -> Words:
    """64 bits a row (n,), over n values of each column: equal rows have equal words. Another seed, other words."""
    start, multiplier = _SEEDS[0] + np.uint64(seed & _MASK), _MULTIPLIERS[0]
    row = np.full(len(columns[0]), start, np.uint64)
    for array in columns:
        row = _mixed(row * multiplier + _column(array, start, multiplier), multiplier)
    return row


def _rows(batch: pa.RecordBatch, seed: np.uint64, multiplier: np.uint64) -> Words:
    row = np.full(len(batch), seed, np.uint64)
    for array in batch.columns:
        row = _mixed(row * multiplier + _column(array, seed, multiplier), multiplier)
    return row


def _column(array: pa.Array, seed: np.uint64, multiplier: np.uint64) -> Words:
    words = _values(array, seed, multiplier)
    if array.null_count:
        words[np.asarray(array.is_null())] = _NULL
    return _mixed(words ^ seed, multiplier)


def _values(array: pa.Array, seed: np.uint64, multiplier: np.uint64) -> Words:
    kind = array.type
    if pa.types.is_list(kind):
        return _lists(array, seed, multiplier)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _texts(array, multiplier)
    if pa.types.is_floating(kind):
        return _floats(array)
    if pa.types.is_boolean(kind):
        array = array.cast(pa.int8())
    elif pa.types.is_timestamp(kind):
        array = array.view(pa.int64())
    filled = array.fill_null(0) if array.null_count else array
    words: Words = filled.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
    copied: Words = words.copy()
    return copied


def _floats(array: pa.Array) -> Words:
    filled = array.fill_null(0.0) if array.null_count else array
    numbers = filled.to_numpy(zero_copy_only=False).astype(np.float64)
    words: Words = numbers.view(np.uint64).copy()
    words[np.isnan(numbers)] = np.uint64(0x7FF8000000000000)
    return words


def _texts(array: pa.Array, multiplier: np.uint64) -> Words:
    """A polynomial over each value's bytes, eight at a time, and its length."""
    filled = array.cast(pa.binary())
    filled = filled.fill_null(b"") if filled.null_count else filled
    if not len(filled):
        return np.empty(0, np.uint64)
    bounds = np.frombuffer(filled.buffers()[1], np.int32)[filled.offset : filled.offset + len(filled) + 1]
    data = filled.buffers()[2]
    octets = np.frombuffer(data if data is not None else b"", np.uint8)[bounds[0] : bounds[-1]]
    starts = bounds.astype(np.int64) - int(bounds[0])
    lengths = np.diff(starts)
    words, edges = _eights(octets, starts, lengths)
    # Mixed first: in a sum of products a difference in a word's high bits would never reach the low ones.
    return _segments(_mixed(words, multiplier), edges, multiplier) + lengths.astype(np.uint64)


def _eights(
    octets: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[Words, NDArray[np.int64]]:
    """n byte strings as words of eight bytes, each string's last one filled up with zeros; and where each begins."""
    counts = (lengths + 7) >> 3
    edges = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(counts, out=edges[1:])
    padded = np.zeros(len(octets) + 8, np.uint8)
    padded[: len(octets)] = octets
    anywhere = np.ndarray(len(octets) + 1, "<u8", buffer=padded.data, strides=(1,))
    words = anywhere[np.arange(edges[-1]) * 8 + np.repeat(starts[:-1] - edges[:-1] * 8, counts)]
    rest = lengths & 7
    last = edges[1:][rest > 0] - 1
    words[last] &= (np.uint64(1) << (rest[rest > 0] * 8).astype(np.uint64)) - np.uint64(1)
    return words, edges


def _lists(array: pa.Array, seed: np.uint64, multiplier: np.uint64) -> Words:
    lengths = np.asarray(array.value_lengths().fill_null(0)).astype(np.int64)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return _segments(_column(array.flatten(), seed, multiplier), bounds, multiplier)


def _segments(words: Words, bounds: NDArray[np.int64], multiplier: np.uint64) -> Words:
    """One word for each segment: the sum of its words, each times a power that grows with its place."""
    lengths = np.diff(bounds)
    longest = int(lengths.max()) if len(lengths) else 0
    powers = np.cumprod(np.full(longest + 1, multiplier | np.uint64(1), np.uint64))
    place = np.arange(len(words)) - np.repeat(bounds[:-1], lengths)
    total = np.zeros(len(words) + 1, np.uint64)
    np.cumsum(words * powers[place], out=total[1:])
    sums: Words = total[bounds[1:]] - total[bounds[:-1]] + lengths.astype(np.uint64) * multiplier
    return sums


def _mixed(words: Words, multiplier: np.uint64) -> Words:
    words = words ^ (words >> _SHIFT)
    words = words * multiplier
    mixed: Words = words ^ (words >> np.uint64(29))
    return mixed
