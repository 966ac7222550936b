"""One manual transaction: a container's changes, laid over the committed rows until they are committed or dropped."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from gridferry.embedded.catalog import Container
from gridferry.embedded.rows import RowStore, last_of_each_key, numbered_rows
from gridferry.embedded.shape import ROW_ID, Shape, shape_of
from gridferry.embedded.sources import Source, committed, overlaid

Key = tuple[object, ...]


class Transaction:
    """Changes to one container that only its own session sees. Callers hold the database's lock."""

    def __init__(self, container: Container, *, deadline: float) -> None:
        self.container = container
        self.deadline = deadline
        self.locked: set[Key] = set()
        self._shape = shape_of(container.schema)
        self._gone: set[int] = set()
        self._rows = pa.schema(
            [("number", pa.int64()), *([(ROW_ID, pa.int64())] if self._shape.row_ids else []), *self._shape.physical]
        ).empty_table()

    @property
    def source(self) -> Source:
        """The container as this transaction sees it."""
        if not self._gone and not self._rows.num_rows:
            return committed(self.container)
        return overlaid(self.container, gone=pa.table({"identity": self._gone_array()}), rows=self._rows)

    def _gone_array(self) -> pa.Array:
        return pa.array(sorted(self._gone), pa.int64())

    def put(self, store: RowStore, batch: pa.RecordBatch) -> None:
        """Lay a batch over the container, row by row key."""
        table = numbered_rows([self.container], [batch])
        shape = self._shape
        if shape.key_length:
            table = last_of_each_key(shape, table)
            keys = pa.RecordBatch.from_arrays(
                [table.column(n).combine_chunks() for n in shape.key_names], names=list(shape.key_names)
            )
            self.locked |= set(stored_keys(shape, table))
            known = store.locate(self.source, keys)
            if shape.row_ids:
                row_ids = table.column(ROW_ID).to_numpy().copy()
                row_ids[known.column("position").to_numpy()] = known.column(ROW_ID).to_numpy()
                table = table.set_column(1, ROW_ID, pa.array(row_ids))
            self._hide(known.column(shape.identity).to_pylist())
        self._rows = pa.concat_tables([self._rows, table]).combine_chunks()

    def replace(self, known: pa.Table, row: pa.Table) -> None:
        """Lay a stored row over the one whose identity it has."""
        self.remove(known)
        self._rows = pa.concat_tables([self._rows, row]).combine_chunks()

    def remove(self, known: pa.Table) -> None:
        """Take stored rows away."""
        self.locked |= set(stored_keys(self._shape, known))
        self._hide(known.column(self._shape.identity).to_pylist())

    def lock(self, known: pa.Table) -> None:
        """Keep stored rows from being changed by others until the end."""
        self.locked |= set(stored_keys(self._shape, known))

    def _hide(self, identities: Iterable[int]) -> None:
        hidden = list(identities)
        self._gone.update(hidden)
        if self._rows.num_rows:
            inside = pc.is_in(self._rows.column(self._shape.identity), pa.array(hidden, pa.int64()))
            self._rows = self._rows.filter(pc.invert(inside)).combine_chunks()

    def write(self, store: RowStore) -> None:
        """Apply everything to the store, inside the caller's DuckDB transaction."""
        store.make(self._shape)
        if self._gone:
            store.remove(self.container, self._gone_array())
        if self._rows.num_rows:
            store.replace(self._shape, self._rows, contested=False)
            store.widen(self.container, self._rows)


def stored_keys(shape: Shape, table: pa.Table) -> list[Key]:
    """What other transactions may not touch: each row's key, or its row id where there is no key."""
    names = shape.key_names or (ROW_ID,)
    return list(zip(*(table.column(n).to_pylist() for n in names), strict=True))
