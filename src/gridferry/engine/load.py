"""The load of one table: what stands already, the chunks, the check at the end. Killed anywhere, it can be run again.

The order that keeps data safe: plan and containers are on disk before the first row is put; a chunk's rows are on disk
before its checkpoint is written; a table counts as loaded only after both sides' rows were counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.origins import OriginRecord
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Listener, Note, TableLoad
from gridferry.engine.lineage import Checked, check_origin
from gridferry.engine.load_work import LoadOptions, LoadWork, SnapshotView, require_own
from gridferry.engine.slots import SlotOfLoad
from gridferry.errors import CheckpointError, OtherSource
from gridferry.model.coverage import NO_COVERAGE
from gridferry.model.origin import Lineage
from gridferry.model.table import Table
from gridferry.plan.advice import load_again
from gridferry.plan.config import TableOptions
from gridferry.plan.coverage import coverage_of
from gridferry.plan.drift import changed_columns, fingerprint, same_load
from gridferry.plan.plan import TablePlan
from gridferry.plan.planner import plan_table, profile_request, require_sound
from gridferry.plan.stored import require_agrees, require_chunks
from gridferry.source.postgres.slots import NewSlot
from gridferry.target.containers import require_free


class OpensSnapshots(Protocol):
    """A source that can hold a state of itself open."""

    def open_snapshot(self) -> AbstractContextManager[SnapshotView]:
        """One state of the source, held until the block ends."""


@dataclass(frozen=True)
class Begun:
    """A run that is written down, its lease, and the snapshot that its chunks were planned under.

    `expected` are the snapshot's rows by split value, where the plan counted them.
    """

    run: LoadRun
    view: SnapshotView
    lease: Lease
    outcome: str
    expected: dict[str | None, int] | None


class TableLoader:
    """Loads one table. Made for one call of `run`."""

    def __init__(
        self,
        *,
        source: OpensSnapshots,
        state: TargetState,
        options: TableOptions,
        load: LoadOptions,
        listener: Listener,
        slot: SlotOfLoad | None = None,
    ) -> None:
        """Args: `slot`: with mode cdc, the slot whose snapshot the load reads, and from which a sync goes on."""
        self._slot = slot
        self._source = source
        self._options = options
        self._load = load
        self._tell = listener
        self._state = state

    def run(self, table_name: str) -> TableLoad:
        """Load the table called so in the config. Raises: any FerryError; state and next step stand in it."""
        with self.begin(table_name) as begun:
            if begun.run.state is RunState.LOADED:
                return self._already_loaded(begun.run)
            work = LoadWork(self._state, begun.run, begun.lease, self._load, self._tell)
            return work.run(begun.view, outcome=begun.outcome, expected=begun.expected)

    @contextmanager
    def begin(self, table_name: str) -> Iterator[Begun]:
        """Write down a new run, or that an earlier one goes on; a finished one stays as it is.

        Lease and snapshot are held until the block ends. Raises: as `run`.
        """
        with self._source.open_snapshot() as view:
            (table,) = view.fetch_tables([table_name])  # a wrong name or address is told before anything is written
        with ExitStack() as stack:
            lease = stack.enter_context(Lease(self._state.documents, table.qualified, wait_s=self._load.wait_s))
            # Taken under the lease: an older one would put rows back as they were before another run's.
            held = stack.enter_context(ExitStack())
            view = held.enter_context(self._source.open_snapshot())
            (table,) = view.fetch_tables([table_name])
            before = self._before(table.qualified)
            if before is None or self._load.replace or before.state is RunState.REPLACING:
                if self._slot is None:
                    run = self._begin(view, table, before)
                else:
                    run, view = self._begin_under_slot(self._slot, held, view, table, before)
                # The plan counted every row under this very snapshot.
                expected = {c.value: c.rows for c in run.plan.containers} if run.plan is not None else None
                yield Begun(run, view, lease, "loaded", expected)
                return
            before, checked = self.require_same(view, table, before)
            if before.state is RunState.LOADED:
                yield Begun(before, view, lease, "already loaded", None)
                return
            if self._slot is not None:
                self._slot.check(before)
            yield Begun(self._resume(view, table, before, checked), view, lease, "resumed", None)

    def _before(self, table: str) -> LoadRun | None:
        """What the state says of the table. What cannot be read is forgotten where it is to be replaced."""
        try:
            return self._state.runs.get(table)
        except CheckpointError:
            if not self._load.replace:
                raise
        self._state.runs.forget(table)
        return None

    def _plan(self, view: SnapshotView, table: Table) -> TablePlan:
        profile = view.fetch_profile(profile_request(table, self._options))
        access = None if self._slot is None else self._slot.access(table)
        plan = plan_table(table, profile, self._options, access)
        require_sound(plan)
        return plan

    def _already_loaded(self, run: LoadRun) -> TableLoad:
        when = run.finished_at[:19].replace("T", " ")
        message = f"was loaded at {when} UTC; nothing to do (load it anew with --replace)"
        held = self._state.quarantine.total(run.table)
        columns = NO_COVERAGE if run.plan is None else coverage_of(run.plan, options=self._options)
        covered = replace(columns, stored=run.rows, quarantined=held)
        return TableLoad(
            run.table, "already loaded", chunks=len(run.chunks), quarantined=held, notes=(message,), coverage=covered
        )

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
                    "what was loaded of the other and load anew with `gridferry load --replace`"
                )
            raise
        changed = changed_columns(before.plan, table)
        what = f"column {changed[0]} of the table has changed" if changed else ""
        if not same_load(self._options, before.options):
            what = "its options in the config have changed"
        if what:
            raise CheckpointError(
                f"{before.table} {'was' if before.state is RunState.LOADED else 'is partly'} loaded "
                f"with another plan: {what}",
                state="nothing was changed",
                next_step=f"put it back as it was, or {load_again(self._options.table)}",
            )
        plan = require_agrees(before.plan, self._options, table, left="nothing was changed")
        require_chunks(before.chunks, table, left="nothing was changed")
        return replace(before, plan=plan), checked

    def _begin_under_slot(
        self, slot: SlotOfLoad, held: ExitStack, view: SnapshotView, table: Table, before: LoadRun | None
    ) -> tuple[LoadRun, SnapshotView]:
        """Begin under the snapshot of a new slot, which takes the place of `view` in `held`.

        The slot is written down with the run, before the first row is copied. If the load cannot begin, the slot goes.
        """
        if before is not None:
            # What stands is dropped with its slot: not before it is known that another load can take its place.
            before = self._clear(self._plan(view, table), before)
        held.close()
        made = held.enter_context(slot.open(table))
        try:
            run = self._begin(made.snapshot, table, before, made=made)
        except BaseException:
            held.close()
            slot.drop()
            raise
        return run, made.snapshot

    def _begin(
        self, view: SnapshotView, table: Table, before: LoadRun | None, *, made: NewSlot | None = None
    ) -> LoadRun:
        plan = self._plan(view, table)
        if self._slot is None and before is not None and before.slot:
            message = f"the replication slot {before.slot} is still there: `gridferry drop-slot` drops it"
            self._tell(Note(plan.qualified, message, "warning"))
        require_own(self._state, plan, [c.name for c in plan.containers])
        self._state.begin()
        if self._load.replace or before is not None:
            before = self._clear(plan, before)
        else:
            require_free(self._state.store, plan, [c.name for c in plan.containers])
        chunks = view.plan_chunks(table, rows_per_chunk=self._load.rows_per_chunk)
        options = fingerprint(self._options)
        run = LoadRun(plan.qualified, RunState.LOADING, plan, view.snapshot, chunks, options=options)
        if made is not None:
            run = replace(run, slot=made.name, start=str(made.start))
        # First whose rows these are: a load without an origin could not be gone on with.
        self._state.origins.save(OriginRecord(run.table, view.fetch_table_origin(table.schema, table.name)))
        return self._state.runs.begin(run, before=before)

    def _clear(self, plan: TablePlan, before: LoadRun | None) -> LoadRun:
        """Drop what an earlier load made, and what stands in the way; the state says so before the first drop."""
        replacing = self._state.runs.begin(LoadRun(plan.qualified, RunState.REPLACING), before=before)
        self._state.cursors.forget(plan.qualified)
        self._state.tallies.forget(plan.qualified)
        self._state.verifications.forget(plan.qualified)
        self._state.history.forget(plan.qualified)
        entries = self._state.catalog.entries(plan.qualified)
        ours, strange = self._state.catalog.told_apart(plan.qualified, (plan, before.plan if before else None))
        if strange:
            message = (
                f"{len(strange)} containers are listed for {plan.qualified} under names that its config does not give, "
                f"such as {strange[0][:80]}: they were not dropped"
            )
            self._tell(Note(plan.qualified, message, "warning"))
        self._state.store.drop_containers(sorted({*ours, *(c.name for c in plan.containers)}))
        self._state.catalog.remove(entries)
        self._state.quarantine.release(plan.qualified, [r.id for r in self._state.quarantine.rows(plan.qualified)])
        return replacing

    def _resume(self, view: SnapshotView, table: Table, before: LoadRun, checked: Checked) -> LoadRun:
        finished = frozenset(before.finished)
        if checked.lineage is not Lineage.SAME and finished:
            # What chunks have read is told by pages and transaction ids, which a copy of the server has given anew.
            message = f"all chunks are read again: {checked.why}, and it may be a copy"
            self._tell(Note(before.table, message, "warning"))
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
