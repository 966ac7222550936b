"""Keeps the history of one table's sync while it runs: seldom, so that no run gets slower by it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.history import HistoryStore, Sample
from gridferry.engine.events import Level, Listener, Note, TableSync
from gridferry.errors import CheckpointError
from gridferry.model.moment import age_s, later
from gridferry.model.outcomes import SyncOutcome
from gridferry.model.position import Lsn
from gridferry.plan.sync_options import SyncMode

EVERY_S = 30.0

_NOTHING = TableSync("", SyncMode.CDC, SyncOutcome.NOTHING_NEW)  # what a run has done at first; only counts are used


class SyncHistory:
    """Samples of one table's runs, written at most every `EVERY_S`; those between are joined to the next one."""

    def __init__(
        self,
        store: HistoryStore,
        table: str,
        *,
        tell: Listener,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], str] = utc_now,
    ) -> None:
        self._store = store
        self._table = table
        self._tell = tell
        self._clock = clock
        self._now = now
        self._written_at: float | None = None
        self._waiting: Sample | None = None
        self._as_of = ""
        self._told = _NOTHING
        self._seen: tuple[str, Lsn] | None = None

    def looked(self, so_far: TableSync, *, position: Lsn, current: Lsn) -> None:
        """Note how far an endless run is: `so_far` is what it has done, `current` the end of the source's log now.

        Where nothing is committed, no commit says how new the stored state is: once `position` is past what was the
        log's end at an earlier look, the state is at least as new as that look.
        """
        as_of = so_far.as_of
        if self._seen is not None and position >= self._seen[1]:
            as_of = later(as_of, self._seen[0])
        at = self._now()
        self._seen = (_micros(at), current)
        sample = self._sample(replace(so_far, as_of=as_of), at)
        self._told = so_far
        self._note(replace(sample, lag_bytes=max(0, current.value - position.value)))

    def ended(self, done: TableSync, *, last: bool = False) -> None:
        """Note that a run has ended; `last` says that none comes after it, so that nothing may wait to be written."""
        sample = self._sample(done, self._now())
        self._told = _NOTHING
        self._note(replace(sample, runs=1), at_once=last)

    def _sample(self, so_far: TableSync, at: str) -> Sample:
        """What was done since the last sample."""
        told, as_of = self._told, later(so_far.as_of, self._as_of)
        before, self._as_of = self._as_of, as_of
        return Sample(
            at=at,
            as_of=as_of,
            lag_s=age_s(before, at) if before else None,
            seconds=round(so_far.seconds - told.seconds, 3),
            read=so_far.read - told.read,
            written=so_far.rows - told.rows,
            deleted=so_far.deleted - told.deleted,
            quarantined=so_far.quarantined - told.quarantined,
        )

    def _note(self, sample: Sample, *, at_once: bool = False) -> None:
        self._waiting = sample if self._waiting is None else self._waiting.joined(sample)
        now = self._clock()
        if not at_once and self._written_at is not None and now - self._written_at < EVERY_S:
            return
        self._written_at = now
        try:
            self._store.add(self._table, self._waiting)
        except CheckpointError as error:
            self._tell(Note(self._table, f"a new history of runs begins: {error.message}", Level.WARNING))
            self._store.forget(self._table)
            self._store.add(self._table, self._waiting)
        self._waiting = None


def _micros(stamp: str) -> str:
    """A time of `utc_now` in the form of `Snapshot.taken_at`: all times of a sample are written alike."""
    return stamp.replace("+00:00", "000Z")
