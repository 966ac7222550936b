"""The draining of tables: everything that was committed before the look began is to be stored, of all of them.

Tables that one slot follows are drained by one run. Beside a sync that goes on its progress is waited for, not its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gridferry.checkpoint.state import TargetState
from gridferry.engine.cutover.table import CutoverWork, LookedAt
from gridferry.engine.events import TableSync
from gridferry.engine.retry import is_transient
from gridferry.errors import FerryError, LeaseHeld
from gridferry.model.position import Lsn
from gridferry.plan.sync_options import SyncMode

_POLL_S = 0.5

Outcomes = dict[str, TableSync | FerryError]


class Drain:
    """Drains tables up to where the log ended, and tells what came later. Made for one cut-over."""

    def __init__(
        self,
        state: TargetState,
        work: CutoverWork,
        *,
        end: Lsn,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Args: end: of the log, behind every commit that could be seen when the look began."""
        self._state = state
        self._work = work
        self._end = end
        self._clock = clock
        self._sleep = sleep
        self._deadline = clock() + work.settings.wait_s
        self._ran: Outcomes = {}

    def begin(self, tables: Sequence[LookedAt]) -> None:
        """One sync of all tables that are loaded and that nobody works on; mode watermark looks at whole tables."""
        followed = [table for table in tables if table.has_ended_load]
        self._ran = {
            **self._synced([t for t in followed if t.mode is SyncMode.CDC and self._is_free(t)], sweep=False),
            **self._synced([t for t in followed if t.mode is SyncMode.WATERMARK], sweep=True),
        }

    def drained(self, table: LookedAt) -> LookedAt:
        """Note whether all of a table is stored, after `begin`. Raises: what may pass, and what concerns all tables."""
        if not table.has_ended_load:
            return table
        if table.mode is None:
            table.drained = True
            table.check("drained", True, "the table is not followed: there is nothing to drain")
            return table
        try:
            self._drained(table)
            table.drained = True
        except FerryError as error:
            if is_transient(error) or error.concerns_all:
                raise
            table.check("drained", False, error.message, error.next_step or "gridferry sync")
        return table

    def late(self, tables: Sequence[LookedAt]) -> Callable[[LookedAt], int]:
        """One more sync of all tables. Returns: what says how many changes of a table came since the drain.

        That raises what the sync of the table raised.
        """
        followed = [table for table in tables if table.drained and table.mode is not None]
        ran = self._synced([table for table in followed if self._is_free(table)], sweep=False)

        def late_of(table: LookedAt) -> int:
            if not table.drained or table.mode is None:
                return 0
            cdc = table.mode is SyncMode.CDC
            outcome = ran.get(table.name)
            if isinstance(outcome, TableSync):
                return outcome.read if cdc else outcome.fresh
            if isinstance(outcome, FerryError) and not (cdc and isinstance(outcome, LeaseHeld)):
                raise outcome
            return self._read(table) - table.read if cdc else 0  # another sync has it

        return late_of

    def _synced(self, tables: Sequence[LookedAt], *, sweep: bool) -> Outcomes:
        """What one sync of some tables came to. A table that was not tried has the error that ended it."""
        if not tables:
            return {}
        tried = self._work.sync([table.options for table in tables], sweep)
        outcomes: Outcomes = dict(zip(tried.finished, tried.done, strict=True))
        outcomes |= {failed.table: failed.error for failed in tried.failures}
        if tried.failures:
            outcomes |= dict.fromkeys(tried.not_tried, tried.failures[-1].error)
        return outcomes

    def _is_free(self, table: LookedAt) -> bool:
        return self._state.holder_of(table.name) is None

    def _drained(self, table: LookedAt) -> None:
        outcome = self._ran.pop(table.name, None)
        if table.mode is SyncMode.WATERMARK:
            if isinstance(outcome, FerryError):
                raise outcome
            record = self._state.cursors.get(table.name)
            table.drained_to = "" if record is None else record.cursor.clock
            table.check("drained", True, f"all rows of the source as of {table.drained_to} were looked at")
            return
        if isinstance(outcome, FerryError) and not isinstance(outcome, LeaseHeld):
            raise outcome
        if not isinstance(outcome, TableSync):
            self._await_stream(table)
        position = self._position(table)
        table.drained_to = str(position)
        reached = position >= self._end
        detail = f"changes up to {position} are stored; the log ended at {self._end} when this began"
        table.check("drained", reached, detail, "gridferry sync")
        table.read = self._read(table)

    def _await_stream(self, table: LookedAt) -> None:
        """Wait until the sync that runs has passed where the log ended; sync, where there is none any more.

        Raises: LeaseHeld if it does not in time; any FerryError of the sync.
        """
        while True:
            if self._is_free(table):
                outcome = self._synced([table], sweep=False).get(table.name)
                if isinstance(outcome, TableSync):
                    return
                if isinstance(outcome, FerryError) and not isinstance(outcome, LeaseHeld):  # else another was first
                    raise outcome
            if self._position(table) >= self._end:
                return
            if self._clock() >= self._deadline:
                raise LeaseHeld(
                    f"{table.name} is being synced and has reached {self._position(table)}, not yet {self._end}",
                    state="nothing was changed",
                    next_step="run it again with --wait 60: it then waits for the sync to get there",
                )
            self._sleep(_POLL_S)

    def _position(self, table: LookedAt) -> Lsn:
        record = self._state.positions.get(table.name)
        start = "" if table.run is None else table.run.start
        return record.position if record is not None else Lsn.parse(start or "0/0")

    def _read(self, table: LookedAt) -> int:
        record = self._state.positions.get(table.name)
        return 0 if record is None else record.read
