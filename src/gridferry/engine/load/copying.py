"""The copying of tables that share a snapshot: one crew of workers over all their chunks.

The order that keeps data safe: rows are on the target's disk before their chunk's record is written; and a table counts
as copied only after the records of all its chunks are. A table that fails is left as it is, and the others go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import ChunkRecord, LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import BatchStored, ChunkDone, Level, Listener, LoadStarted, Note, RowsPut, fewer_workers
from gridferry.engine.load.jobs import Job, Waiting, jobs_of
from gridferry.engine.ownership.container_claims import NewNames, table_target
from gridferry.engine.ownership.lineage import KnowsOrigin
from gridferry.engine.ownership.parts import ShowsParts
from gridferry.engine.retry import with_patience
from gridferry.engine.rows.copier import ChunkCopier, CopyResult
from gridferry.engine.rows.until_stored import until_all_stored
from gridferry.engine.workers import Crew, Stopped, default_workers
from gridferry.errors import CheckpointError, ConfigError, FerryError
from gridferry.model.chunk import Chunk
from gridferry.model.outcomes import LoadOutcome
from gridferry.model.profile import ProfileRequest, TableProfile
from gridferry.model.table import Table
from gridferry.source.contract import ReadsRows, ReadsSnapshot
from gridferry.target.table import TableTarget


class SnapshotView(ReadsSnapshot, KnowsOrigin, ShowsParts, Protocol):
    """A held snapshot that can also say which source it is of, and describe and profile tables."""

    def fetch_tables(self, names: Sequence[str] | None = None) -> list[Table]:
        """See `ReadsCatalog`."""

    def fetch_profile(self, request: ProfileRequest) -> TableProfile:
        """See `ReadsCatalog`."""

    def apart(self) -> AbstractContextManager[None]:
        """A statement that fails inside leaves the snapshot whole."""


class OpensSnapshots(Protocol):
    """A source that can hold a state of itself open."""

    def open_snapshot(self) -> AbstractContextManager[SnapshotView]:
        """One state of the source, held until the block ends."""


@dataclass(frozen=True)
class LoadOptions:
    """How to load. `rows_per_chunk` is about what a resume reads again at most, for each worker."""

    replace: bool = False
    workers: int | None = None
    rows_per_chunk: int = 100_000
    wait_s: float = 0.0
    replace_unclaimed: bool = False  # with `replace`: also containers of the plan's names that no migration claims

    def __post_init__(self) -> None:
        if self.rows_per_chunk < 1 or (self.workers is not None and self.workers < 1):
            raise ConfigError("the number of workers and the rows a chunk must be 1 or more")

    def workers_for(self, chunks: int) -> int:
        """How many are at work on so many chunks."""
        return max(1, min(self.workers or default_workers(), chunks))


class TableCopy:
    """One table that is copied: its run, which is written down, its containers, and how far it is.

    `rows`, `octets` and `quarantined` are what this run has brought to disk; `seconds` how long it took from the first
    chunk to the last. `error` says why it does not go on. Its lease is held, and its snapshot.
    """

    def __init__(
        self,
        state: TargetState,
        run: LoadRun,
        lease: Lease,
        *,
        outcome: LoadOutcome = LoadOutcome.LOADED,
        expected: dict[str | None, int] | None = None,
        target: TableTarget | None = None,
        chunks: Sequence[Chunk] | None = None,
    ) -> None:
        """Args: expected: the snapshot's rows by split value, where they were counted already; target: its containers,
        where they are made already; chunks: those to be copied, else all that are not finished.
        """
        if run.plan is None:
            raise CheckpointError(f"the load of {run.table} has no plan", next_step="load it again with --replace")
        self.run, self.plan, self.lease, self.outcome, self.expected = run, run.plan, lease, outcome, expected
        self.target = table_target(state, run.plan) if target is None else target
        self.chunks = [c for c in run.chunks if c.number not in run.finished] if chunks is None else list(chunks)
        self.rows = self.octets = self.quarantined = 0
        self.error: FerryError | None = None
        self._state = state
        self._lock = threading.Lock()
        self._left = len(self.chunks)
        self._began: float | None = None
        self._ended = 0.0

    @property
    def name(self) -> str:
        """`schema.table`."""
        return self.run.table

    @property
    def seconds(self) -> float:
        """How long the copying took."""
        return 0.0 if self._began is None else self._ended - self._began

    @property
    def waiting(self) -> Waiting[TableCopy]:
        """The chunks that are to be copied."""
        rows = self.plan.rows * len(self.chunks) // max(1, len(self.run.chunks))
        return Waiting(self, self.chunks, max(rows, sum(chunk.rows for chunk in self.chunks)))

    def make_containers(self) -> None:
        """List the containers, then make them, before any row is put."""
        known = self.target.names
        fresh = [(c.name, c.value) for c in self.plan.containers if c.value not in known]
        NewNames(self._state, self.plan).enter(fresh)
        self.target.open_or_create([*((name, value) for value, name in known.items()), *fresh])

    def announced(self, workers: int) -> LoadStarted | None:
        """What is to be said when its first chunk is begun; None at the others."""
        with self._lock:
            if self._began is not None:
                return None
            self._began = self._ended = time.monotonic()
        done = self.run.finished.values()
        return LoadStarted(
            self.name,
            self.plan,
            rows=self.plan.rows,
            chunks=len(self.run.chunks),
            workers=max(1, min(workers, len(self.chunks))),
            done_chunks=len(done),
            done_rows=sum(record.rows for record in done),
        )

    def copied(self, result: CopyResult) -> bool:
        """Count a chunk that is checkpointed. Returns: whether it was the last."""
        with self._lock:
            self.rows += result.rows
            self.octets += result.octets
            self.quarantined += result.quarantined
            self._left -= 1
            self._ended = time.monotonic()
            return not self._left

    def fail(self, error: FerryError) -> bool:
        """Let it go on no more. Returns: whether it did until now."""
        with self._lock:
            first = self.error is None
            self.error = self.error or error
            return first

    def copier(self, check: Callable[[], None], tell: Listener) -> ChunkCopier:
        """What copies chunks of it. `check` is called before each message to the target."""
        return ChunkCopier(
            store=self._state.store,
            plan=self.plan,
            target=self.target,
            quarantine=self._state.quarantine,
            progress=lambda rows, octets: tell(RowsPut(self.name, rows, octets)),
            check=check,
        )


class Copying:
    """One crew over the chunks of tables that share a snapshot. Made for one call of `run`.

    `ended` is called, by any thread, with each table whose chunks are all on disk and checkpointed, or whose `error`
    says why they are not.
    """

    def __init__(
        self,
        state: TargetState,
        view: ReadsSnapshot,
        tables: Sequence[TableCopy],
        options: LoadOptions,
        tell: Listener,
        *,
        ended: Callable[[TableCopy], None] = lambda table: None,
    ) -> None:
        self._state = state
        self._view = view
        self._tables = tables
        self._options = options
        self._tell = tell
        self._ended = ended
        self._ending = threading.Lock()
        self._over = False  # an error ends the load of all tables
        self.workers = options.workers_for(sum(len(table.chunks) for table in tables))
        self.crew = Crew(self.workers, fewer=fewer_workers(tables[0].name if len(tables) == 1 else "all tables", tell))

    def run(self, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Copy all chunks; `meanwhile` runs in the calling thread.

        Raises: what concerns all tables, and any error of `meanwhile`. An error of one table is in the table.
        """
        for table in self._tables:
            if not table.chunks:
                self._announce(table)
                self._ended(table)
        jobs = jobs_of(
            [table.waiting for table in self._tables],
            rows_per_chunk=self._options.rows_per_chunk,
            workers=self.workers,
        )
        self.crew.run(
            jobs,
            work=lambda job, worker: self._job(job, worker()),
            open_worker=lambda: OpenReader(self._view.open_reader),
            close_worker=OpenReader.close,
            meanwhile=meanwhile,
        )

    def _announce(self, table: TableCopy) -> None:
        started = table.announced(self.workers)
        if started is not None:
            self._tell(started)

    def _job(self, job: Job[TableCopy], opened: OpenReader) -> None:
        going = [(table, chunk) for table, chunk in job if table.error is None]
        if not going:
            return
        for table, _ in going:
            self._announce(table)
        at = [going[0]]  # where an error comes from
        try:
            results = self._stored(going, opened.reader, at)
        except Stopped:
            raise
        except FerryError as error:
            self._failed(going, at[0], error, opened)
            return
        for (table, chunk), result in zip(going, results, strict=True):
            self._tell(BatchStored(table.name, result.put_s, result.flush_s))
            self._tell(ChunkDone(table.name, chunk.number, result.rows, result.quarantined))
            if table.copied(result):
                self._ended(table)

    def _failed(
        self,
        going: Sequence[tuple[TableCopy, Chunk]],
        at: tuple[TableCopy, Chunk],
        error: FerryError,
        opened: OpenReader,
    ) -> None:
        """Let the table of a failed chunk go on no more; chunks that were bundled are tried one by one.

        Raises: the error, where it concerns all tables.
        """
        table, chunk = at
        error.add_note(f"in chunk {chunk.number} of {table.name}")
        if error.concerns_all:
            with self._ending:  # of several workers that meet it, the first reports it
                if not self._over:
                    self._over = True
                    self._fail(table, error)
            raise error
        if len(going) == 1:
            self._fail(table, error)
        opened.renew()  # what it was reading may have failed with it
        for each in going if len(going) > 1 else ():
            self._job((each,), opened)

    def _fail(self, table: TableCopy, error: FerryError) -> None:
        if table.fail(error):
            self._ended(table)

    def _stored(
        self, going: Sequence[tuple[TableCopy, Chunk]], reader: ReadsRows, at: list[tuple[TableCopy, Chunk]]
    ) -> list[CopyResult]:
        """Bring chunks to disk, then write that they are. Raises: any FerryError; `at` says of which chunk."""

        def check() -> None:
            self.crew.check()
            for table, _ in going:
                table.lease.check()

        def again(error: FerryError) -> None:
            table, chunk = at[0]
            self._tell(Note(table.name, f"chunk {chunk.number} is put again: {error}", Level.WARNING))

        def record() -> None:
            with self._state.documents.together() if len(going) > 1 else nullcontext():
                for (table, chunk), done in zip(going, results, strict=True):
                    self._state.runs.chunk_done(table.name, ChunkRecord(chunk.number, done.rows, done.quarantined))

        targets = [table.target for table, _ in going]
        results = until_all_stored(targets, lambda: self._flushed(going, reader, check, at), on_retry=again)
        check()
        with_patience(record, on_retry=again)
        return results

    def _flushed(
        self,
        going: Sequence[tuple[TableCopy, Chunk]],
        reader: ReadsRows,
        check: Callable[[], None],
        at: list[tuple[TableCopy, Chunk]],
    ) -> list[CopyResult]:
        """Put the rows of chunks, flush them together, and quarantine what could not be put."""
        with self._state.store.writer(before_send=check) as writer:
            sent = []
            for table, chunk in going:
                at[0] = table, chunk
                sent.append(table.copier(check, self._tell).send_chunk(writer, reader, chunk))
            at[0] = going[0]
            began = time.monotonic()
            writer.flush_log()
            flush_s = (time.monotonic() - began) / len(going)
            self._state.quarantine.hold([row for each in sent for row in each.held])
        return [each.flushed(flush_s) for each in sent]


class OpenReader:
    """A worker's reader, opened in its thread."""

    def __init__(self, opener: Callable[[], AbstractContextManager[ReadsRows]]) -> None:
        self._opener = opener
        self._context = opener()
        self.reader = self._context.__enter__()

    def renew(self) -> None:
        """Take a new session for the one that there is. Raises: SourceError."""
        self.close()
        self._context = self._opener()
        self.reader = self._context.__enter__()

    def close(self) -> None:
        """Close the reader."""
        self._context.__exit__(None, None, None)
