"""A table brought back, whatever is wrong with it, while the others go on: docs/adr/0029.

Where the plan is the loaded one, it is repaired in place: followed from a new place in the log, then compared with the
source value by value, so that its rows can be read all the time. Else it is copied again.

The order that keeps data safe: that the table is being brought back is written first, and every sync leaves it out from
then on; its old place in the log is given up; then it is made level; only then that word is taken back, and whoever
follows the others takes it up. Killed anywhere, it stays left out until the same command was run to its end.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.standings import StandingKind
from gridferry.engine.events import Level, Note
from gridferry.engine.life.places import PATIENCE_S, give_up_place
from gridferry.engine.load.loads import Loads
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.ownership.lineage import check_origin
from gridferry.engine.ownership.origin_check import changed_options, require_names_kept
from gridferry.engine.ownership.parts import first_look
from gridferry.engine.ownership.replace_advice import droppable
from gridferry.engine.repair.level import begin_anew, bring_level
from gridferry.engine.repair.new_source import DEFAULT_SETTLE_S
from gridferry.engine.sync.cdc.mode import CdcSync
from gridferry.engine.sync.cdc.renew_slot import SlotRenewal
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.modes import follower
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.sync.watermark.run import new_cursor
from gridferry.errors import CheckpointError, DataError, FerryError, LeaseHeld, NotLoaded, OtherTable
from gridferry.model.sync_failure import sync_failure
from gridferry.model.table import Table
from gridferry.plan.drift import fit, require_fit
from gridferry.plan.stored import require_agrees
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions

_LEFT = "nothing was changed"


@dataclass(frozen=True)
class ResyncPlan:
    """How one table is brought back: in place, or by a new copy where `copies` says why. `drops` is what goes then."""

    table: str
    copies: str = ""
    drops: str = ""


class Resync:
    """Brings tables back. `copy`: by a new copy, also where the rows could be repaired in place."""

    def __init__(self, ends: Endpoints, *, copy: bool, wait_s: float) -> None:
        self._ends = ends
        self._state = ends.state
        self._source = ends.source
        self._copy = copy
        self._wait_s = wait_s

    def plan(self, options: TableOptions) -> ResyncPlan:
        """How a table would be brought back. Changes nothing.

        Raises: NotLoaded where it never was; OtherSource for another source; SourceError for a table that is gone.
        """
        table = options.qualified
        why = self._why_copied(options)
        if not why:
            return ResyncPlan(table)
        (held,) = droppable(self._state, [table])
        return ResyncPlan(table, why, str(held) if held.containers else "")

    def run(self, options: TableOptions) -> str:
        """Bring a table back. Returns: how. Raises: any FerryError; the table is left out until the next call."""
        table, plan = options.qualified, self.plan(options)
        self._state.standings.set(table, StandingKind.RESYNC, gives_up=True)
        try:
            give_up_place(self._state, self._ends.feed, table, wait_s=self._wait_s)
            # A run that was at work on it does not begin another one.
            with self._state.lease(table, wait_s=max(self._wait_s, PATIENCE_S)):
                pass
            if plan.copies:
                Loads(self._ends).load([options.table], replace=True, wait_s=self._wait_s)
            else:
                self._in_place(options)
        except FerryError as error:
            with suppress(FerryError):  # the error itself is told
                if self._state.runs.get(table) is not None:
                    self._state.failures.met(table, sync_failure(error, now=utc_now()))
            raise
        self._state.failures.forget(table)
        self._state.standings.forget(table)
        self._caught_up(options)
        return f"copied again: {plan.copies}" if plan.copies else "repaired in place"

    def _why_copied(self, options: TableOptions) -> str:
        (described,) = self._source.fetch_tables([options.table])
        try:
            run = self._state.runs.get(options.qualified)
        except CheckpointError:
            return "what is stored of its load is not readable"
        if run is None:
            if self._state.standings.get(options.qualified) is None:
                raise NotLoaded(
                    f"{options.qualified} was not loaded into this target",
                    state=_LEFT,
                    next_step="run `gridferry load`",
                )
            return "its containers were dropped"
        if self._copy:
            return "as it was asked"
        return self._why_not_in_place(options, run, described)

    def _why_not_in_place(self, options: TableOptions, run: LoadRun, described: Table) -> str:
        if run.state is not RunState.LOADED or run.plan is None:
            return f"its load is {run.state.value}, not finished"
        changed = changed_options(run, options)
        if changed:
            return changed
        misfit = fit(run.plan, options, described.columns).misfit
        if misfit is not None:
            return f"the column {misfit.column} {misfit.what}"
        try:
            check_origin(self._state, self._source, options, run, left=_LEFT)
            require_names_kept(self._state, run.plan, options, left=_LEFT)
            require_agrees(run.plan, options, described, left=_LEFT)
            self._state.catalog.of(run.plan)
        except OtherTable as error:
            return error.message
        except CheckpointError as error:
            if error.concerns_all or type(error) is not CheckpointError:
                raise
            return error.message
        return ""

    def _in_place(self, options: TableOptions) -> None:
        table = options.qualified
        with self._state.lease(table, wait_s=self._wait_s) as lease:
            run = self._state.runs.get(table)
            if run is None or run.plan is None:
                raise CheckpointError(f"the load of {table} is gone", next_step="run `gridferry load`")
            with self._source.open_snapshot() as view:
                (described,) = view.fetch_tables([options.table])
                fitted = require_fit(
                    require_agrees(run.plan, options, described, left=_LEFT), options, described, left=_LEFT
                )
                plan = fitted.plan
                parts = first_look(view, plan)
                cursor = new_cursor(view, options, plan) if options.sync_mode is SyncMode.WATERMARK else None
            lease.check()
            self._state.parts.save(parts)
            if fitted.changes:
                run = self._state.runs.replan(run, plan)
            for change in fitted.changes:
                self._ends.tell(Note(table, change, Level.WARNING))
            if cursor is not None:
                begin_anew(self._state, table, cursor)
            elif options.sync_mode is SyncMode.CDC:
                renewal = SlotRenewal(self._state, lease, self._source, options=options, tell=self._ends.tell)
                renewal.run(run, plan, because="the table is brought back")
        sync = None if options.sync is None else self._sync_beside
        if sync is not None:
            sync(options)
        differs = bring_level(
            self._state,
            self._source,
            self._ends.tell,
            options,
            wait_s=self._wait_s,
            settle_s=DEFAULT_SETTLE_S,
            sync=sync,
        )
        if differs:
            raise DataError(
                f"{table} and its source are not equal yet: {differs}",
                table=table,
                state="what was repaired stays, and is in the journal; the table is left out until it is brought back",
                next_step=f"run `gridferry resync {options.table}` again; `gridferry verify` says which rows differ",
            )

    def _sync_beside(self, options: TableOptions) -> None:
        self._follower(options, SyncSettings(wait_s=self._wait_s, resyncing=True)).run()

    def _caught_up(self, options: TableOptions) -> None:
        """Store what was committed since, and let the slot of all tables follow this one; or leave that to a sync."""
        if options.sync is None:
            return
        each = self._follower(options, SyncSettings())
        try:
            done = each.join() if self._ends.follows_many and isinstance(each, CdcSync) else each.run()
        except LeaseHeld:
            self._ends.tell(Note(options.qualified, "the sync that runs takes it up"))
            return
        self._ends.tell(done)

    def _follower(self, options: TableOptions, settings: SyncSettings) -> Follower:
        return follower(self._source, self._state, options, settings=settings, listener=self._ends.tell)
