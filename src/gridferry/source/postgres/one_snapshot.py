"""Everything that is asked of the source under one snapshot: tables, profiles, rows, and more readers beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
from psycopg import sql

from gridferry.errors import CheckpointError, NoSessionFree, SnapshotGone, SourceRefused
from gridferry.model.chunk import Chunk, Snapshot
from gridferry.model.key_advice import KeyAdvice
from gridferry.model.origin import SourceOrigin
from gridferry.model.over_time import Buckets, GroupBounds
from gridferry.model.parts import Part
from gridferry.model.position import Lsn
from gridferry.model.profile import ProfileRequest, TableProfile
from gridferry.model.table import Table, TableName
from gridferry.model.watermark import Cursor, GrowingColumn
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.catalog import catalog, key_advice, listing, profile
from gridferry.source.postgres.rows import (
    chunks,
    duplicates,
    kept_readers,
    key_bounds,
    key_rows,
    new_rows_each,
    over_time,
    parts,
    reader,
    row_counts,
)
from gridferry.source.postgres.rows import new_rows as watermark
from gridferry.source.postgres.session import snapshot
from gridferry.source.postgres.session import table_origin as origin
from gridferry.source.postgres.session.connection import PostgresAddress
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.selection import Resume, Window


class PostgresReader(reader.Reader):
    """`ReadsRows`: one session of a worker."""

    def read_duplicates(self, plan: TablePlan) -> Iterator[pa.RecordBatch]:
        """See `duplicates.read_duplicates`."""
        return duplicates.read_duplicates(self, plan)

    def read_hashes(self, plan: TablePlan, hashes: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See `key_rows.read_hashes`."""
        return key_rows.read_hashes(self, plan, hashes)

    def read_window(
        self, plan: TablePlan, window: Window, *, most_rows: int
    ) -> Iterator[tuple[pa.RecordBatch, str | None]]:
        """See `watermark.read_window`."""
        return watermark.read_window(self, plan, window, most_rows=most_rows)

    def read_shared_keys(self, plan: TablePlan, window: Window) -> Iterator[pa.RecordBatch]:
        """The rows that share a row key with a row of the window: see `duplicates.read_duplicates`."""
        return duplicates.read_duplicates(self, plan, near=sql.SQL(window.near), fresh=sql.SQL(window.condition))


class Turns:
    """Which thread reads, where only one at a time may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._depth = 0

    @contextmanager
    def taken(self, limited: bool) -> Iterator[None]:
        """This thread's turn, unless that is not limited. Raises: NoSessionFree while it is another thread's."""
        if not limited:
            yield
            return
        with self._lock:
            if self._depth and self._thread != threading.get_ident():
                raise NoSessionFree(
                    "through a pooler one worker reads at a time: the sessions are the application's too",
                    next_step="give the server's own address as the source",
                )
            self._thread = threading.get_ident()
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1


@dataclass(frozen=True)
class PostgresSnapshot:
    """`ReadsSnapshot` and `ReadsCatalog`: all of it sees one and the same state. Belongs to one thread.

    Only `open_reader` may be called by other threads. `kept` are readers that wait between two uses, where many tables
    are read one after the other; None: each use has a session of its own.
    """

    address: PostgresAddress
    held: snapshot.HeldSnapshot
    turns: Turns = field(default_factory=Turns)
    kept: kept_readers.KeptReaders[PostgresReader] | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that is held."""
        return self.held.snapshot

    def apart(self) -> AbstractContextManager[None]:
        """A statement that fails inside leaves the snapshot whole: what comes after the block goes on under it."""
        return snapshot.apart(self.held.connection)

    def apart_each(self) -> Callable[[], AbstractContextManager[None]]:
        """The same for many blocks that only read; what is called makes one."""
        return snapshot.apart_each(self.held.connection)

    def fetch_tables(self, names: Sequence[str] | None = None) -> list[Table]:
        """See `catalog.fetch_tables`."""
        if names is None:
            return list(listing.fetch_listing(self.held.connection).tables)
        return catalog.fetch_tables(self.held.connection, names)

    def fetch_each(self, names: Sequence[str]) -> list[Table | SourceRefused]:
        """See `catalog.fetch_each`."""
        return catalog.fetch_each(self.held.connection, names)

    def fetch_table_names(self) -> list[TableName]:
        """See `listing.fetch_table_names`."""
        return listing.fetch_table_names(self.held.connection)

    def hold(self, table: Table) -> None:
        """Lock the table, and all that a scan of it reads, against rewrites for as long as the snapshot is held.

        Raises: SnapshotGone if one came between the snapshot and the lock.
        """
        with mapped(f"locking {table.qualified} against rewrites"):
            chunks.held_storage(self.held.connection, table)

    def fetch_profile(self, request: ProfileRequest, *, sample_percent: float | None = None) -> TableProfile:
        """See `profile.fetch_profile`."""
        return profile.fetch_profile(self.held.connection, request, sample_percent=sample_percent)

    def fetch_key_advice(self, table: Table, options: TableOptions) -> KeyAdvice:
        """See `key_advice.fetch_key_advice`."""
        return key_advice.fetch_key_advice(self.held.connection, table, options)

    def fetch_table_origin(self, schema: str, table: str) -> SourceOrigin:
        """See `origin.fetch_table_origin`."""
        return origin.fetch_table_origin(self.held.connection, self.address, schema=schema, table=table)

    def fetch_table_origins(self, tables: Sequence[tuple[str, str]]) -> list[SourceOrigin]:
        """See `origin.fetch_table_origins`."""
        return origin.fetch_table_origins(self.held.connection, self.address, tables)

    def fetch_table_name(self, oid: int) -> str:
        """See `origin.fetch_table_name`."""
        return origin.fetch_table_name(self.held.connection, oid)

    def fetch_parts(self, schema: str, table: str) -> tuple[Part, ...]:
        """See `parts.fetch_parts`."""
        return parts.fetch_parts(self.held.connection, schema, table)

    def fetch_parts_each(self, tables: Sequence[tuple[str, str]]) -> list[tuple[Part, ...]]:
        """See `parts.fetch_parts_each`."""
        return parts.fetch_parts_each(self.held.connection, tables)

    def count_brought(self, plan: TablePlan, part: Part) -> int:
        """See `parts.count_brought`."""
        return parts.count_brought(self.held.connection, plan, part)

    def has_older(self, plan: TablePlan, part: Part, *, horizon: int) -> bool:
        """See `parts.has_older`."""
        return parts.has_older(self.held.connection, plan, part, horizon=horizon)

    def plan_chunks(self, table: Table, *, rows_per_chunk: int) -> tuple[Chunk, ...]:
        """See `chunks.plan_chunks`."""
        return chunks.plan_chunks(self.held.connection, table, rows_per_chunk=rows_per_chunk)

    def chunks_to_resume(
        self, table: Table, *, planned: Sequence[Chunk], finished: frozenset[int], old: Snapshot, rows_per_chunk: int
    ) -> Resume:
        """See `chunks.chunks_to_resume`."""
        return chunks.chunks_to_resume(
            self.held.connection, table, planned=planned, finished=finished, old=old, rows_per_chunk=rows_per_chunk
        )

    def count_rows(self, plan: TablePlan) -> dict[str | None, int]:
        """See `row_counts.count_rows`."""
        return row_counts.count_rows(self.held.connection, plan)

    def count_all(self, plan: TablePlan) -> int:
        """See `row_counts.count_all`."""
        return row_counts.count_all(self.held.connection, plan)

    def count_each(self, plans: Sequence[TablePlan]) -> list[int]:
        """See `row_counts.count_each`."""
        return row_counts.count_each(self.held.connection, plans)

    def fetch_key_bounds(
        self, plan: TablePlan, *, column: str, measure: key_bounds.Measure, parts: int, rows: int, sampled: bool
    ) -> tuple[int, ...]:
        """See `key_bounds.fetch_key_bounds`."""
        return key_bounds.fetch_key_bounds(
            self.held.connection, plan, column=column, measure=measure, parts=parts, rows=rows, sampled=sampled
        )

    def fetch_keys(
        self, plan: TablePlan, keys: pa.RecordBatch, values: Sequence[str | None], *, lookup: key_rows.KeyLookup
    ) -> key_rows.KeyRows:
        """See `key_rows.fetch_keys`."""
        return key_rows.fetch_keys(self, plan, keys, values, lookup=lookup)

    def fetch_key_spread(self, plan: TablePlan) -> list[key_bounds.KeySpread]:
        """See `key_bounds.fetch_key_spread`."""
        return key_bounds.fetch_key_spread(self.held.connection, plan)

    def fetch_range_counts(
        self, plan: TablePlan, *, column: str, measure: key_bounds.Measure, bounds: Sequence[int]
    ) -> dict[tuple[str | None, int], int]:
        """See `key_bounds.fetch_range_counts`."""
        return key_bounds.fetch_range_counts(self.held.connection, plan, column=column, measure=measure, bounds=bounds)

    def seen_until(self) -> Lsn:
        """A position in the log with everything in front of it that the snapshot shows."""
        return snapshot.seen_until(self.held)

    def fetch_bounds(self, plan: TablePlan, column: str | None, *, time: bool) -> dict[str | None, GroupBounds]:
        """See `over_time.fetch_bounds`."""
        return over_time.fetch_bounds(self.held.connection, plan, column, time=time)

    def fetch_counts(
        self, plan: TablePlan, column: str, *, buckets: Buckets, values: Sequence[str | None]
    ) -> tuple[list[list[int]], list[int]]:
        """See `over_time.fetch_counts`."""
        return over_time.fetch_counts(self.held.connection, plan, column, buckets=buckets, values=values)

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
        """See `watermark.find_new`."""
        return watermark.find_new(self.held, table, plan, column=column, cursor=cursor, sweep=sweep, joined=joined)

    def find_new_each(self, sought: Sequence[new_rows_each.Sought]) -> list[Window | CheckpointError | SnapshotGone]:
        """See `new_rows_each.find_new_each`."""
        return new_rows_each.find_new_each(self.held, sought)

    def passing(self) -> AbstractContextManager[None]:
        """Let the locks that the block takes end with it."""
        return snapshot.passing(self.held.connection)

    def check(self) -> None:
        """Raises: SnapshotGone if the snapshot was lost."""
        self.held.check()

    @contextmanager
    def open_reader(self, *, batch_bytes: int = reader.BATCH_BYTES) -> Iterator[PostgresReader]:
        """A reader of this snapshot, with a session of its own; through a pooler, for one thread at a time.

        Raises: NoSessionFree where another thread has a session of the pooler's.
        """
        with self.turns.taken(self.held.pooled):
            # A pooler's session is the application's too, and is given back at once.
            kept = None if self.held.pooled or batch_bytes != reader.BATCH_BYTES else self.kept
            waiting = None if kept is None else kept.take()
            opened = waiting or PostgresReader(self.address, snapshot=self.snapshot, batch_bytes=batch_bytes)
            try:
                yield opened
            except BaseException:
                opened.close()
                raise
            if kept is None:
                opened.close()
            else:
                kept.give(opened)
