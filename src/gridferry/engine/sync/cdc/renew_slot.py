"""A new slot for a loaded table whose own is lost, without a new load: the sync goes on, and the gap is written down.

The order that keeps data safe: what is left of the old slot goes; the record says that a new one is being made; the
slot is made; the record gets its position, and what was not seen. In between no run reads from it. Killed anywhere,
the next call makes it again, and the gap still begins where the changes were last followed.
"""

from __future__ import annotations

from dataclasses import replace

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.positions import CdcRecord, Gap
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note
from gridferry.engine.slots import SlotOfLoad, slots_of
from gridferry.engine.sync.cdc.gaps import GAP
from gridferry.engine.sync.cdc.source_checks import SourceWatch
from gridferry.errors import CheckpointError
from gridferry.model.position import Lsn
from gridferry.model.publishing import ChangeAccess
from gridferry.model.table import Table
from gridferry.plan.plan import TablePlan
from gridferry.plan.planner import require_none, require_open
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.source import PostgresSource


class SlotRenewal:
    """Makes the slot of one table again, where it has none that can be read. Under the table's lease."""

    def __init__(
        self, state: TargetState, lease: Lease, source: PostgresSource, *, options: TableOptions, tell: Listener
    ) -> None:
        self._state = state
        self._lease = lease
        self._source = source
        self._feed = ChangeFeed(source.address)
        self._options = options
        self._tell = tell
        self._watch = SourceWatch(source, options, tell)

    def run(self, run: LoadRun, plan: TablePlan, *, because: str = "") -> LoadRun:
        """Make a new slot if the stream cannot go on with the one there is. Returns the run as it is then.

        Args: because: why one is made whatever can be said of the old one, which may be at another server.
        Raises: PlanError for what the source does not allow, SourceRefused for a slot of somebody else, SlotInUse:
        nothing is changed by these; SourceError.
        """
        record = self._record(run)
        why = because or self._why(run, plan, record)
        if not why:
            self._tell(Note(run.table, f"the slot {run.slot} holds every change: no other was made"))
            return run
        own = slots_of(self._feed, self._state, run.table)
        name = run.slot if run.slot in own else own[0]
        (table,) = self._source.fetch_tables([self._options.table])
        slot = SlotOfLoad(self._source, [name], self._tell)
        self._require_followable(table, plan, slot.access(table))
        self._lease.check()
        self._feed.drop(name)
        record = self._begun(record)
        run = self._state.runs.with_slot(run, name, start=record.position)
        self._lease.check()
        with slot.open(table) as made:
            start = made.start
        record = self._made(record, start)
        said = "" if record.gap is None else GAP.format(record.gap.before, record.gap.after)
        self._tell(Note(run.table, f"a new slot was made: {why}. {said}", Level.WARNING))
        return run

    def _record(self, run: LoadRun) -> CdcRecord:
        """How far the table was followed: by this mode, else by the load alone."""
        ours = self._state.positions.mode_of(run.table) is CdcRecord.mode
        found = self._state.positions.get(run.table) if ours else None
        if found is not None:
            return found
        start = run.start or ("" if run.snapshot is None else run.snapshot.lsn)
        if not start:
            raise CheckpointError(
                f"the load of {run.table} does not say its place in the log",
                state="nothing was changed",
                next_step="load it again with `gridferry load --replace`",
            )
        return CdcRecord(run.table, Lsn.parse(start))

    def _why(self, run: LoadRun, plan: TablePlan, record: CdcRecord) -> str:
        if not run.slot:
            return "the table had none"
        if run.slot not in slots_of(self._feed, self._state, run.table):
            return f"the slot {run.slot}, which is stored with its load, is not the table's own"
        if record.gap is not None and record.gap.after is None:
            return "an earlier call was interrupted"
        return self._watch.why_lost(run, plan, record)

    def _require_followable(self, table: Table, plan: TablePlan, access: ChangeAccess) -> None:
        require_open(table, access, stops="the sync")
        found = self._watch.problems(plan, replace(access, obstacles=()))
        require_none((f"{table.qualified}: {p.message} ({p.advice})" for p in found), stops="the sync")

    def _begun(self, record: CdcRecord) -> CdcRecord:
        """Write that nothing may be read until the new slot's position is written."""
        before = record.position if record.gap is None else record.gap.before
        record = replace(record, gap=Gap(before))
        if self._state.positions.mode_of(record.table) in (None, CdcRecord.mode):
            return self._state.positions.save(record)
        return self._state.positions.take_over(record)

    def _made(self, record: CdcRecord, start: Lsn) -> CdcRecord:
        origin = self._feed.origin()
        horizon, at = self._feed.horizon()
        before = record.position if record.gap is None else record.gap.before
        gap = Gap(before, start, at, horizon, origin.system)
        self._lease.check()
        return self._state.positions.save(replace(record, position=start, origin=origin, gap=gap))
