"""Repair: exactly the rows that a verification proved different are written or deleted, and can be brought back.

The order that keeps data safe, for each group of rows: both sides are looked at again; what is stored and what is to
be stored go into the journal and to disk; the rows are put and deleted and flushed over the connections that carried
them; the record counts them. Killed anywhere, a new repair does what is left, and an undo knows every row that was
touched.

The source is read under a snapshot that was taken after the table's lease: all that any sync has stored was committed
before it, so what is written is never older than what it replaces (docs/adr/0015).
"""

from __future__ import annotations

import getpass
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note, RowsPut
from gridferry.engine.ownership.lineage import KnowsOrigin
from gridferry.engine.ownership.origin_check import take_up
from gridferry.engine.repair.source_rows import FetchesKeys, LookedUpRows, SourceLookup
from gridferry.engine.repair.spool import GROUP_ROWS, Spool
from gridferry.engine.retry import with_patience
from gridferry.engine.rows.keyed_rows import agree, as_seen, fetch_keyed, has_columns
from gridferry.engine.rows.writer import RowWriter
from gridferry.engine.sync.cdc.gaps import notes_to_keep
from gridferry.errors import CheckpointError, FerryError
from gridferry.model.repair import RepairRecord, RepairState, RowChange, TableRepair
from gridferry.model.verification import DifferenceKind
from gridferry.plan.drift import require_fit
from gridferry.plan.plan import TablePlan
from gridferry.plan.stored import require_agrees
from gridferry.plan.table_options import TableOptions

SHOWN = 20
_KINDS = {DifferenceKind.MISSING: "put", DifferenceKind.DIFFERENT: "replaced", DifferenceKind.EXTRA: "deleted"}


class ReadableSource(KnowsOrigin, Protocol):
    """A source that says which one it is, and can hold a state of itself open."""

    def open_snapshot(self) -> AbstractContextManager[FetchesKeys]:
        """One state of the source, held until the block ends."""


@dataclass(frozen=True)
class RepairSettings:
    """How to repair. `wait_s` waits for another run's end; `rows_per_group` are written between two journal entries."""

    wait_s: float = 0.0
    rows_per_group: int = GROUP_ROWS


@dataclass(frozen=True)
class Decided:
    """One group: what is to be written, how many rows need nothing, and the keys of those left alone."""

    changes: tuple[RowChange, ...]
    settled: int
    moved: int
    refused: int
    skipped: tuple[str, ...]


def repair_table(
    state: TargetState,
    source: ReadableSource,
    options: TableOptions,
    spool: Spool,
    settings: RepairSettings,
    *,
    tell: Listener,
    run: str = "",
) -> TableRepair:
    """Write what `spool` holds of one table, as far as both sides are still what was seen. Takes the table's lease.

    Args: run: the name that the repair gets, else a new one.
    Raises: LeaseHeld while another run works on the table; CheckpointError if its plan has changed since the
    verification; errors of either side. What was written stays, and is in the journal.
    """
    table = options.qualified
    if not spool.count and not _unfinished(state, table):
        return TableRepair(table, refused=spool.refused)
    # The snapshot after the lease: what syncs have stored until now was committed before it.
    with state.lease(table, wait_s=settings.wait_s) as lease, source.open_snapshot() as view:
        loaded = take_up(state, view, options, left="nothing was changed", then="gridferry repair")
        _close(state, table)
        (described,) = view.fetch_tables([options.table])
        plan = require_agrees(loaded.plan, options, described, left="nothing was changed")
        plan = require_fit(plan, options, described, left="nothing was changed").plan
        repair = _Repair(state, lease, plan, SourceLookup(view, plan, described), tell)
        return repair.run(spool, settings.rows_per_group, loaded=loaded.run.started_at, name=run)


def _unfinished(state: TargetState, table: str) -> list[RepairRecord]:
    """Repairs and undos of a table that did not come to their end."""
    begun = (RepairState.WRITING, RepairState.UNDOING)
    return [record for record in state.repairs.all(frozenset({table})) if record.state in begun]


def _close(state: TargetState, table: str) -> None:
    """Write that interrupted ones go on no more: this repair does what they left. Their journals stay."""
    for record in _unfinished(state, table):
        ended = RepairState.UNDONE if record.state is RepairState.UNDOING else RepairState.DONE
        state.repairs.save(replace(record, state=ended, finished=record.finished or utc_now()))


class _Repair:
    """One run. Made for one call of `run`, under a lease and a snapshot."""

    def __init__(self, state: TargetState, lease: Lease, plan: TablePlan, source: SourceLookup, tell: Listener) -> None:
        self._state = state
        self._lease = lease
        self._plan = plan
        self._schema = plan.container_schema
        self._source = source
        self._tell = tell
        self._writer = RowWriter(state, plan, on_retry=self._again, check=lease.check)
        self._confirmed = 0
        self._deleted_from: set[str] = set()

    def run(self, spool: Spool, rows_per_group: int, *, loaded: str, name: str = "") -> TableRepair:
        started = time.monotonic()
        record: RepairRecord | None = None
        settled = moved = 0
        refused = spool.refused
        skipped: list[str] = []
        for group in spool.groups(most_rows=rows_per_group):
            self._lease.check()
            decided = self._decide(group)
            settled, moved, refused = settled + decided.settled, moved + decided.moved, refused + decided.refused
            skipped += decided.skipped[: SHOWN - len(skipped)]
            if decided.changes:
                if record is None:
                    noted = notes_to_keep(self._state, self._plan.qualified)
                    record = self._state.repairs.begin(
                        self._plan.qualified, by=who(), loaded=loaded, noted=noted, run=name
                    )
                    self._tell(Note(self._plan.qualified, f"repair {record.run} begins"))
                record = self._told(decided.changes, record)
        if record is not None:
            record = self._state.repairs.finish(record)
        return TableRepair(
            table=self._plan.qualified,
            run="" if record is None else record.run,
            put=0 if record is None else record.put,
            replaced=0 if record is None else record.replaced,
            deleted=0 if record is None else record.deleted,
            settled=settled,
            moved=moved,
            refused=refused,
            confirmed=self._confirmed,
            seconds=time.monotonic() - started,
            created=tuple(self._writer.created),
            emptied=self._emptied(),
            skipped=tuple(skipped),
        )

    def _decide(self, group: Sequence[RowChange]) -> Decided:
        """Look at both sides again. Only where each is still what the verification saw, a row is to be written."""
        self._require_same_columns(group)
        now = self._source.fetch(group)
        stands = fetch_keyed(self._state.store, group, self._schema)
        changes: list[RowChange] = []
        counts: Counter[str] = Counter()
        skipped: list[str] = []
        start = 0
        for change in group:
            source = LookedUpRows(now.standing.part(start, len(change)), now.doubled[start : start + len(change)])
            target = stands.part(start, len(change))
            start += len(change)
            settled = ~source.doubled & agree(source.standing, target, skipped=self._plan.gone_places)
            same = as_seen(change.after, source.standing) & as_seen(change.before, target)
            write = same & ~source.doubled & ~settled
            left = ~write & ~settled
            counts.update(settled=int(settled.sum()), refused=int(source.doubled.sum()))
            counts.update(moved=int((left & ~source.doubled).sum()))
            skipped += key_texts(change.take(np.flatnonzero(left)[:SHOWN].tolist()), self._plan)
            if write.any():
                some = change if write.all() else change.take(np.flatnonzero(write).tolist())
                changes.append(some.cast(self._schema.arrow_schema))
        return Decided(tuple(changes), counts["settled"], counts["moved"], counts["refused"], tuple(skipped[:SHOWN]))

    def _told(self, changes: Sequence[RowChange], record: RepairRecord) -> RepairRecord:
        """As `_write`; an error says what was changed before it."""
        try:
            return self._write(changes, record)
        except FerryError as error:
            error.add_note(f"in repair {record.run} of {record.table}, after {record.rows:,} rows")
            ours = (
                f"{record.rows:,} rows or a few more were repaired; the journal of repair {record.run} has all of them"
            )
            error.state = f"{error.state}; {ours}" if error.state else ours
            error.next_step = error.next_step or (
                f"fix the cause and run the same command again, or `gridferry undo {record.run}`"
            )
            raise

    def _write(self, changes: Sequence[RowChange], record: RepairRecord) -> RepairRecord:
        with_patience(lambda: self._state.journal.add(record.run, record.entries, changes), on_retry=self._again)
        self._lease.check()
        self._writer.write(changes)
        counts = {name: getattr(record, name) for name in _KINDS.values()}
        for change in changes:
            counts[_KINDS[change.kind]] += len(change)
            if change.after is None:
                self._deleted_from.add(change.container)
        done = replace(record, entries=record.entries + 1, **counts)
        with_patience(lambda: self._state.repairs.save(done), on_retry=self._again)
        self._confirm(changes)
        self._tell(RowsPut(self._plan.qualified, done.rows - record.rows, sum(c.nbytes for c in changes)))
        return done

    def _confirm(self, changes: Sequence[RowChange]) -> None:
        """Count the rows that are now as they should be."""
        stands = fetch_keyed(self._state.store, changes, self._schema)
        start = 0
        for change in changes:
            self._confirmed += int(as_seen(change.after, stands.part(start, len(change))).sum())
            start += len(change)

    def _emptied(self) -> tuple[str, ...]:
        """Containers that hold nothing any more: they stay, and stay listed."""
        opened = self._state.store.open_containers(sorted(self._deleted_from))
        standing = [container for container in opened.values() if container is not None]
        counts = self._state.store.counts(standing)
        return tuple(c.name for c, rows in zip(standing, counts, strict=True) if not rows)

    def _require_same_columns(self, group: Sequence[RowChange]) -> None:
        if not has_columns(group, self._schema):
            raise CheckpointError(
                f"the columns of {self._plan.qualified} have changed since the verification",
                state="rows of earlier groups were changed as the journal says; no others were",
                next_step="run the same command again",
            )

    def _again(self, error: FerryError) -> None:
        self._tell(Note(self._plan.qualified, f"rows are repaired again: {error}", Level.WARNING))


def key_texts(change: RowChange, plan: TablePlan) -> Iterator[str]:
    """`device = x, ts = y` of each row, with the columns' names in the target."""
    names = plan.container_schema.arrow_schema.names[: plan.key_length]
    texts = [change.rows.column(i).cast(pa.utf8()).to_pylist() for i in range(plan.key_length)]
    front = [f"{plan.split_by} = {'NULL' if change.value is None else change.value}"] if plan.split_by else []
    for values in zip(*texts, strict=True):
        yield ", ".join([*front, *(f"{name} = {value}" for name, value in zip(names, values, strict=True))])


def who() -> str:
    """user@host of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
