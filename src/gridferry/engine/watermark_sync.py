"""Mode watermark as the sync sees it: its runs, and how a table stands."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import LoadRun
from gridferry.engine.events import SyncStatus, TableSync
from gridferry.engine.follower import Follower
from gridferry.engine.loaded import Loaded
from gridferry.engine.watermark import MODE, WatermarkRun, following
from gridferry.errors import ConfigError
from gridferry.model.moment import age_s
from gridferry.plan.watermark import BLIND_SPOT, by_value


class WatermarkSync(Follower):
    """`Follower` of mode watermark."""

    mode: ClassVar[str] = MODE
    notes: ClassVar[tuple[str, ...]] = (BLIND_SPOT,)

    def _run(self, lease: Lease, loaded: Loaded, *, follow: bool) -> TableSync:
        if self._settings.new_slot:
            raise ConfigError(
                f"{loaded.run.table} is followed by mode watermark, which has no slot",
                state="nothing was changed",
                next_step="set `sync: {mode: cdc}` for it, or leave --new-slot out",
            )
        # After the lease: what another run read meanwhile is older than this snapshot.
        with self._source.open_snapshot() as view:
            by = following(self._state, view, self._options, loaded.run, loaded.plan)
            return WatermarkRun(self._state, lease, view, self._settings, self._tell).run(by)

    def _standing(self, run: LoadRun) -> SyncStatus:
        record = self._state.cursors.get(run.table)
        if record is None:
            return SyncStatus(MODE, "not begun", notes=self.notes)
        cursor = record.cursor
        return replace(self._report(record), column=cursor.column, position=cursor.position or "", as_of=cursor.clock)

    def _asked(self, standing: SyncStatus, run: LoadRun) -> SyncStatus:
        """The rows that wait are counted in the source."""
        with self._source.open_snapshot() as view:
            loaded = self._loaded()
            by = following(self._state, view, self._options, loaded.run, loaded.plan)
            cursor = by.record.cursor
            lag = view.find_new(by.table, by.plan, column=by.column, cursor=cursor).fresh
            return replace(
                standing,
                column=cursor.column,
                position=cursor.position or "",
                as_of=cursor.clock,
                lag_rows=lag,
                lag_seconds=age_s(cursor.clock, view.snapshot.taken_at),
                notes=(*standing.notes, by_value(by.table)) if by.table.elsewhere else standing.notes,
            )

    def waiting(self) -> dict[str | None, int] | None:
        """See `Follower`: one scan of the window, grouped."""
        loaded = self._loaded()
        with self._source.open_snapshot() as view:
            by = following(self._state, view, self._options, loaded.run, loaded.plan)
            new = view.find_new(by.table, by.plan, column=by.column, cursor=by.record.cursor).ahead
            if new is None:
                return None
            where = f"({by.plan.where}) AND {new}" if by.plan.where else new
            return {value: rows for value, rows in view.count_rows(replace(by.plan, where=where)).items() if rows}
