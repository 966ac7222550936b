"""How far a table is synced, as a verification must know it: what the target cannot have yet is no difference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import ignore
from gridferry.engine.slots import require_own_slot
from gridferry.engine.sync.modes import follower
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.verify.log_keys import LoggedKeys, WindowKeys, waiting_keys
from gridferry.errors import SourceError
from gridferry.model.moment import moment_of
from gridferry.model.position import Lsn
from gridferry.plan.plan import TablePlan
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.log.decoder import Wanted
from gridferry.source.postgres.log.pending import fetch_pending, read_pending
from gridferry.source.postgres.log.window import open_log_window
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.source import PostgresSource

# A snapshot is a moment older than the clock that is read with it.
_CLOCK_MARGIN = timedelta(seconds=1)
_SLOT_PATIENCE_S = 60.0


@dataclass(frozen=True)
class SourceState:
    """A state of the source: everything that it shows lies in front of `position`, and was there at `taken_at`."""

    position: Lsn
    taken_at: str


class SyncWatch:
    """Tells whether the target has a state of the source. `mode` is None for a table that nobody can sync."""

    def __init__(self, source: PostgresSource, state: TargetState, options: TableOptions, run: LoadRun) -> None:
        mode = options.sync_mode
        self.mode = None if mode is SyncMode.CDC and not run.slot else mode
        if self.mode is SyncMode.CDC:
            require_own_slot(ChangeFeed(source.address), state, run, left="nothing was compared")
        self._source = source
        self._state = state
        self._options = options
        self._run = run

    def mark(self, view: PostgresSnapshot) -> SourceState:
        """The mark of a held snapshot."""
        return SourceState(view.seen_until(), view.snapshot.taken_at)

    def standing(self) -> object:
        """What the stored state says of the sync; equal at two times if no run wrote in between."""
        if self.mode is SyncMode.CDC:
            return self._state.positions.get(self._run.table)
        return self._state.cursors.get(self._run.table) if self.mode is SyncMode.WATERMARK else None

    def busy(self) -> bool:
        """Whether a run works on the table: a sync, a load, a replay."""
        return self._state.holder_of(self._run.table) is not None

    def passed(self, mark: SourceState) -> bool:
        """Whether the target has everything of the state that `mark` names, as far as the mode can know."""
        if self.mode is SyncMode.CDC:
            return self._position() >= mark.position
        if self.mode is SyncMode.WATERMARK:
            record = self._state.cursors.get(self._run.table)
            clock = "" if record is None else record.cursor.clock
            return bool(clock) and moment_of(clock) > moment_of(mark.taken_at) + _CLOCK_MARGIN
        return True

    def waits(self, mark: SourceState) -> bool:
        """Whether something of that state may still be to be stored. Only to be asked while nobody works on it."""
        try:
            if self.mode is SyncMode.CDC:
                return fetch_pending(
                    self._source.address,
                    self._run.slot,
                    schema=self._options.schema_name,
                    table=self._options.table_name,
                    position=self._position(),
                    until=mark.position,
                )
            if self.mode is SyncMode.WATERMARK:
                settings = SyncSettings()
                each = follower(self._source, self._state, self._options, settings=settings, listener=ignore)
                return each.status().lag_rows != 0
        except SourceError:
            return True  # a slot that is in use or lost: nothing is known, so nothing is proven
        return False

    def waiting_keys(self, mark: SourceState, plan: TablePlan) -> LoggedKeys | None:
        """Of which keys something of that state may still be to be stored; None where that is not known: of all.

        Only to be asked after `waits`, while nobody works on the table.
        """
        if self.mode is not SyncMode.CDC:
            return None
        try:
            parts = read_pending(self._source.address, self._run.slot, until=mark.position, wanted=self._wanted(plan))
            return waiting_keys(parts, plan, position=self._position())
        except SourceError:
            return None

    @contextmanager
    def brought(self, plan: TablePlan) -> Iterator[WindowKeys | None]:
        """The keys that come at the source while the block runs; None if the log cannot be read."""
        with ExitStack() as stack:
            try:
                window = open_log_window(
                    self._source.address,
                    followed=self._run.slot,
                    wanted=self._wanted(plan),
                    patience_s=_SLOT_PATIENCE_S,
                )
                found = WindowKeys(stack.enter_context(window), plan)
            except SourceError:
                found = None  # no slot is free, or the log is too long to be read
            yield found

    def _wanted(self, plan: TablePlan) -> Wanted:
        """The columns that give a row's key and container."""
        wanted = {*plan.key, plan.split_by}
        if plan.numbered:  # the hash is made of all of them
            return {(plan.schema, plan.table): plan.source_columns}
        return {(plan.schema, plan.table): tuple(c for c in plan.source_columns if c.name in wanted)}

    def _position(self) -> Lsn:
        record = self._state.positions.get(self._run.table)
        return Lsn.parse(self._run.start) if record is None else record.position
