"""One run of mode watermark over one table: what is new in one snapshot, put, flushed, checkpointed.

The order that keeps data safe: rows are on the target's disk before the cursor counts them. The cursor moves on
chunk by chunk, the growing column ascending; killed anywhere, the next run reads what the cursor does not have.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import pyarrow as pa

from gridferry.checkpoint.cursors import SyncRecord
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import BatchStored, Checkpointed, ChunkDone, Level, Listener, Note, RowsPut, TableSync
from gridferry.engine.ownership.parts import PartsLook, ShowsParts, brought_words, look_at_parts
from gridferry.engine.retry import with_patience
from gridferry.engine.rows.copier import ChunkCopier, CopyResult
from gridferry.engine.rows.duplicates import duplicate_blocks, resolve_duplicates
from gridferry.engine.rows.once_quarantine import OnceQuarantine
from gridferry.engine.rows.read_check import require_all_read, require_all_there
from gridferry.engine.rows.until_stored import until_stored
from gridferry.engine.sync.counts import ContainerCounts, Counts
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.sync.watermark.containers import SyncContainers
from gridferry.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DuplicateKeys,
    FerryError,
    ReadIncomplete,
)
from gridferry.model.chunk import Snapshot
from gridferry.model.outcomes import SyncOutcome
from gridferry.model.table import Table
from gridferry.model.watermark import Cursor, GrowingColumn, first_cursor, for_column
from gridferry.plan.drift import Fitted, require_fit
from gridferry.plan.keys import choose_key, proves_keys
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.plan.stored import require_agrees, require_values
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.plan.watermark import growing_column
from gridferry.source.contract import FindsNewRows, ReadsWindows
from gridferry.source.selection import Window

CHUNK_BYTES = 32 * 1024 * 1024


class HoldsSnapshots(Protocol):
    """A source that can hold a state of itself open, and say what is new in it."""

    def open_snapshot(self) -> AbstractContextManager[FindsNewRows]:
        """One state of the source, held until the block ends."""


class DescribesTables(ShowsParts, Protocol):
    """A held snapshot that tells of tables what a sync goes by."""

    def fetch_tables(self, names: Sequence[str] | None = None) -> list[Table]:
        """See `ReadsCatalog`."""


@dataclass(frozen=True)
class SyncBasis:
    """What one table's sync is based on: the plan it was loaded with, the growing column, the record so far."""

    table: Table
    plan: TablePlan
    column: GrowingColumn
    record: SyncRecord
    parts: PartsLook
    unique: bool  # no two rows can share a row key
    changes: tuple[str, ...] = ()  # what became of the table's columns since the plan was written


def sync_basis(
    state: TargetState, view: DescribesTables, options: TableOptions, run: LoadRun, plan: TablePlan
) -> SyncBasis:
    """What a sync of a loaded table goes by. Raises: ConfigError, CheckpointError if the table has changed."""
    if run.snapshot is None:
        raise CheckpointError(f"the load of {run.table} has no snapshot", next_step="load it again with --replace")
    table, column, fitted = _growing(view, options, plan)
    require_agrees(plan, options, table, left="nothing was changed")
    plan = fitted.plan
    record = state.cursors.get(run.table) or SyncRecord(run.table, first_cursor(column.name, run.snapshot))
    record = replace(record, cursor=for_column(record.cursor, column.name))
    require_values(record.cursor, column, table=run.table, left="nothing was changed")
    unique = proves_keys(table, options, plan.columns[: plan.key_length])
    # A load that was resumed stored what had come since it was planned.
    plan = replace(plan, own_heap=table.own_heap, rows=max(plan.rows, run.rows))
    seen = record.cursor.snapshot
    parts = look_at_parts(state, view, plan, table, seen=int(seen.split(":")[1]) if seen else 0)
    return SyncBasis(table, plan, column, record, parts, unique=unique, changes=fitted.changes)


def _growing(view: DescribesTables, options: TableOptions, plan: TablePlan) -> tuple[Table, GrowingColumn, Fitted]:
    (table,) = view.fetch_tables([options.table])
    fitted = require_fit(plan, options, table, left="nothing was changed")
    column = growing_column(table, options, choose_key(table, options))
    if column is None:
        raise ConfigError(
            f"{plan.qualified}: mode watermark does not know which column grows",
            state="nothing was changed",
            next_step="name a time or a number: `sync: {mode: watermark, column: NAME}`",
        )
    return table, column, fitted


def ended_with(record: SyncRecord, snapshot: Snapshot, window: Window) -> SyncRecord:
    """The record once every row of the window is stored: a run under this snapshot has come to its end."""
    cursor = record.cursor.finished(snapshot, floor=window.floor, position=window.position, mark=window.mark)
    return replace(record, cursor=cursor).ended()


def find_new(view: FindsNewRows, by: SyncBasis, *, sweep: bool = False) -> Window:
    """The rows of the snapshot that a table's cursor has not read, those of parts that joined the table among them."""
    cursor, joined = by.record.cursor, by.parts.changes.joined
    return view.find_new(by.table, by.plan, column=by.column, cursor=cursor, sweep=sweep, joined=joined)


def new_cursor(view: DescribesTables, options: TableOptions, plan: TablePlan) -> Cursor:
    """The cursor of a table whose target is to be compared with this snapshot. Raises: as `sync_basis`."""
    return first_cursor(_growing(view, options, plan)[1].name, view.snapshot)


class WatermarkRun:
    """One bounded run: everything committed before its snapshot. Made for one call of `run`, under a lease."""

    def __init__(
        self, state: TargetState, lease: Lease, view: FindsNewRows, settings: SyncSettings, tell: Listener
    ) -> None:
        self._state = state
        self._lease = lease
        self._view = view
        self._settings = settings
        self._tell = tell
        self._octets = 0
        self._quarantined = 0
        self._told = Counts()  # up to the last checkpoint
        self._containers = ContainerCounts()

    def run(self, by: SyncBasis) -> TableSync:
        """Store what is new. Raises: any FerryError; what was checkpointed stays, and the next run goes on there."""
        started = time.monotonic()
        window = find_new(self._view, by, sweep=self._settings.sweep)
        by = replace(by, record=by.record.begun())
        containers = SyncContainers(self._state, by.plan, by.column)
        outcome, record = SyncOutcome.NOTHING_NEW, by.record
        if window.rows:
            with self._view.open_reader() as reader:
                outcome, record = self._copy(reader, by, window, containers)
        if outcome is not SyncOutcome.STOPPED:
            self._require_all_read(by, window, record)
            record = self._save(ended_with(record, self._view.snapshot, window))
            self._checkpointed(by, record, containers, waiting=0)
            if self._settings.sweep:
                counted = self._view.count_all(by.plan)
                require_all_there(self._state, by.plan, counted=counted, unique=by.unique)
        self._containers.save(self._state.tallies, by.plan.qualified)
        notes = tuple(containers.notes(whole=not self._quarantined and record.superseded == by.record.superseded))
        if outcome is not SyncOutcome.STOPPED:
            notes += self._parts(by, window)
        for note in notes:
            self._tell(Note(by.plan.qualified, note, Level.WARNING))
        return TableSync(
            table=by.plan.qualified,
            mode=SyncMode.WATERMARK,
            outcome=outcome,
            read=record.read - by.record.read,
            rows=record.written - by.record.written,
            octets=self._octets,
            seconds=time.monotonic() - started,
            quarantined=self._quarantined,
            superseded=record.superseded - by.record.superseded,
            position=window.position or "",
            as_of=self._view.snapshot.taken_at,
            swept=window.floor is None,
            fresh=window.fresh,
            touched=len(containers.touched),
            created=containers.created,
            notes=notes,
        )

    def _parts(self, by: SyncBasis, window: Window) -> tuple[str, ...]:
        """Write down which parts the table had in this run's snapshot, all rows of which are stored now."""
        self._lease.check()
        by.parts.saved(self._state)
        brought = (brought_words(by.parts.changes.joined, window.brought),) if window.brought else ()
        return (*brought, *map(str, by.parts.notes))

    def _require_all_read(self, by: SyncBasis, window: Window, record: SyncRecord) -> None:
        """Hold the rows that were read against the snapshot's own count of the window. Raises: ReadIncomplete."""
        try:
            require_all_read(
                by.plan,
                counted=window.rows,
                read=record.read - by.record.read,
                state="the rows that were read are stored; the sync is where it was before, and reads them again",
            )
        except ReadIncomplete:
            # The checkpoints on the way said that all rows below them were read.
            self._save(replace(record, cursor=by.record.cursor))
            raise

    def _copy(
        self, reader: ReadsWindows, by: SyncBasis, window: Window, containers: SyncContainers
    ) -> tuple[SyncOutcome, SyncRecord]:
        """Put the window's rows. Returns the outcome, and the record as it is then."""
        copier = self._copier(by.plan, containers)
        shared = SharedKeys(reader, window)
        colliding = not by.unique and next(duplicate_blocks(shared, by.plan), None) is not None
        if colliding and by.plan.on_duplicate is OnDuplicate.ERROR and not by.plan.numbered:
            self._resolve(by.plan, shared, copier)  # raises, before anything is put, if good rows collide
        reached = by.record.cursor.floor if window.floor is None else window.reached
        record = by.record
        most = self._settings.rows_per_chunk
        batches = reader.read_window(by.plan, window, most_rows=most)
        for number, group in enumerate(grouped(batches, most)):
            done = self._put(by.plan, group, copier, containers)
            record = record.counted(read=group.rows, written=done.rows)
            # Colliding keys are settled for all rows at once: until then none counts as read.
            if group.below is not None and not colliding:
                cursor = record.cursor.progressed(self._view.snapshot, below=group.below, floor=reached)
                record = self._save(replace(record, cursor=cursor))
                self._checkpointed(by, record, containers, waiting=window.rows - (record.read - by.record.read))
                self._tell(ChunkDone(by.plan.qualified, number, done.rows, done.quarantined))
                if self._settings.stop():
                    return SyncOutcome.STOPPED, record
        if colliding:
            record = record.counted(superseded=self._resolve(by.plan, shared, copier))
        return SyncOutcome.SYNCED, record

    def _checkpointed(self, by: SyncBasis, record: SyncRecord, containers: SyncContainers, *, waiting: int) -> None:
        """Tell what a checkpoint covers that no earlier one did."""
        now = Counts(
            read=record.read - by.record.read,
            written=record.written - by.record.written,
            superseded=record.superseded - by.record.superseded,
            quarantined=self._quarantined,
            created=len(containers.created),
        )
        done, self._told = now.since(self._told), now
        cursor = record.cursor
        self._tell(
            Checkpointed(
                record.table,
                SyncMode.WATERMARK,
                waiting=waiting,
                position=cursor.position or "",
                as_of=cursor.clock,
                **asdict(done),
            )
        )

    def _put(self, plan: TablePlan, group: Group, copier: ChunkCopier, containers: SyncContainers) -> CopyResult:
        def again(error: FerryError) -> None:
            self._tell(Note(plan.qualified, f"rows are put again: {error}", Level.WARNING))

        def attempt() -> CopyResult:
            containers.prepare(group.batches)
            try:
                return copier.store(lambda: group.batches, name="sync")
            except DataError as error:
                error.state = "what was checkpointed before stays, and a later sync goes on from there"
                raise

        done = until_stored(containers.target, attempt, on_retry=again)
        self._tell(BatchStored(plan.qualified, done.put_s, done.flush_s))
        for handles, bounds in done.placed:
            self._containers.put(handles, bounds)
        self._octets += done.octets
        self._quarantined += done.quarantined
        return done

    def _resolve(self, plan: TablePlan, shared: SharedKeys, copier: ChunkCopier) -> int:
        """Settle the keys that new rows share with others. Returns how many rows were superseded.

        Raises: DuplicateKeys where the plan forbids them.
        """
        quarantine = self._state.quarantine
        try:
            settled = resolve_duplicates(shared, plan, copier=copier, quarantine=quarantine)
        except DuplicateKeys as error:
            raise DuplicateKeys(
                error.message,
                table=error.table,
                column=error.column,
                state="nothing of this run was stored: the rows that were in the target before still are",
                next_step="correct the rows in the source, or set `on_duplicate: last`, `first` or `quarantine`, "
                "and sync again",
            ) from error
        self._quarantined += settled.held
        return sum(settled.superseded.values())

    def _save(self, record: SyncRecord) -> SyncRecord:
        self._lease.check()

        def again(error: FerryError) -> None:
            self._tell(Note(record.table, f"the checkpoint is written again: {error}", Level.WARNING))

        return with_patience(lambda: self._state.cursors.save(record), on_retry=again)

    def _copier(self, plan: TablePlan, containers: SyncContainers) -> ChunkCopier:
        return ChunkCopier(
            store=self._state.store,
            plan=plan,
            target=containers.target,
            quarantine=OnceQuarantine(self._state.quarantine, plan.qualified),
            progress=lambda rows, octets: self._tell(RowsPut(plan.qualified, rows, octets)),
            check=self._lease.check,
        )


class SharedKeys:
    """A reader whose duplicates are those of one window's keys."""

    def __init__(self, reader: ReadsWindows, window: Window) -> None:
        self._reader = reader
        self._window = window

    def read_duplicates(self, plan: TablePlan) -> Iterator[pa.RecordBatch]:
        """See `ReadsWindows.read_shared_keys`."""
        return self._reader.read_shared_keys(plan, self._window)


@dataclass(frozen=True)
class Group:
    """Batches that are put and checkpointed together; rows below `below` are then all stored."""

    batches: tuple[pa.RecordBatch, ...]
    rows: int
    below: str | None


def grouped(batches: Iterable[tuple[pa.RecordBatch, str | None]], rows_per_chunk: int) -> Iterator[Group]:
    """The batches in groups of about `rows_per_chunk` rows, and of bounded size."""
    waiting: list[pa.RecordBatch] = []
    rows = octets = 0
    below: str | None = None
    for batch, last in batches:
        waiting.append(batch)
        rows, octets = rows + len(batch), octets + batch.nbytes
        below = last if last is not None else below
        if rows >= rows_per_chunk or octets >= CHUNK_BYTES:
            yield Group(tuple(waiting), rows, below)
            waiting, rows, octets = [], 0, 0
    if waiting:
        yield Group(tuple(waiting), rows, below)
