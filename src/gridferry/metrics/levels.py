"""How far each followed table is behind its source, from the events of its sync. Knows no Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

from gridferry.engine.events import Checkpointed, SlotSeen
from gridferry.model.moment import moment_of
from gridferry.model.position import Lsn
from gridferry.plan.sync_options import SyncMode


@dataclass
class Level:
    """How far one table is, and when it was known to be level with its source: seconds since 1970, 0 for never."""

    position: Lsn | None = None
    level_at: float = 0.0
    log_end: Lsn | None = None
    seen_at: float = 0.0

    def checkpointed(self, event: Checkpointed) -> None:
        """A checkpoint was written."""
        as_of = timestamp(event.as_of)
        if as_of is not None:
            self.level_at = max(self.level_at, as_of)
        if event.mode is SyncMode.CDC:
            self.position = Lsn.parse(event.position)
            self._compare()

    def slot_seen(self, event: SlotSeen, *, now: float) -> None:
        """The end of the log was seen at `now`, in seconds since 1970."""
        self.log_end, self.seen_at = Lsn.parse(event.log_end), now
        self._compare()

    @property
    def lag_bytes(self) -> int | None:
        """Log between the position and the end last seen; None while one of them is not known."""
        if self.position is None or self.log_end is None:
            return None
        return max(0, self.log_end.value - self.position.value)

    def lag_s(self, now: float) -> float | None:
        """At most so old is the state of the source that the target shows; None while it is not known."""
        return max(0.0, now - self.level_at) if self.level_at else None

    def _compare(self) -> None:
        """Whoever stored the log up to an end that was seen has all that was committed then."""
        if self.lag_bytes == 0:
            self.level_at = max(self.level_at, self.seen_at)


def timestamp(stamp: str) -> float | None:
    """Seconds since 1970 of a stamp as `TableSync.as_of` has it; None where there is none."""
    return moment_of(stamp).timestamp() if stamp else None
