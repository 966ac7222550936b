"""What a run reports while it works, and at its end: frozen dataclasses, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gridferry.errors import FerryError, NoSessionFree
from gridferry.model.coverage import NO_COVERAGE, Coverage
from gridferry.model.failed_tables import Deed, FailedTable
from gridferry.model.outcomes import LoadOutcome, SyncOutcome
from gridferry.model.table_life import Stage
from gridferry.model.word import Word
from gridferry.plan.plan import TablePlan
from gridferry.plan.sync_options import SyncMode


class Level(Word):
    """How much a note matters."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True)
class Note:
    """Something worth a line."""

    table: str
    message: str
    level: Level = Level.INFO


@dataclass(frozen=True)
class LoadsStarted:
    """Several tables are copied together: `rows` and `octets` of PostgreSQL in all, of which `done_rows` and
    `done_octets` are stored already.
    """

    tables: int
    rows: int
    octets: int = 0
    done_rows: int = 0
    done_octets: int = 0


@dataclass(frozen=True)
class LoadStarted:
    """A table's load begins, or goes on where an earlier run stopped: `done_rows` are stored already."""

    table: str
    plan: TablePlan
    rows: int
    chunks: int
    workers: int
    done_chunks: int = 0
    done_rows: int = 0


@dataclass(frozen=True)
class RowsPut:
    """Rows and bytes that the target acknowledged since the last such event. Not yet a checkpoint."""

    table: str
    rows: int
    octets: int


@dataclass(frozen=True)
class ChunkDone:
    """A chunk is on the target's disk and in the state: a resume will not read it again."""

    table: str
    number: int
    rows: int
    quarantined: int


@dataclass(frozen=True)
class ContainerCount:
    """One container after a load: rows the source has for it, and rows that it holds."""

    name: str
    value: str | None
    source_rows: int
    target_rows: int


@dataclass(frozen=True)
class TableLoad:
    """What a load did to one table.

    `coverage` says what of the table is in the target then: columns, and rows in the quarantine instead.
    """

    table: str
    outcome: LoadOutcome
    rows: int = 0
    octets: int = 0
    seconds: float = 0.0
    chunks: int = 0
    quarantined: int = 0
    superseded: int = 0  # rows that lost to another row of their key, by on_duplicate
    containers: tuple[ContainerCount, ...] = ()
    notes: tuple[str, ...] = ()
    coverage: Coverage = NO_COVERAGE

    @property
    def rows_per_second(self) -> float:
        """Rows put by this run, per second of copying; 0 where nothing was copied."""
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class PreparedLoad:
    """One table's load, ready to be shared.

    `waiting` are the chunks that are left to be read, `waiting_rows` the rows in them, as PostgreSQL estimates.
    """

    table: str
    outcome: LoadOutcome
    chunks: int = 0
    waiting: int = 0
    waiting_rows: int = 0
    containers: int = 0


@dataclass(frozen=True)
class LoadPart:
    """Bucket `bucket` (from 0) of `of` of one table's load."""

    table: str
    bucket: int
    of: int


@dataclass(frozen=True)
class BucketLoad:
    """What a process did to one bucket of a shared load."""

    table: str
    bucket: int
    of: int
    outcome: LoadOutcome
    rows: int = 0
    octets: int = 0
    seconds: float = 0.0
    chunks: int = 0
    quarantined: int = 0

    @property
    def rows_per_second(self) -> float:
        """Rows put per second of copying; 0 where nothing was copied."""
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class TableSync:
    """What a sync did to one table.

    `read` and `rows` are rows read and stored, `position` the greatest value of the growing column so far, `as_of` the
    source's time of the snapshot: everything committed before it is stored. `swept` says that the whole table was
    looked at. `touched` are the containers that got rows, `created` those of them that are new. In mode cdc `read`
    counts changes, `rows` are the puts and `deleted` the deletes that were left of them, `position` is in the log.
    `coverage` says what of the table is in the target after the run: columns, and all rows in the quarantine now, of
    which `quarantined` came by this run.
    `fresh`: in mode watermark, those of the source's rows that were not there before, see `Window`.
    """

    table: str
    mode: SyncMode
    outcome: SyncOutcome
    read: int = 0
    rows: int = 0
    octets: int = 0
    seconds: float = 0.0
    quarantined: int = 0
    superseded: int = 0
    position: str = ""
    as_of: str = ""
    swept: bool = False
    touched: int = 0
    created: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    deleted: int = 0
    coverage: Coverage = NO_COVERAGE
    fresh: int = 0


@dataclass(frozen=True)
class FollowStarted:
    """Tables are followed without end from here on; what follows them begins a turn at least every `interval_s`."""

    tables: tuple[str, ...]
    interval_s: float


@dataclass(frozen=True)
class SyncStarted:
    """A run of a table's sync begins."""

    table: str
    mode: SyncMode


@dataclass(frozen=True)
class BatchStored:
    """Rows or changes are on the target's disk: how long putting and deleting took, and how long the flush."""

    table: str
    put_s: float
    flush_s: float


@dataclass(frozen=True)
class Checkpointed:
    """A sync wrote its checkpoint: what it did since the last such event, and how far the table is.

    `read` are rows or changes, of these `inserts`, `updates`, `deletes` where the mode counts them by kind; `truncates`
    are times that the whole table was emptied. `waiting` are rows that this run has found and not stored yet, None
    where it does not know. `position` and `as_of` as in `TableSync`.
    """

    table: str
    mode: SyncMode
    read: int = 0
    written: int = 0
    deleted: int = 0
    superseded: int = 0
    quarantined: int = 0
    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    truncates: int = 0
    created: int = 0
    waiting: int | None = None
    position: str = ""
    as_of: str = ""


@dataclass(frozen=True)
class SlotSeen:
    """The state of a replication slot, as seen just now. Sizes in bytes; None where PostgreSQL does not say.

    `log_end` is the end of the log then: who has stored all before it had everything that was committed.
    """

    table: str
    slot: str
    log_end: str
    kept_bytes: int | None = None
    safe_bytes: int | None = None
    wal_status: str = ""


@dataclass(frozen=True)
class SyncEnded:
    """A run of a table's sync is over. `error` is its type, "" where it ended well."""

    table: str
    mode: SyncMode
    outcome: SyncOutcome
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class TableFailed:
    """A table could not be done. `doing` is the verb (load, sync, verify, ...); `others` tables go on or are done."""

    table: str
    doing: str
    error: FerryError
    others: int = 0


@dataclass(frozen=True)
class TablesLeft:
    """A signal, or a defect, ended the work on several tables in the midst of `at`."""

    deed: Deed
    finished: tuple[str, ...]
    failures: tuple[FailedTable, ...]
    at: str
    not_tried: tuple[str, ...]


@dataclass(frozen=True)
class TableLeftOut:
    """A sync leaves a table out by somebody's wish, from now on; the next `SyncStarted` of it ends that."""

    table: str
    stage: Stage


Event = (
    Note
    | TableFailed
    | TablesLeft
    | LoadsStarted
    | LoadStarted
    | RowsPut
    | ChunkDone
    | TableLoad
    | FollowStarted
    | SyncStarted
    | BatchStored
    | Checkpointed
    | SlotSeen
    | SyncEnded
    | TableLeftOut
    | TableSync
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that says nothing."""


def fewer_workers(table: str, tell: Listener) -> Callable[[NoSessionFree], None]:
    """Tells a listener that a table is worked on by fewer than were asked for, and why."""
    return lambda why: tell(Note(table, f"fewer workers than asked for: {why.message}", Level.WARNING))
