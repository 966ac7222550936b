"""The load of one table: what stands already, the chunks, the check at the end. Killed anywhere, it can be run again.

The order that keeps data safe: plan and containers are on disk before the first row is put; a chunk's rows are on disk
before its checkpoint is written; a table counts as loaded only after both sides' rows were counted.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Listener, Note, TableLoad
from gridferry.engine.load_work import LoadOptions, LoadWork, SnapshotView, require_own
from gridferry.errors import CheckpointError
from gridferry.griddb import Store
from gridferry.model.table import Table
from gridferry.plan.config import TableOptions
from gridferry.plan.plan import TablePlan
from gridferry.plan.planner import plan_table, profile_request, require_sound
from gridferry.target.containers import require_free


class OpensSnapshots(Protocol):
    """A source that can hold a state of itself open."""

    def open_snapshot(self) -> AbstractContextManager[SnapshotView]:
        """One state of the source, held until the block ends."""


class TableLoader:
    """Loads one table. Made for one call of `run`."""

    def __init__(
        self,
        *,
        source: OpensSnapshots,
        store: Store,
        options: TableOptions,
        load: LoadOptions,
        listener: Listener,
    ) -> None:
        self._source = source
        self._options = options
        self._load = load
        self._tell = listener
        self._state = TargetState(store)

    def run(self, table_name: str) -> TableLoad:
        """Load the table called so in the config. Raises: any FerryError; state and next step stand in it."""
        with self._source.open_snapshot() as view:
            (table,) = view.fetch_tables([table_name])  # a wrong name or address is told before anything is written
        with ExitStack() as stack:
            lease = stack.enter_context(Lease(self._state.documents, table.qualified, wait_s=self._load.wait_s))
            # Taken under the lease: an older one would put rows back as they were before another run's.
            view = stack.enter_context(self._source.open_snapshot())
            (table,) = view.fetch_tables([table_name])
            before = self._before(table.qualified)
            if before is None or self._load.replace or before.state is RunState.REPLACING:
                run, outcome = self._begin(view, table, before), "loaded"
                # The plan counted every row under this very snapshot.
                expected = {c.value: c.rows for c in run.plan.containers} if run.plan is not None else None
            else:
                self._require_same(table, before)
                if before.state is RunState.LOADED:
                    return self._already_loaded(before)
                run, outcome, expected = self._resume(view, table, before), "resumed", None
            return LoadWork(self._state, run, lease, self._load, self._tell).run(
                view, outcome=outcome, expected=expected
            )

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
        plan = plan_table(table, view.fetch_profile(profile_request(table, self._options)), self._options)
        require_sound(plan)
        return plan

    def _already_loaded(self, run: LoadRun) -> TableLoad:
        message = f"was loaded at {run.finished_at}; nothing to do (load it anew with --replace)"
        self._tell(Note(run.table, message))
        return TableLoad(run.table, "already loaded", chunks=len(run.chunks), notes=(message,))

    def _require_same(self, table: Table, before: LoadRun) -> None:
        """Raises: CheckpointError if options or columns are not what the earlier load was planned with."""
        if before.plan is None or before.snapshot is None:
            raise CheckpointError(f"the load of {before.table} has no plan", next_step="load it again with --replace")
        changed = changed_columns(before.plan, table)
        what = f"column {changed[0]} of the table has changed" if changed else ""
        if before.options != fingerprint(self._options):
            what = "its options in the config have changed"
        if what:
            raise CheckpointError(
                f"{before.table} {'was' if before.state is RunState.LOADED else 'is partly'} loaded "
                f"with another plan: {what}",
                state="nothing was changed",
                next_step="put it back as it was, or drop what was loaded and load anew with --replace",
            )

    def _begin(self, view: SnapshotView, table: Table, before: LoadRun | None) -> LoadRun:
        plan = self._plan(view, table)
        require_own(self._state, plan, [c.name for c in plan.containers])
        if self._load.replace or before is not None:
            before = self._clear(plan, before)
        else:
            require_free(self._state.store, plan, [c.name for c in plan.containers])
        chunks = view.plan_chunks(table, rows_per_chunk=self._load.rows_per_chunk)
        options = fingerprint(self._options)
        run = LoadRun(plan.qualified, RunState.LOADING, plan, view.snapshot, chunks, options=options)
        return self._state.runs.begin(run, before=before)

    def _clear(self, plan: TablePlan, before: LoadRun | None) -> LoadRun:
        """Drop what an earlier load made, and what stands in the way; the state says so before the first drop."""
        replacing = self._state.runs.begin(LoadRun(plan.qualified, RunState.REPLACING), before=before)
        self._state.cursors.forget(plan.qualified)
        entries = self._state.catalog.entries(plan.qualified)
        names = sorted({e.container for e in entries} | {c.name for c in plan.containers})
        self._state.store.drop_containers(names)
        self._state.catalog.remove(entries)
        self._state.quarantine.release(plan.qualified, [r.id for r in self._state.quarantine.rows(plan.qualified)])
        return replacing

    def _resume(self, view: SnapshotView, table: Table, before: LoadRun) -> LoadRun:
        if before.snapshot is None:
            raise CheckpointError(f"the load of {before.table} has no snapshot", next_step="load it with --replace")
        resume = view.chunks_to_resume(
            table,
            planned=before.chunks,
            finished=frozenset(before.finished),
            old=before.snapshot,
            rows_per_chunk=self._load.rows_per_chunk,
        )
        done = tuple(c for c in before.chunks if c.number in resume.finished)
        return self._state.runs.resume(
            before, snapshot=view.snapshot, chunks=(*done, *resume.chunks), dropped=resume.dropped
        )


def changed_columns(plan: TablePlan, table: Table) -> list[str]:
    """The plan's source columns that the table no longer has, or has with another type; by name."""
    now = {c.name: c.type.formatted for c in table.columns}
    return sorted({c.source for c in plan.columns if now.get(c.source) != c.pg_type})


def fingerprint(options: TableOptions) -> str:
    """SHA-256 over a table's options as far as they decide what is loaded."""
    document = options.model_dump(mode="json", exclude={"sync"})
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
