"""Whether a follow is alive, and whether its tables are as they should be: for probes of systemd and Kubernetes.

Alive is a process of whose tables something is heard: a checkpoint, a look at the slot, a run that begins or ends, an
error that is tried again. An idle table is heard of too: in mode cdc every ten seconds, in mode watermark at each run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gridferry import numbers
from gridferry.engine.events import (
    Checkpointed,
    Event,
    FollowStarted,
    SlotSeen,
    SyncEnded,
    SyncStarted,
    TableFailed,
    TableLeftOut,
)
from gridferry.metrics.levels import Level

STALL_S = 300.0
_SYNC = "sync"


@dataclass
class _Table:
    """One table that is followed, as it was heard of last."""

    heard_at: float
    level: Level = field(default_factory=Level)
    begun: bool = False  # a run ended well, or is at work and has looked around
    looks: int = 0  # at the slot, since the run began: the second shows that the stream is read
    left_out: bool = False  # by somebody's wish: nothing is expected of it
    failed: str = ""  # the kind of error that ended the last run


class FollowHealth:
    """Hears events, from any thread. What does not follow, as a load, is always alive and ready.

    Args: follows: whether a follow is to come; stall_s: how long nothing may be heard, beside the time from one run to
        the next; max_lag_s: how old the state that a table shows may be, None for any age; clock, now: seconds; now
        since 1970.
    """

    def __init__(
        self,
        *,
        follows: bool,
        stall_s: float = STALL_S,
        max_lag_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._follows = follows
        self._stall_s = stall_s
        self._max_lag_s = max_lag_s
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._interval_s: float | None = None  # None: nothing is followed yet
        self._heard_at = clock()
        self._tables: dict[str, _Table] = {}

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        with self._lock:
            self._heard_at = self._clock()
            if isinstance(event, FollowStarted):
                self._interval_s = event.interval_s
                known = self._tables
                self._tables = {name: known.get(name) or self._fresh() for name in event.tables}
                for table in self._tables.values():
                    table.heard_at, table.failed = self._heard_at, ""
                return
            name = getattr(event, "table", "")
            if name in self._tables or isinstance(event, SyncStarted):
                table = self._tables.setdefault(name, self._fresh())
                table.heard_at = self._heard_at
                self._heard(table, event)

    def stuck(self) -> str:
        """Why the process is not alive any more, or "" where it is."""
        with self._lock:
            silent = self._clock() - self._heard_at
            if not self._follows or silent <= self._stall_s + (self._interval_s or 0.0):
                return ""
            return f"nothing was heard of any table for {numbers.duration(silent)}"

    def unready(self) -> dict[str, str]:
        """The tables that are not as they should be, and why."""
        with self._lock:
            if self._interval_s is None:
                return {"sync": "it has not begun to follow"} if self._follows else {}
            found = {name: self._wrong(table, self._interval_s) for name, table in self._tables.items()}
            return {name: why for name, why in found.items() if why}

    def _fresh(self) -> _Table:
        return _Table(self._clock())

    def _heard(self, table: _Table, event: Event) -> None:
        if isinstance(event, TableLeftOut):
            table.left_out = True
        elif isinstance(event, SyncStarted):
            table.looks, table.left_out = 0, False
        elif isinstance(event, Checkpointed):
            table.level.checkpointed(event)
            table.begun, table.failed = True, ""
        elif isinstance(event, SlotSeen):
            table.level.slot_seen(event, now=self._now())
            table.looks += 1
            if table.looks > 1:
                table.begun, table.failed = True, ""
        elif isinstance(event, SyncEnded):
            table.failed = event.error
            table.begun = table.begun or not event.error
        elif isinstance(event, TableFailed) and event.doing == _SYNC:
            table.failed = type(event.error).__name__

    def _wrong(self, table: _Table, interval_s: float) -> str:
        silent = self._clock() - table.heard_at
        lag = table.level.lag_s(self._now())
        if table.left_out:
            return ""
        if table.failed:
            return f"failed: {table.failed}"
        if silent > self._stall_s + interval_s:
            return f"stalled: nothing was heard of it for {numbers.duration(silent)}"
        if not table.begun:
            return "its first run is not over"
        if self._max_lag_s is not None and lag is not None and lag > self._max_lag_s:
            return f"lags: it shows the state of {numbers.duration(lag)} ago"
        return ""
