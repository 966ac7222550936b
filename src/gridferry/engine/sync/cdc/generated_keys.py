"""Changes of a table with a generated key: a change names a value, and what is stored of it is what the source has now.

"One more of this value" must not be applied twice, and a stream that is read again after a stop would do just that. So
each value that a change names is counted at the source. That is no older than the change; what came after it is still
to come in the stream, names the value again, and ends the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from gridferry.engine.rows.keys import Keys
from gridferry.engine.sync.cdc.conflict_lookup import ResolvedConflicts
from gridferry.errors import DataError
from gridferry.griddb import Store
from gridferry.griddb.handle import Handle
from gridferry.model.change import ChangeBatch, Operation
from gridferry.plan.advice import load_again
from gridferry.plan.generated_key import HASH_COLUMN, HASHES_A_READ, ORDINAL_COLUMN
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_names import spelled
from gridferry.transform.compiled import compile_columns
from gridferry.transform.split import distinct_texts

Touched = dict[str, str | None]
"""Hashes that changes name, each with the split value of its rows as text."""


def touched(plan: TablePlan, batch: ChangeBatch) -> Touched:
    """The hashes that the old and the new rows of a batch have. Raises: DataError where changes do not carry them."""
    changed = int((batch.operations != Operation.INSERT).sum())
    found: Touched = {}
    for rows, wanted in ((batch.rows, len(batch.row_changes)), (batch.old, changed)):
        if not wanted:
            continue
        place = rows.schema.get_field_index(HASH_COLUMN)
        if place < 0 or len(rows) < wanted or rows.column(place).null_count:
            raise _unknown(plan)
        values: list[str | None] = [None] * len(rows)
        if plan.split_by is not None:
            values = _texts(rows.column(rows.schema.get_field_index(plan.split_by)))
        found.update(zip(rows.column(place).to_pylist(), values, strict=True))
    return found


def settle(
    plan: TablePlan,
    now: TablePlan,
    hashes: Touched,
    *,
    read: Callable[[TablePlan, Sequence[str]], Iterator[pa.RecordBatch]],
    stored: Callable[[Touched], Keys],
) -> Iterator[ResolvedConflicts]:
    """What is to be put and deleted so that each hash is stored as often as the source has it; some hundred at a time.

    Args: now: the plan for the table as the source has it now; read: its rows of some hashes, with their numbers;
        stored: the keys that the target has of some hashes.
    """
    names = list(hashes)
    transform = compile_columns(now)
    for start in range(0, len(names), HASHES_A_READ):
        part = {name: hashes[name] for name in names[start : start + HASHES_A_READ]}
        batches = list(read(now, list(part)))
        source = pa.concat_batches(batches) if batches else None
        if source is None:
            none = pa.RecordBatch.from_pylist([], schema=transform.schema)
            keys = stored(part)
            split = None if plan.split_by is None else pa.array([], pa.utf8())
            yield ResolvedConflicts(none, split, keys, (), none)
            continue
        converted = transform.transform(source)
        good = source if converted.rows is None else source.take(pa.array(converted.rows))
        there = set(_pairs(converted.batch))
        keys = stored(part)
        gone = [i for i, pair in enumerate(_pairs(keys.keys)) if pair not in there]
        by = None if now.split_by is None else good.column(good.schema.get_field_index(now.split_by))
        yield ResolvedConflicts(converted.batch, by, keys.take(np.array(gone, np.int64)), converted.bad, source)


def stored_keys(store: Store, plan: TablePlan, hashes: Touched, handles: dict[str | None, Handle]) -> Keys:
    """The keys that the containers have of some hashes. Args: handles: by split value; of others there are no rows."""
    schema = plan.container_schema
    asked = [(name, value) for name, value in hashes.items() if value in handles]
    queries = [(handles[value], f"select * where {HASH_COLUMN} = '{name}'") for name, value in asked]
    empty = pa.RecordBatch.from_pylist([], schema=schema.arrow_schema), np.zeros(0, np.int64)
    rows, counts = store.multi_rows(queries, schema) if queries else empty
    values = np.repeat(np.arange(len(asked)), counts)
    keys = pa.RecordBatch.from_arrays(rows.columns[: schema.key_length], schema=schema.key_schema.arrow_schema)
    split = None if plan.split_by is None else pa.array([asked[i][1] for i in values.tolist()], pa.utf8())
    return Keys(keys, split)


def _pairs(rows: pa.RecordBatch) -> list[tuple[str, int]]:
    hashes, numbers = (rows.column(rows.schema.get_field_index(n)) for n in (HASH_COLUMN, ORDINAL_COLUMN))
    return list(zip(hashes.to_pylist(), numbers.to_pylist(), strict=True))


def _texts(by: pa.Array) -> list[str | None]:
    known = distinct_texts(by)
    storage = by.storage if isinstance(by, pa.ExtensionArray) else by
    places = storage.dictionary_encode(null_encoding="encode").indices.to_pylist()
    return [known[place] for place in places]


def _unknown(plan: TablePlan) -> DataError:
    return DataError(
        f"{plan.qualified}: a change in the source does not carry the whole row, of which its row key is made",
        table=plan.qualified,
        column=HASH_COLUMN,
        state="everything committed before that change is stored",
        next_step=f"run ALTER TABLE {plan.qualified} REPLICA IDENTITY FULL in the source, then "
        f"{load_again(spelled(plan.schema, plan.table))}",
    )
