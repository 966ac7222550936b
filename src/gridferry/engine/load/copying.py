"""The copying of one table: workers over chunks, a checkpoint after each, both sides counted at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import ChunkRecord, CopyFigures, LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import (
    BatchStored,
    BucketLoad,
    ChunkDone,
    Level,
    Listener,
    LoadStarted,
    Note,
    RowsPut,
    TableLoad,
    fewer_workers,
)
from gridferry.engine.load.count_check import CountCheck
from gridferry.engine.ownership.container_claims import NewNames, table_target
from gridferry.engine.ownership.lineage import KnowsOrigin
from gridferry.engine.ownership.parts import ShowsParts
from gridferry.engine.retry import with_patience
from gridferry.engine.rows.copier import ChunkCopier
from gridferry.engine.rows.quarantine import keep_current
from gridferry.engine.rows.read_check import require_all_read
from gridferry.engine.rows.until_stored import until_stored
from gridferry.engine.workers import Crew, default_workers
from gridferry.errors import CheckpointError, ConfigError, FerryError
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.model.outcomes import LoadOutcome
from gridferry.model.profile import ProfileRequest, TableProfile
from gridferry.model.table import Table
from gridferry.source.contract import ReadsRows, ReadsSnapshot


class SnapshotView(ReadsSnapshot, KnowsOrigin, ShowsParts, Protocol):
    """A held snapshot that can also say which source it is of, and describe and profile tables."""

    def fetch_tables(self, names: Sequence[str] | None = None) -> list[Table]:
        """See `ReadsCatalog`."""

    def fetch_profile(self, request: ProfileRequest) -> TableProfile:
        """See `ReadsCatalog`."""


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


class LoadWork:
    """Carries out a run whose plan and chunks are written down. Made for one call of `run`."""

    def __init__(
        self, state: TargetState, run: LoadRun, lease: Lease, options: LoadOptions, listener: Listener
    ) -> None:
        if run.plan is None:
            raise CheckpointError(f"the load of {run.table} has no plan", next_step="load it again with --replace")
        self._state = state
        self._run = run
        self._plan = run.plan
        self._lease = lease
        self._options = options
        self._tell = listener
        self._target = table_target(state, run.plan)
        self._lock = threading.Lock()
        self._rows = 0
        self._octets = 0
        self._quarantined = 0

    def run(
        self, view: SnapshotView, *, outcome: LoadOutcome, expected: Mapping[str | None, int] | None = None
    ) -> TableLoad:
        """Copy what is not done, count, and write that the table is loaded.

        `expected` are the snapshot's rows by split value, where they were counted already.
        """
        started = time.monotonic()
        waiting = [c for c in self._run.chunks if c.number not in self._run.finished]
        self._announce(len(waiting))
        self.make_containers()
        workers = self._workers(len(waiting))
        crew = Crew(workers, fewer=fewer_workers(self._plan.qualified, self._tell))
        expected, total = self._copy(view, waiting, crew, known=expected)
        self._require_all_read(total, expected)
        seconds = time.monotonic() - started
        if outcome is LoadOutcome.RESUMED:
            with view.open_reader() as reader:
                keep_current(reader, self._plan, self._state.quarantine)
        check = CountCheck(self._state.store, self._plan, self._target, self._state.quarantine)
        with view.open_reader() as reader:
            counted = check.run(reader, expected, self._copier(crew.check))
        self._lease.check()
        for note in counted.notes:
            self._tell(Note(self._run.table, note, Level.WARNING))
        stored = sum(c.target_rows for c in counted.containers)
        copied = CopyFigures(self._rows, self._octets, seconds, workers)
        self._state.runs.loaded(self._run, rows=stored, notes=counted.notes, copied=copied)
        return TableLoad(
            self._run.table,
            outcome,
            rows=self._rows,
            octets=self._octets,
            seconds=seconds,
            chunks=len(waiting),
            quarantined=counted.quarantined,
            superseded=counted.superseded,
            containers=counted.containers,
            notes=counted.notes,
            coverage=counted.coverage(self._plan),
        )

    def _announce(self, waiting: int) -> None:
        done = self._run.finished.values()
        self._tell(
            LoadStarted(
                self._run.table,
                self._plan,
                rows=self._plan.rows,
                chunks=len(self._run.chunks),
                workers=self._workers(waiting),
                done_chunks=len(done),
                done_rows=sum(record.rows for record in done),
            )
        )

    def _workers(self, waiting: int) -> int:
        return max(1, min(self._options.workers or default_workers(), waiting))

    def run_part(self, view: SnapshotView, chunks: Sequence[Chunk], *, bucket: int, of: int) -> BucketLoad:
        """Copy these chunks, which are some of the run's. The containers are made; nothing is counted."""
        started = time.monotonic()
        self._announce(len(chunks))
        crew = Crew(self._workers(len(chunks)), fewer=fewer_workers(self._plan.qualified, self._tell))
        self._copy(view, list(chunks), crew, known={}, counted=False)
        return BucketLoad(
            self._run.table,
            bucket,
            of,
            LoadOutcome.LOADED,
            rows=self._rows,
            octets=self._octets,
            seconds=time.monotonic() - started,
            chunks=len(chunks),
            quarantined=self._quarantined,
        )

    def make_containers(self) -> None:
        """List the containers, then make them, before any row is put."""
        known = self._target.names
        fresh = [(c.name, c.value) for c in self._plan.containers if c.value not in known]
        NewNames(self._state, self._plan).enter(fresh)
        self._target.open_or_create([*((name, value) for value, name in known.items()), *fresh])

    def _require_all_read(self, total: int, expected: Mapping[str | None, int]) -> None:
        """Hold what was read against PostgreSQL's own count of the snapshot. Raises: ReadIncomplete.

        Chunks of an interrupted load were read under earlier snapshots, and some rows of them twice: then what each
        container should have must add up to that count, and no fewer rows can have been read.
        """
        state = "rows that were read are stored; the table does not count as loaded"
        before = sum(r.rows + r.quarantined for n, r in self._run.finished.items())
        again = any(c.kind is ChunkKind.RECENT for c in self._run.chunks)
        read = self._rows + self._quarantined + before
        require_all_read(self._plan, counted=total, read=read, at_least=again or bool(before), state=state)
        require_all_read(self._plan, counted=total, read=sum(expected.values()), state=state)

    def _copy(
        self,
        view: SnapshotView,
        waiting: list[Chunk],
        crew: Crew,
        *,
        known: Mapping[str | None, int] | None,
        counted: bool = True,
    ) -> tuple[dict[str | None, int], int]:
        """Copy the chunks. Returns the snapshot's rows by split value, unless they are known, and all of them together.

        Both are counted meanwhile, in the session that holds the snapshot; the second by a plain count.
        """
        expected = dict(known or {})
        total = 0

        def count() -> None:
            nonlocal total
            if counted:
                total = view.count_all(self._plan)
            if known is None:
                expected.update(view.count_rows(self._plan))

        crew.run(
            waiting,
            work=lambda chunk, worker: self._chunk(chunk, worker(), crew.check),
            open_worker=lambda: OpenReader(view.open_reader()),
            close_worker=OpenReader.close,
            meanwhile=count,
        )
        self._lease.check()
        return expected, total

    def _chunk(self, chunk: Chunk, opened: OpenReader, check: Callable[[], None]) -> None:
        table = self._plan.qualified
        copier = self._copier(check)

        def again(error: FerryError) -> None:
            self._tell(Note(table, f"chunk {chunk.number} is put again: {error}", Level.WARNING))

        try:
            result = until_stored(self._target, lambda: copier.copy(opened.reader, chunk), on_retry=again)
            self._lease.check()
            record = ChunkRecord(chunk.number, result.rows, result.quarantined)
            with_patience(lambda: self._state.runs.chunk_done(table, record), on_retry=again)
        except FerryError as error:
            error.add_note(f"in chunk {chunk.number} of {table}")
            raise
        with self._lock:
            self._rows += result.rows
            self._octets += result.octets
            self._quarantined += result.quarantined
        self._tell(BatchStored(table, result.put_s, result.flush_s))
        self._tell(ChunkDone(table, chunk.number, result.rows, result.quarantined))

    def _copier(self, check_crew: Callable[[], None]) -> ChunkCopier:
        def check() -> None:
            check_crew()
            self._lease.check()

        return ChunkCopier(
            store=self._state.store,
            plan=self._plan,
            target=self._target,
            quarantine=self._state.quarantine,
            progress=lambda rows, octets: self._tell(RowsPut(self._plan.qualified, rows, octets)),
            check=check,
        )


class OpenReader:
    """A worker's reader, opened in its thread."""

    def __init__(self, context: AbstractContextManager[ReadsRows]) -> None:
        self._context = context
        self.reader = context.__enter__()

    def close(self) -> None:
        """Close the reader."""
        self._context.__exit__(None, None, None)
