"""Mode watermark as the sync sees it: its runs, and the state of a table."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from gridferry import numbers
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import LoadRun
from gridferry.engine.comparison.claimed_rows import look_for_claimed, require_claimed
from gridferry.engine.events import Level, Note, SyncStatus, TableSync
from gridferry.engine.ownership.lineage import Checked
from gridferry.engine.ownership.origin_check import Loaded
from gridferry.engine.ownership.parts import notes_of_parts
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.watermark.columns import follow_columns
from gridferry.engine.sync.watermark.run import SyncBasis, WatermarkRun, find_new, sync_basis
from gridferry.errors import ConfigError
from gridferry.model.moment import age_s
from gridferry.model.origin import Lineage
from gridferry.model.outcomes import SyncOutcome, SyncState
from gridferry.plan.table_options import SyncMode
from gridferry.plan.watermark import blind_spot, by_value
from gridferry.source.postgres.one_snapshot import PostgresSnapshot


class WatermarkSync(Follower):
    """`Follower` of mode watermark."""

    mode: ClassVar[SyncMode] = SyncMode.WATERMARK

    @property
    def notes(self) -> tuple[str, ...]:
        """What this mode does not see of the table."""
        return (blind_spot(self._options),)

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
