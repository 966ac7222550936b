"""How far a load of several tables is, and how long the rest of it takes: told by its events, no I/O."""

from __future__ import annotations

from gridferry import numbers
from gridferry.engine.events import Event, LoadsStarted, LoadStarted, RowsPut, TableFailed, TableLoad

_FAIR_S = 1.0  # before that, no speed is known


class LoadProgress:
    """The sums over all tables. Rows of one table may be a hundred times as large as those of another, so the time that
    is left is told by their bytes in PostgreSQL. Not safe for use by several threads.
    """

    def __init__(self, started: LoadsStarted, *, now: float) -> None:
        """Args: now: a time in seconds, on whatever clock."""
        self.started = started
        self.rows = started.done_rows
        self.ended = 0  # tables, loaded or failed
        self._octets = 0.0  # of rows that this run has put
        self._began = now
        self._row_octets: dict[str, float] = {}

    def hear(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, LoadStarted):
            self._row_octets[event.table] = event.plan.size_bytes / max(1, event.plan.rows)
        elif isinstance(event, RowsPut) and event.table in self._row_octets:
            self.rows += event.rows
            self._octets += event.rows * self._row_octets[event.table]
        elif isinstance(event, TableLoad | TableFailed) and self._row_octets.pop(event.table, None) is not None:
            self.ended += 1

    def speed(self, now: float) -> float:
        """Rows per second that this run puts; 0 where that is not known yet."""
        seconds = now - self._began
        return (self.rows - self.started.done_rows) / seconds if seconds >= _FAIR_S else 0.0

    def left_s(self, now: float) -> float | None:
        """About how many seconds the rest takes; None where that is not known yet."""
        seconds = now - self._began
        if seconds < _FAIR_S or not self._octets:
            return None
        left = self.started.octets - self.started.done_octets - self._octets
        return max(0.0, left) * seconds / self._octets

    def line(self, now: float) -> str:
        """`12 of 40 tables, 1,200,000 of 10,000,000 rows, 200,000 rows/s, about 40 s left`."""
        parts = [
            f"{numbers.count(self.ended)} of {numbers.plural(self.started.tables, 'table')}",
            f"{numbers.count(self.rows)} of {numbers.plural(self.started.rows, 'row')}",
        ]
        if speed := self.speed(now):
            parts.append(numbers.rate(speed))
        left = self.left_s(now)
        if left is not None and left >= 0.5:
            parts.append(f"about {numbers.duration(left)} left")
        return ", ".join(parts)
