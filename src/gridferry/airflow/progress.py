"""What a run reports, as lines in a task's log: notes at once, rows and rows a second now and then."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from gridferry.numbers import duration, plural, rate, size

if TYPE_CHECKING:
    from gridferry.engine.events import Event

_EVERY_S = 10.0


class LoggedProgress:
    """A listener that logs. Called by several threads; a line too many or too few does no harm."""

    def __init__(self, log: logging.Logger | Any, *, every_s: float = _EVERY_S) -> None:
        self._log = log
        self._every_s = every_s
        self._rows = 0
        self._octets = 0
        self._began = self._said = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        from gridferry.engine.events import Level, LoadStarted, Note, RowsPut

        if isinstance(event, Note):
            level = logging.WARNING if event.level is Level.WARNING else logging.INFO
            self._log.log(level, "%s: %s", event.table, event.message)
        elif isinstance(event, LoadStarted):
            self._began = self._said = time.monotonic()
            self._rows = self._octets = 0
            self._log.info(
                "%s: %s chunks, %s of them done, about %s rows in all",
                event.table,
                f"{event.chunks:,}",
                f"{event.done_chunks:,}",
                f"{event.rows:,}",
            )
        elif isinstance(event, RowsPut):
            self._rows += event.rows
            self._octets += event.octets
            now = time.monotonic()
            if now - self._said >= self._every_s:
                self._said = now
                self._log.info("%s: %s", event.table, speed(self._rows, self._octets, now - self._began))


def speed(rows: int, octets: int, seconds: float) -> str:
    """`1,200,000 rows, 64 MB in 4.1 s, 292,000 rows/s`; `no rows in 0.1 s`."""
    if not rows:
        return f"no rows in {duration(seconds)}"
    said = f"{plural(rows, 'row')}, {size(octets)} in {duration(seconds)}"
    return f"{said}, {rate(rows / seconds)}" if seconds > 0 else said
