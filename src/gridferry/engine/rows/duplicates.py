"""Rows that share a row key: which one stays, as `on_duplicate` says, whatever order the chunks came in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.checkpoint.quarantine import HeldRow, Quarantine
from gridferry.engine.rows.copier import ChunkCopier, held_row, row_key
from gridferry.errors import DuplicateKeys
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.transform.compiled import compile_columns
from gridferry.transform.ordinals import running_numbers

REASON = "duplicate_key"


class ReadsDuplicates(Protocol):
    """Reads rows that share a row key."""

    def read_duplicates(self, plan: TablePlan) -> Iterator[pa.RecordBatch]:
        """See `ReadsRows`."""


@dataclass(frozen=True)
class Resolution:
    """Rows that lost to another row of their key: by split value as text. `held` of them were quarantined."""

    superseded: Counter[str | None]
    held: int = 0


def resolve_duplicates(
    reader: ReadsDuplicates, plan: TablePlan, *, copier: ChunkCopier, quarantine: Quarantine
) -> Resolution:
    """Put the row that stays for every key that several rows share, and flush.

    All of them were put before, in an order that no one chose; this last put decides.
    With a generated key every row stays, under its number.
    Raises: DuplicateKeys where the plan says `on_duplicate: error` and there are any.
    """
    if plan.numbered:
        with copier.writer() as writer:
            for batch in running_numbers(good_rows(reader, plan)):
                copier.put(writer, batch)
            writer.flush_log()
        return Resolution(Counter())
    superseded: Counter[str | None] = Counter()
    held: list[HeldRow] = []
    seen: Counter[str] = Counter()
    with copier.writer() as writer:
        for block in duplicate_blocks(reader, plan):
            if plan.on_duplicate is OnDuplicate.ERROR:
                if len(block.losers):
                    raise _refusal(plan, block)
                continue
            copier.put(writer, block.rows.take(pa.array(block.winners)))
            losers = block.rows.take(pa.array(block.losers))
            superseded.update(split_values(plan, losers))
            if plan.on_duplicate is OnDuplicate.QUARANTINE:
                held += [_held(plan, losers.slice(row, 1), seen) for row in range(len(losers))]
        writer.flush_log()
    quarantine.hold(held)
    return Resolution(superseded, len(held))


def good_rows(reader: ReadsDuplicates, plan: TablePlan) -> Iterator[pa.RecordBatch]:
    """The rows of all shared keys that can be stored, in the order that the source gives."""
    transform = compile_columns(plan)
    for batch in reader.read_duplicates(plan):
        converted = transform.transform(batch)
        yield batch if converted.rows is None else batch.take(pa.array(converted.rows))


@dataclass(frozen=True)
class DuplicateBlock:
    """Whole groups of rows that share a key: which of them stay, and which do not; positions in `rows`."""

    rows: pa.RecordBatch
    winners: NDArray[np.int64]
    losers: NDArray[np.int64]


def duplicate_blocks(reader: ReadsDuplicates, plan: TablePlan) -> Iterator[DuplicateBlock]:
    """The good rows of all shared keys, in the order that the source gives, never a key in two blocks."""
    transform = compile_columns(plan)
    waiting: pa.RecordBatch | None = None
    for batch in good_rows(reader, plan):
        rows = batch if waiting is None else pa.concat_batches([waiting, batch])
        starts = _starts(transform.transform(rows).batch, rows, plan)
        whole = int(starts[-1]) if len(starts) else 0
        if whole:
            yield _block(rows.slice(0, whole), starts, plan)
        waiting = rows.slice(whole)
    if waiting is not None and len(waiting):
        starts = _starts(transform.transform(waiting).batch, waiting, plan)
        yield _block(waiting, np.append(starts, len(waiting)), plan)


def _block(rows: pa.RecordBatch, starts: NDArray[np.int64], plan: TablePlan) -> DuplicateBlock:
    winners = starts[1:] - 1 if plan.on_duplicate is OnDuplicate.LAST else starts[:-1]
    return DuplicateBlock(rows, winners, np.delete(np.arange(len(rows)), winners))


def _starts(keys: pa.RecordBatch, rows: pa.RecordBatch, plan: TablePlan) -> NDArray[np.int64]:
    """Where each key's rows begin: rows of one key are next to each other."""
    if not len(rows):
        return np.empty(0, np.int64)
    columns = list(keys.columns[: plan.key_length])
    if plan.split_by is not None:
        columns.append(rows.column(rows.schema.get_field_index(plan.split_by)))
    new = np.zeros(len(rows), bool)
    new[0] = True
    for column in columns:
        codes = column.dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False)
        new[1:] |= codes[1:] != codes[:-1]
    return np.flatnonzero(new).astype(np.int64)


def split_values(plan: TablePlan, rows: pa.RecordBatch) -> list[str | None]:
    if plan.split_by is None:
        return [None] * len(rows)
    values: list[str | None] = rows.column(rows.schema.get_field_index(plan.split_by)).cast(pa.utf8()).to_pylist()
    return values


def _held(plan: TablePlan, row: pa.RecordBatch, seen: Counter[str]) -> HeldRow:
    sentence = "shares its row key with another row, which was stored"
    return held_row(plan, row, column=plan.key[0], reason=REASON, sentence=sentence, name="duplicate", seen=seen)


def _refusal(plan: TablePlan, block: DuplicateBlock) -> DuplicateKeys:
    example = row_key(plan, block.rows.slice(int(block.losers[0]), 1))
    return DuplicateKeys(
        f"{plan.qualified}: at least {len(block.losers) + 1:,} rows share a row key with another, such as {example}",
        table=plan.qualified,
        column=plan.key[0],
        state="one row of each such key is stored, the others are not; the load is not complete",
        next_step="add columns to `key`, or choose `on_duplicate: last`, `first` or `quarantine`, "
        "and load again with --replace",
    )
