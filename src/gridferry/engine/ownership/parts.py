"""Partitions, children and chunks that came or went between two looks at a table: read, or told until they are settled.

No transaction id and no log tells of a part's rows when it joins or leaves the table as a whole. So each run compares
the parts that there are with those of the run before. What it finds is written down after the rows are stored: killed
before that, the next run finds it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gridferry import numbers
from gridferry.checkpoint.state import TargetState
from gridferry.model.chunk import Snapshot
from gridferry.model.parts import (
    Fate,
    Part,
    PartChanges,
    PartNote,
    PartsRecord,
    changes_between,
    named,
    note_of,
)
from gridferry.model.table import Table
from gridferry.model.verification import TableVerification
from gridferry.model.watermark import bounds
from gridferry.plan.plan import TablePlan


class ShowsParts(Protocol):
    """A held snapshot that tells which relations hold a table's rows."""

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that is held."""

    def fetch_parts(self, schema: str, table: str) -> tuple[Part, ...]:
        """The relations that hold a table's rows."""

    def has_older(self, plan: TablePlan, part: Part, *, horizon: int) -> bool:
        """Whether a part has a row that a transaction with an id below `horizon` wrote."""


@dataclass(frozen=True)
class PartsLook:
    """A look at a table's parts under one snapshot: what became of them since the last, and the record to be written.

    `notes` are new ones, which `record` has already. `known` is what stands written, None before the first look.
    """

    known: PartsRecord | None
    record: PartsRecord
    changes: PartChanges
    notes: tuple[PartNote, ...] = ()

    def noted(self, note: PartNote) -> PartsLook:
        """The look with a note more."""
        return replace(self, record=self.record.noted(note), notes=(*self.notes, note))

    def saved(self, state: TargetState) -> None:
        """Write the record where it says something new. Only under the lease, once the rows of new parts are stored."""
        known = self.known
        if known is None or (known.parts, known.notes) != (self.record.parts, self.record.notes):
            state.parts.save(self.record)


def first_look(view: ShowsParts, plan: TablePlan, *, parts: tuple[Part, ...] | None = None) -> PartsRecord:
    """The parts of a table that is loaded now; `parts` where the snapshot was asked for them."""
    parts = view.fetch_parts(plan.schema, plan.table) if parts is None else parts
    return PartsRecord(plan.qualified, parts, bounds(view.snapshot)[1])


def look_at_parts(
    state: TargetState,
    view: ShowsParts,
    plan: TablePlan,
    table: Table,
    *,
    parts: tuple[Part, ...] | None = None,
    seen: int = 0,
    in_log: bool = False,
) -> PartsLook:
    """Compare the parts of the snapshot with those of the last look.

    Args: parts: those of the snapshot, where it was asked for them; seen: a transaction id of a later look at the rows,
        if there was one: all below had begun to write then; in_log: whether TRUNCATE of the whole table is told by the
        log, and so is no news here.
    """
    now, known = first_look(view, plan, parts=parts), state.parts.get(plan.qualified)
    if known is None:
        return PartsLook(None, now, PartChanges())
    if known.parts == now.parts:
        # The old horizon stays: it is that of a look at these very files.
        return PartsLook(known, _still(state, known), PartChanges())
    changes = changes_between(known.parts, now.parts)
    look = PartsLook(known, replace(_still(state, known), parts=now.parts, horizon=now.horizon), changes)
    at = view.snapshot.taken_at
    if changes.left:
        look = look.noted(note_of(Fate.LEFT, changes.left, at=at))
    # What keeps rows elsewhere than in heaps (compressed chunks) writes files anew as it goes, and has no xmin to show.
    rewritten = changes.rewritten if table.own_heap else ()
    horizon = max(known.horizon, seen)
    emptied = [part for part in rewritten if not view.has_older(plan, part, horizon=horizon)]
    if emptied and not (in_log and len(emptied) == len(now.parts)):
        look = look.noted(note_of(Fate.EMPTIED, emptied, at=at))
    return look


def notes_of_parts(state: TargetState, table: str) -> Iterator[str]:
    """What is still to be told of a table's parts, a sentence each."""
    record = state.parts.get(table)
    if record is not None:
        yield from map(str, _still(state, record).notes)


def brought_words(joined: Sequence[Part], rows: int) -> str:
    """That parts joined the table, and that their rows were read."""
    names = named([part.name for part in joined[:3]], len(joined))
    return (
        f"{names} joined the table with {numbers.plural(rows, 'row')} older than the last sync (ATTACH or INHERIT): "
        "all of its rows were read"
    )


def _still(state: TargetState, record: PartsRecord) -> PartsRecord:
    """The record without notes that a verification has answered."""
    if not record.notes:
        return record
    verifications = state.verifications.readable(record.table)
    return replace(record, notes=tuple(n for n in record.notes if not _answered(n, verifications)))


def _answered(note: PartNote, verifications: Sequence[TableVerification]) -> bool:
    return any(found.is_equal_after(note.at) for found in verifications)
