"""Rows found by container and row key, many at once: no row objects, no dictionary.

Integers and times, which most keys are, are packed into one 64-bit number that keeps their order, so that sides which
come in key order meet without a sort. Any other key is hashed, and what was found is compared with what was sought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.compare.digest import row_words
from gridferry.compare.values import differing

Positions = NDArray[np.int64]
Words = NDArray[np.uint64]
_MOST = 1 << 63
_NOWHERE = -1


class KeyIndex:
    """An index over n rows, distinguished by `codes` (n,), the numbers of their containers, and their keys.

    `doubled` are the positions of all rows that share container and key with another one, rows of one key next to each
    other; `find` finds one of each such group, and may be called by several threads.
    """

    def __init__(self, codes: NDArray[np.int64], keys: Sequence[pa.Array]) -> None:
        self._keys = tuple(keys)
        self._codes = codes
        self._packing: Packing | None = None
        self._seed = 0
        self._runs: dict[int, tuple[Positions, NDArray[np.int64]]] = {}
        words: NDArray[np.int64] | Words | None = None
        if all(_is_integer(key.type) for key in keys):
            words = self._packed([_integers(key) for key in keys])
        self._order, self._sorted = _in_order(self._hashed() if words is None else words)
        self.doubled = self._doubled()

    def find(self, codes: NDArray[np.int64], keys: Sequence[pa.Array]) -> Positions:
        """The position (m,) of the row of each of m containers and keys; -1 where there is none."""
        if not len(self._sorted):
            return np.full(len(codes), _NOWHERE, np.int64)
        words: NDArray[np.int64] | Words
        inside: NDArray[np.bool_] | None = None
        if self._packing is not None:
            words, inside = self._packing.pack([_integers(key) for key in keys], codes)
            followed = self._followed(codes, words) if inside is None else None
            if followed is not None:
                return followed
        else:
            words = _hash(codes, keys, self._seed)
        places = np.minimum(np.searchsorted(self._sorted, words), len(self._sorted) - 1)
        found = self._sorted[places] == words
        if inside is not None:
            found &= inside
        rows: Positions = places if self._order is None else self._order[places]
        if self._packing is None:
            found &= self._same(rows, codes, keys)
        return np.where(found, rows, _NOWHERE)

    def _packed(self, numbers: Sequence[NDArray[np.int64]]) -> NDArray[np.int64] | None:
        """Words that keep the order of the rows if that is the keys' order, or the containers' and then the keys'.

        None where the values lie too far apart for one word.
        """
        self._packing = _packing(numbers, self._codes, codes_first=False)
        if self._packing is None:
            return None
        words = self._packing.pack_known(numbers, self._codes)
        if not _ascends(words):
            other = replace(self._packing, codes_first=True)
            by_container = other.pack_known(numbers, self._codes)
            if _ascends(by_container):
                self._packing, words = other, by_container
        return words

    def _followed(self, codes: NDArray[np.int64], words: NDArray[np.int64]) -> Positions | None:
        """The positions of rows of one container that are here one after the other too, with none between them.

        So do nearly all, and comparing two rows of words is much cheaper than looking each of them up.
        """
        code = int(codes[0]) if len(codes) else _NOWHERE
        if code == _NOWHERE or bool((codes != code).any()):
            return None
        if len(self.doubled) and not bool((words[1:] > words[:-1]).all()):
            return None  # the same row is meant for each of those that share a key
        places, run = self._run(code)
        first = int(np.searchsorted(run, words[0]))
        last = first + len(words)
        return places[first:last] if np.array_equal(run[first:last], words) else None

    def _run(self, code: int) -> tuple[Positions, NDArray[np.int64]]:
        """The positions of a container's rows in the order of their words, and the words."""
        if code not in self._runs:
            codes = self._codes if self._order is None else self._codes[self._order]
            at: Positions = np.flatnonzero(codes == code)
            words = self._sorted[at].astype(np.int64, copy=False)
            self._runs[code] = (at if self._order is None else self._order[at]), words
        return self._runs[code]

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
    """Columns of integers and the container's number as digits of one number: digit i counts from `lows[i]` and has
    `spans[i]` values, those of the container last. `codes_first`: whether the container's digit is the greatest.
    """

    lows: tuple[int, ...]
    spans: tuple[int, ...]
    codes_first: bool

    def pack(
        self, columns: Sequence[NDArray[np.int64]], codes: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
        """The numbers (n,), and whether they mean anything, None if all do: a value outside the spans has none."""
        inside: NDArray[np.bool_] | None = None
        kept = []
        for column, low, span in zip((*columns, codes), self.lows, self.spans, strict=True):
            if not len(column) or (int(column.min()) >= low and int(column.max()) <= low + span - 1):
                kept.append(column)
                continue
            fits = (column >= low) & (column <= low + span - 1)
            inside = fits if inside is None else inside & fits
            kept.append(np.where(fits, column, low))
        return self.pack_known(kept[:-1], kept[-1]), inside

    def pack_known(self, columns: Sequence[NDArray[np.int64]], codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers (n,) of values that lie within the spans."""
        digits = list(zip((*columns, codes), self.lows, self.spans, strict=True))
        if self.codes_first:
            digits.insert(0, digits.pop())
        first, low, _ = digits[0]
        words: NDArray[np.int64] = first - low
        for column, low, span in digits[1:]:
            words *= span
            words += column
            words -= low
        return words


def _packing(columns: Sequence[NDArray[np.int64]], codes: NDArray[np.int64], *, codes_first: bool) -> Packing | None:
    """The packing that holds all of n rows; None where their values lie too far apart."""
    numbers = (*columns, codes)
    if not len(codes):
        return Packing(tuple(0 for _ in numbers), tuple(1 for _ in numbers), codes_first)
    lows = tuple(int(column.min()) for column in numbers)
    spans = tuple(int(column.max()) - low + 1 for column, low in zip(numbers, lows, strict=True))
    size = 1
    for span in spans:
        size *= span
    return Packing(lows, spans, codes_first) if size < _MOST else None


def _ascends(words: NDArray[np.int64] | Words) -> bool:
    return bool((words[1:] >= words[:-1]).all())


def _in_order(
    words: NDArray[np.int64] | Words,
) -> tuple[Positions | None, NDArray[np.int64] | Words]:
    """The order that sorts (None where all are in order), and the words sorted."""
    if _ascends(words):
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
