"""Quarantined rows, and what the source has now for their keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from psycopg import sql

from gridferry.checkpoint.quarantine import HeldRow, Quarantine
from gridferry.compare.digest import RowsDigest, RunDigests, digest_of
from gridferry.engine.rows.copier import key_text
from gridferry.engine.rows.duplicates import REASON
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.plan.plan import Kernel, TablePlan
from gridferry.source.contract import ReadsRows

KEYS_A_READ = 200
_MS = 1000  # microseconds in a millisecond


def rows_with_keys_of(reader: ReadsRows, plan: TablePlan, held: Sequence[HeldRow]) -> Iterator[pa.RecordBatch]:
    """The source's rows that would go to the same row keys as quarantined rows."""
    for start in range(0, len(held), KEYS_A_READ):
        narrow = narrowed(plan, [row.row for row in held[start : start + KEYS_A_READ]])
        for batch in reader.read_chunk(whole_table(plan), narrow):
            if len(batch):
                yield batch


def whole_table(plan: TablePlan) -> Chunk:
    """The chunk that is all of the table."""
    return Chunk(0, ChunkKind.WHOLE, plan.schema, plan.table, tree=True)


def narrowed(plan: TablePlan, rows: Sequence[pa.RecordBatch]) -> TablePlan:
    """The plan for those rows of the source that would go to the same row keys as `rows`, a batch of one row each.

    No more than `KEYS_A_READ`: the statement has a condition for each.
    """
    keys = [sql.SQL("({})").format(sql.SQL(" AND ").join(list(_conditions(plan, row)))) for row in rows]
    condition = f"({sql.SQL(' OR ').join(keys).as_string(None)})"
    return plan.narrowed(condition)


def keep_current(reader: ReadsRows, plan: TablePlan, quarantine: Quarantine) -> None:
    """Let the quarantine forget rows that the source no longer has in that form, and repetitions of those it has.

    Between an interruption and a resume a row may have been corrected, or moved to where it was read a second time.
    """
    held = [row for row in quarantine.rows(plan.qualified) if row.reason != REASON]
    if not held:
        return
    there: Counter[RowsDigest] = Counter()
    for batch in rows_with_keys_of(reader, plan, held):
        there.update(RunDigests.of(batch, np.arange(len(batch) + 1)).runs)
    stale = []
    for row in held:
        content = digest_of(row.row)
        if there[content] > 0:
            there[content] -= 1
        else:
            stale.append(row.id)
    quarantine.release(plan.qualified, stale)


def _conditions(plan: TablePlan, row: pa.RecordBatch) -> Iterator[sql.Composable]:
    names = ([plan.split_by] if plan.split_by is not None else []) + [k for k in plan.key if k != plan.split_by]
    cut = {c.source for c in plan.columns[: plan.key_length] if c.kernel is Kernel.TIME_MS_TRUNCATE}
    for name in names:
        value = row.column(row.schema.get_field_index(name))
        column = sql.Identifier(name)
        if value.null_count:
            yield sql.SQL("{} IS NULL").format(column)
            continue
        text = key_text(value)
        if text is None:
            yield sql.SQL("NOT ({0} >= '1970-01-01' AND {0} < '10000-01-01')").format(column)
        elif name in cut:
            yield sql.SQL("({0} >= {1} AND {0} < {2})").format(column, *_millisecond(value))
        else:
            yield sql.SQL("{} = {}").format(column, sql.Literal(text))


def _millisecond(value: pa.Array) -> tuple[sql.Literal, sql.Literal]:
    """Where the millisecond of a time begins, and where the next one does."""
    low = value.view(pa.int64())[0].as_py() // _MS * _MS
    texts = pa.array([low, low + _MS], pa.int64()).view(value.type).cast(pa.utf8()).to_pylist()
    return sql.Literal(texts[0]), sql.Literal(texts[1])
