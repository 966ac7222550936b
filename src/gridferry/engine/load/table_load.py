"""The beginning of one table's load: what is there already, whether it can begin or go on, and with which chunks.

The order that keeps data safe: plan and containers are on disk before the first row is put; a chunk's rows are on disk
before its checkpoint is written; a table counts as loaded only after both sides' rows were counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.origins import OriginRecord
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note, TableLoad
from gridferry.engine.load.copying import LoadOptions, OpensSnapshots, SnapshotView
from gridferry.engine.load.replacing import Replacing
from gridferry.engine.ownership.lineage import Checked, check_origin
from gridferry.engine.ownership.origin_check import require_names_kept
from gridferry.engine.ownership.parts import first_look
from gridferry.engine.ownership.replace_advice import droppable, what_goes
from gridferry.engine.slots import SlotOfLoad
from gridferry.errors import CheckpointError, FerryError, OtherSource
from gridferry.model.coverage import NO_COVERAGE
from gridferry.model.moment import shown
from gridferry.model.origin import Lineage
from gridferry.model.outcomes import LoadOutcome
from gridferry.model.parts import PartsRecord
from gridferry.model.table import Table
from gridferry.plan.advice import load_again
from gridferry.plan.coverage import coverage_of
from gridferry.plan.drift import changes_since, fingerprint, fit, same_load
from gridferry.plan.plan import TablePlan
from gridferry.plan.planner import plan_table, profile_request, require_sound
from gridferry.plan.stored import require_agrees, require_chunks
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.slots.slots import NewSlot


@dataclass(frozen=True)
class Begun:
    """A run that is written down, its lease, and the snapshot that its chunks were planned under.

    `expected` are the snapshot's rows by split value, where the plan counted them.
    """

    run: LoadRun
    view: SnapshotView
    lease: Lease
    outcome: LoadOutcome
    expected: dict[str | None, int] | None


@dataclass(frozen=True)
class Fresh:
    """A load of a table of which nothing is there: all that is to be written before it begins."""

    plan: TablePlan
    run: LoadRun
    origin: OriginRecord
    parts: PartsRecord


class TableLoader:
    """Begins the load of one table, or takes it up again. Made for one call of `begin`, or of `take_up`."""

    def __init__(
        self,
        *,
        source: OpensSnapshots,
        state: TargetState,
        options: TableOptions,
        load: LoadOptions,
        listener: Listener,
        slot: SlotOfLoad | None = None,
        slot_held: bool = False,
    ) -> None:
        """Args: `slot`: with mode cdc, the slot whose snapshot the load reads, and from which a sync goes on;
        `slot_held`: whether the caller keeps others from following the slot of all tables.
        """
        self._slot = slot
        self._slot_held = slot_held
        self._source = source
        self._options = options
        self._load = load
        self._tell = listener
        self._state = state
        self._broken = False  # what the state says of the table cannot be read, and is to be replaced

    @contextmanager
    def begin(self, table_name: str) -> Iterator[Begun]:
        """Write down a new run, or that an earlier one goes on, under a lease and a snapshot of the table's own.

        Both are held until the block ends. Raises: as `take_up`.
        """
        with self._source.open_snapshot() as view:
            (table,) = view.fetch_tables([table_name])  # a wrong name or address is reported before anything is written
        with ExitStack() as stack:
            lease = stack.enter_context(
                self._state.lease(table.qualified, wait_s=self._load.wait_s, slot_held=self._slot_held)
            )
            # Taken under the lease: an older one would put rows back as they were before another run's.
            held = stack.enter_context(ExitStack())
            view = held.enter_context(self._source.open_snapshot())
            (table,) = view.fetch_tables([table_name])
            yield self.take_up(held, view, table, lease)

    def take_up(self, held: ExitStack, view: SnapshotView, table: Table, lease: Lease) -> Begun:
        """Write down a new run, or that an earlier one goes on; a finished one stays as it is.

        Args: view: a snapshot that was taken under the lease; held: where another one is held that takes its place.
        Raises: any FerryError; it has the state and the next step.
        """
        before = self._before(table.qualified)
        if before is None or self._load.replace or before.state is RunState.REPLACING:
            run, view = self._fresh(held, view, table, before)
            return self._begun(run, lease, view)
        before, checked = self.require_same(view, table, before)
        if before.state is RunState.LOADED:
            if self._slot is not None and before.spare:
                self._slot.beside(before).drop_spare()
                before = self._state.runs.without_spare(before)
            return Begun(before, view, lease, LoadOutcome.ALREADY_LOADED, None)
        if self._slot is not None:
            self._slot.check(before)
            self._slot.beside(before).drop_spare()
        return Begun(self._resume(view, table, before, checked), view, lease, LoadOutcome.RESUMED, None)

    def nothing_to_do(self, view: SnapshotView, table: Table) -> TableLoad | None:
        """What is said of a table that is loaded already; None where something is to be done, under the table's lease.

        Needs no lease: a run that follows the table is not held up. Raises: as `take_up`.
        """
        before = None if self._load.replace else self._before(table.qualified)
        if before is None or before.state is not RunState.LOADED or before.spare:
            return None
        return self.already_loaded(self.require_same(view, table, before)[0])

    def makes_slot(self, table: Table) -> bool:
        """Whether it begins under the snapshot of a slot of its own. Raises: CheckpointError."""
        if self._slot is None or self._slot.shared:
            return False
        before = self._before(table.qualified)
        return before is None or self._load.replace or before.state is RunState.REPLACING

    def fresh(self, view: SnapshotView, table: Table) -> Fresh | None:
        """The load of a table of which the state knows nothing. The target is not looked at, and nothing is written.

        None where an earlier load is there, or a slot is to be made.
        Raises: as `take_up`.
        """
        if self._load.replace or self._before(table.qualified) is not None:
            return None
        slot = None if self._slot is None else self._slot.beside(None)
        if slot is None:
            return self._planned(view, table, self._plan(view, table, None))
        if not slot.shared:
            return None
        with slot.open(table) as made:
            return self._planned(view, table, self._plan(view, table, slot), made)

    def _planned(self, view: SnapshotView, table: Table, plan: TablePlan, made: NewSlot | None = None) -> Fresh:
        chunks = view.plan_chunks(table, rows_per_chunk=self._load.rows_per_chunk)
        options = fingerprint(self._options)
        run = LoadRun(plan.qualified, RunState.LOADING, plan, view.snapshot, chunks, options=options)
        if made is not None:
            run = replace(run, slot=made.name, start=str(made.start))
        origin = OriginRecord(run.table, view.fetch_table_origin(table.schema, table.name))
        return Fresh(plan, run, origin, first_look(view, plan))

    def begun(self, fresh: Fresh, lease: Lease, view: SnapshotView) -> Begun:
        """Write down a load whose containers are claimed."""
        return self._begun(self._written(fresh, before=None), lease, view)

    def drop_others(self) -> None:
        """Drop what earlier loads of the table left at the source. Only after the new one is written down."""
        if self._slot is not None:
            self._slot.drop_others(self._tell, self._options.qualified)

    def _written(self, fresh: Fresh, *, before: LoadRun | None) -> LoadRun:
        # First whose rows these are: a load without an origin could not be gone on with.
        self._state.origins.save(fresh.origin)
        self._state.parts.save(fresh.parts)
        return self._state.runs.begin(fresh.run, before=before)

    @staticmethod
    def _begun(run: LoadRun, lease: Lease, view: SnapshotView) -> Begun:
        # The plan counted every row under this very snapshot.
        expected = {c.value: c.rows for c in run.plan.containers} if run.plan is not None else None
        return Begun(run, view, lease, LoadOutcome.LOADED, expected)

    def already_loaded(self, run: LoadRun) -> TableLoad:
        """What is said of a table that was loaded before."""
        when = shown(run.finished_at)
        gone = what_goes(droppable(self._state, [run.table]))
        message = f"was loaded at {when} UTC; nothing to do ({gone})"
        held = self._state.quarantine.total(run.table)
        columns = NO_COVERAGE if run.plan is None else coverage_of(run.plan, options=self._options)
        covered = replace(columns, stored=run.rows, quarantined=held)
        return TableLoad(
            run.table,
            LoadOutcome.ALREADY_LOADED,
            chunks=len(run.chunks),
            quarantined=held,
            notes=(message,),
            coverage=covered,
        )

    def _before(self, table: str) -> LoadRun | None:
        """What the state says of the table. What cannot be read is forgotten where it is to be replaced."""
        try:
            return self._state.runs.get(table)
        except CheckpointError:
            if not self._load.replace:
                raise
        self._broken = True
        return None

    def _plan(self, view: SnapshotView, table: Table, slot: SlotOfLoad | None) -> TablePlan:
        profile = view.fetch_profile(profile_request(table, self._options))
        access = None if slot is None else slot.access(table)
        plan = plan_table(table, profile, self._options, access)
        require_sound(plan)
        return plan

    def require_same(self, view: SnapshotView, table: Table, before: LoadRun) -> tuple[LoadRun, Checked]:
        """The earlier load, its plan as the config has it now, and what is known of the source.

        Raises: CheckpointError if source, options or columns are not those of the earlier load, or if what is stored
        of it is not what config and catalog make of the table.
        """
        if before.plan is None or before.snapshot is None:
            raise CheckpointError(f"the load of {before.table} has no plan", next_step="load it again with --replace")
        try:
            checked = check_origin(self._state, view, self._options, before, left="nothing was changed")
        except OtherSource as error:
            if before.state is not RunState.LOADED:
                error.next_step = (
                    "if the address is wrong, put it right in the config; if this source took the other's place, drop "
                    "what was loaded of the other and load again with `gridferry load --replace`"
                )
            raise
        fitted = fit(before.plan, self._options, table.columns)
        what = f"the column {fitted.misfit.column} {fitted.misfit.what}" if fitted.misfit else ""
        if fitted.changes and before.state is not RunState.LOADED:  # half of it has the columns of before
            what = fitted.changes[0]
        if not same_load(self._options, before.options):
            changes = changes_since(self._options, before.options)
            what = f"its options in the config have changed{': ' if changes else ''}{changes}"
        if what:
            raise CheckpointError(
                f"{before.table} {'was' if before.state is RunState.LOADED else 'is partly'} loaded "
                f"with another plan: {what}",
                state="nothing was changed",
                next_step=f"put it back as it was, or {load_again(self._options.table)}",
            )
        require_names_kept(self._state, before.plan, self._options, left="nothing was changed")
        plan = require_agrees(before.plan, self._options, table, left="nothing was changed")
        plan = fit(plan, self._options, table.columns).plan
        require_chunks(before.chunks, table, left="nothing was changed")
        return replace(before, plan=plan), checked

    def _fresh(
        self, held: ExitStack, view: SnapshotView, table: Table, before: LoadRun | None
    ) -> tuple[LoadRun, SnapshotView]:
        """Begin a new load; in mode cdc under the snapshot of a new slot, which takes the place of `view` in `held`.

        What an earlier load left is dropped last of all: once the new one has its slot, its snapshot and its chunks.
        Raises: any FerryError; until the first drop, what was loaded before stays as it was.
        """
        slot = None if self._slot is None else self._slot.beside(before)
        replacing = Replacing(self._state, self._load, self._tell)
        if slot is not None and slot.shared:
            held.close()
            return self._begin_under(held.enter_context(slot.open(table)), slot, replacing, before)
        plan = self._plan(view, table, slot)
        replacing.check(plan, before, view)
        if slot is None:
            if before is not None and before.slot:
                message = f"the replication slot {before.slot} is still there: `gridferry drop-slot` drops it"
                self._tell(Note(plan.qualified, message, Level.WARNING))
            return self._begin(replacing, view, table, before, plan=plan), view
        held.close()
        if before is not None:
            # Before it is made: a slot that nobody knows of keeps log.
            before = self._state.runs.with_spare(before, slot.name)
        try:
            made = held.enter_context(slot.open(table))
            # What the table and the target are may have changed while the slot was waited for.
            plan = self._plan(made.snapshot, table, slot)
            replacing.check(plan, before, made.snapshot)
            run = self._begin(replacing, made.snapshot, table, before, plan=plan, made=made)
        except BaseException as error:
            held.close()
            self._give_up(slot, table, error)
            raise
        slot.drop_others(self._tell, table.qualified)
        return run, made.snapshot

    def _begin_under(
        self, made: NewSlot, slot: SlotOfLoad, replacing: Replacing, before: LoadRun | None
    ) -> tuple[LoadRun, SnapshotView]:
        """Begin a new load under the snapshot of a slot that other tables have too."""
        (table,) = made.snapshot.fetch_tables([self._options.table])
        plan = self._plan(made.snapshot, table, slot)
        replacing.check(plan, before, made.snapshot)
        run = self._begin(replacing, made.snapshot, table, before, plan=plan, made=made)
        slot.drop_others(self._tell, table.qualified)
        return run, made.snapshot

    def _give_up(self, slot: SlotOfLoad, table: Table, error: BaseException) -> None:
        """Take back a slot whose load could not begin. What was loaded before stays, unless its drop had begun."""
        try:
            slot.drop()
            run = self._state.runs.get(table.qualified)
            if run is not None and run.spare:
                self._state.runs.without_spare(run)
        except FerryError as left:
            if isinstance(error, FerryError):
                error.add_note(f"the slot {slot.name} is still there ({left.message}): `gridferry drop-slot` drops it")

    def _begin(
        self,
        replacing: Replacing,
        view: SnapshotView,
        table: Table,
        before: LoadRun | None,
        *,
        plan: TablePlan,
        made: NewSlot | None = None,
    ) -> LoadRun:
        fresh = self._planned(view, table, plan, made)
        self._state.begin()
        if self._broken:
            self._state.runs.forget(plan.qualified)
        return self._written(fresh, before=replacing.clear(plan, before))

    def _resume(self, view: SnapshotView, table: Table, before: LoadRun, checked: Checked) -> LoadRun:
        finished = frozenset(before.finished)
        if checked.lineage is not Lineage.SAME and finished:
            # What chunks have read is known by pages and transaction ids, which a copy of the server has given again.
            message = f"all chunks are read again: {checked.why}, and it may be a copy"
            self._tell(Note(before.table, message, Level.WARNING))
            finished = frozenset()
        if before.snapshot is None:
            raise CheckpointError(f"the load of {before.table} has no snapshot", next_step="load it with --replace")
        resume = view.chunks_to_resume(
            table,
            planned=before.chunks,
            finished=finished,
            old=before.snapshot,
            rows_per_chunk=self._load.rows_per_chunk,
        )
        done = tuple(c for c in before.chunks if c.number in resume.finished)
        dropped = {*resume.dropped, *(set(before.finished) - finished)}
        resumed = self._state.runs.resume(
            before, snapshot=view.snapshot, chunks=(*done, *resume.chunks), dropped=dropped
        )
        if checked.lineage is not Lineage.SAME:
            self._state.origins.save(replace(checked.record, origin=checked.now))
        return resumed
