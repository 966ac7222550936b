"""Tables that syncs leave out because somebody asked: paused, removed, or just being brought back. Told once each."""

from __future__ import annotations

import threading
import time

from gridferry.checkpoint.standings import Standing, StandingKind
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note, TableLeftOut
from gridferry.model.table_life import Stage

LOOK_EVERY_S = 2.0


class LeftOut:
    """What a sync leaves out. Safe for use by several threads. Made for one sync."""

    def __init__(self, state: TargetState, tell: Listener, *, but: str = "", kept_s: float = 1.0) -> None:
        """Args: but: a table that is followed whatever was wished, because it is just being brought back; kept_s: how
        long `of` goes by what was read: it is asked for each of many tables.
        """
        self._but = but
        self._kept_s = kept_s
        self._read: dict[str, Standing] = {}
        self._read_at = -kept_s
        self._state = state
        self._tell = tell
        self._lock = threading.Lock()
        self._told: dict[str, Standing] = {}

    def all(self) -> dict[str, Standing]:
        """Those of all tables. Tells nothing. Raises: CheckpointError, GridDBError."""
        return {table: found for table, found in self._state.standings.all().items() if table != self._but}

    def of(self, table: str) -> Standing | None:
        """A table's, told where it is another one than before; None where the table is to be followed."""
        with self._lock:
            if time.monotonic() - self._read_at >= self._kept_s:
                self._read, self._read_at = self.all(), time.monotonic()
            found = self._read.get(table)
            if found is None:
                self._told.pop(table, None)
                return None
        self.tell(found)
        return found

    def tell(self, standing: Standing) -> None:
        """Tell that a table is left out, once."""
        with self._lock:
            known = self._told.get(standing.table)
            self._told[standing.table] = standing
        if known != standing:
            self._tell(TableLeftOut(standing.table, Stage(standing.kind.value)))
            removed = standing.kind is StandingKind.REMOVED  # for good, and no news
            level = Level.INFO if removed else Level.WARNING
            self._tell(Note(standing.table, f"it {standing.said}", level))

    def warn(self, table: str, text: str) -> None:
        """Tell something else of a table that is not followed."""
        self._tell(Note(table, text, Level.WARNING))
