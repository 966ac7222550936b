"""What somebody wants of a table while a run follows it: that it is left out, and maybe gives up its place in the slot.

The run that follows a slot is the only one that may take a table out of it. So who removes a table, or brings one back,
writes that down and waits; the run finds it within seconds, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.standings import Standing
from gridferry.checkpoint.state import TargetState
from gridferry.engine.slots import leave_slot
from gridferry.engine.sync.cdc.table import FollowedTable
from gridferry.engine.sync.left_out import LOOK_EVERY_S, LeftOut
from gridferry.errors import FerryError, LeaseHeld, SlotLost
from gridferry.model.position import Lsn
from gridferry.source.postgres.feed import ChangeFeed


class Wishes:
    """The wishes that one run looks after.

    `kept` is from where its slot keeps log for tables that the run does not follow.
    """

    def __init__(
        self,
        state: TargetState,
        feed: ChangeFeed,
        *,
        left_out: LeftOut,
        left: Callable[[str, FerryError | None], None] = lambda table, error: None,
        shared: str = "",
        kept: dict[str, Lsn] | None = None,
    ) -> None:
        """Args: left: called with a table that the run goes on without, and with its error, None where somebody wished
        it; shared: the slot of all tables, where the run follows that.
        """
        self.left = left
        self.kept = {} if kept is None else kept
        self._state = state
        self._feed = feed
        self._left_out = left_out
        self._shared = shared
        self._looked_at = time.monotonic()
        self._done: set[str] = set()

    def look(self, tables: Sequence[FollowedTable], check: Callable[[], None]) -> None:
        """Leave out tables that somebody has paused or removed, or brings back, since the last look.

        Args: check: raises where the right to write was lost.
        """
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        wishes = self._left_out.all()
        for each in tables:
            standing = wishes.pop(each.name, None)
            if standing is None or each.left is not None:
                continue
            each.leave(standing)
            if standing.gives_up and self._shared:
                each.give_up()
            self._left_out.tell(standing)
            self.left(each.name, None)
        for standing in wishes.values():
            if standing.gives_up and self._shared and standing.table not in self._done:
                self._give_up(standing, check)

    def _give_up(self, standing: Standing, check: Callable[[], None]) -> None:
        """Let the place of a table go that this run does not follow, as one that could not go on before."""
        run = self._state.runs.get(standing.table)
        if run is not None and run.slot == self._shared:
            try:
                Lease(self._state.documents, standing.table).require_free()
            except LeaseHeld:
                return
            check()
            leave_slot(self._feed, self._state, run)
        self.kept.pop(standing.table, None)
        self._done.add(standing.table)

    def let_go(
        self, tables: Sequence[FollowedTable], too_old: Callable[[Lsn], bool], check: Callable[[], None]
    ) -> list[tuple[FollowedTable, FerryError]]:
        """Let the places go that hold too old log, of tables that cannot go on by themselves or are left out.

        The others go on then, and a resync brings these back. A table that only lags keeps its place.
        Args: too_old: whether a position holds so much log that the others could not go on.
        Returns: those that the run follows until now, with why it cannot any more.
        """
        if not self._shared:
            return []
        apart: list[tuple[FollowedTable, FerryError]] = []
        for each in tables:
            if not (each.keeps_log and too_old(each.position)):
                continue
            if each.is_followed and not self._is_stuck(each.name):
                continue
            each.give_up()
            if each.is_followed:
                apart.append((each, _let_go(each.name, each.position)))
            else:
                self._tell_let_go(each.name, each.position)
        for table, position in list(self.kept.items()):
            run = self._state.runs.get(table) if too_old(position) and self._is_stuck(table) else None
            if run is not None and run.slot == self._shared:
                check()
                leave_slot(self._feed, self._state, run)
                del self.kept[table]
                self._tell_let_go(table, position)
        return apart

    def _is_stuck(self, table: str) -> bool:
        """Whether a table that is not followed here will not go on by itself."""
        if self._state.standings.get(table) is not None:
            return True
        failure = self._state.failures.get(table)
        return failure is not None and not failure.try_again

    def _tell_let_go(self, table: str, position: Lsn) -> None:
        error = _let_go(table, position)
        self._left_out.warn(table, f"{error.message}: {error.state}. Next: {error.next_step}")


def _let_go(table: str, position: Lsn) -> SlotLost:
    return SlotLost(
        f"{table} could not go on and held back more log than `stop_lag`: its place at {position} was let go, so that "
        "the others go on",
        state="its rows are as they were; changes since then are missing",
        next_step=f"run `gridferry resync {table}`, which brings it back",
    )
