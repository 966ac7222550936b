"""What the tables of a sync do, as lines of a log: at most one line a table and second for its checkpoints."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gridferry.cli.log_lines import LogLines, Severity, every
from gridferry.model.outcomes import SyncOutcome

if TYPE_CHECKING:
    from gridferry.engine.events import (
        Checkpointed,
        Event,
        FollowStarted,
        Listener,
        Note,
        SyncEnded,
        SyncStarted,
        TableFailed,
        TableLoad,
        TableSync,
    )
    from gridferry.metrics.levels import Level

LINE_EVERY_S = 1.0
_COUNTED = ("read", "written", "deleted", "superseded", "quarantined", "truncates")


@dataclass
class _Course:
    """One table: how far it is, and what its checkpoints stored since its last line."""

    level: Level
    at_work: bool = False  # a line said that it began, and none yet that it ended
    last: Checkpointed | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    printed: float = float("-inf")


@contextmanager
def logged(lines: LogLines, *, follow: bool) -> Iterator[Listener]:
    """A listener that writes lines, for the time of the block."""
    log = SyncLog(lines, follow=follow)
    try:
        with every(LINE_EVERY_S / 2, log.flush_due, name="gridferry-log"):
            yield log
    finally:
        log.flush()


class SyncLog:
    """Hears the events of a sync, from any thread, and writes lines.

    A run that finds nothing new is no line where it is one of many, as mode watermark follows.
    """

    def __init__(
        self,
        lines: LogLines,
        *,
        follow: bool,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._lines = lines
        self._follow = follow
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._courses: dict[str, _Course] = {}

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        from gridferry.engine import events

        with self._lock:
            if isinstance(event, events.Checkpointed):
                self._checkpointed(event)
            elif isinstance(event, events.SlotSeen):
                self._course(event.table).level.slot_seen(event, now=self._now())
            elif isinstance(event, events.SyncStarted):
                self._started(event)
            elif isinstance(event, events.SyncEnded):
                self._ended(event)
            elif isinstance(event, events.TableSync):
                self._done(event)
            elif isinstance(event, events.TableFailed):
                self._failed(event)
            elif isinstance(event, events.TableLoad):
                self._loaded(event)
            elif isinstance(event, events.FollowStarted):
                self._following(event)
            elif isinstance(event, events.Note):
                self._note(event)

    def flush_due(self) -> None:
        """Write what waits to be told for long enough."""
        with self._lock:
            for table, course in self._courses.items():
                self._print(table, course, due=True)

    def flush(self) -> None:
        """Write all that waits to be told."""
        with self._lock:
            for table, course in self._courses.items():
                self._print(table, course)

    def _course(self, table: str) -> _Course:
        from gridferry.metrics.levels import Level

        return self._courses.setdefault(table, _Course(Level()))

    def _checkpointed(self, event: Checkpointed) -> None:
        course = self._course(event.table)
        course.level.checkpointed(event)
        done = {name: getattr(event, name) for name in _COUNTED}
        if any(done.values()):
            course.counts = {name: course.counts.get(name, 0) + count for name, count in done.items()}
            course.last = event
            self._print(event.table, course, due=True)

    def _print(self, table: str, course: _Course, *, due: bool = False) -> None:
        """Write the line of a table's checkpoints, if there were any; with `due` not within a second of the last."""
        if course.last is None or (due and self._clock() - course.printed < LINE_EVERY_S):
            return
        event, course.last = course.last, None
        counts, course.counts = course.counts, {}
        course.printed = self._clock()
        lag = course.level.lag_s(self._now())
        self._lines.say(
            "checkpoint",
            table=table,
            mode=event.mode.value,
            **counts,
            lag_s=None if lag is None else round(lag, 3),
            position=event.position,
            as_of=event.as_of,
        )

    def _started(self, event: SyncStarted) -> None:
        course = self._course(event.table)
        if not course.at_work:
            course.at_work = True
            self._lines.say("started", table=event.table, mode=event.mode.value)

    def _ended(self, event: SyncEnded) -> None:
        course = self._course(event.table)
        self._print(event.table, course)
        if event.error:
            course.at_work = False
            level = Severity.ERROR if event.outcome is SyncOutcome.FAILED else Severity.WARNING
            fields = {"outcome": event.outcome.value, "error": event.error, "seconds": round(event.seconds, 3)}
            self._lines.say("ended", level=level, table=event.table, mode=event.mode.value, **fields)

    def _done(self, event: TableSync) -> None:
        from gridferry.plan.sync_options import SyncMode

        if self._follow and event.mode is SyncMode.WATERMARK and event.outcome is SyncOutcome.NOTHING_NEW:
            return  # the next one comes in a moment
        self._course(event.table).at_work = self._follow and event.mode is SyncMode.WATERMARK
        self._lines.say(
            "ended",
            table=event.table,
            mode=event.mode.value,
            outcome=event.outcome.value,
            read=event.read,
            written=event.rows,
            deleted=event.deleted,
            superseded=event.superseded,
            quarantined=event.quarantined,
            seconds=round(event.seconds, 3),
            position=event.position,
            as_of=event.as_of,
        )

    def _failed(self, event: TableFailed) -> None:
        self._lines.say(
            "failed",
            level=Severity.ERROR,
            table=event.table,
            error=type(event.error).__name__,
            message=f"failed to {event.doing}: {event.error.message}.",
            next_step=event.error.next_step,
        )

    def _loaded(self, event: TableLoad) -> None:
        self._lines.say("loaded", table=event.table, outcome=event.outcome.value, written=event.rows)

    def _following(self, event: FollowStarted) -> None:
        self._lines.say("following", tables=len(event.tables), interval_s=event.interval_s)

    def _note(self, event: Note) -> None:
        from gridferry.engine.events import Level

        level = Severity.WARNING if event.level is Level.WARNING else Severity.INFO
        self._lines.say("note", level=level, table=event.table, message=event.message)
