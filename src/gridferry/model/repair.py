"""What a repair changes and what it remembers: rows before and after, the record of a run, and its report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pyarrow as pa

from gridferry.model.failed_tables import FailedTable, worst
from gridferry.model.forms import Count, Moment, Name, RepairName
from gridferry.model.verification import EXIT_CODES, DifferenceKind, TableVerification, Verdict, VerifyReport


@dataclass(frozen=True)
class RowChange:
    """Rows of one container that a repair changes in one way; row i of both batches has the same row key.

    `before` is what was in the target, `after` what is to be there; None on the side that has no such rows. Both
    are in the container's Arrow schema.
    """

    container: str
    value: str | None
    kind: DifferenceKind
    before: pa.RecordBatch | None = None
    after: pa.RecordBatch | None = None

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def rows(self) -> pa.RecordBatch:
        """The rows of a side that has them: their keys are those of the other side too."""
        rows = self.after if self.after is not None else self.before
        if rows is None:
            raise ValueError(f"a change of {self.container} without rows")
        return rows

    @property
    def nbytes(self) -> int:
        """Bytes of both sides in Arrow's form."""
        return sum(int(side.nbytes) for side in (self.before, self.after) if side is not None)

    def slice(self, start: int, length: int) -> RowChange:
        """Some of its rows, without a copy."""
        before, after = (None if s is None else s.slice(start, length) for s in (self.before, self.after))
        return RowChange(self.container, self.value, self.kind, before, after)

    def cast(self, schema: pa.Schema) -> RowChange:
        """The same rows in the container's own Arrow schema, which also says what cannot be NULL."""
        before, after = (None if s is None else s.cast(schema) for s in (self.before, self.after))
        return RowChange(self.container, self.value, self.kind, before, after)

    def take(self, places: Sequence[int]) -> RowChange:
        """The rows at some places."""
        at = pa.array(places, pa.int64())
        before, after = (None if s is None else s.take(at) for s in (self.before, self.after))
        return RowChange(self.container, self.value, self.kind, before, after)


class RepairState(str, Enum):
    """How far a repair is. One that is `writing` or `undoing` with nobody at work was interrupted."""

    WRITING = "writing"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


@dataclass(frozen=True)
class RepairRecord:
    """One repair of one table, as the state container has it. Times are ISO 8601, UTC.

    `by` is user@host. `loaded` says when the load began whose containers it changed. `entries` are the journal's
    entries that were carried out; one more may be there. `put` rows were missing, `replaced` differed, `deleted`
    were too many. `noted` is what the table's sync noted of changes that it had not seen, as `CdcRecord` has it: the
    repair made up for them, and an undo takes that back. After an undo: `restored` rows are again as before the
    repair, `kept` had been changed since.
    """

    run: RepairName
    table: str
    state: RepairState
    by: Name
    started: Moment
    loaded: Moment
    finished: Moment = ""
    entries: Count = 0
    put: Count = 0
    replaced: Count = 0
    deleted: Count = 0
    undone: Moment = ""
    undone_by: Name = ""
    restored: Count = 0
    kept: Count = 0
    noted: dict[str, Any] | None = None

    @property
    def rows(self) -> int:
        """Rows that were changed."""
        return self.put + self.replaced + self.deleted

    @property
    def whole(self) -> str:
        """The repair of several tables that this is a part of; "" where it is of this table alone."""
        return whole_of(self.run)


_WHOLE = re.compile(r"([0-9]{8}T[0-9]{6}-[0-9a-f]{6})(?:-[0-9]{1,6})?")


def part_of(whole: str, number: int) -> str:
    """The name of one table's part of a repair of several tables, counted from 1."""
    return f"{whole}-{number}"


def whole_of(run: str) -> str:
    """The repair that a name names a part of; "" where it names none."""
    found = _WHOLE.fullmatch(run)
    return found[1] if found is not None and found[1] != run else ""


@dataclass(frozen=True)
class RepairStatus:
    """A repair as `gridferry repairs` lists it. `note`: what hinders an undo, or that it was interrupted, or ""."""

    record: RepairRecord
    note: str = ""


@dataclass(frozen=True)
class TableRepair:
    """What a repair did to one table; `run` is "" where nothing had to be written.

    Of the rows that a verification proved different, `put`, `replaced` and `deleted` were written; `settled` had become
    equal meanwhile; `moved` had changed on a side since they were seen, and are left to the next sync or repair;
    `refused` are source rows that share a key, where the plan does not say which one counts. `confirmed` of those
    written were read again and found as they should be. `skipped` are the keys of the first few moved or refused rows.
    """

    table: str
    run: str = ""
    put: int = 0
    replaced: int = 0
    deleted: int = 0
    settled: int = 0
    moved: int = 0
    refused: int = 0
    confirmed: int = 0
    seconds: float = 0.0
    created: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that were written or deleted."""
        return self.put + self.replaced + self.deleted


@dataclass(frozen=True)
class RepairReport:
    """What a verification found, and what the repair after it did to each of the tables.

    `after` is what another verification found of those tables that were different and were repaired, or had become
    equal meanwhile; None where there was none of them. `failures` are tables that could not be compared or repaired,
    or not compared once more; `not_tried` as in `VerifyReport`. `run` names all of it, for an undo; "" where nothing
    was written.
    """

    verification: VerifyReport
    tables: tuple[TableRepair, ...]
    after: VerifyReport | None = None
    failures: tuple[FailedTable, ...] = ()
    not_tried: tuple[str, ...] = ()
    run: str = ""

    @property
    def rows(self) -> int:
        """Rows that were written or deleted, of all tables."""
        return sum(one.rows for one in self.tables)

    @property
    def verdict(self) -> Verdict:
        """The verdict on both sides now: as `after` says; else what was repaired was read again and counts as equal.

        Never equal while a table could not be compared or repaired.
        """
        again = {} if self.after is None else {found.table: found.verdict for found in self.after.tables}
        repaired = {repair.table: repair for repair in self.tables}
        verdicts = [
            again.get(v.table, _verdict_after(v, repaired[v.table]) if v.table in repaired else v.verdict)
            for v in self.verification.tables
        ]
        if self.verification.partly_left or self.failures or self.not_tried:
            verdicts.append(Verdict.INCOMPLETE)
        return max(verdicts, key=list(Verdict).index, default=Verdict.EQUAL)

    @property
    def standing(self) -> tuple[TableVerification, ...]:
        """The last verification of each table: the one after its repair, where there was one."""
        again = {} if self.after is None else {found.table: found for found in self.after.tables}
        return tuple(again.get(found.table, found) for found in self.verification.tables)

    @property
    def unsettled(self) -> int:
        """Rows that a change which is not synced yet may explain, as they were last found."""
        return sum(found.unsettled for found in self.standing)

    @property
    def exit_code(self) -> int:
        """0 equal, 1 differences are left or rows are in the quarantine, 75 rows changed meanwhile or are not synced.

        Of this and the failures' exit codes the worst.
        """
        return worst([EXIT_CODES[self.verdict], *(failed.error.exit_code for failed in self.failures)])


def _verdict_after(found: TableVerification, repair: TableRepair) -> Verdict:
    left = found.differences - repair.confirmed - repair.settled - repair.moved
    if left > 0 or repair.refused:
        return Verdict.DIFFERENT
    if repair.moved or found.unsettled:
        return Verdict.UNSETTLED
    return Verdict.INCOMPLETE if found.quarantined else Verdict.EQUAL


@dataclass(frozen=True)
class TableUndo:
    """What an undo did: `restored` rows are as before the repair, `already` did before, `kept` were changed since.

    `changed` are the keys of the first few of those that were kept.
    """

    table: str
    run: str
    restored: int = 0
    already: int = 0
    kept: int = 0
    seconds: float = 0.0
    changed: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 where all rows are as before, 1 where some were kept."""
        return 1 if self.kept else 0


@dataclass(frozen=True)
class RepairUndo:
    """What an undo of a repair did to each of its tables. `failures` could not be undone; `not_tried` come after an
    error that concerns all.
    """

    run: str
    tables: tuple[TableUndo, ...]
    failures: tuple[FailedTable, ...] = ()
    not_tried: tuple[str, ...] = ()

    @property
    def restored(self) -> int:
        """Rows that are as before the repair, of all tables."""
        return sum(table.restored for table in self.tables)

    @property
    def already(self) -> int:
        """Rows that were so before."""
        return sum(table.already for table in self.tables)

    @property
    def kept(self) -> int:
        """Rows that somebody changed since."""
        return sum(table.kept for table in self.tables)

    @property
    def exit_code(self) -> int:
        """0 where all rows are as before, 1 where some were kept; of this and the failures' the worst."""
        codes = [table.exit_code for table in self.tables]
        return worst([*codes, *(failed.error.exit_code for failed in self.failures)])
