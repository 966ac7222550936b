"""One run of mode cdc over one table: changes from its slot, folded, stored, checkpointed, and only then confirmed.

The order that keeps data safe: changes are on the target's disk before the record counts them, and the record is on
disk before it is confirmed to PostgreSQL, which then forgets them. Killed anywhere, the next run gets again what the
record does not have, and ends in the same state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timezone

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.positions import CdcRecord
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Checkpointed, ChunkDone, Listener, Note, Stored, TableSync
from gridferry.engine.ownership.marks import Marks
from gridferry.engine.retry import with_patience
from gridferry.engine.rows.gone_containers import gone_note
from gridferry.engine.sync.cdc.apply import ChangeWriter
from gridferry.engine.sync.cdc.columns import add_columns, added_names, extended_plan, unknown_columns
from gridferry.engine.sync.cdc.gaps import has_notes, proven
from gridferry.engine.sync.cdc.parts_watch import PartsWatch
from gridferry.engine.sync.cdc.source_checks import EVERY_S, SourceWatch
from gridferry.engine.sync.counts import ContainerCounts, Counts
from gridferry.engine.sync.history import SyncHistory
from gridferry.engine.sync.settings import SyncSettings
from gridferry.errors import DataError, FerryError, SlotLost
from gridferry.model.change import ChangeBatch, ChangeGroup, RelationChange, Truncation
from gridferry.model.position import Lsn
from gridferry.plan.keys import proves_keys
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_options import OnTruncate, SyncMode, SyncOptions, TableOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.log.stream import ChangeStream
from gridferry.source.postgres.source import PostgresSource

MODE = "cdc"
_TALLY_EVERY_S = 30.0
_IDLE_SAVE_S = 5.0


class CdcRun:
    """One run, bounded or without end. Made for one call of `run`, under a lease."""

    def __init__(
        self,
        state: TargetState,
        lease: Lease,
        source: PostgresSource,
        *,
        options: TableOptions,
        settings: SyncSettings,
        tell: Listener,
        history: SyncHistory,
    ) -> None:
        self._state = state
        self._lease = lease
        self._source = source
        self._feed = ChangeFeed(source.address)
        self._options = options
        self._table = options.qualified
        self._sync = options.sync or SyncOptions(mode=SyncMode.CDC)
        self._settings = settings
        self._tell = tell
        self._history = history
        self._started = time.monotonic()
        self._counts = Counts()
        self._since = Counts()  # of them, those after the last checkpoint
        self._containers = ContainerCounts()
        self._tallied_at = time.monotonic()
        self._touched: set[str | None] = set()
        self._created: list[str] = []
        self._notes: list[str] = []
        self._saved_at = 0.0
        self._proven_at = time.monotonic()
        self._seen_fresh = False  # the stream has described the table with every column of `CdcRecord.fresh`
        self._watch = SourceWatch(source, options, tell)
        self._marks = Marks(state, self._feed, lease)
        self._parts = PartsWatch(state, source, lease, options=options)

    def run(self, run: LoadRun, plan: TablePlan, record: CdcRecord, *, follow: bool = False) -> TableSync:
        """Store what was committed before now; with `follow` go on until asked to stop.

        Raises: any FerryError; what was checkpointed stays, and the next run goes on there.
        """
        self._started = time.monotonic()
        with self._unless_taken_over(record):
            checked = self._watch.begin(run, plan, record)
        record = self._state.positions.begin(checked)
        record = self._added(plan, record)
        self._warn(self._parts.look(plan))
        until, now = self._feed.now()
        self._marks.leave(run)
        ended = False
        while not ended:
            record, plan, ended = self._stream(run, plan, record, until=None if follow else until)
        stopped = self._settings.stop() and record.position < until
        if not stopped and not follow:
            record, plan = self._unchanged(run, plan, record)
            record = replace(record, as_of=max(record.as_of, now))
        record = self._save(record.ended())
        self._checkpointed(record)
        self._containers.save(self._state.tallies, run.table)
        outcome = "stopped" if stopped else "synced" if self._counts.read else "nothing new"
        return self._done(record, outcome)

    def _done(self, record: CdcRecord, outcome: str) -> TableSync:
        return TableSync(
            table=record.table,
            mode=MODE,
            outcome=outcome,
            read=self._counts.read,
            rows=self._counts.written,
            deleted=self._counts.deleted,
            quarantined=self._counts.quarantined,
            seconds=time.monotonic() - self._started,
            position=str(record.position),
            as_of=record.as_of,
            touched=len(self._touched),
            created=tuple(self._created),
            notes=tuple(self._notes),
        )

    def _stream(
        self, run: LoadRun, plan: TablePlan, record: CdcRecord, *, until: Lsn | None
    ) -> tuple[CdcRecord, TablePlan, bool]:
        """Follow the slot until its end, or until the table got a column, which has to be asked for again.

        Returns: the record and plan as they are then, and whether the end was reached.
        """
        (table,) = self._source.fetch_tables([self._options.table])
        proven = proves_keys(table, self._options, plan.columns[: plan.key_length])
        writer = ChangeWriter(
            self._state, plan, self._source, on_retry=self._again, check=self._lease.check, proven=proven
        )
        wanted = {(plan.schema, plan.table): plan.source_columns}
        self._seen_fresh = False
        try:
            with self._unless_taken_over(record):
                opened = self._feed.stream(run.slot, start=record.position, wanted=wanted)
            with (
                opened as stream,
                _Stopping(stream, self._settings.stop),
            ):
                for group in stream.groups(until=until):
                    self._lease.check()
                    record, extended = self._group(group, run, plan, record, writer)
                    if extended is not None:
                        return record, extended, False
                    record = self._checkpoint(group, record, stream, last=until)
                    record = self._watch.again(run, plan, record)
                    self._warn(self._parts.look(plan, every_s=EVERY_S))
                    record = self._proven(record)
                    self._sample(record)
                    self._marks.again(run, stored=bool(group.changes), every_s=EVERY_S)
                    if self._settings.stop():
                        break
        finally:
            self._touched |= writer.target.touched
            self._created += writer.target.created
        return record, plan, True

    @contextmanager
    def _unless_taken_over(self, record: CdcRecord) -> Iterator[None]:
        """A slot that seems lost may only have been read on, while this run was stopped, by one that took over."""
        try:
            yield
        except SlotLost:
            self._state.positions.require_latest(record)
            raise

    def _group(
        self, group: ChangeGroup, run: LoadRun, plan: TablePlan, record: CdcRecord, writer: ChangeWriter
    ) -> tuple[CdcRecord, TablePlan | None]:
        """Store one group. Returns the record, and another plan if the table got a column."""
        for part in group.parts:
            if isinstance(part, RelationChange):
                types = self._feed.column_types(part.now)
                fresh = () if self._seen_fresh else record.fresh
                names = added_names(plan, self._options, part.now, types=types, fresh=fresh)
                if names:
                    found = self._extend(run, plan, record, names=names, types=types)
                    if found is not None:
                        return found
                self._seen_fresh = self._seen_fresh or all(name in types for name in record.fresh)
            elif isinstance(part, Truncation):
                self._truncate(plan, part, writer)
            else:
                record = self._batch(part, record, writer)
        return record, None

    def _batch(self, batch: ChangeBatch, record: CdcRecord, writer: ChangeWriter) -> CdcRecord:
        known = len(writer.target.created)
        done = writer.apply(batch)
        self._since.created += len(writer.target.created) - known
        if writer.target.gone:
            self._notes.append(gone_note(writer.target.gone))
            self._tell(Note(record.table, self._notes[-1], "warning"))
            writer.target.gone.clear()
        self._tell(Stored(self._table, done.put_s, done.flush_s))
        self._since.kinds(batch.operations)
        self._since.written += done.written
        self._since.deleted += done.deleted
        self._since.quarantined += done.quarantined
        self._containers.add(done.containers)
        return record.counted(read=len(batch), written=done.written, deleted=done.deleted)

    def _truncate(self, plan: TablePlan, part: Truncation, writer: ChangeWriter) -> None:
        if self._sync.on_truncate is OnTruncate.REFUSE:
            raise DataError(
                f"{plan.qualified} was emptied by TRUNCATE in the source by the transaction that ends at {part.commit}",
                table=plan.qualified,
                state="everything committed before that is stored; the target's rows are as they were before it",
                next_step="set `on_truncate: apply` under `sync` to empty the containers too, and sync again",
            )
        writer.truncate()
        self._since.truncates += 1
        self._tell(Note(plan.qualified, "the source emptied the table with TRUNCATE; so are its containers", "warning"))

    def _unchanged(self, run: LoadRun, plan: TablePlan, record: CdcRecord) -> tuple[CdcRecord, TablePlan]:
        """Take over columns that were added with no change of a row since: the stream describes a table with the next.

        Returns: the record and plan as they are then.
        """
        (table,) = self._source.fetch_tables([self._options.table])
        names = unknown_columns(plan, self._options, [c.name for c in table.columns if not c.generated])
        types = {column.name: column.type.formatted for column in table.columns}
        return (self._extend(run, plan, record, names=names, types=types) if names else None) or (record, plan)

    def _extend(
        self, run: LoadRun, plan: TablePlan, record: CdcRecord, *, names: list[str], types: dict[str, str]
    ) -> tuple[CdcRecord, TablePlan] | None:
        """Give the containers new columns, and write the plan that has them; None if the source has none any more."""
        (table,) = self._source.fetch_tables([self._options.table])
        extended = extended_plan(plan, self._options, table, names=names, types=types)
        added = tuple(c.source for c in extended.columns[len(plan.columns) :])
        if not added:
            return None
        # First the record, then the plan, then the containers: killed in between, the next run knows what is not done.
        record = self._save(replace(record, fresh=tuple(dict.fromkeys((*record.fresh, *added))), adding=added))
        self._state.runs.replan(run, extended)
        record = self._added(extended, record)
        self._tell(Note(plan.qualified, f"new columns were added to the containers: {', '.join(added)}"))
        return record, extended

    def _added(self, plan: TablePlan, record: CdcRecord) -> CdcRecord:
        """Bring the containers to the plan, if an earlier run or this one has begun to. May be done again."""
        if not record.adding:
            return record
        with self._source.open_snapshot() as view:
            (table,) = view.fetch_tables([self._options.table])
            planned = {column.source for column in plan.columns}
            names = [name for name in record.adding if name in planned and table.column(name) is not None]
            add_columns(
                self._state,
                plan,
                view,
                table=table,
                names=names,
                rows_per_chunk=self._settings.rows_per_chunk,
                check=self._lease.check,
            )
        return self._save(replace(record, adding=()))

    def _checkpoint(
        self, group: ChangeGroup, record: CdcRecord, stream: ChangeStream, *, last: Lsn | None
    ) -> CdcRecord:
        """Write how far changes are stored, then confirm it to PostgreSQL; seldom while nothing of this table comes."""
        if group.position is None or group.position <= record.position:
            return record
        # Only now: before, a stream that begins again would come from where the table lacked those columns.
        record = replace(record, position=group.position, fresh=() if self._seen_fresh else record.fresh)
        if group.committed_at_us is not None:
            record = replace(record, as_of=max(record.as_of, _stamp(group.committed_at_us)))
        reached = last is not None and group.position >= last
        if group.parts or reached or time.monotonic() - self._saved_at >= _IDLE_SAVE_S:
            record = self._save(record)
            stream.confirm(record.position)
            self._checkpointed(record)
            if group.changes:
                self._tell(ChunkDone(record.table, record.runs, group.changes, 0))
        return record

    def _checkpointed(self, record: CdcRecord) -> None:
        """Tell what a checkpoint covers, and now and then write what each container got."""
        done, self._since = self._since, Counts()
        self._counts.add(done)
        self._tell(Checkpointed(record.table, MODE, position=str(record.position), as_of=record.as_of, **asdict(done)))
        if time.monotonic() - self._tallied_at >= _TALLY_EVERY_S:
            self._tallied_at = time.monotonic()
            self._containers.save(self._state.tallies, record.table)

    def _save(self, record: CdcRecord) -> CdcRecord:
        self._lease.check()
        saved = with_patience(lambda: self._state.positions.save(record), on_retry=self._again)
        self._saved_at = time.monotonic()
        return saved

    def _warn(self, words: Sequence[str]) -> None:
        self._notes += words
        for text in words:
            self._tell(Note(self._table, text, "warning"))

    def _sample(self, record: CdcRecord) -> None:
        """Let the history know how far the stream is, where its end was looked at since the last time."""
        end = self._watch.new_log_end()
        if end is not None:
            self._history.looked(self._done(record, "following"), position=record.position, current=end)

    def _proven(self, record: CdcRecord) -> CdcRecord:
        """The record without notes that a verification has answered; looked for as seldom as at the source."""
        if time.monotonic() - self._proven_at < EVERY_S or not has_notes(record):
            return record
        self._proven_at = time.monotonic()
        return proven(record, self._state.verifications.readable(record.table))

    def _again(self, error: FerryError) -> None:
        self._tell(Note(self._options.table, f"changes are stored again: {error}", "warning"))


class _Stopping:
    """While its block runs, ends the stream once `stop` says so: the stream may be waiting for changes then."""

    def __init__(self, stream: ChangeStream, stop: Callable[[], bool]) -> None:
        self._stream = stream
        self._stop = stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gridferry-stop", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            if self._stop():
                self._stream.stop()
                return


def _stamp(microseconds: int) -> str:
    """A time as `Snapshot.taken_at` has it."""
    moment = datetime.fromtimestamp(microseconds / 1_000_000, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
