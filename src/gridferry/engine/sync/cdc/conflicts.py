"""Where nothing proves row keys unique: which keys of a batch the stream alone does not decide.

A change is about one row; the target knows its row by the row key alone. Two rows that share a key, or whose times
share a millisecond, could be taken for each other: the delete of one would take the other away. So each key's changes
are held against what is stored: the first must begin with the stored row, and each later one with what the one before
left. Changes that come once more end with the stored row instead. Every other key is conflicting, and settled by asking
the source (`resolve_conflicts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.engine.rows.keys import NOWHERE, Keys, Positions, key_codes
from gridferry.engine.sync.cdc.key_events import KeyEvents
from gridferry.model.change import ChangeBatch, Operation
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.transform.compiled import CompiledTransform, compile_columns

_NO_ROW = -1


@dataclass(frozen=True)
class ConflictingKeys:
    """Keys that the stream does not decide, each once; `rows` hold one source row each that has the key."""

    keys: Keys
    rows: tuple[pa.RecordBatch, ...]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Conflicts:
    """What `find_conflicts` found. `events` (n,): whether the key of each event is conflicting."""

    events: NDArray[np.bool_]
    conflicting: ConflictingKeys


def first_events(events: KeyEvents) -> Positions:
    """One event of each key: its first."""
    return events.sorted[events.starts]


def find_conflicts(
    plan: TablePlan, batch: ChangeBatch, events: KeyEvents, *, stored: pa.RecordBatch, at: Positions
) -> Conflicts:
    """Which keys conflict. `stored` are rows of the target; key i of `first_events` has row `at[i]`, or none (-1).

    With any policy but `error` a stored row may hide others of its key: only an insert of a new key is clear then.
    """
    before, after, standing = _rows_of_events(plan, batch, events, stored)
    state = np.where(at >= 0, standing[np.maximum(at, 0)] if len(standing) else _NO_ROW, _NO_ROW)
    first, last = events.sorted[events.starts], events.last
    links = np.zeros(len(events.sorted), np.int64)
    links[1:] = before[events.sorted[1:]] != after[events.sorted[:-1]]
    links[events.starts] = 0
    broken = np.add.reduceat(links, events.starts) > 0 if len(links) else np.zeros(0, bool)
    clear = ~broken & ((before[first] == state) | (after[last] == state))
    if plan.on_duplicate is not OnDuplicate.ERROR:
        inserted = (first == last) & (before[first] == _NO_ROW) & (events.row[first] >= 0)
        clear &= inserted & ((state == _NO_ROW) | (after[last] == state))
    conflicting = ~clear
    by_event = np.zeros(len(events.sorted), bool)
    by_event[events.sorted] = np.repeat(conflicting, np.diff(np.append(events.starts, len(events.sorted))))
    chosen = last[conflicting]
    rows = tuple(
        batch.rows.slice(events.row[e], 1) if events.row[e] >= 0 else batch.old.slice(events.old[e], 1)
        for e in chosen.tolist()
    )
    return Conflicts(by_event, ConflictingKeys(events.keys.take(chosen), rows))


def _rows_of_events(
    plan: TablePlan, batch: ChangeBatch, events: KeyEvents, stored: pa.RecordBatch
) -> tuple[Positions, Positions, Positions]:
    """Numbers for rows, equal for rows that are the same as far as changes show: what was stored under each event's key
    before it, what does after it, and the stored rows. -1 is no row.
    """
    places = _identity(plan, batch)
    new, old = _filled(batch), batch.old
    codes = _codes(plan, places, [new, old] if len(old) else [new], stored)
    of_new, of_old, of_stored = codes[0], codes[1] if len(old) else np.empty(0, np.int64), codes[-1]
    before = np.full(len(events.row), _NO_ROW, np.int64)
    after = before.copy()
    puts = np.flatnonzero(events.row >= 0)
    put = events.row[puts]
    after[puts] = of_new[put]
    # An update that sends no old row kept its identity; one that does has an event of its own for the old key.
    changes = batch.row_changes[put]
    kept = (batch.operations[changes] == Operation.UPDATE) & ~np.isin(changes, batch.old_changes)
    before[puts[kept]] = of_new[put[kept]]
    gone = np.flatnonzero(events.old >= 0)
    before[gone] = of_old[events.old[gone]]
    return before, after, of_stored


def _identity(plan: TablePlan, batch: ChangeBatch) -> list[int]:
    """The plan's columns by which a row is known from others: those of the replica identity, else all that are sent."""
    names = set(batch.relation.key) or set(batch.rows.schema.names)
    sent = set(batch.rows.schema.names)
    return [i for i, column in enumerate(plan.columns) if column.source in names & sent and not column.gone]


def _filled(batch: ChangeBatch) -> pa.RecordBatch:
    """The new rows, with values that were not sent taken from the old row of the same change, where it has them."""
    columns = dict(zip(batch.rows.schema.names, batch.rows.columns, strict=True))
    for name, mask in batch.unchanged.items():
        if name not in batch.old.schema.names or not mask.any():
            continue
        at = np.searchsorted(batch.old_changes, batch.row_changes)
        there = mask & (at < len(batch.old_changes))
        there[there] = batch.old_changes[at[there]] == batch.row_changes[there]
        take = np.where(there, len(batch.rows) + at, np.arange(len(batch.rows)))
        both = pa.concat_arrays([columns[name], batch.old.column(batch.old.schema.get_field_index(name))])
        columns[name] = both.take(pa.array(take))
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _codes(
    plan: TablePlan, places: Sequence[int], batches: Sequence[pa.RecordBatch], stored: pa.RecordBatch
) -> list[Positions]:
    """Numbers for the rows of source batches, then for stored rows. A row that cannot be stored is like no other."""
    steps = tuple(compile_columns(plan).steps[i] for i in places)
    schema = pa.schema([plan.container_schema.arrow_schema.field(i).with_nullable(True) for i in places])
    transform = CompiledTransform(plan.qualified, schema, steps)
    converted = [transform.transform(batch) for batch in batches]
    own = pa.RecordBatch.from_arrays([stored.column(i) for i in places], schema=schema)
    parts = [*(c.batch for c in converted), own]
    arrays = [pa.concat_arrays([part.column(i) for part in parts]) for i in range(len(places))]
    found = key_codes(Keys(pa.RecordBatch.from_arrays(arrays, names=[str(i) for i in places]), None))
    codes, start, unlike = [], 0, NOWHERE - 1
    for batch, each in zip(batches, converted, strict=True):
        whole = np.arange(unlike, unlike - len(batch), -1, dtype=np.int64)
        unlike -= len(batch)
        whole[np.arange(len(batch)) if each.rows is None else each.rows] = found[start : start + len(each.batch)]
        codes.append(whole)
        start += len(each.batch)
    return [*codes, found[start:]]
