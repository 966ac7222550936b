"""What the source has now for the keys of changes, in the form that the plan stores: one row a key, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.engine.load.copying import SnapshotView
from gridferry.engine.rows.duplicates import duplicate_blocks, split_values
from gridferry.engine.rows.keyed_rows import KeyedRows, joined, keys_of, matched
from gridferry.engine.rows.keys import Keys
from gridferry.model.repair import RowChange
from gridferry.model.table import Table
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.source.postgres.rows.key_rows import KeyLookup, KeyRows, key_condition
from gridferry.transform.compiled import compile_columns


class FetchesKeys(SnapshotView, Protocol):
    """A held snapshot in which rows can be looked up by key."""

    def fetch_keys(
        self, plan: TablePlan, keys: pa.RecordBatch, values: Sequence[str | None], *, lookup: KeyLookup
    ) -> KeyRows:
        """See `key_rows.fetch_keys`."""


@dataclass(frozen=True)
class LookedUpRows:
    """What is in the source; `doubled` (n,): several rows share the key, and no option says which one counts."""

    standing: KeyedRows
    doubled: NDArray[np.bool_]


class SourceLookup:
    """Looks keys up in one snapshot. For one thread."""

    def __init__(self, view: FetchesKeys, plan: TablePlan, table: Table) -> None:
        self._view = view
        self._plan = plan
        self._schema = plan.container_schema
        self._transform = compile_columns(plan)
        self._lookup = replace(KeyLookup.of(table), versions=False)

    def fetch(self, changes: Sequence[RowChange]) -> LookedUpRows:
        """What the source has for the keys of `changes`. A row that cannot be stored counts as none.

        Raises: SourceError; SnapshotGone, SourceUnreachable.
        """
        wanted = keys_of(changes, self._schema)
        of = [value for change in changes for value in [change.value] * len(change)]
        found = self._view.fetch_keys(self._plan, wanted.keys, of, lookup=self._lookup)
        rows, values = self._stored([batch for batch, _ in found.batches])
        places, counts = matched(wanted, self._keys(rows, values))
        shared = counts > 1
        if shared.any() and self._plan.on_duplicate is not OnDuplicate.ERROR:
            condition = key_condition(self._plan, wanted.keys, of, lookup=found.lookup)
            winners, whose = self._stored(self._winners(condition))
            # Before all others: the first match counts.
            rows, values = joined([winners, rows], self._schema), whose + values
            places, _ = matched(wanted, self._keys(rows, values))
            shared = np.zeros(len(places), bool)
        return LookedUpRows(KeyedRows(rows, places), shared)

    def _keys(self, rows: pa.RecordBatch, values: list[str | None]) -> Keys:
        return Keys(rows.select([c.name for c in self._schema.key]), pa.array(values, pa.utf8()))

    def _winners(self, condition: str) -> Iterator[pa.RecordBatch]:
        """The rows that stay of keys that several share."""
        with self._view.open_reader() as reader:
            for block in duplicate_blocks(reader, self._plan.narrowed(condition)):
                yield block.rows.take(pa.array(block.winners))

    def _stored(self, batches: Iterable[pa.RecordBatch]) -> tuple[pa.RecordBatch, list[str | None]]:
        rows: list[pa.RecordBatch] = []
        values: list[str | None] = []
        for batch in batches:
            converted = self._transform.transform(batch)
            rows.append(converted.batch)
            values += split_values(
                self._plan, batch if converted.rows is None else batch.take(pa.array(converted.rows))
            )
        return joined(rows, self._schema), values
