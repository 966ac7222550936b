"""What a verification found: differences as data, counts for each container and table, and the verdict.

Values are text here, so that a report is JSON as it is; `DifferentRows` carries the rows themselves, whole and in
the container's types, for whoever repairs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import pyarrow as pa

from gridferry.model.coverage import NO_COVERAGE, Coverage, total
from gridferry.model.failed_tables import FailedTable, worst
from gridferry.model.forms import Count, LsnText, Moment, Name, SnapshotText
from gridferry.model.moment import is_after


class Depth(str, Enum):
    """How much was compared."""

    QUICK = "quick"  # rows, least and greatest row key of each container
    FULL = "full"  # every value of every row


class Verdict(str, Enum):
    """How a verification ended; of several the last one here that occurs."""

    EQUAL = "equal"
    INCOMPLETE = "incomplete"  # all that is stored is equal, but rows of the source are in the quarantine instead
    UNSETTLED = "unsettled"  # no difference is proven, but some rows changed faster than they were synced
    DIFFERENT = "different"


EXIT_CODES = {Verdict.EQUAL: 0, Verdict.INCOMPLETE: 1, Verdict.UNSETTLED: 75, Verdict.DIFFERENT: 1}
STORED_ARE_EQUAL = frozenset({Verdict.EQUAL, Verdict.INCOMPLETE})  # nothing that is stored is wrong, or in doubt


class DifferenceKind(str, Enum):
    """In what way both sides differ at one row key of one container."""

    MISSING = "missing"  # the source has the row, the target does not
    EXTRA = "extra"  # the target has a row that the source does not have
    DIFFERENT = "different"  # both have it, with other values
    DOUBLED = "doubled"  # several source rows share the key, and the plan does not say which one counts

    @property
    def words(self) -> str:
        """For people."""
        return "duplicate key" if self is DifferenceKind.DOUBLED else self.value


@dataclass(frozen=True)
class ColumnDifference:
    """One column of a row that differs. `source` is the value as the plan stores it, `target` as it is stored.

    Text: numbers in the shortest form that reads back to the same bits, times as ISO 8601 in UTC, bytes as hex after
    `\\x`. None is NULL, or that this side has no such row (`Difference.kind` says which).
    """

    name: str
    source: str | None
    target: str | None


@dataclass(frozen=True)
class Difference:
    """One row key of one container at which both sides differ.

    `value` is the split value as text (None for NULL, or where the table is not split). `key` are the row key's
    columns and their values as text. `columns`: of a DIFFERENT row those that differ; else all, with one side's values.
    """

    table: str
    container: str
    value: str | None
    kind: DifferenceKind
    key: tuple[tuple[str, str | None], ...]
    columns: tuple[ColumnDifference, ...] = ()


@dataclass(frozen=True)
class DifferentRows:
    """Rows of one container that differ in one way: whole, in the container's Arrow schema.

    `source` are the rows as the plan stores them, `target` as they are stored; None on the side that has no such rows.
    Row i of both has the same row key. Of DOUBLED rows `source` holds all rows of the shared keys next to each other,
    and `target` is None.
    """

    table: str
    container: str
    value: str | None
    kind: DifferenceKind
    source: pa.RecordBatch | None = None
    target: pa.RecordBatch | None = None

    def __len__(self) -> int:
        rows = self.source if self.source is not None else self.target
        return 0 if rows is None else int(rows.num_rows)


# Takes differences as they are proven; called by one thread at a time.
DifferenceSink = Callable[[DifferentRows], None]


@dataclass(frozen=True)
class DifferenceCount:
    """How many rows of one container differ within one time bucket.

    `bucket` is the bucket's beginning as the leading digits of its date, such as 2026-03-14, 2026-03 or 2026; "" where
    the row key has no time, or the differences are too many to be counted by time.
    """

    container: str
    bucket: str
    missing: Count = 0
    extra: Count = 0
    different: Count = 0
    doubled: Count = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.missing + self.extra + self.different + self.doubled


@dataclass(frozen=True)
class ColumnRule:
    """What equal means for one column of the containers, in words."""

    column: str
    source_column: str
    source_type: str
    target_type: str
    verdict: str  # of the plan: exact, widened, text or lossy
    stored: str  # the type rule, in one sentence
    equal: str  # when two values count as equal, in one sentence


@dataclass(frozen=True)
class KeyBounds:
    """The least and the greatest first column of the row key on both sides, as text; None where there is no row."""

    source_low: str | None
    source_high: str | None
    target_low: str | None
    target_high: str | None

    @property
    def equal(self) -> bool:
        """Whether both sides have the same bounds."""
        return (self.source_low, self.source_high) == (self.target_low, self.target_high)


@dataclass(frozen=True)
class ContainerVerification:
    """One container. `quarantined` source rows are in the quarantine, `superseded` ones lost by `on_duplicate`: neither
    is to be stored.

    Of a quick verification `equal_rows` is 0 and `bounds` is set; `missing` and `extra` then say by how many the row
    numbers differ. `note` says more, such as that the container is not there.
    """

    name: str
    value: str | None
    source_rows: Count
    target_rows: Count
    equal_rows: Count = 0
    missing: Count = 0
    extra: Count = 0
    different: Count = 0
    doubled: Count = 0
    quarantined: Count = 0
    superseded: Count = 0
    unsettled: Count = 0
    bounds: KeyBounds | None = None
    note: str = ""

    @property
    def explained(self) -> int:
        """Source rows that are not to be stored."""
        return self.quarantined + self.superseded

    @property
    def differences(self) -> int:
        """Row keys at which both sides differ."""
        return self.missing + self.extra + self.different + self.doubled

    @property
    def verdict(self) -> Verdict:
        """What all that comes to."""
        if self.differences or (self.bounds is not None and not self.bounds.equal):
            return Verdict.DIFFERENT
        if self.unsettled:
            return Verdict.UNSETTLED
        return Verdict.INCOMPLETE if self.quarantined else Verdict.EQUAL


@dataclass(frozen=True)
class TableVerification:
    """One table, compared as of one snapshot of the source.

    `snapshot_at` is the source's clock then, ISO 8601, UTC; `snapshot_visible` and `snapshot_origin` are as in
    `Snapshot`, or "" where only rows were counted. `source_rows` and `source_bytes` are what was read there,
    in Arrow's bytes; so at the target. Of `containers` there may be fewer than `containers_total` once the
    verification was stored; those that differ come first. `first` are the first few differences, `summary` counts all
    of them. `rounds` is how often candidates were looked at again until they were settled. `covered` says which of
    the source's columns were compared at all.
    """

    table: str
    depth: Depth
    started: Moment
    seconds: float
    snapshot_lsn: LsnText
    snapshot_at: Moment
    rules: tuple[ColumnRule, ...] = ()
    source_rows: Count = 0
    target_rows: Count = 0
    source_bytes: Count = 0
    target_bytes: Count = 0
    containers: tuple[ContainerVerification, ...] = ()
    containers_total: Count = 0
    missing: Count = 0
    extra: Count = 0
    different: Count = 0
    doubled: Count = 0
    quarantined: Count = 0
    superseded: Count = 0
    unsettled: Count = 0
    rounds: Count = 0
    summary: tuple[DifferenceCount, ...] = ()
    first: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    verdict: Verdict = Verdict.EQUAL
    snapshot_visible: SnapshotText = ""
    snapshot_origin: Name = ""
    covered: Coverage = NO_COVERAGE

    def is_equal_after(self, at: str, *, horizon: int = 0) -> bool:
        """Whether both sides were equal in a snapshot after that time, with all transactions below `horizon` ended."""
        if self.depth is not Depth.FULL or self.verdict not in STORED_ARE_EQUAL or not is_after(self.snapshot_at, at):
            return False
        return bool(self.snapshot_visible) and int(self.snapshot_visible.partition(":")[0]) >= horizon

    @property
    def differences(self) -> int:
        """Row keys at which both sides differ."""
        return self.missing + self.extra + self.different + self.doubled

    @property
    def coverage(self) -> Coverage:
        """What was compared, with the rows as they were found."""
        gone = self.quarantined + self.superseded
        return replace(
            self.covered,
            source_rows=self.source_rows,
            stored=max(0, self.source_rows - gone - self.missing - self.unsettled),
            quarantined=self.quarantined,
            superseded=self.superseded,
        )

    @property
    def rows_per_second(self) -> float:
        """Rows compared each second, of the side that has more."""
        return max(self.source_rows, self.target_rows) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class VerifyReport:
    """What a verification of several tables found. `started` is ISO 8601, UTC.

    `tables` are those that were compared. `failures` could not be; nor could `not_tried`, which come after an error
    that concerns all. `new` belong to the config and are not loaded yet. `left_out` says of each table that is paused,
    or just being brought back, that it is; `removed` are not followed any more, by somebody's wish. `others` are tables
    of the database that the config does not mean; they are told where all of the config were asked for. `unasked` are
    tables of the config that nobody asked for.
    """

    tables: tuple[TableVerification, ...]
    started: str
    seconds: float
    output: str = ""  # the file that holds every difference, where one was asked for
    failures: tuple[FailedTable, ...] = ()
    not_tried: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()

    @property
    def is_of_several(self) -> bool:
        """Whether the config has more tables than one, compared or not."""
        return len(self.tables) + self.missing + len(self.unasked) > 1

    @property
    def snapshots(self) -> tuple[tuple[str, str], ...]:
        """The states of the source that tables were compared as of, by time and LSN; the first one first.

        There are several only where a snapshot was lost, or where rows were counted again, because a sync went on.
        """
        return tuple(sorted({(t.snapshot_at, t.snapshot_lsn) for t in self.tables}))

    @property
    def verdict(self) -> Verdict:
        """The worst of the tables that were compared; never equal while a table could not be."""
        order = list(Verdict)
        missing = [Verdict.INCOMPLETE] if self.missing else []
        return max([t.verdict for t in self.tables] + missing, key=order.index, default=Verdict.EQUAL)

    @property
    def missing(self) -> int:
        """How many tables could not be compared, or are left out for a while."""
        removed = 0 if self.tables else len(self.removed)  # else nothing at all would be equal
        return len(self.failures) + len(self.not_tried) + len(self.new) + len(self.left_out) + removed

    @property
    def partly_left(self) -> bool:
        """Whether tables are missing for another reason than a failure: then no quarantine that is accepted helps."""
        return bool(self.new or self.left_out or (self.removed and not self.tables))

    @property
    def exit_code(self) -> int:
        """0 equal, 1 differences or rows in the quarantine, 75 unsettled; of these and the failures' the worst."""
        return worst([EXIT_CODES[self.verdict], *(failed.error.exit_code for failed in self.failures)])

    @property
    def coverage(self) -> Coverage:
        """What was compared of all tables together."""
        return total(table.coverage for table in self.tables)

    @property
    def differences(self) -> int:
        """Row keys at which both sides differ, of all tables."""
        return sum(t.differences for t in self.tables)
