"""`gridferry_catalog`: which container holds the rows of which table and split value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import pyarrow as pa

from gridferry.checkpoint.documents import make_to_last, put_to_disk, tql_text
from gridferry.griddb import ColumnSpec, Container, ContainerKind, ContainerSchema, GridType, Store

CATALOG_CONTAINER = "gridferry_catalog"
CATALOG_SCHEMA = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("source_table", GridType.STRING, nullable=False),
        ColumnSpec("container", GridType.STRING, nullable=False),
        ColumnSpec("split_by", GridType.STRING),
        ColumnSpec("value", GridType.STRING),
        ColumnSpec("created_at", GridType.TIMESTAMP_US),
    ),
    key_length=2,
)
_FIELDS = ("source_table", "container", "value", "split_by")  # in the order of an entry's


@dataclass(frozen=True)
class CatalogEntry:
    """A container of a table. `value` is the split value as text: None for NULL, or where there is no split."""

    table: str
    container: str
    value: str | None
    split_by: str | None = None


class Catalog:
    """The entries. `add` is on disk when it returns, so that no rows ever stand in a container that is not listed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._opened: Container | None = None

    def entries(self, table: str | None = None) -> list[CatalogEntry]:
        """The entries of one table, or of all; by table and container."""
        container = self._opened or self._store.open_container(CATALOG_CONTAINER)
        if container is None:
            return []
        self._opened = container
        tql = "select *" if table is None else f"select * where source_table = {tql_text(table)}"
        # Column by column, and without the times: there may be very many.
        found: list[CatalogEntry] = []
        for batch in container.query(tql).batches():
            found += map(CatalogEntry, *(batch.column(name).to_pylist() for name in _FIELDS))
        return sorted(found, key=lambda e: (e.table, e.container))

    def made_since(self, table: str, at: str) -> set[str]:
        """The containers of one table that were listed after a time (ISO 8601, UTC, milliseconds)."""
        container = self._opened or self._store.open_container(CATALOG_CONTAINER)
        if container is None:
            return set()
        moment = f"TIMESTAMP({tql_text(at[:23] + 'Z')})"
        tql = f"select * where source_table = {tql_text(table)} and created_at > {moment}"
        return {name for batch in container.query(tql).batches() for name in batch.column("container").to_pylist()}

    def add(self, entries: Sequence[CatalogEntry]) -> None:
        """Write entries, and bring them to disk."""
        if not entries:
            return
        container = self._container()
        now = datetime.now(timezone.utc)
        columns = [
            [e.table for e in entries],
            [e.container for e in entries],
            [e.split_by for e in entries],
            [e.value for e in entries],
            [now] * len(entries),
        ]
        put_to_disk(self._store, container, pa.record_batch(columns, schema=CATALOG_SCHEMA.arrow_schema))

    def remove(self, entries: Sequence[CatalogEntry]) -> None:
        """Delete entries, and bring that to disk."""
        if entries:
            keys = [[e.table for e in entries], [e.container for e in entries]]
            container = self._container()
            container.delete(pa.record_batch(keys, schema=CATALOG_SCHEMA.key_schema.arrow_schema))
            container.flush()

    def _container(self) -> Container:
        if self._opened is None:
            self._opened = make_to_last(self._store, CATALOG_CONTAINER, CATALOG_SCHEMA)
        return self._opened
