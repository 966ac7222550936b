"""Rows found by container and row key, many at once: no row objects, no dictionary.

Integers and times, which most keys are, are packed into one 64-bit number that keeps their order, so that sides which
come in key order meet without a sort. Any other key is hashed, and what was found is compared with what was sought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.verify.digest import row_words
from gridferry.verify.values import differing

Positions = NDArray[np.int64]
Words = NDArray[np.uint64]
_MOST = 1 << 63
_NOWHERE = -1


class KeyIndex:
    """An index over n rows, told apart by `codes` (n,), the numbers of their containers, and their keys.

    `doubled` are the positions of all rows that share container and key with another one, rows of one key next to each
    other; `find` finds one of each such group.
    """

    def __init__(self, codes: NDArray[np.int64], keys: Sequence[pa.Array]) -> None:
        self._keys = tuple(keys)
        self._codes = codes
        numbers = [codes, *(_integers(key) for key in keys)] if all(_is_integer(key.type) for key in keys) else None
        self._packing = None if numbers is None else _packing(numbers)
        self._seed = 0
        self._order, self._sorted = _in_order(self._words(numbers))
        self.doubled = self._doubled()

    def find(self, codes: NDArray[np.int64], keys: Sequence[pa.Array]) -> Positions:
        """The position (m,) of the row of each of m containers and keys; -1 where there is none."""
        if not len(self._sorted):
            return np.full(len(codes), _NOWHERE, np.int64)
        words: NDArray[np.int64] | Words
        if self._packing is not None:
            words, inside = self._packing.pack([codes, *(_integers(key) for key in keys)])
        else:
            words, inside = _hash(codes, keys, self._seed), np.ones(len(codes), bool)
        places = np.minimum(np.searchsorted(self._sorted, words), len(self._sorted) - 1)
        found = inside & (self._sorted[places] == words)
        rows: Positions = places if self._order is None else self._order[places]
        if self._packing is None:
            found &= self._same(rows, codes, keys)
        return np.where(found, rows, _NOWHERE)

    def _words(self, numbers: Sequence[NDArray[np.int64]] | None) -> NDArray[np.int64] | Words:
        return self._packing.pack(numbers)[0] if self._packing is not None and numbers is not None else self._hashed()

    def _hashed(self) -> Words:
        """Words in which no two different keys meet; in all likelihood the first ones."""
        while True:
            words = _hash(self._codes, self._keys, self._seed)
            order, ascending = _in_order(words)
            meet = np.flatnonzero(ascending[1:] == ascending[:-1])
            rows = np.arange(len(words)) if order is None else order
            if self._same(rows[meet], self._codes[rows[meet + 1]], [k.take(rows[meet + 1]) for k in self._keys]).all():
                return words
            self._seed += 1

    def _same(self, rows: Positions, codes: NDArray[np.int64], keys: Sequence[pa.Array]) -> NDArray[np.bool_]:
        """Whether the rows at these positions have these containers and keys."""
        same: NDArray[np.bool_] = self._codes[rows] == codes
        at = pa.array(rows)
        for mine, theirs in zip(self._keys, keys, strict=True):
            mask = differing(mine.take(at), theirs)
            if mask is not None:
                same &= ~mask
        return same

    def _doubled(self) -> Positions:
        meet = self._sorted[1:] == self._sorted[:-1]
        if not meet.any():
            return np.empty(0, np.int64)
        shared = np.zeros(len(self._sorted), bool)
        shared[1:] |= meet
        shared[:-1] |= meet
        places = np.flatnonzero(shared)
        rows: Positions = places if self._order is None else self._order[places]
        return rows


@dataclass(frozen=True)
class Packing:
    """Columns of integers as digits of one number: column i counts from `lows[i]` and has `spans[i]` values."""

    lows: tuple[int, ...]
    spans: tuple[int, ...]

    def pack(self, columns: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The numbers (n,), and whether they mean anything: a value outside the spans has none."""
        words = np.zeros(len(columns[0]), np.int64)
        inside = np.ones(len(columns[0]), bool)
        for column, low, span in zip(columns, self.lows, self.spans, strict=True):
            fits = (column >= low) & (column <= low + span - 1)
            words *= span
            words += column - low if fits.all() else np.where(fits, column, low) - low
            inside &= fits
        return words, inside


def _packing(columns: Sequence[NDArray[np.int64]]) -> Packing | None:
    """The packing that holds all of n rows; None where their values lie too far apart."""
    if not len(columns[0]):
        return Packing(tuple(0 for _ in columns), tuple(1 for _ in columns))
    lows = tuple(int(column.min()) for column in columns)
    spans = tuple(int(column.max()) - low + 1 for column, low in zip(columns, lows, strict=True))
    size = 1
    for span in spans:
        size *= span
    return Packing(lows, spans) if size < _MOST else None


def _in_order(
    words: NDArray[np.int64] | Words,
) -> tuple[Positions | None, NDArray[np.int64] | Words]:
    """The order that sorts (None where all stand in order), and the words sorted."""
    if bool(np.all(words[1:] >= words[:-1])):
        return None, words
    order = np.argsort(words, kind="stable").astype(np.int64)
    return order, words[order]


def _hash(codes: NDArray[np.int64], keys: Sequence[pa.Array], seed: int) -> Words:
    return row_words([pa.array(codes), *keys], seed=seed)


def _is_integer(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def _integers(array: pa.Array) -> NDArray[np.int64]:
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    numbers: NDArray[np.int64] = array.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return numbers
