"""What the runs of each table's sync did over time, in the state container: bounded, two documents a table.

It is for people, it decides nothing: no run reads it. The older it is, the coarser it gets. A run adds to the small
document of the newest samples alone; now and then these go over to the other one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TypeVar

from gridferry.checkpoint.documents import Document, DocumentStore
from gridferry.model.decoding import Malformed, decoded, readable, require_version
from gridferry.model.forms import Count, Moment

HISTORY_VERSION = 1
MOST_SAMPLES = 240
_MOST_NEWEST = 20
_OLDER, _NEWEST = "history", "newest"

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class Sample:
    """One run, or a part of a longer one, or several that were joined. Times are ISO 8601, UTC.

    At `at` everything that the source had committed before `as_of` was stored. `lag_s` is the greatest age that the
    stored state had reached by then, just before the sample's last step forward; None where it is not known. The
    counts, `runs` (ended in this time) and `seconds` of work are of the time since the sample before.
    """

    at: Moment
    as_of: Moment
    lag_s: float | None = None
    lag_bytes: int | None = None
    runs: Count = 0
    seconds: float = 0.0
    read: Count = 0
    written: Count = 0
    deleted: Count = 0
    quarantined: Count = 0

    def joined(self, later: Sample) -> Sample:
        """This sample and the next one as one: counts added up, the greater lag kept."""
        return Sample(
            at=later.at,
            as_of=later.as_of,
            lag_s=_greater(self.lag_s, later.lag_s),
            lag_bytes=_greater(self.lag_bytes, later.lag_bytes),
            runs=self.runs + later.runs,
            seconds=self.seconds + later.seconds,
            read=self.read + later.read,
            written=self.written + later.written,
            deleted=self.deleted + later.deleted,
            quarantined=self.quarantined + later.quarantined,
        )


_NAMES = tuple(field.name for field in fields(Sample))
_values = attrgetter(*_NAMES)


class HistoryStore:
    """The histories. What is written is on disk when the call returns."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def get(self, table: str) -> tuple[Sample, ...]:
        """A table's samples, the oldest first. Raises: CheckpointError for another version's or a broken document."""
        found = self._documents.items(_scope(table))
        return tuple(sample for item in (_OLDER, _NEWEST) for sample in _samples(table, item, found.get(item)))

    @staticmethod
    def key(table: str) -> tuple[str, str]:
        """Scope and item of what most runs over a table read of its history, and write."""
        return _scope(table), _NEWEST

    def add(self, table: str, sample: Sample) -> None:
        """Write one more sample; the older half gets coarser once there are too many. Raises: as `get`."""
        newest = (*_samples(table, _NEWEST, self._documents.get(_scope(table), _NEWEST)), sample)
        if len(newest) < _patience(table):
            self._documents.put(_scope(table), {_NEWEST: _document(newest)})
            return
        older = _samples(table, _OLDER, self._documents.get(_scope(table), _OLDER))
        older = bounded((*older, *newest), MOST_SAMPLES - _MOST_NEWEST)
        self._documents.put(_scope(table), {_OLDER: _document(older), _NEWEST: _document(())})

    def forget(self, table: str) -> None:
        """Delete a table's history."""
        self._documents.delete(_scope(table), [_OLDER, _NEWEST])


def bounded(samples: Sequence[Sample], most: int = MOST_SAMPLES) -> tuple[Sample, ...]:
    """At most `most` samples: of more, the older half is joined in pairs. No count is lost by that."""
    if len(samples) <= most:
        return tuple(samples)
    half = len(samples) // 4 * 2
    pairs = [samples[i].joined(samples[i + 1]) for i in range(0, half, 2)]
    return bounded((*pairs, *samples[half:]), most)


def _scope(table: str) -> str:
    return f"history:{table}"


def _patience(table: str) -> int:
    """How many samples are the newest at most: not all tables of a run are to write the older ones at once."""
    return _MOST_NEWEST // 2 + zlib.crc32(table.encode()) % (_MOST_NEWEST // 2)


def _document(samples: Sequence[Sample]) -> Document:
    return {"version": HISTORY_VERSION, "samples": [_values(each) for each in samples]}


def _samples(table: str, item: str, document: Document | None) -> tuple[Sample, ...]:
    if document is None:
        return ()
    broken = "a later sync begins a new one"
    fields = require_version(
        document,
        HISTORY_VERSION,
        what=f"the history of {table}",
        next_step=f"use the gridferry that wrote it; {broken}",
    )

    def decode() -> tuple[Sample, ...]:
        rows = fields.get("samples")
        if not isinstance(rows, list) or len(rows) > MOST_SAMPLES or len(fields) != 1:
            raise Malformed("samples", f"is not a list of at most {MOST_SAMPLES}")
        return tuple(_sample(number, row) for number, row in enumerate(rows))

    return readable(f"the history of {table} (scope {_scope(table)}, item {item})", decode, next_step=broken)


def _sample(number: int, row: object) -> Sample:
    if not isinstance(row, list) or len(row) != len(_NAMES):
        raise Malformed(f"samples[{number}]", f"is not a list of {len(_NAMES)} values")
    try:
        return decoded(Sample, dict(zip(_NAMES, row, strict=True)))
    except Malformed as error:
        raise Malformed(f"samples[{number}].{error}", "") from None


def _greater(one: N | None, other: N | None) -> N | None:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)
