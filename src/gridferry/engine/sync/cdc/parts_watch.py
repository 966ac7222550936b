"""The parts of a table that is followed by its log: partitions that come or go are told, as the log does not."""

from __future__ import annotations

from collections.abc import Callable

from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.parts import look_at_parts
from gridferry.model.parts import Fate, Part, note_of
from gridferry.model.table import Table
from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.one_snapshot import PostgresSnapshot


class PartsWatch:
    """The watch over a table's parts beside its stream: mode cdc reads no rows of theirs, and tells of them."""

    def __init__(self, state: TargetState, check: Callable[[], None]) -> None:
        """Args: check: raises where the right to write was lost."""
        self._state = state
        self._check = check

    def look(self, view: PostgresSnapshot, plan: TablePlan, table: Table, parts: tuple[Part, ...]) -> tuple[str, ...]:
        """What is new since the last look, in words, once that is written down. Raises: SourceError; LeaseHeld."""
        look = look_at_parts(self._state, view, plan, table, parts=parts, in_log=True)
        brought = {part: view.count_brought(plan, part) for part in look.changes.joined}
        joined = [part for part, rows in brought.items() if rows]
        if joined:
            rows = sum(brought.values())
            look = look.noted(note_of(Fate.JOINED, joined, at=view.snapshot.taken_at, rows=rows))
        self._check()
        look.saved(self._state)
        return tuple(map(str, look.notes))
