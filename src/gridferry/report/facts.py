"""The facts of a report: frozen dataclasses, ready to become JSON. The page shows these and nothing else.

Times are ISO 8601, UTC. None is "not known"; what is known of a side that was not reached is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gridferry.checkpoint.history import Sample
from gridferry.checkpoint.runs import CopyFigures
from gridferry.engine.standing import QuarantinedRow, SyncStatus
from gridferry.model.coverage import Coverage
from gridferry.model.outcomes import LoadState
from gridferry.model.table_life import NO_LIFE, TableLife
from gridferry.model.verification import TableVerification

FACTS_VERSION = 4


class Tone(str, Enum):
    """What a report comes to; of several tables the last one here that occurs."""

    EQUAL = "equal"
    UNVERIFIED = "unverified"  # nothing is wrong, and nothing is proven
    UNFINISHED = "unfinished"  # a load is not done, or was not begun
    INCOMPLETE = "incomplete"  # what is stored is equal, but rows of the source are in the quarantine
    UNSETTLED = "unsettled"
    DIFFERENT = "different"
    FAILED = "failed"  # nothing can be reported of a table


@dataclass(frozen=True)
class Headline:
    """The verdict in one sentence, and what to do next, where there is something to do."""

    tone: Tone
    sentence: str
    next_step: str = ""


@dataclass(frozen=True)
class ColumnFacts:
    """One column of the containers, and where it comes from. `verdict` and `rule` are the plan's."""

    source: str
    source_type: str
    target: str
    target_type: str
    key: bool
    nullable: bool
    verdict: str
    rule: str


@dataclass(frozen=True)
class FindingFacts:
    """Something that the plan found: `severity` is info or risk."""

    severity: str
    subject: str
    message: str
    advice: str


@dataclass(frozen=True)
class LoadFacts:
    """The load. `rows` are in the target by it."""

    state: LoadState
    started_at: str = ""
    finished_at: str = ""
    rows: int = 0
    chunks: int = 0
    chunks_done: int = 0
    copied: CopyFigures | None = None
    snapshot_lsn: str = ""
    snapshot_at: str = ""
    notes: tuple[str, ...] = ()
    life: TableLife = NO_LIFE


@dataclass(frozen=True)
class PlanFacts:
    """What the table became. `kind` is TIME_SERIES or COLLECTION; `key` are columns of the containers."""

    kind: str
    key: tuple[str, ...]
    split_by: str
    on_duplicate: str
    on_bad_row: str
    where: str
    columns: tuple[ColumnFacts, ...]
    findings: tuple[FindingFacts, ...]


@dataclass(frozen=True)
class ContainerFacts:
    """One container. Rows are those of now; bounds are the least and greatest of `TableFacts.bounded_by`.

    `held`: quarantined rows. `verdict` is that of the last full or quick verification that named the container, "" if
    none did; `differences` and `note` belong to it.
    """

    name: str
    value: str | None
    source_rows: int | None
    target_rows: int | None
    source_low: str = ""
    source_high: str = ""
    target_low: str = ""
    target_high: str = ""
    held: int = 0
    verdict: str = ""
    differences: int = 0
    note: str = ""


@dataclass(frozen=True)
class Series:
    """Rows by time bucket of one container, or of all together (`container` is "" then); None: a side not asked."""

    container: str
    value: str | None
    source: tuple[int, ...] | None
    target: tuple[int, ...] | None


@dataclass(frozen=True)
class RowsOverTime:
    """Rows over the time in `column` of the containers, counted on both sides in the same buckets.

    Bucket i begins at `start` plus i times `width_s` seconds. `total` has its own width, where a fleet has too many
    containers to be asked so often. `left_out`: containers without a series of their own.
    """

    column: str
    start: str
    width_s: int
    total_width_s: int
    total: Series | None
    series: tuple[Series, ...]
    left_out: int = 0
    note: str = ""


@dataclass(frozen=True)
class QuarantineFacts:
    """The quarantined rows: how many, for which reasons, and the first of them."""

    rows: int = 0
    reasons: tuple[tuple[str, int], ...] = ()
    first: tuple[QuarantinedRow, ...] = ()


@dataclass(frozen=True)
class FailureFacts:
    """What kept the report from showing all of a table. `exit_code` is what it asks of the command; `try_again`: it may
    pass by itself. `nothing_told`: not even how far the table is; else a note of the table names the part left out.
    """

    type: str
    message: str
    state: str
    next_step: str
    exit_code: int
    try_again: bool
    nothing_told: bool


@dataclass(frozen=True)
class TableFacts:
    """Everything about one table. `verifications` are those remembered, the last one first; `next_steps` say what to do
    where something is wrong. `coverage` says which columns of the source the target has, and how many of its rows when
    that was last compared; None where there is no plan. `failure`: why not all of it was reported; None where it was.
    """

    table: str
    headline: Headline
    load: LoadFacts
    plan: PlanFacts | None = None
    sync: SyncStatus | None = None
    history: tuple[Sample, ...] = ()
    verifications: tuple[TableVerification, ...] = ()
    bounded_by: str = ""
    containers: tuple[ContainerFacts, ...] = ()
    over_time: RowsOverTime | None = None
    quarantine: QuarantineFacts = QuarantineFacts()
    notes: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    coverage: Coverage | None = None
    failure: FailureFacts | None = None

    @property
    def source_rows(self) -> int | None:
        """Rows of the source now, where it was asked."""
        return _sum([c.source_rows for c in self.containers])

    @property
    def target_rows(self) -> int | None:
        """Rows of the containers now."""
        return _sum([c.target_rows or 0 for c in self.containers])


@dataclass(frozen=True)
class ReportFacts:
    """A whole report. `source` and `target` are for people, without secrets; `source_note` says why it was not asked.

    `counted_at` is the source's clock when its rows were counted; `others` are tables of its database that the config
    does not name. `snapshots` are the states of the source that the last verifications are of, time and LSN: one where
    all tables were verified together. `exit_code` is 0 where every table is reported whole, else the worst of their
    failures.
    """

    version: int
    gridferry: str
    made_at: str
    source: str
    target: str
    headline: Headline
    tables: tuple[TableFacts, ...]
    source_note: str = ""
    counted_at: str = ""
    others: tuple[str, ...] = ()
    snapshots: tuple[tuple[str, str], ...] = ()
    exit_code: int = 0

    @property
    def failed(self) -> tuple[TableFacts, ...]:
        """The tables of which not all is reported."""
        return tuple(table for table in self.tables if table.failure is not None)


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if numbers and len(known) == len(numbers) else None
