"""A source that took another's place: accepted by one command, that compares everything and goes on from there.

The order that keeps data safe: the state says that the table is being taken over, by which source; then the cursor is
that of a snapshot of the new source, or a new slot is made there; then both sides are compared and what differs is
repaired, journaled as any repair; and only when all is equal is the table followed again. In between every sync is
refused. Killed anywhere, the same command does it again from its beginning, and what was repaired stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gridferry.checkpoint.origins import OriginRecord
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note, TableSync
from gridferry.engine.ownership.lineage import command_of, known_origin, other_table
from gridferry.engine.ownership.origin_check import look_up
from gridferry.engine.ownership.parts import first_look
from gridferry.engine.repair.level import begin_anew, bring_level
from gridferry.engine.sync.cdc.renew_slot import SlotRenewal
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.modes import follower
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.sync.watermark.run import new_cursor
from gridferry.errors import DataError
from gridferry.model.origin import Lineage, SourceOrigin, compare, is_other_table
from gridferry.plan.drift import renumbered, require_fit
from gridferry.plan.plan import TablePlan
from gridferry.plan.stored import require_agrees
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.source import PostgresSource

_LEFT = "nothing was read or changed"
_THEN = "gridferry sync --new-source"
DEFAULT_SETTLE_S = 60.0


@dataclass(frozen=True)
class NewSource:
    """A loaded table, the source that it is from, and the one that the config names now. `why` the two differ."""

    table: str
    known: SourceOrigin
    now: SourceOrigin
    lineage: Lineage
    why: str
    taking_over: bool = False

    @property
    def is_new(self) -> bool:
        """Whether there is anything to take over."""
        return self.taking_over or self.lineage is not Lineage.SAME


class TakeOver:
    """Lets sources take the place of others, a table at a time. `state` is of the migration that gets the source."""

    def __init__(self, state: TargetState, source: PostgresSource, tell: Listener) -> None:
        self._state = state
        self._source = source
        self._tell = tell

    def look(self, chosen: Sequence[TableOptions]) -> list[NewSource]:
        """See `Sources.look`."""
        return [self._look(options)[0] for options in chosen]

    def run(self, chosen: Sequence[TableOptions], *, wait_s: float, settle_s: float) -> list[TableSync]:
        """Take tables over whose source is another one, or may be; then sync those that are followed.

        Args and Raises: see `Sources.take_over`.
        """
        for options in chosen:
            found, run, plan = self._look(options)
            if not found.is_new:
                said = f"its source is the one that it is from, {found.now}: there is nothing to take over"
                self._tell(Note(found.table, said))
                continue
            self._begin(options, found, run, plan, wait_s=wait_s)
            self._compare(options, wait_s=wait_s, settle_s=settle_s)
            self._end(found, wait_s=wait_s)
        done = []
        for options in chosen:
            if options.sync is not None:
                done.append(self._follower(options, SyncSettings(wait_s=wait_s)).run())
                self._tell(done[-1])
        return done

    def _look(self, options: TableOptions) -> tuple[NewSource, LoadRun, TablePlan]:
        table = options.qualified
        run, plan = look_up(self._state, options, left=_LEFT, then=_THEN)
        record = known_origin(self._state, table)
        now = self._source.fetch_table_origin(options.schema_name, options.table_name)
        if not now.table_oid and is_other_table(record.origin, now):
            raise other_table(self._source, record.origin, now, options=options, left=_LEFT)
        lineage, why = compare(record.origin, now)
        return NewSource(table, record.origin, now, lineage, why, record.taking_over), run, plan

    def _begin(self, options: TableOptions, found: NewSource, run: LoadRun, plan: TablePlan, *, wait_s: float) -> None:
        """Write that the table is being taken over, and from where the new source is followed."""
        with self._state.lease(found.table, wait_s=wait_s) as lease:
            with self._source.open_snapshot() as view:
                now = view.fetch_table_origin(options.schema_name, options.table_name)
                (described,) = view.fetch_tables([options.table])
                # Columns of another table have other numbers, whatever they are called.
                plan = require_agrees(renumbered(plan, described), options, described, left=_LEFT)
                fitted = require_fit(plan, options, described, left=_LEFT)
                plan = fitted.plan
                parts = first_look(view, plan)
                cursor = new_cursor(view, options, plan) if options.sync_mode is SyncMode.WATERMARK else None
            lease.check()
            self._tell_of_slot_left(found, run, now)
            # First the migration: of tables that are not taken over yet, their own origins still tell.
            database = self._source.fetch_origin()
            if self._state.whose().origin != database:
                self._state = self._state.of(self._state.registry.rebase(self._state.whose().key, database))
            self._state.origins.save(OriginRecord(found.table, now, taking_over=True))
            self._state.parts.save(parts)
            run = self._state.runs.replan(run, plan)
            for change in fitted.changes:
                self._tell(Note(found.table, change, Level.WARNING))
            if cursor is not None:
                begin_anew(self._state, found.table, cursor)
            elif options.sync_mode is SyncMode.CDC:
                renewal = SlotRenewal(self._state, lease, self._source, options=options, tell=self._tell)
                why = found.why or "an earlier call was interrupted"
                renewal.run(run, plan, because=f"the source is another one: {why}")

    def _tell_of_slot_left(self, found: NewSource, run: LoadRun, now: SourceOrigin) -> None:
        """Name the slot that stays in another server or database, and how it is dropped there."""
        elsewhere = (found.known.system, found.known.database_oid) != (now.system, now.database_oid)
        if run.slot and elsewhere and not found.taking_over:
            drop = f"SELECT pg_drop_replication_slot('{run.slot}')"
            said = f"the slot {run.slot} at {found.known.address} keeps log there until it is dropped: {drop}"
            self._tell(Note(found.table, said, Level.WARNING))

    def _compare(self, options: TableOptions, *, wait_s: float, settle_s: float) -> None:
        """Let both sides be equal. Syncs bring meanwhile what is written at the new source."""
        sync = None if options.sync is None else self._sync_beside
        differs = bring_level(
            self._state, self._source, self._tell, options, wait_s=wait_s, settle_s=settle_s, sync=sync
        )
        if differs:
            raise DataError(
                f"{options.qualified}: the new source and the target are not equal yet: {differs}",
                table=options.qualified,
                state="what was repaired stays, and is in the journal; until both sides are equal no sync goes on",
                next_step=f"run `{command_of(options)}` again; `gridferry verify` says which rows differ",
            )

    def _sync_beside(self, options: TableOptions) -> None:
        self._follower(options, SyncSettings(taking_over=True)).run()

    def _end(self, found: NewSource, *, wait_s: float) -> None:
        """Write that the table is of the new source from now on."""
        with self._state.lease(found.table, wait_s=wait_s) as lease:
            record = known_origin(self._state, found.table)
            lease.check()
            self._state.origins.save(replace(record, taking_over=False))
        self._tell(Note(found.table, f"it is from {record.origin} from now on: both sides are equal"))

    def _follower(self, options: TableOptions, settings: SyncSettings) -> Follower:
        return follower(self._source, self._state, options, settings=settings, listener=self._tell)
