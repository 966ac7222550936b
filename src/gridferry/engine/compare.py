"""Both sides by value: one digest a container, of the source's rows as the plan stores them and of the target's.

Reads everything once on each side, in any order, in flat memory. It says which containers differ, not which rows.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable

import pyarrow as pa

from gridferry.checkpoint.state import TargetState
from gridferry.engine.duplicates import duplicate_blocks
from gridferry.engine.events import Comparison, ContainerComparison
from gridferry.engine.load_work import OpenReader, SnapshotView
from gridferry.engine.workers import Crew, default_workers
from gridferry.model.chunk import Chunk
from gridferry.plan.names import container_name
from gridferry.plan.plan import TablePlan
from gridferry.source.contract import ReadsRows
from gridferry.transform.compiled import CompiledTransform, compile_columns
from gridferry.transform.split import split_batch
from gridferry.verify.digest import RowsDigest, RunDigests, digest_of

ROWS_PER_CHUNK = 200_000


def compare_table(state: TargetState, plan: TablePlan, view: SnapshotView) -> Comparison:
    """Compare one table under a snapshot of the source. The target must not change meanwhile."""
    started = time.monotonic()
    (table,) = view.fetch_tables([quoted_name(plan)])
    chunks = view.plan_chunks(table, rows_per_chunk=ROWS_PER_CHUNK)
    source = _SourceDigests(plan)
    Crew(default_workers()).run(
        chunks,
        work=lambda chunk, worker: source.read(worker().reader, chunk),
        open_worker=lambda: OpenReader(view.open_reader()),
        close_worker=OpenReader.close,
    )
    entries = state.catalog.entries(plan.qualified)
    names = {e.container: e.value for e in entries}
    for value in source.digests:
        names.setdefault(container_name(plan, value), value)
    target = _target_digests(state, sorted(names))
    # More rows than there are keys: also where the plan, which is older, saw none that share one.
    if plan.colliding or any(source.digests[value].rows > target[name].rows for name, value in names.items()):
        with view.open_reader() as reader:
            source.leave_out_superseded(reader)
    compared = tuple(
        ContainerComparison(
            plan.qualified,
            name,
            source_rows=source.digests[names[name]].rows,
            target_rows=target[name].rows,
            equal=source.digests[names[name]] == target[name],
        )
        for name in sorted(names)
    )
    return Comparison(compared, time.monotonic() - started)


def quoted_name(plan: TablePlan) -> str:
    """The table's name as it can be asked for, whatever characters it has."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (plan.schema, plan.table))


class _SourceDigests:
    """Digests by split value; added to by several threads."""

    def __init__(self, plan: TablePlan) -> None:
        self.digests: dict[str | None, RowsDigest] = defaultdict(RowsDigest)
        self._plan = plan
        self._transform: CompiledTransform = compile_columns(plan)
        self._lock = threading.Lock()

    def read(self, reader: ReadsRows, chunk: Chunk) -> None:
        """Add the rows of a chunk that can be stored."""
        for batch in reader.read_chunk(chunk, self._plan):
            self._add(batch, lambda old, new: old + new)

    def leave_out_superseded(self, reader: ReadsRows) -> None:
        """Take away the rows that lost to another one of their key."""
        for block in duplicate_blocks(reader, self._plan):
            self._add(block.rows.take(pa.array(block.losers)), lambda old, new: old - new)

    def _add(self, batch: pa.RecordBatch, change: Callable[[RowsDigest, RowsDigest], RowsDigest]) -> None:
        converted = self._transform.transform(batch)
        by = None
        if self._plan.split_by is not None:
            by = batch.column(batch.schema.get_field_index(self._plan.split_by))
            by = by if converted.rows is None else by.take(pa.array(converted.rows))
        split = split_batch(converted.batch, by)
        digests = RunDigests.of(split.batch, split.boundaries).runs if len(split.batch) else ()
        with self._lock:
            for value, digest in zip(split.values, digests, strict=True):
                self.digests[value] = change(self.digests[value], digest)


def _target_digests(state: TargetState, names: list[str]) -> dict[str, RowsDigest]:
    opened = state.store.open_containers(names)
    found: dict[str, RowsDigest] = {}

    def scan(name: str) -> None:
        container = opened[name]
        total = RowsDigest()
        if container is not None:
            for batch in container.scan().batches():
                total += digest_of(batch)
        found[name] = total

    Crew(default_workers()).run(
        names, work=lambda name, _: scan(name), open_worker=lambda: None, close_worker=lambda _: None
    )
    return found
