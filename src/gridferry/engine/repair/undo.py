"""Undo: the rows from before a repair are stored again, except those that somebody has changed since.

A row is brought back only if it is just what the repair wrote, to the last bit. So an undo needs no marks of its own:
killed anywhere, it is run again, and finds the rows that it brought back before as they should be.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note, RowsPut
from gridferry.engine.ownership.origin_check import changed_options, require_names_kept
from gridferry.engine.repair.table import SHOWN, key_texts, who
from gridferry.engine.rows.keyed_rows import as_seen, fetch_keyed, has_columns
from gridferry.engine.rows.writer import RowWriter
from gridferry.engine.sync.cdc.gaps import note_again
from gridferry.errors import CheckpointError, ConfigError, FerryError
from gridferry.model.repair import RepairRecord, RepairState, RepairStatus, RowChange, TableUndo
from gridferry.model.verification import DifferenceKind
from gridferry.plan.names import container_name
from gridferry.plan.plan import TablePlan
from gridferry.plan.stored import require_agrees
from gridferry.plan.table_options import TableOptions

_BACK = {
    DifferenceKind.MISSING: DifferenceKind.EXTRA,
    DifferenceKind.EXTRA: DifferenceKind.MISSING,
    DifferenceKind.DIFFERENT: DifferenceKind.DIFFERENT,
}


@dataclass
class _Counts:
    restored: int = 0
    already: int = 0
    kept: int = 0


def undo_repair(
    state: TargetState,
    run: str,
    *,
    known: Mapping[str, TableOptions],
    wait_s: float = 0.0,
    tell: Listener,
) -> TableUndo:
    """Store the rows from before a repair again. Takes the table's lease; the source is not asked.

    Args: known: the config's tables and their options.
    Raises: ConfigError for a run that is not known, or of a load that was replaced since;
    CheckpointError for a table that was loaded with other options, or for a journal that is not readable: what was
    brought back before it stays so; LeaseHeld.
    """
    record = state.repairs.get(run)
    options = known.get(record.table)
    if options is None:
        raise ConfigError(
            f"the repair {run} is of {record.table}, which the config does not have",
            state="nothing was changed",
            next_step="give the config that the table was loaded with",
        )
    with state.lease(record.table, wait_s=wait_s) as lease:
        record = state.repairs.get(run)
        load = state.runs.get(record.table)
        hindrance = _hindrance(record, load)
        if hindrance or load is None or load.plan is None:
            raise ConfigError(
                f"the repair {run} of {record.table} cannot be undone: {hindrance}",
                state="nothing was changed",
                next_step=f"`gridferry verify` says whether both sides are equal; forget it with "
                f"`gridferry forget {run}`",
            )
        changed = changed_options(load, options)
        if changed:
            raise CheckpointError(
                changed, state="nothing was changed", next_step="put them back as they were, then undo again"
            )
        require_names_kept(state, load.plan, options, left="nothing was changed")
        plan = require_agrees(load.plan, options, left="nothing was changed")
        return _Undo(state, lease, plan, tell).run(record)


class _Undo:
    """One undo. Made for one call of `run`, under a lease."""

    def __init__(self, state: TargetState, lease: Lease, plan: TablePlan, tell: Listener) -> None:
        self._state = state
        self._lease = lease
        self._plan = plan
        self._schema = plan.container_schema
        self._tell = tell
        self._writer = RowWriter(state, plan, on_retry=self._again, check=lease.check)
        self._counts = _Counts()
        self._changed: list[str] = []

    def run(self, record: RepairRecord) -> TableUndo:
        started = time.monotonic()
        restored = record.restored
        if record.state is not RepairState.UNDONE:
            record = self._state.repairs.save(replace(record, state=RepairState.UNDOING))
        for number, changes in self._state.journal.entries(record.run):
            self._lease.check()
            self._require_same_columns(record, number, changes)
            self._require_own_containers(record, number, changes)
            back = self._back(changes)
            if back:
                if not self._counts.restored - sum(map(len, back)):
                    self._unprove(record)
                self._writer.write(back)
                self._tell(RowsPut(self._plan.qualified, sum(map(len, back)), sum(c.nbytes for c in back)))
        counts = self._counts
        self._state.repairs.save(
            replace(
                record,
                state=RepairState.UNDONE,
                undone=utc_now(),
                undone_by=who(),
                restored=restored + counts.restored,
                kept=counts.kept,
            )
        )
        return TableUndo(
            record.table,
            record.run,
            restored=counts.restored,
            already=counts.already,
            kept=counts.kept,
            seconds=time.monotonic() - started,
            changed=tuple(self._changed),
        )

    def _unprove(self, record: RepairRecord) -> None:
        """Before the first row: forget what was found since the repair, and note again what the repair made up for."""
        self._state.verifications.forget_since(record.table, record.started)
        if record.noted:
            note_again(self._state, record.table, record.noted)

    def _back(self, changes: Sequence[RowChange]) -> list[RowChange]:
        """The changes that lead back, of those rows that are as the repair left them."""
        stands = fetch_keyed(self._state.store, changes, self._schema)
        back: list[RowChange] = []
        start = 0
        for change in changes:
            now = stands.part(start, len(change))
            start += len(change)
            before, written = as_seen(change.before, now), as_seen(change.after, now)
            restore = written & ~before
            kept = ~written & ~before
            self._counts.restored += int(restore.sum())
            self._counts.already += int(before.sum())
            self._counts.kept += int(kept.sum())
            shown = np.flatnonzero(kept)[: SHOWN - len(self._changed)].tolist()
            self._changed += key_texts(change.take(shown), self._plan)
            if restore.any():
                some = change if restore.all() else change.take(np.flatnonzero(restore).tolist())
                back.append(RowChange(some.container, some.value, _BACK[some.kind], some.after, some.before))
        return back

    def _require_same_columns(self, record: RepairRecord, number: int, changes: Sequence[RowChange]) -> None:
        if not has_columns(changes, self._schema):
            raise ConfigError(
                f"the repair {record.run} of {record.table} cannot be undone: the containers have other columns now",
                state="nothing was changed" if number == 0 else f"{self._counts.restored:,} rows were brought back",
                next_step="`gridferry verify` says whether both sides are equal",
            )

    def _require_own_containers(self, record: RepairRecord, number: int, changes: Sequence[RowChange]) -> None:
        """What the journal names is read and written back: nothing but containers of this table may be in it."""
        wrong = next((c for c in changes if c.container != container_name(self._plan, c.value)), None)
        if wrong is not None:
            raise CheckpointError(
                f'entry {number} of the journal of repair {record.run} names the container "{wrong.container[:80]}", '
                f"which is not that of its rows of {record.table}",
                state="nothing was changed" if number == 0 else f"{self._counts.restored:,} rows were brought back",
                next_step=f"somebody changed it: give the undo up with `gridferry forget {record.run}`",
            )

    def _again(self, error: FerryError) -> None:
        self._tell(Note(self._plan.qualified, f"rows are brought back again: {error}", Level.WARNING))


def list_repairs(state: TargetState, tables: frozenset[str] | None = None) -> list[RepairStatus]:
    """The repairs of some tables, or of all, the oldest first, and what is to be said of each."""
    loads = {load.table: load for load in state.runs.all()}
    found = []
    for record in state.repairs.all(tables):
        hindrance = "" if record.state is RepairState.UNDONE else _hindrance(record, loads.get(record.table))
        note = f"cannot be undone: {hindrance}" if hindrance else ""
        if record.state in (RepairState.WRITING, RepairState.UNDOING):
            working = state.holder_of(record.table)
            note = f"under way: {working}" if working is not None else _interrupted(record)
        found.append(RepairStatus(record, note))
    return found


def forget_repair(state: TargetState, run: str, *, record: RepairRecord | None, wait_s: float = 0.0) -> None:
    """Delete the journal and the record of a repair: it cannot be undone any more.

    `record` is None where it is not readable. Raises: LeaseHeld while a run works on its table.
    """
    if record is None:
        _forget(state, run, entries=0)
        return
    with state.lease(record.table, wait_s=wait_s):
        _forget(state, run, entries=record.entries + 1)


def _forget(state: TargetState, run: str, *, entries: int) -> None:
    # First the journal: while the record exists, the same call can be made again.
    state.journal.forget(run, entries=entries)
    state.repairs.forget(run)


def _hindrance(record: RepairRecord, load: LoadRun | None) -> str:
    """Why a repair cannot be undone; "" where it can."""
    if load is None or load.plan is None or load.state is not RunState.LOADED:
        return "the table is not loaded any more"
    if load.started_at != record.loaded:
        return "the table was loaded again since, with --replace"
    return ""


def _interrupted(record: RepairRecord) -> str:
    if record.state is RepairState.UNDOING:
        return f"interrupted: run `gridferry undo {record.run}` again"
    return f"interrupted: `gridferry repair` does what is left, `gridferry undo {record.run}` brings back what was done"
