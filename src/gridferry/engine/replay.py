"""Rows put aside, tried once more: each key is read again, because the source may have been mended meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
from psycopg import sql

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.quarantine import HeldRow
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Replay
from gridferry.engine.load_work import SnapshotView
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.plan.plan import TablePlan
from gridferry.source.contract import ReadsRows
from gridferry.target.containers import TableContainers
from gridferry.transform.compiled import CompiledTransform, compile_columns
from gridferry.transform.split import split_batch


@dataclass(frozen=True)
class _Found:
    """What the source has now for the key of a row put aside: rows, and those of them that can be stored."""

    rows: int
    good: pa.RecordBatch | None
    source: pa.RecordBatch | None


def replay_table(
    state: TargetState, plan: TablePlan, view: SnapshotView, *, ids: frozenset[str] = frozenset()
) -> Replay:
    """Try one table's rows put aside again, or those with `ids`, as the source has them now.

    A key with one row that can be stored: the row is put and flushed, then forgotten by the quarantine. A key without
    a row: forgotten. Several rows of one key, or a row that still cannot be stored: stays put aside.
    """
    held = [row for row in state.quarantine.rows(plan.qualified) if not ids or row.id in ids]
    if not held:
        return Replay(plan.qualified)
    stored: list[str] = []
    gone: list[str] = []
    with Lease(state.documents, plan.qualified) as lease, view.open_reader() as reader:
        containers = TableContainers(state.store, plan)
        containers.open_or_create([(e.container, e.value) for e in state.catalog.entries(plan.qualified)])
        transform = compile_columns(plan)
        with state.store.writer() as writer:
            for row in held:
                found = _read(reader, plan, row, transform)
                if found.rows == 0:
                    gone.append(row.id)
                elif found.rows == 1 and found.good is not None and found.source is not None:
                    split = split_batch(found.good, _split_column(plan, found.source))
                    handles = containers.handles(split.values)
                    writer.put(plan.container_schema, split.batch, handles, split.boundaries)
                    stored.append(row.id)
            writer.flush_log()
        lease.check()
        state.quarantine.release(plan.qualified, stored + gone)
    return Replay(plan.qualified, len(stored), len(gone), len(held) - len(stored) - len(gone))


def _read(reader: ReadsRows, plan: TablePlan, row: HeldRow, transform: CompiledTransform) -> _Found:
    condition = sql.SQL(" AND ").join(list(_conditions(plan, row.row))).as_string(None)
    where = f"({plan.where}) AND {condition}" if plan.where else condition
    chunk = Chunk(0, ChunkKind.WHOLE, plan.schema, plan.table, tree=True)
    batches = [b for b in reader.read_chunk(chunk, replace(plan, where=where)) if len(b)]
    if not batches:
        return _Found(0, None, None)
    source = pa.concat_batches(batches)
    converted = transform.transform(source)
    return _Found(len(source), converted.batch if len(converted.batch) else None, source)


def _conditions(plan: TablePlan, row: pa.RecordBatch) -> Iterator[sql.Composable]:
    names = ([plan.split_by] if plan.split_by is not None else []) + [k for k in plan.key if k != plan.split_by]
    for name in names:
        value = row.column(row.schema.get_field_index(name))
        column = sql.Identifier(name)
        if value.null_count:
            yield sql.SQL("{} IS NULL").format(column)
            continue
        try:
            text = value.cast(pa.utf8())[0].as_py()
        except (pa.ArrowException, ValueError, OverflowError):
            # Only an infinite or far time has no text in Arrow.
            yield sql.SQL("NOT ({0} >= '1970-01-01' AND {0} < '10000-01-01')").format(column)
            continue
        yield sql.SQL("{} = {}").format(column, sql.Literal(text))


def _split_column(plan: TablePlan, batch: pa.RecordBatch) -> pa.Array | None:
    return None if plan.split_by is None else batch.column(batch.schema.get_field_index(plan.split_by))
