"""How tables and containers stand, as the state in the target says, and the rows that were put aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gridferry.model.coverage import NO_COVERAGE, Coverage
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.model.sync_failure import SyncFailure
from gridferry.model.table_life import NO_LIFE, TableLife
from gridferry.model.verification import TableVerification
from gridferry.plan.sync_options import SyncMode


@dataclass(frozen=True)
class SyncStatus:
    """How far one table is followed. Times are ISO 8601, UTC; `lag_rows` is None where the source was not asked.

    It counts rows that were not read before; where rows do not show it, those above the greatest value read.

    `lag_seconds` is the age of the state that the target shows. `failure` is how the last sync failed, None once one
    ended well; `unasked` why the source could not be asked for its part just now, None where it was or was not to be.
    In mode cdc `position` is where the stored changes end in the log, `confirmed` what of it PostgreSQL knows;
    `lag_bytes` of log were written since, `kept_bytes` PostgreSQL keeps for the slot; `wal_status` is the slot's.
    """

    mode: SyncMode
    state: SyncState
    column: str = ""
    position: str = ""
    as_of: str = ""
    lag_rows: int | None = None
    lag_seconds: float | None = None
    runs: int = 0
    last_started: str = ""
    last_finished: str = ""
    last_read: int = 0
    read: int = 0
    written: int = 0
    superseded: int = 0
    notes: tuple[str, ...] = ()
    deleted: int = 0
    slot: str = ""
    confirmed: str = ""
    lag_bytes: int | None = None
    kept_bytes: int | None = None
    wal_status: str = ""
    failure: SyncFailure | None = None
    unasked: SyncFailure | None = None


@dataclass(frozen=True)
class TableStatus:
    """What the state in the target says of one table.

    Times are ISO 8601, UTC.
    `life` is where the table is on its way. `verified` is the last verification; `coverage` has the columns that the
    target has, and the rows in the quarantine.
    """

    table: str
    state: LoadState
    started_at: str = ""
    finished_at: str = ""
    chunks: int = 0
    chunks_done: int = 0
    rows: int = 0
    quarantined: int = 0
    containers: int = 0
    held_by: str = ""
    snapshot_lsn: str = ""
    sync: SyncStatus | None = None
    verified: TableVerification | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)
    coverage: Coverage = NO_COVERAGE
    life: TableLife = NO_LIFE


@dataclass(frozen=True)
class ContainerStatus:
    """One container of a table, as the catalog has it, and the rows that it holds now (None if it is not there)."""

    table: str
    name: str
    value: str | None
    rows: int | None
    partition: int


@dataclass(frozen=True)
class ContainerState:
    """The state of one container of a table. All containers of a table are at the table's position.

    `rows` and `newest`, the greatest value of the growing or key column (a time as ISO 8601, UTC), are what it holds
    now; None if it is not there. `waiting` are rows in the source that the next sync brings; None where only the log
    could say (mode cdc) or the source is away. `written` and `deleted` count the syncs since the load, `last_written`
    is when the last of them got here; `quarantined` rows are in the quarantine now.
    """

    table: str
    name: str
    value: str | None
    rows: int | None = None
    newest: Any = None
    waiting: int | None = None
    written: int = 0
    deleted: int = 0
    quarantined: int = 0
    last_written: str = ""


@dataclass(frozen=True)
class QuarantinedRow:
    """A row in the quarantine. `key` is JSON for people; the row itself is kept exactly."""

    id: str
    table: str
    container: str
    column: str
    reason: str
    sentence: str
    key: str
    status: str
    created_at: str


@dataclass(frozen=True)
class Replay:
    """What replaying the quarantine did: rows stored as the source has them now, rows gone there, rows still held."""

    table: str
    replayed: int = 0
    gone: int = 0
    still_held: int = 0
