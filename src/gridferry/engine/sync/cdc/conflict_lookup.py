"""Contested keys -> what is to be stored, as the source has it now.

That is no older than the changes that were read. What came later is still to come in the stream, is held against what
was stored here, and ends the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gridferry.engine.rows.copier import row_key
from gridferry.engine.rows.duplicates import duplicate_blocks
from gridferry.engine.rows.keys import Keys, Positions, key_codes
from gridferry.engine.sync.cdc.conflicts import ConflictingKeys
from gridferry.errors import DuplicateKeys
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.source.contract import ReadsRows
from gridferry.source.postgres.rows.key_rows import KEYS_A_READ, narrowed_to, read_rows_like
from gridferry.transform.compiled import BadRows, compile_columns


@dataclass(frozen=True)
class ResolvedConflicts:
    """Rows to put, in the container's terms with their split values, and keys whose rows go.

    `refused` are rows of these keys that the target cannot store, as positions in `source`, the rows as they were read.
    """

    puts: pa.RecordBatch
    put_split: pa.Array | None
    deletes: Keys
    refused: tuple[BadRows, ...]
    source: pa.RecordBatch


def resolve_conflicts(reader: ReadsRows, plan: TablePlan, conflicting: ConflictingKeys) -> Iterator[ResolvedConflicts]:
    """What is to be done about conflicting keys; some hundred at a time.

    Raises: DuplicateKeys where rows share a key and the plan says `on_duplicate: error`.
    """
    for start in range(0, len(conflicting), KEYS_A_READ):
        places = np.arange(start, min(start + KEYS_A_READ, len(conflicting)))
        yield _resolved(reader, plan, conflicting.keys.take(places), conflicting.rows[start : start + KEYS_A_READ])


def _resolved(reader: ReadsRows, plan: TablePlan, keys: Keys, rows: tuple[pa.RecordBatch, ...]) -> ResolvedConflicts:
    transform = compile_columns(plan)
    batches = list(read_rows_like(reader, plan, rows))
    found = pa.concat_batches(batches) if batches else rows[0].slice(0, 0)
    if not len(found):
        puts = pa.RecordBatch.from_pylist([], schema=transform.schema)
        return ResolvedConflicts(puts, None if keys.split is None else keys.split.slice(0, 0), keys, (), found)
    converted = transform.transform(found)
    good = found if converted.rows is None else found.take(pa.array(converted.rows))
    codes, asked = _numbered(plan, keys, good, converted.batch)
    shared = np.isin(codes, np.flatnonzero(np.bincount(codes) > 1)) if len(codes) else np.zeros(0, bool)
    put = good.take(pa.array(np.flatnonzero(~shared)))
    if shared.any():
        put = pa.concat_batches([put, *_winners(reader, plan, rows, good.take(pa.array(np.flatnonzero(shared))))])
    return ResolvedConflicts(
        puts=transform.transform(put).batch,
        put_split=_split(plan, put),
        deletes=keys.take(np.flatnonzero(~np.isin(asked, codes))),
        refused=converted.bad,
        source=found,
    )


def _numbered(
    plan: TablePlan, keys: Keys, found: pa.RecordBatch, converted: pa.RecordBatch
) -> tuple[Positions, Positions]:
    """Numbers for the row keys of `found`, and for `keys`: equal for equal keys."""
    own = converted.select(keys.keys.schema.names)
    both = [pa.concat_arrays([a, b]) for a, b in zip(own.columns, keys.keys.columns, strict=True)]
    by = _split(plan, found)
    split = None if by is None or keys.split is None else pa.concat_arrays([by, keys.split])
    codes = key_codes(Keys(pa.RecordBatch.from_arrays(both, names=own.schema.names), split))
    return codes[: len(found)], codes[len(found) :]


def _winners(
    reader: ReadsRows, plan: TablePlan, rows: Sequence[pa.RecordBatch], shared: pa.RecordBatch
) -> Iterator[pa.RecordBatch]:
    if plan.on_duplicate is OnDuplicate.ERROR:
        raise DuplicateKeys(
            f"{plan.qualified}: {len(shared):,} changed rows share a row key with another row, such as "
            f"{row_key(plan, shared.slice(0, 1))}",
            table=plan.qualified,
            column=plan.key[0],
            state="everything committed before is stored; nothing was overwritten",
            next_step="correct them in the source, or set `on_duplicate: last` or `first`; then sync again",
        )
    for block in duplicate_blocks(reader, narrowed_to(plan, rows)):
        yield block.rows.take(pa.array(block.winners)).select(shared.schema.names)


def _split(plan: TablePlan, rows: pa.RecordBatch) -> pa.Array | None:
    return None if plan.split_by is None else rows.column(rows.schema.get_field_index(plan.split_by))
