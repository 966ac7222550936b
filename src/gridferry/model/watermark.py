"""How far a watermark sync is: which rows have been read, by transaction and by the growing column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from gridferry.model.chunk import Snapshot
from gridferry.model.forms import ColumnName, ColumnValue, Moment, SnapshotText, TransactionId

MOST_STEPS = 8
MOST_MARKS = 32


class Growth(str, Enum):
    """What sort of values a growing column has, and so what a lookback means for it."""

    TIME = "time"  # timestamp, timestamptz or date; lookback in milliseconds
    NUMBER = "number"  # smallint, integer, bigint, numeric or double precision; lookback in values


@dataclass(frozen=True)
class GrowingColumn:
    """The column that grows with each new row. `type` is its pg_type.typname; `lookback` in the unit of `growth`.

    `unit` of a number that counts time: the digits below the second of one of it; then `lookback` is in it too.

    `indexed` says that an index begins with it: without one every look at the table reads all of it.
    """

    name: str
    type: str
    growth: Growth
    lookback: int
    nullable: bool = True
    indexed: bool = False
    unit: int | None = None


@dataclass(frozen=True)
class Step:
    """Rows that were read: written by a transaction below `xmin`, and below `below` in the growing column.

    `below` is text of the column's type; None: every row. Rows without a value count only where it is None.
    """

    xmin: TransactionId
    below: ColumnValue | None = None


@dataclass(frozen=True)
class Mark:
    """No row written by a transaction with an id of `xmax` or above is expected below `value` less the lookback."""

    xmax: TransactionId
    value: ColumnValue


@dataclass(frozen=True)
class Cursor:
    """What the finished and the interrupted runs of one table have read.

    A row from `floor` up (all rows where it is None) was read if one of `steps` holds it; a row below `floor`, if its
    transaction lies below `swept_xmin`. `marks` in the order they were made. `snapshot` is the last finished run's, as
    `Snapshot.visible`; `clock` the source's time then; `position` the greatest value seen so far.
    """

    column: ColumnName
    steps: tuple[Step, ...]
    swept_xmin: TransactionId
    floor: ColumnValue | None = None
    marks: tuple[Mark, ...] = ()
    snapshot: SnapshotText = ""
    clock: Moment = ""
    position: ColumnValue | None = None

    @property
    def xmin(self) -> int:
        """The xmin of the last finished run's snapshot: rows of older transactions below no step are none."""
        return next(step.xmin for step in self.steps if step.below is None)

    @property
    def open_marks(self) -> tuple[str, ...]:
        """The marks' values from the one on that every transaction not yet settled came after.

        Empty where no mark is that old: then a row not yet read may have any value.
        """
        settled = [i for i, mark in enumerate(self.marks) if mark.xmax <= self.xmin]
        return tuple(mark.value for mark in self.marks[settled[-1] :]) if settled else ()

    def progressed(self, snapshot: Snapshot, *, below: str, floor: str | None) -> Cursor:
        """The cursor once every row of `snapshot` from `floor` up to, not including, `below` is stored.

        `floor` is the greater of the run's own and the cursor's; None where neither has one.
        """
        xmin = bounds(snapshot)[0]
        others = tuple(s for s in self.steps if s.xmin != xmin or s.below is None)
        base = tuple(s for s in others if s.below is None)
        partial = tuple(s for s in others if s.below is not None)[-(MOST_STEPS - 2) :]
        return replace(self, steps=(*base, *partial, Step(xmin, below)), floor=floor)

    def finished(self, snapshot: Snapshot, *, floor: str | None, position: str | None, mark: str | None) -> Cursor:
        """The cursor once every row of `snapshot` from `floor` up (all where None) is stored."""
        xmin, xmax = bounds(snapshot)
        marks = (*self.marks, Mark(xmax, mark)) if mark is not None else self.marks
        settled = [i for i, m in enumerate(marks) if m.xmax <= xmin]
        marks = marks[settled[-1] :] if settled else marks
        # Fewer marks are safe as long as the first stays: it stands for those that were left out.
        marks = marks if len(marks) <= MOST_MARKS else (marks[0], *marks[-(MOST_MARKS - 1) :])
        return replace(
            self,
            steps=(Step(xmin),),
            swept_xmin=xmin if floor is None else self.swept_xmin,
            floor=floor,
            marks=marks,
            snapshot=snapshot.visible,
            clock=snapshot.taken_at,
            position=position,
        )


def first_cursor(column: str, snapshot: Snapshot) -> Cursor:
    """The cursor of a table that was loaded under `snapshot`: all that it showed has been read."""
    xmin = bounds(snapshot)[0]
    return Cursor(column, (Step(xmin),), xmin, snapshot=snapshot.visible, clock=snapshot.taken_at)


def for_column(cursor: Cursor, column: str) -> Cursor:
    """`cursor`, for another growing column: what it knows by values of the old one is given up."""
    if cursor.column == column:
        return cursor
    xmin = min(cursor.xmin, cursor.swept_xmin)
    return Cursor(column, (Step(xmin),), xmin, snapshot=cursor.snapshot, clock=cursor.clock)


def bounds(snapshot: Snapshot) -> tuple[int, int]:
    """(xmin, xmax) of a snapshot, 64 bits each: below xmin every transaction had ended, from xmax on none had begun."""
    xmin, xmax = snapshot.visible.split(":")[:2]
    return int(xmin), int(xmax)
