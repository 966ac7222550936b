"""The parts of a table that is followed by its log: partitions that come or go are told, as the log does not."""

from __future__ import annotations

import time

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.parts import look_at_parts
from gridferry.model.parts import Fate, note_of
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.source import PostgresSource


class PartsWatch:
    """The watch over a table's parts beside its stream: mode cdc reads no rows of theirs, and tells of them."""

    def __init__(self, state: TargetState, source: PostgresSource, lease: Lease, *, options: TableOptions) -> None:
        self._state = state
        self._source = source
        self._lease = lease
        self._options = options
        self._looked_at = 0.0

    def look(self, plan: TablePlan, *, every_s: float = 0.0) -> tuple[str, ...]:
        """What is new since the last look, in words, once that is written down; nothing within `every_s` of the last.

        Raises: SourceError; LeaseHeld.
        """
        if self._looked_at and time.monotonic() - self._looked_at < every_s:
            return ()
        self._looked_at = time.monotonic()
        with self._source.open_snapshot() as view:
            (table,) = view.fetch_tables([self._options.table])
            look = look_at_parts(self._state, view, plan, table, in_log=True)
            brought = {part: view.count_brought(plan, part) for part in look.changes.joined}
            joined = [part for part, rows in brought.items() if rows]
            if joined:
                rows = sum(brought.values())
                look = look.noted(note_of(Fate.JOINED, joined, at=view.snapshot.taken_at, rows=rows))
        self._lease.check()
        look.saved(self._state)
        return tuple(map(str, look.notes))
