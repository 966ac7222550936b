"""One table of a stream: its changes stored, its columns kept up to the source's, its record, and what its run did.

A stream may begin before the place that a table has reached, since another one is not as far: what the table has
stored already is left out by its commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone

from gridferry.checkpoint.positions import CdcRecord
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.standings import Standing
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note, TableSync
from gridferry.engine.rows.gone_containers import gone_note
from gridferry.engine.slots import leave_slot
from gridferry.engine.sync.cdc.apply import ChangeWriter
from gridferry.engine.sync.cdc.columns import Followed, followed, is_planned
from gridferry.engine.sync.cdc.gaps import has_notes, proven
from gridferry.engine.sync.cdc.parts_watch import PartsWatch
from gridferry.engine.sync.cdc.source_checks import EVERY_S, SlotLook, SourceWatch
from gridferry.engine.sync.cdc.table_counts import TableCounts
from gridferry.engine.sync.columns import add_columns, fitted_plan, left_out_of_hash, with_added
from gridferry.engine.sync.history import SyncHistory
from gridferry.engine.sync.settings import SyncSettings
from gridferry.errors import CheckpointError, DataError, FerryError, SlotLost
from gridferry.model.change import ChangeBatch, ChangedRelation, ChangeGroup, ChangePart, RelationChange, Truncation
from gridferry.model.moment import later
from gridferry.model.outcomes import SyncOutcome
from gridferry.model.parts import Part
from gridferry.model.position import Lsn
from gridferry.model.table import Table
from gridferry.plan.drift import come_again, fit
from gridferry.plan.keys import proves_keys
from gridferry.plan.plan import FormerColumns, SourceColumn, TablePlan
from gridferry.plan.sync_options import OnTruncate, SyncMode, SyncOptions
from gridferry.plan.table_options import TableOptions
from gridferry.source.contract import ReadsCatalog
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.source import PostgresSource

_COME_AGAIN = (
    "the column {0} was dropped and added again with its type, which no change in the log shows: GridDB has its old "
    "values, and a verification does not compare it. Load the table again, or give the column another name"
)


class FollowedTable:
    """A table that a run of a stream follows. `plan` and `record` are as they are now, `saved` as the target has it.

    Its calls belong to one thread at a time.
    """

    def __init__(
        self,
        state: TargetState,
        source: PostgresSource,
        *,
        run: LoadRun,
        described: Table,
        record: CdcRecord,
        options: TableOptions,
        settings: SyncSettings,
        tell: Listener,
        history: SyncHistory,
        check: Callable[[], None],
        failed: Callable[[FerryError], None],
    ) -> None:
        """Args: run: the finished load, with its plan; described: the table as the catalog has it; check: raises where
        the right to write was lost; failed: called where the table is set apart.
        """
        if run.plan is None:
            raise CheckpointError(f"the load of {run.table} has no plan", next_step="load it again with --replace")
        self.run = run
        self.plan = run.plan
        self.described = described
        self.record = self.saved = record
        self.options = options
        self.error: FerryError | None = None  # why it is not followed any more in this run
        self.left: Standing | None = None  # by whose wish it is not
        self._failed = failed
        self.touched = False  # whether the stream had anything of it since the last checkpoint
        self._state = state
        self._source = source
        self._feed = ChangeFeed(source.address)
        self._sync = options.sync or SyncOptions(mode=SyncMode.CDC)
        self._settings = settings
        self._tell = tell
        self._history = history
        self._check = check
        self._counts = TableCounts(run.table, state.tallies, tell)
        self._proven_at = time.monotonic()
        self._told: ChangedRelation | None = None  # how the stream describes it, not looked at yet
        self._described: ChangedRelation | None = None  # the description that the plan fits
        self._settled = False  # nothing that was described otherwise comes again, whatever happens
        self._seen_fresh = False  # the stream has described the table with every column of `CdcRecord.fresh`
        self._writer: ChangeWriter | None = None
        self.watch = SourceWatch(source, options, tell)
        self._parts = PartsWatch(state, check)

    @property
    def name(self) -> str:
        """`schema.table`."""
        return self.run.table

    @property
    def key(self) -> tuple[str, str]:
        """Schema and table, as the stream knows the table."""
        return self.plan.schema, self.plan.table

    @property
    def columns(self) -> tuple[SourceColumn, ...]:
        """What the stream has to hand on of the table."""
        return self.plan.source_columns

    @property
    def former(self) -> tuple[FormerColumns, ...]:
        """How the stream may describe the table from before changes that the plan has followed."""
        return self.plan.former

    def checked(self, look: SlotLook) -> None:
        """Let the record be one that the stream can go on from. Raises: as `SourceWatch.begin`."""
        self.record = self.watch.begin(self.run, self.plan, self.record, look)

    def begun(self, record: CdcRecord) -> None:
        """The run is written down as `record`."""
        self.record = self.saved = record
        self.finish_columns()

    def look_at_parts(self, view: PostgresSnapshot, table: Table, parts: tuple[Part, ...]) -> None:
        """Report parts of the table that came or went since the last look; `parts` are those of the snapshot."""
        self.warn(self._parts.look(view, self.plan, table, parts))

    def opened(self, table: Table) -> None:
        """A stream was opened for the table as the catalog has it."""
        proven_keys = proves_keys(table, self.options, self.plan.columns[: self.plan.key_length])
        told = left_out_of_hash(self.plan, self.options, table.columns)
        self.warn([words for words in told if words not in self._counts.notes])
        self._leave_writer()
        self._writer = ChangeWriter(
            self._state,
            self.plan,
            self._source,
            on_retry=self.again,
            check=self._check,
            proven=proven_keys,
            fit=self._fitted_to,
        )
        self._seen_fresh = False
        self._told = self._described = None

    def closed(self) -> None:
        """The stream is closed."""
        self._leave_writer()

    def take(self, parts: Sequence[ChangePart]) -> bool:
        """Store the table's part of a group. Returns: whether it got columns, and has to be streamed again with them.

        Raises: DataError for what cannot be stored; errors of either side.
        """
        if self._writer is None:
            raise CheckpointError(f"no stream is open for {self.name}")
        self.touched = True
        for part in parts:
            if isinstance(part, RelationChange):
                self._told = part.now
            elif isinstance(part, Truncation):
                if part.commit < self.record.position:
                    continue
                if self._must_extend():
                    return True
                self._truncate(part, self._writer)
            else:
                later = part.committed_from(self.record.position)
                if not len(later):
                    continue
                if self._must_extend():
                    return True
                self._batch(later, self._writer)
        return False

    def reached(self, group: ChangeGroup) -> None:
        """All that was committed before the group's position is stored, where it has one."""
        if group.position is None or group.position <= self.record.position:
            return
        self._settled |= group.complete and self._described is not None
        # Only now: before, a stream that begins again would come from where the table lacked those columns.
        fresh = () if self._seen_fresh else self.record.fresh
        self.record = replace(self.record, position=group.position, fresh=fresh)
        if group.committed_at_us is not None:
            self.record = replace(self.record, as_of=later(self.record.as_of, _stamp(group.committed_at_us)))

    def checkpointed(self, record: CdcRecord) -> None:
        """The record is on the target's disk: tell what it covers, and now and then write what each container got."""
        self.record = self.saved = record
        self._counts.checkpointed(record)
        self.touched = False
        if self._settled and self.plan.former:
            self.plan = replace(self.plan, former=())
            self.run = self._state.runs.replan(self.run, self.plan)

    def rewind(self) -> None:
        """Forget what was counted since the last checkpoint: it comes again. The rows stay; they are put again."""
        self.record = self.saved
        self.touched = False
        self._counts.rewind()

    def set_apart(self, error: FerryError) -> None:
        """Follow the table no more in this run, and report why. What it has not stored comes again."""
        self.rewind()
        self.error = error
        self._failed(error)

    @property
    def has_news(self) -> bool:
        """Whether the history is to be told how far the table is, as the log's end was seen."""
        return self.watch.has_log_end

    def looked(self) -> None:
        """What is looked after beside the stream, seldom: notes that a verification has answered, the history."""
        end = self.watch.new_log_end()
        if end is not None:
            self._history.looked(self.done(SyncOutcome.FOLLOWING), position=self.record.position, current=end)
        if time.monotonic() - self._proven_at >= EVERY_S and has_notes(self.record):
            self._proven_at = time.monotonic()
            self.record = proven(self.record, self._state.verifications.readable(self.name))

    def take_over_unchanged(self, table: Table) -> None:
        """Take over columns that were added with no change of a row since: the stream describes a table with the
        next.
        """
        fitted = fit(self.plan, self.options, table.columns)
        if fitted.misfit is not None or fitted.changes:
            # Changes from before may still come: the stream says when it is to be followed.
            self.warn([_COME_AGAIN.format(name) for name in come_again(self.plan, table.columns)])
            return
        columns = [column for column in table.columns if not column.generated]
        extended, added = with_added(fitted.plan, self.options, table, columns)
        if extended != self.plan:
            self._adopt(Followed(extended, added))

    def ended(self) -> TableSync:
        """The run is over, and its record is written. Returns what it did."""
        return self._counts.ended(self.record)

    def done(self, outcome: SyncOutcome) -> TableSync:
        """What the run has done until now."""
        return self._counts.done(outcome, position=self.record.position, as_of=self.record.as_of)

    def warn(self, words: Sequence[str]) -> None:
        """Report sentences, now and in what the run returns."""
        self._counts.warn(words)

    def again(self, error: FerryError) -> None:
        """Something is written once more after a temporary failure of the target."""
        self._tell(Note(self.options.table, f"changes are stored again: {error}", Level.WARNING))

    def save(self, record: CdcRecord) -> None:
        """Write the record, outside of a checkpoint."""
        self._check()
        self.record = self.saved = self._state.positions.save(record)

    def finish_columns(self) -> None:
        """Bring the containers to the plan, if an earlier run or this one has begun to. May be done again."""
        if not self.record.adding:
            return
        with self._source.open_snapshot() as view:
            (table,) = view.fetch_tables([self.options.table])
            plan = self._fitted_to(view)
            planned = {column.source for column in plan.columns if not column.gone}
            names = [name for name in self.record.adding if name in planned and table.column(name) is not None]
            add_columns(
                self._state,
                plan,
                view,
                table=table,
                names=names,
                rows_per_chunk=self._settings.rows_per_chunk,
                check=self._check,
                every=self.record.refill,
            )
        self.save(replace(self.record, adding=(), refill=False))

    def _fitted_to(self, view: ReadsCatalog) -> TablePlan:
        """The plan for the table as a snapshot has it, which may be further than the stream."""
        (table,) = view.fetch_tables([self.options.table])
        return fitted_plan(self.plan, self.options, table.columns).plan

    def _batch(self, batch: ChangeBatch, writer: ChangeWriter) -> None:
        known = len(writer.target.created)
        done = writer.apply(batch)
        self._counts.stored(batch, done, created=len(writer.target.created) - known)
        if writer.target.gone:
            self.warn([gone_note(writer.target.gone)])
            writer.target.gone.clear()
        self.record = self.record.counted(read=len(batch), written=done.written, deleted=done.deleted)

    def _truncate(self, part: Truncation, writer: ChangeWriter) -> None:
        if self._sync.on_truncate is OnTruncate.REFUSE:
            raise DataError(
                f"{self.name} was emptied by TRUNCATE in the source by the transaction that ends at {part.commit}",
                table=self.name,
                state="everything committed before that is stored; the target's rows are as they were before it",
                next_step="set `on_truncate: apply` under `sync` to empty the containers too, and sync again",
            )
        writer.truncate()
        self._counts.emptied()
        self._tell(Note(self.name, "the source emptied the table with TRUNCATE; so are its containers", Level.WARNING))

    def _must_extend(self) -> bool:
        """Look at how the stream describes the table, once. Returns: whether the plan follows a change of columns now.

        Raises: DataError for a change that the containers cannot follow.
        """
        now, self._told = self._told, None
        if now is None or now.former:
            return False
        types = self._feed.column_types(now)
        if not is_planned(self.plan, self.options, now, types):
            (table,) = self._source.fetch_tables([self.options.table])
            fresh = () if self._seen_fresh else self.record.fresh
            found = followed(
                self.plan, self.options, now, types=types, table=table, fresh=fresh, before=self._described
            )
            if found.plan != self.plan:
                self._adopt(found)
                return True
        self._seen_fresh = self._seen_fresh or all(name in types for name in self.record.fresh)
        self._described = now
        return False

    def _adopt(self, found: Followed) -> None:
        """Follow changes of the columns: write the plan that has them, and give the containers new columns."""
        # First the record, then the plan, then the containers: killed in between, the next run knows what is not done.
        record = self.saved
        self.rewind()
        if found.added:
            fresh = tuple(dict.fromkeys((*record.fresh, *found.added)))
            back = any(column.source in found.added for column in found.plan.columns[: len(self.plan.columns)])
            self.save(replace(record, fresh=fresh, adding=found.added, refill=record.refill or back))
        self.run = self._state.runs.replan(self.run, found.plan)
        self.plan = found.plan
        self._settled = False
        self.finish_columns()
        self.warn(found.changes)
        if found.added:
            self._tell(Note(self.name, f"new columns were added to the containers: {', '.join(found.added)}"))

    def _leave_writer(self) -> None:
        if self._writer is not None and self._writer.has_applied:
            self._counts.left(self._writer.target)
        self._writer = None

    @property
    def is_followed(self) -> bool:
        """Whether this run goes on with it."""
        return self.error is None and self.left is None

    @property
    def stop_lag(self) -> int:
        """From so many bytes of log on that the slot keeps, nothing goes on."""
        return self._sync.stop_lag

    @property
    def keeps_log(self) -> bool:
        """Whether the slot is to keep its changes: not where it has lost them, or its place was given up."""
        return not isinstance(self.error, SlotLost) and bool(self.run.slot)

    def leave(self, standing: Standing) -> None:
        """Follow the table no more in this run, by somebody's wish. What it has not stored comes again, where that is
        kept.
        """
        if self.error is None:
            self.rewind()
            self.save(self.record.ended())
        self.left = standing

    def give_up(self) -> None:
        """Let its place in the slot of all tables go, and note that what comes from here on is not followed."""
        if not self.run.slot:
            return
        self._check()
        leave_slot(self._feed, self._state, self.run)
        self.run = replace(self.run, slot="", start="", spare="")

    @property
    def position(self) -> Lsn:
        """Where the table is, as the target's disk has it: no further may its changes be forgotten."""
        return self.saved.position


def _stamp(microseconds: int) -> str:
    """A time as `Snapshot.taken_at` has it."""
    moment = datetime.fromtimestamp(microseconds / 1_000_000, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
