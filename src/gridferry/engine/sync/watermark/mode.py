"""Mode watermark as the sync sees it: its runs, and the state of a table."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from gridferry import numbers
from gridferry.checkpoint.cursors import SyncRecord
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import LoadRun
from gridferry.engine.comparison.claimed_rows import look_for_claimed, require_claimed
from gridferry.engine.events import Checkpointed, Level, Note, TableSync
from gridferry.engine.ownership.lineage import Checked, KnowsOrigin
from gridferry.engine.ownership.origin_check import Loaded, take_up
from gridferry.engine.ownership.parts import notes_of_parts
from gridferry.engine.standing import SyncStatus
from gridferry.engine.sync.columns import with_added
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.watermark.columns import follow_columns
from gridferry.engine.sync.watermark.run import DescribesTables, SyncBasis, WatermarkRun, find_new, sync_basis
from gridferry.errors import CheckpointError, ConfigError, FerryError, LeaseHeld
from gridferry.model.moment import age_s
from gridferry.model.origin import Lineage, SourceOrigin, compare
from gridferry.model.outcomes import SyncOutcome, SyncState
from gridferry.model.parts import PartChanges
from gridferry.plan.coverage import coverage_of
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.plan.watermark import blind_spot, by_value
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.selection import Window

_SMALL = 64 << 20  # bytes


class ShownTables(DescribesTables, KnowsOrigin, Protocol):
    """What a source says of tables, origin and all."""


@dataclass(frozen=True)
class StillBasis:
    """What a run over a table goes by, of which nothing has changed but, maybe, that there are new rows."""

    follower: WatermarkSync
    loaded: Loaded
    by: SyncBasis


class WatermarkSync(Follower):
    """`Follower` of mode watermark."""

    mode: ClassVar[SyncMode] = SyncMode.WATERMARK
    _held: LeaseHeld | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What this mode does not see of the table."""
        return (blind_spot(self._options),)

    def _run_leased(self, *, follow: bool) -> TableSync:
        held, self._held = self._held, None
        if held is not None:
            self.let_in = True
            raise held
        return super()._run_leased(follow=follow)

    def _run(self, lease: Lease, loaded: Loaded, *, follow: bool) -> TableSync:
        if self._settings.new_slot:
            raise ConfigError(
                f"{loaded.run.table} is followed by mode watermark, which has no slot",
                state="nothing was changed",
                next_step="set `sync: {mode: cdc}` for it, or leave --new-slot out",
            )
        # After the lease: what another run read meanwhile is older than this snapshot.
        with self._source.open_snapshot() as view:
            now = view.fetch_table_origin(loaded.plan.schema, loaded.plan.table)
            loaded.source.require_still(now)
            by = sync_basis(self._state, view, self._options, loaded.run, loaded.plan)
            settings = self._settings
            if loaded.source.lineage is not Lineage.SAME:
                self._require_claimed(view, by, loaded.source)
                # Rows that the copy of a server got late lie anywhere.
                settings = replace(settings, sweep=True)
                # Until this run has come to its end, no server counts as the one that the cursor is of.
                lease.check()
                self._state.origins.save(replace(loaded.source.record, origin=replace(now, started="")))
            by = follow_columns(
                self._state,
                lease,
                view,
                by,
                run=loaded.run,
                options=self._options,
                rows_per_chunk=settings.rows_per_chunk,
                tell=self._tell,
            )
            done = WatermarkRun(self._state, lease, view, settings, self._tell).run(by)
        if done.outcome is not SyncOutcome.STOPPED and now != loaded.source.record.origin:
            lease.check()
            self._state.origins.save(replace(loaded.source.record, origin=now))
        return done

    @property
    def may_pass(self) -> bool:
        """Whether a run with these settings may find, with others, that nothing is new: see `WatermarkPass`."""
        settings = self._settings
        return not (settings.new_slot or settings.sweep or settings.taking_over or settings.resyncing)

    def turn_away(self, held: FerryError) -> None:
        """Let the next run end with what a pass has met, unless it is to wait for the lease: to find out once more who
        lives would take a beat of each table's holder.
        """
        if isinstance(held, LeaseHeld) and not self._settings.wait_s:
            self._held = held

    @property
    def options(self) -> TableOptions:
        """What the config says of the table."""
        return self._options

    def is_from(self, now: SourceOrigin) -> bool:
        """Whether the table is surely from the very server that `now` is of. What is not readable is not."""
        try:
            record = self._state.origins.get(self.table)
        except CheckpointError:
            return False
        return record is not None and not record.taking_over and compare(record.origin, now)[0] is Lineage.SAME

    def still_basis(self, shown: ShownTables) -> StillBasis | None:
        """What a run goes by, if nothing about the table has changed since the last; None where anything has, and a
        run of its own has to see to it. Under the lease. Raises: as `run`.
        """
        self.let_in = True
        (table,) = shown.fetch_tables([self._options.table])
        if not self.is_from(shown.fetch_table_origin(self._options.schema_name, self._options.table_name)):
            return None
        loaded = take_up(
            self._state, shown, self._options, left="nothing was changed", then="gridferry sync", described=table
        )
        if loaded.run.spare or not table.own_heap:
            return None
        by = sync_basis(self._state, shown, self._options, loaded.run, loaded.plan)
        readable = [column for column in by.table.columns if column.readable]
        plan, _ = with_added(by.plan, self._options, by.table, readable)
        parts = by.parts
        if by.changes or plan != by.plan or parts.known is None or parts.notes or parts.changes != PartChanges():
            return None
        # A table that is read whole for each answer is not to be read twice where there is something new.
        whole = not by.column.indexed or not by.record.cursor.open_marks
        if parts.known.notes != parts.record.notes or (whole and by.table.size_bytes > _SMALL):
            return None
        return StillBasis(self, loaded, by)

    def unchanged(
        self, still: StillBasis, record: SyncRecord, window: Window, *, follow: bool, started: float, quarantined: int
    ) -> TableSync:
        """Report, and keep, that a run has found nothing new; `record` is written already."""
        self.begun()
        self._started = started
        cursor = record.cursor
        self._tell(Checkpointed(self.table, self.mode, waiting=0, position=cursor.position or "", as_of=cursor.clock))
        covered = coverage_of(still.by.plan, table=still.by.table, options=self._options)
        done = TableSync(
            table=self.table,
            mode=self.mode,
            outcome=SyncOutcome.NOTHING_NEW,
            seconds=time.monotonic() - started,
            position=window.position or "",
            as_of=cursor.clock,
            swept=window.floor is None,
            fresh=window.fresh,
            coverage=replace(covered, quarantined=quarantined),
        )
        self._history.ended(done, last=not follow or self._settings.stop())
        self.ended(done)
        return done

    def _require_claimed(self, view: PostgresSnapshot, by: SyncBasis, checked: Checked) -> None:
        """Return if every row that the cursor counts as read is in the target. Raises: OtherSource."""
        new = find_new(view, by, sweep=True).condition
        found = look_for_claimed(self._state, view, by.plan, by.table, new=new)
        require_claimed(found, checked, self._options)
        self._tell(
            Note(
                by.plan.qualified,
                f"{checked.why}: a restart, or a copy. All {numbers.plural(found.rows, 'row')} that were read before "
                "are in the target, and the sync goes on",
                Level.WARNING,
            )
        )

    def _standing(self, run: LoadRun) -> SyncStatus:
        record = self._state.cursors.get(run.table)
        if record is None:
            return SyncStatus(self.mode, SyncState.NOT_BEGUN, notes=self.notes)
        cursor = record.cursor
        return replace(
            self._report(record),
            column=cursor.column,
            position=cursor.position or "",
            as_of=cursor.clock,
            notes=(*self.notes, *notes_of_parts(self._state, run.table)),
        )

    def _asked(self, standing: SyncStatus, run: LoadRun) -> SyncStatus:
        """The rows that wait are counted in the source."""
        with self._source.open_snapshot() as view:
            loaded = self._loaded()
            by = sync_basis(self._state, view, self._options, loaded.run, loaded.plan)
            cursor = by.record.cursor
            notes = standing.notes
            if by.table.elsewhere:
                notes = (*notes, by_value(by.table))
            if loaded.source.lineage is not Lineage.SAME:
                notes = (*notes, f"{loaded.source.why}: a restart, or a copy; the next sync finds out which")
            lag = find_new(view, by).fresh
            return replace(
                standing,
                column=cursor.column,
                position=cursor.position or "",
                as_of=cursor.clock,
                notes=notes,
                lag_rows=lag,
                lag_seconds=age_s(cursor.clock, view.snapshot.taken_at),
            )

    def waiting(self) -> dict[str | None, int] | None:
        """See `Follower`: one scan of the window, grouped."""
        loaded = self._loaded()
        with self._source.open_snapshot() as view:
            by = sync_basis(self._state, view, self._options, loaded.run, loaded.plan)
            new = find_new(view, by).ahead
            if new is None:
                return None
            return {value: rows for value, rows in view.count_rows(by.plan.narrowed(new)).items() if rows}
