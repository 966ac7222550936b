"""Quarantined rows, tried once more: each key is read again, because the source may have been corrected meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from gridferry.checkpoint.quarantine import HeldRow
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import REPLAY, try_each
from gridferry.engine.events import Listener, ignore
from gridferry.engine.load.copying import OpensSnapshots, SnapshotView
from gridferry.engine.ownership.container_claims import table_target
from gridferry.engine.ownership.origin_check import take_up
from gridferry.engine.standing import Replay
from gridferry.plan.drift import require_fit
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_options import TableOptions
from gridferry.source.contract import ReadsRows
from gridferry.source.postgres.rows.key_rows import read_rows_like
from gridferry.transform.compiled import CompiledTransform, compile_columns
from gridferry.transform.split import split_batch


@dataclass(frozen=True)
class _Found:
    """What the source has now for the key of a quarantined row: rows, and those of them that can be stored."""

    rows: int
    good: pa.RecordBatch | None
    source: pa.RecordBatch | None


def replay_tables(
    source: OpensSnapshots,
    state: TargetState,
    chosen: Sequence[TableOptions],
    *,
    ids: frozenset[str] = frozenset(),
    tell: Listener = ignore,
) -> list[Replay]:
    """See `replay_table`; a table that fails does not stop the others.

    Raises: the error of the only table; SomeTablesFailed after all others, its `done` a list of Replay.
    """

    def replay(options: TableOptions) -> Replay:
        with source.open_snapshot() as view:
            return replay_table(state, options, view, ids=ids)

    tried = try_each(chosen, replay, name=lambda o: o.qualified, doing=REPLAY, tell=tell)
    tried.require(REPLAY, codes=[1] if any(one.still_held for one in tried.done) else [])
    return list(tried.done)


def replay_table(
    state: TargetState, options: TableOptions, view: SnapshotView, *, ids: frozenset[str] = frozenset()
) -> Replay:
    """Try one table's quarantined rows again, or those with `ids`, as the source has them now.

    A key with one row that can be stored: the row is put and flushed, then forgotten by the quarantine. A key without
    a row: forgotten. Several rows of one key, or a row that still cannot be stored: stays in the quarantine.
    Raises: as `take_up`.
    """
    plan = take_up(state, view, options, left="nothing was changed", then="gridferry quarantine replay").plan
    (table,) = view.fetch_tables([options.table])
    plan = require_fit(plan, options, table, left="nothing was changed").plan
    held = [row for row in state.quarantine.rows(plan.qualified) if not ids or row.id in ids]
    if not held:
        return Replay(plan.qualified)
    stored: list[str] = []
    gone: list[str] = []
    with state.lease(plan.qualified) as lease, view.open_reader() as reader:
        target = table_target(state, plan)
        transform = compile_columns(plan)
        with state.store.writer(before_send=lease.check) as writer:
            for row in held:
                found = _read(reader, plan, row, transform)
                if found.rows == 0:
                    gone.append(row.id)
                elif found.rows == 1 and found.good is not None and found.source is not None:
                    split = split_batch(found.good, _split_column(plan, found.source))
                    handles = target.handles(split.values)
                    writer.put(plan.container_schema, split.batch, handles, split.boundaries)
                    stored.append(row.id)
            writer.flush_log()
        lease.check()
        state.quarantine.release(plan.qualified, stored + gone)
    return Replay(plan.qualified, len(stored), len(gone), len(held) - len(stored) - len(gone))


def _read(reader: ReadsRows, plan: TablePlan, row: HeldRow, transform: CompiledTransform) -> _Found:
    batches = list(read_rows_like(reader, plan, [_as_called_now(plan, row.row)]))
    if not batches:
        return _Found(0, None, None)
    source = pa.concat_batches(batches)
    converted = transform.transform(source)
    return _Found(len(source), converted.batch if len(converted.batch) else None, source)


def _as_called_now(plan: TablePlan, row: pa.RecordBatch) -> pa.RecordBatch:
    """A row that was kept under the names of the load, with those of now."""
    names = {column.loaded_as: column.source for column in plan.columns if column.loaded_as}
    there = set(row.schema.names)
    return row.rename_columns([names[n] if n in names and names[n] not in there else n for n in row.schema.names])


def _split_column(plan: TablePlan, batch: pa.RecordBatch) -> pa.Array | None:
    return None if plan.split_by is None else batch.column(batch.schema.get_field_index(plan.split_by))
