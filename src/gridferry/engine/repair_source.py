"""What the source has now for the keys of changes, in the form that the plan stores: one row a key, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.engine.duplicates import duplicate_blocks, split_values
from gridferry.engine.key_events import Keys
from gridferry.engine.keyed_rows import Standing, joined, keys_of, matched
from gridferry.engine.load_work import SnapshotView
from gridferry.engine.retry import is_transient
from gridferry.errors import SourceError
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.model.repair import RowChange
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.source.postgres.key_conditions import KeyForm
from gridferry.transform.compiled import compile_columns

_KEYS_A_READ = 200
_MOST_KEYS = 5000


@dataclass(frozen=True)
class SourceRows:
    """What stands in the source; `doubled` (n,): several rows share the key, and no option says which one counts."""

    standing: Standing
    doubled: NDArray[np.bool_]


class SourceLookup:
    """Looks keys up in one snapshot. For one thread."""

    def __init__(self, view: SnapshotView, plan: TablePlan) -> None:
        self._view = view
        self._plan = plan
        self._schema = plan.container_schema
        self._transform = compile_columns(plan)
        self._chunk = Chunk(0, ChunkKind.WHOLE, plan.schema, plan.table, tree=True)

    def fetch(self, changes: Sequence[RowChange]) -> SourceRows:
        """What the source has for the keys of `changes`. A row that cannot be stored counts as none.

        Raises: SourceError; SnapshotGone, SourceUnreachable.
        """
        rows, values = self._read(changes)
        wanted = keys_of(changes, self._schema)
        places, counts = matched(wanted, self._keys(rows, values))
        shared = counts > 1
        if shared.any() and self._plan.on_duplicate is not OnDuplicate.ERROR:
            rows, values = self._with_winners(changes, rows, values)
            places, _ = matched(wanted, self._keys(rows, values))
            shared = np.zeros(len(places), bool)
        return SourceRows(Standing(rows, places), shared)

    def _keys(self, rows: pa.RecordBatch, values: list[str | None]) -> Keys:
        return Keys(rows.select([c.name for c in self._schema.key]), pa.array(values, pa.utf8()))

    def _read(self, changes: Sequence[RowChange]) -> tuple[pa.RecordBatch, list[str | None]]:
        try:
            return self._read_by(changes, KeyForm(self._plan))
        except SourceError as error:
            if is_transient(error):
                raise
            # A key of the target that is no value of the column's type: it is compared as text.
            return self._read_by(changes, KeyForm(self._plan, indexed=False))

    def _read_by(self, changes: Sequence[RowChange], form: KeyForm) -> tuple[pa.RecordBatch, list[str | None]]:
        rows: list[pa.RecordBatch] = []
        values: list[str | None] = []
        with self._view.open_reader() as reader:
            for condition in self._conditions(changes, form):
                for batch in reader.read_chunk(self._chunk, self._narrowed(condition)):
                    good, of = self._stored(batch)
                    rows.append(good)
                    values += of
        return joined(rows, self._schema), values

    def _with_winners(
        self, changes: Sequence[RowChange], rows: pa.RecordBatch, values: list[str | None]
    ) -> tuple[pa.RecordBatch, list[str | None]]:
        """The rows that stay of keys that several share, before all others: the first match counts."""
        winners: list[pa.RecordBatch] = []
        found: list[str | None] = []
        with self._view.open_reader() as reader:
            for condition in self._conditions(changes, KeyForm(self._plan)):
                for block in duplicate_blocks(reader, self._narrowed(condition)):
                    good, of = self._stored(block.rows.take(pa.array(block.winners)))
                    winners.append(good)
                    found += of
        return joined([*winners, rows], self._schema), found + values

    def _stored(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[str | None]]:
        converted = self._transform.transform(batch)
        good = batch if converted.rows is None else batch.take(pa.array(converted.rows))
        return converted.batch, split_values(self._plan, good)

    def _narrowed(self, condition: str) -> TablePlan:
        where = f"(\n{self._plan.where}\n) AND {condition}" if self._plan.where.strip() else condition
        return replace(self._plan, where=where)

    def _conditions(self, changes: Sequence[RowChange], form: KeyForm) -> Iterator[str]:
        """Conditions that together hold for all keys; small ones are joined."""
        waiting: list[str] = []
        keys = 0
        for change in changes:
            for start in range(0, len(change), _MOST_KEYS):
                part = change.slice(start, _MOST_KEYS)
                waiting.append(form.condition(part.value, keys_of([part], self._schema).keys))
                keys += len(part)
                if keys >= _KEYS_A_READ:
                    yield f"({' OR '.join(waiting)})"
                    waiting, keys = [], 0
        if waiting:
            yield f"({' OR '.join(waiting)})"
