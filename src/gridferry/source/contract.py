"""What a source can do, one Protocol a capability: the engine asks for these and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pyarrow as pa

from gridferry.model.change import ChangeGroup
from gridferry.model.chunk import Chunk, Snapshot
from gridferry.model.parts import Part
from gridferry.model.position import Lsn
from gridferry.model.profile import ProfileRequest, TableProfile
from gridferry.model.table import Table
from gridferry.model.watermark import Cursor, GrowingColumn
from gridferry.plan.plan import TablePlan
from gridferry.source.selection import Resume, Window


class ReadsCatalog(Protocol):
    """Describes tables and looks at their data."""

    def fetch_tables(self, names: Sequence[str] | None = None) -> list[Table]:
        """The tables of these names, in this order; all tables without names. Raises: SourceRefused."""

    def fetch_profile(self, request: ProfileRequest) -> TableProfile:
        """The facts that `request` asks for, over every row, all from one snapshot."""


class ReadsRows(Protocol):
    """Reads rows under one snapshot; one of these a worker."""

    def read_chunk(self, chunk: Chunk, plan: TablePlan) -> Iterator[pa.RecordBatch]:
        """The chunk's rows, in batches of bounded size; the same call gives the same rows again."""

    def read_duplicates(self, plan: TablePlan) -> Iterator[pa.RecordBatch]:
        """All rows of every row key that occurs more than once, rows of one key next to each other."""

    def read_hashes(self, plan: TablePlan, hashes: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of some hashes of a generated key, with the numbers that they have among those of their hash."""

    def close(self) -> None:
        """End the session."""


class ReadsSnapshot(Protocol):
    """Holds one state of the source open, cuts tables into chunks of it, and lets any number of readers see it."""

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that is held."""

    def plan_chunks(self, table: Table, *, rows_per_chunk: int) -> tuple[Chunk, ...]:
        """Chunks that hold every row of the snapshot exactly once, numbered from 0."""

    def chunks_to_resume(
        self, table: Table, *, planned: Sequence[Chunk], finished: frozenset[int], old: Snapshot, rows_per_chunk: int
    ) -> Resume:
        """What an interrupted load has to read under this snapshot, when `finished` chunks were read under `old`."""

    def count_rows(self, plan: TablePlan) -> dict[str | None, int]:
        """Rows by split value (by None alone where the table is not split)."""

    def count_all(self, plan: TablePlan) -> int:
        """Rows that meet the plan's condition, by one plain count that knows nothing of chunks."""

    def count_each(self, plans: Sequence[TablePlan]) -> list[int]:
        """The same of many tables at once, in their order."""

    def check(self) -> None:
        """Raises: SnapshotGone if the snapshot was lost."""

    def open_reader(self) -> AbstractContextManager[ReadsRows]:
        """A reader of this snapshot, with a session of its own."""


class ReadsWindows(ReadsRows, Protocol):
    """Reads what a sync has not read yet."""

    def read_window(
        self, plan: TablePlan, window: Window, *, most_rows: int
    ) -> Iterator[tuple[pa.RecordBatch, str | None]]:
        """The window's rows, the growing column ascending, rows without a value last; batches of `most_rows` at most.

        With each batch comes its greatest value of the growing column, None where no row of it has one.
        """

    def read_shared_keys(self, plan: TablePlan, window: Window) -> Iterator[pa.RecordBatch]:
        """As `read_duplicates`, for the keys of the window's rows only."""


class FindsNewRows(Protocol):
    """A held snapshot that knows which of its rows are new to a cursor."""

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that is held."""

    def fetch_tables(self, names: Sequence[str] | None = None) -> list[Table]:
        """See `ReadsCatalog`."""

    def fetch_parts(self, schema: str, table: str) -> tuple[Part, ...]:
        """The relations that hold a table's rows."""

    def has_older(self, plan: TablePlan, part: Part, *, horizon: int) -> bool:
        """Whether a part has a row that a transaction with an id below `horizon` wrote."""

    def find_new(
        self,
        table: Table,
        plan: TablePlan,
        *,
        column: GrowingColumn,
        cursor: Cursor,
        sweep: bool = False,
        joined: Sequence[Part] = (),
    ) -> Window:
        """The rows that `cursor` has not read; with `sweep` also those that are later than the lookback; and all rows
        of the parts that `joined` the table since, if some of them would not be found.

        Raises: CheckpointError if the cursor is ahead of the source; SnapshotGone after a rewrite of the table.
        """

    def count_all(self, plan: TablePlan) -> int:
        """See `ReadsSnapshot`."""

    def open_reader(self) -> AbstractContextManager[ReadsWindows]:
        """A reader of this snapshot, with a session of its own."""


class ReadsChanges(Protocol):
    """Follows the source from a position on, until stopped or up to another position."""

    def groups(self, *, until: Lsn | None = None) -> Iterator[ChangeGroup]:
        """What was committed, in order. Raises: SourceUnreachable, SlotLost, StreamBroken when the stream ends."""

    def confirm(self, position: Lsn) -> None:
        """Let the source forget what was committed before `position`: it is stored, and so is the position."""

    def stop(self) -> None:
        """Let `groups` end in good order; may be called from any thread or signal handler."""

    def close(self) -> None:
        """End the session."""
