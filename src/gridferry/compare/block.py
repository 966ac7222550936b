"""One block of a table: the source's rows, and page by page the target's, aligned by row key and compared by column.

The target's pages may come in any order. A block holds every row of both sides that any of its keys can have, so what
is left at the end is missing.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gridferry.compare.findings import Findings, findings_of
from gridferry.compare.key_index import KeyIndex, Positions
from gridferry.compare.values import differing
from gridferry.model.verification import DifferenceKind


class Block:
    """Compares the target's rows with `source`, whose row i lies in container number `codes[i]`.

    `equal` counts equal rows by container number. Rows of shared keys (`doubled`) are left to the caller: they, and
    the target's rows of their keys, are compared with nothing. Pages may be compared by several threads.
    """

    def __init__(
        self, source: pa.RecordBatch, codes: NDArray[np.int64], *, key_length: int, skipped: Collection[int] = ()
    ) -> None:
        """Args: skipped: places of columns that are not compared."""
        self._places = [place for place in range(key_length, source.num_columns) if place not in skipped]
        self._source = source
        self._codes = codes
        self._key_length = key_length
        self._index = KeyIndex(codes, source.columns[:key_length])
        self._seen = np.zeros(len(codes), bool)
        self._shared = np.zeros(len(codes), bool)
        self._shared[self._index.doubled] = True
        self.equal: NDArray[np.int64] = np.zeros(0, np.int64)
        self._lock = threading.Lock()

    @property
    def doubled(self) -> Positions:
        """The positions of the source's rows that share their key."""
        return self._index.doubled

    def page(self, target: pa.RecordBatch, codes: NDArray[np.int64]) -> Iterator[Findings]:
        """What differs in some of the target's rows; each key comes once."""
        places = self._index.find(codes, target.columns[: self._key_length])
        found = places >= 0
        all_found = bool(found.all())
        if not all_found:
            unknown = np.flatnonzero(~found)
            yield findings_of(DifferenceKind.EXTRA, codes[unknown], target=target.take(pa.array(unknown)))
        if len(self.doubled):
            found &= ~self._shared[places]
            all_found = bool(found.all())
        if not all_found:
            kept = np.flatnonzero(found)
            target, codes, places = target.take(pa.array(kept)), codes[kept], places[kept]
        if not len(places):
            return
        self._seen[places] = True
        source = self._at(places)
        mask = _different_rows(*([side.column(i) for i in self._places] for side in (source, target)))
        if mask is None:
            self._count(codes)
            return
        self._count(codes[~mask])
        rows = np.flatnonzero(mask)
        at = pa.array(rows)
        yield findings_of(DifferenceKind.DIFFERENT, codes[rows], source=source.take(at), target=target.take(at))

    def rest(self) -> Iterator[Findings]:
        """The source's rows that no page had."""
        rows = np.flatnonzero(~(self._seen | self._shared))
        if len(rows):
            yield findings_of(DifferenceKind.MISSING, self._codes[rows], source=self._source.take(pa.array(rows)))

    def _at(self, places: Positions) -> pa.RecordBatch:
        """The source's rows at these places; without a copy where they follow one another."""
        first = int(places[0])
        if int(places[-1]) - first == len(places) - 1 and bool(np.all(places[1:] - places[:-1] == 1)):
            return self._source.slice(first, len(places))
        # The index knows no place that the rows do not have: they need not be checked, which costs as much again.
        return pc.take(self._source, pa.array(places), boundscheck=False)

    def _count(self, codes: NDArray[np.int64]) -> None:
        with self._lock:
            counts = np.bincount(codes, minlength=len(self.equal))
            counts[: len(self.equal)] += self.equal
            self.equal = counts.astype(np.int64, copy=False)


def _different_rows(left: Sequence[pa.Array], right: Sequence[pa.Array]) -> NDArray[np.bool_] | None:
    found: NDArray[np.bool_] | None = None
    for mine, theirs in zip(left, right, strict=True):
        mask = differing(mine, theirs)
        if mask is not None:
            found = mask if found is None else found | mask
    return found
