"""One pass over both sides: every row of the source's snapshot, every row of the target, aligned and compared."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa

from gridferry.checkpoint.state import TargetState
from gridferry.compare.block import Block
from gridferry.compare.findings import KIND_NUMBERS, Findings, findings_of
from gridferry.compare.partitions import Partitions, Side
from gridferry.engine.comparison.containers import NumberedContainers
from gridferry.engine.comparison.ranges import Cut, RowRange
from gridferry.engine.comparison.readers import NumberedRows, SourceReader, TargetReader, joined_rows
from gridferry.engine.events import Listener, fewer_workers, ignore
from gridferry.engine.load.copying import OpenReader
from gridferry.engine.rows.duplicates import duplicate_blocks
from gridferry.engine.rows.read_check import require_all_read
from gridferry.engine.workers import Crew, default_workers
from gridferry.griddb import Store
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.model.table import Table
from gridferry.model.verification import DifferenceKind
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.source.postgres.one_snapshot import PostgresReader, PostgresSnapshot
from gridferry.transform.ordinals import renumbered

ROWS_A_CHUNK = 100_000
KEYS_A_READ = 10_000
_EXTRA = KIND_NUMBERS[DifferenceKind.EXTRA]


@dataclass
class Passed:
    """What a pass saw, by container number: source rows that are equal and that may not be, that share their key, and
    of these those that were superseded.
    """

    equal: Counter[int] = field(default_factory=Counter)
    candidates: Counter[int] = field(default_factory=Counter)
    shared: Counter[int] = field(default_factory=Counter)
    superseded: Counter[int] = field(default_factory=Counter)


class FullPass:
    """Compares one table as of a snapshot. `found` takes what differs, from one thread at a time."""

    def __init__(
        self,
        state: TargetState,
        plan: TablePlan,
        view: PostgresSnapshot,
        *,
        containers: NumberedContainers,
        cut: Cut,
        found: Callable[[Findings], None],
        listener: Listener = ignore,
    ) -> None:
        self.source = SourceReader(plan, containers)
        self.target = TargetReader(state.store, containers, ranges=len(cut.bounds) + 1)
        self.passed = Passed()
        self._plan = plan
        self._view = view
        self._store = state.store
        self._containers = containers
        self._cut = cut
        self._found = found
        self._listener = listener
        self._lock = threading.Lock()
        self._counted = 0

    def run(self, table: Table) -> Passed:
        """Compare everything. Raises: any FerryError of either side."""
        if self._cut.parts:
            self._by_parts(self._cut.parts)
        else:
            self._gathered(table)
        # Before any difference is reported: rows that were not read would be extra in the target.
        require_all_read(
            self._plan,
            counted=self._counted,
            read=self.source.rows,
            state="nothing is proven, and nothing changed",
        )
        if self.passed.shared and self._plan.on_duplicate is not OnDuplicate.ERROR:
            with self._view.open_reader() as reader:
                self._shared_keys(reader)
        return self.passed

    def _by_parts(self, parts: Iterable[RowRange]) -> None:
        def work(part: RowRange, worker: Callable[[], OpenReader]) -> None:
            source = joined_rows(list(self.source.part(worker().reader, part)), self._schema)
            self._compare(self._numbered(source), self.target.part(part))

        self._crew(parts, work, meanwhile=self._count)

    def _gathered(self, table: Table) -> None:
        """Read each side once, in the order in which it lies; then compare partition by partition."""
        # All rows of a hash in one partition: which of them has which number is found out there.
        parted = 1 if self._plan.numbered else self._plan.key_length
        with Partitions(self._schema, key_length=parted, count=self._cut.partitions) as kept:

            def read_chunk(chunk: Chunk, worker: Callable[[], OpenReader]) -> None:
                for rows, codes in self.source.converted(worker().reader.read_chunk(chunk, self._plan)):
                    kept.add(Side.SOURCE, rows, codes)

            def read_containers(part: RowRange, worker: Callable[[], OpenReader]) -> None:
                for rows, codes in self.target.part(part):
                    kept.add(Side.TARGET, rows, codes)

            chunks = self._view.plan_chunks(table, rows_per_chunk=ROWS_A_CHUNK)
            reads = [partial(read_chunk, chunk) for chunk in chunks]
            targets = [partial(read_containers, part) for part in self._container_parts()]
            self._crew(_interleaved(reads, targets), lambda read, worker: read(worker), meanwhile=self._count)

            def compare(number: int, worker: Callable[[], OpenReader]) -> None:
                self._compare(self._joined(kept, number), kept.rows(Side.TARGET, number))

            if kept.count == 1:
                self._compare_side_by_side(self._joined(kept, 0), kept.rows(Side.TARGET, 0))
            else:
                self._crew(range(kept.count), compare)

    def _joined(self, kept: Partitions, number: int) -> NumberedRows:
        return self._numbered(joined_rows(list(kept.rows(Side.SOURCE, number)), self._schema))

    def _numbered(self, source: NumberedRows) -> NumberedRows:
        """Rows with a generated key, each with its number; all of each hash must be there."""
        return (renumbered(source[0]), source[1]) if self._plan.numbered else source

    def _container_parts(self) -> list[RowRange]:
        """All containers, in as many parts as keep the workers busy."""
        codes = sorted(range(self._containers.listed), key=lambda code: -self._containers.counts[code])
        if not codes:
            return []
        whole = Chunk(0, kind=ChunkKind.WHOLE, schema=self._plan.schema, relation=self._plan.table)
        count = min(len(codes), 2 * default_workers())
        return [RowRange(whole, codes=tuple(codes[start::count])) for start in range(count)]

    def _compare(self, source: NumberedRows, pages: Iterable[NumberedRows]) -> None:
        block = Block(*source, key_length=self._plan.key_length, skipped=self._plan.gone_places)
        for page, numbers in pages:
            for findings in block.page(page, numbers):
                self._tell(findings)
        self._finish(block, *source)

    def _compare_side_by_side(self, source: NumberedRows, pages: Iterable[NumberedRows]) -> None:
        """As `_compare`, each page by the next worker that is free."""
        block = Block(*source, key_length=self._plan.key_length, skipped=self._plan.gone_places)

        def compare(page: NumberedRows, worker: Callable[[], OpenReader]) -> None:
            for findings in block.page(*page):
                self._tell(findings)

        self._crew(pages, compare)
        self._finish(block, *source)

    def _finish(self, block: Block, rows: pa.RecordBatch, codes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """What a block shows when it has seen all pages."""
        for findings in block.rest():
            self._tell(findings)
        with self._lock:
            self.passed.equal.update({int(c): int(block.equal[c]) for c in np.flatnonzero(block.equal)})
        if len(block.doubled):
            self._doubled(rows.take(pa.array(block.doubled)), codes[block.doubled])

    def _doubled(self, rows: pa.RecordBatch, codes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        with self._lock:
            self.passed.shared.update(codes.tolist())
        if self._plan.on_duplicate is OnDuplicate.ERROR:
            self._tell(findings_of(DifferenceKind.DOUBLED, codes, source=rows))

    def _shared_keys(self, reader: PostgresReader) -> None:
        """Rows that share their key: the one that stays, as `on_duplicate` says, has to be in the target."""
        for block in duplicate_blocks(reader, self._plan):
            winners = list(
                SourceReader(self._plan, self._containers).converted([block.rows.take(pa.array(block.winners))])
            )
            for _, codes in SourceReader(self._plan, self._containers).converted(
                [block.rows.take(pa.array(block.losers))]
            ):
                self.passed.superseded.update(codes.tolist())
            rows, codes = joined_rows(winners, self._schema)
            for start in range(0, len(rows), KEYS_A_READ):
                part = rows.slice(start, KEYS_A_READ), codes[start : start + KEYS_A_READ]
                self._compare(part, target_by_key(self._store, self._containers, self._keys(part[0]), part[1]))

    def _keys(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        length = self._plan.key_length
        return pa.RecordBatch.from_arrays(
            rows.columns[:length], schema=self._plan.container_schema.key_schema.arrow_schema
        )

    def _tell(self, findings: Findings) -> None:
        with self._lock:
            self._found(findings)
            self.passed.candidates.update(findings.codes[findings.kinds != _EXTRA].tolist())

    @property
    def _schema(self) -> pa.Schema:
        return self._plan.container_schema.arrow_schema

    def _count(self) -> None:
        """Let PostgreSQL count, in the session that holds the snapshot and has nothing else to do meanwhile."""
        self._counted = self._view.count_all(self._plan)

    def _crew(
        self, jobs: Iterable[object], work: Callable[..., None], *, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        Crew(default_workers(), fewer=fewer_workers(self._plan.qualified, self._listener)).run(
            jobs,
            work=work,
            open_worker=lambda: OpenReader(self._view.open_reader),
            close_worker=OpenReader.close,
            meanwhile=meanwhile,
        )


def target_by_key(
    store: Store,
    containers: NumberedContainers,
    keys: pa.RecordBatch,
    codes: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Iterable[NumberedRows]:
    """The target's rows of n keys, key i in container number `codes[i]`."""
    order = np.argsort(codes, kind="stable")
    bounds = np.flatnonzero(np.r_[True, np.diff(codes[order]) != 0, True]) if len(codes) else np.zeros(1, np.int64)
    ordered = keys.take(pa.array(order))
    asked, numbers = [], []
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        number = int(codes[order[start]])
        container = containers.opened[number]
        if container is not None:
            asked.append((container, ordered.slice(start, end - start)))
            numbers.append(number)
    if asked:
        rows, owners = store.multi_get(asked, containers.schema)
        if len(rows):
            yield rows, np.array(numbers, np.int64)[owners]


def _interleaved(
    first: Sequence[Callable[..., None]], second: Sequence[Callable[..., None]]
) -> list[Callable[..., None]]:
    """Both kinds of work side by side from the beginning, so that neither server waits for the other."""
    jobs = [(number / max(1, len(kind)), job) for kind in (first, second) for number, job in enumerate(kind)]
    return [job for _, job in sorted(jobs, key=lambda pair: pair[0])]
