"""`gridferry_catalog`: which container holds the rows of which table and split value, and of which migration.

One row a container, by its name as GridDB compares names. So a container has one owner: whoever inserts the row first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import pyarrow as pa

from gridferry.checkpoint.documents import make_to_last, open_own, rows_of, tql_text
from gridferry.errors import CheckpointError, RowExists
from gridferry.griddb import ColumnSpec, Container, ContainerKind, ContainerSchema, GridType, PutMode, Store
from gridferry.plan.advice import load_again
from gridferry.plan.names import container_name, name_problem
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_names import spelled

CATALOG_CONTAINER = "gridferry_catalog"
CATALOG_SCHEMA = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec(
            "name", GridType.STRING, nullable=False
        ),  # in small letters: GridDB does not tell them from capitals
        ColumnSpec("container", GridType.STRING, nullable=False),
        ColumnSpec("migration", GridType.STRING, nullable=False),
        ColumnSpec("source_table", GridType.STRING, nullable=False),
        ColumnSpec("split_by", GridType.STRING),
        ColumnSpec("value", GridType.STRING),
        ColumnSpec("created_at", GridType.TIMESTAMP_US),
    ),
    key_length=1,
)
_FIELDS = ("source_table", "container", "value", "split_by", "migration")  # in the order of an entry's
_TRIES = 10


@dataclass(frozen=True)
class CatalogEntry:
    """A container of a table. `value` is the split value as text: None for NULL, or where there is no split.

    `migration` is the key of its migration; "" stands for the one whose catalog it is given to.
    """

    table: str
    container: str
    value: str | None
    split_by: str | None = None
    migration: str = ""


class Catalog:
    """The entries of one migration; `migration` gives its key.

    `claim` is on disk when it returns, so that no rows are ever in a container that is not listed.
    """

    def __init__(self, store: Store, migration: Callable[[], str]) -> None:
        self._store = store
        self._migration = migration
        self._opened: Container | None = None

    def entries(self, table: str | None = None) -> list[CatalogEntry]:
        """The entries of one table of the migration, or of all its tables; by table and container."""
        container = self._existing()
        if container is None:
            return []
        # Column by column, and without the times: there may be very many.
        found: list[CatalogEntry] = []
        for batch in container.query(rows_of(self._migration(), table)).batches():
            found += map(CatalogEntry, *(batch.column(name).to_pylist() for name in _FIELDS))
        return sorted(found, key=lambda e: (e.table, e.container))

    def with_entries(self, tables: Sequence[str]) -> set[str]:
        """Those of some tables of the migration that have entries; asked for at once."""
        container = self._existing()
        if container is None:
            return set()
        migration = self._migration()
        asked = [(container, rows_of(migration, table).replace("*", "count(*)", 1)) for table in tables]
        return {table for table, count in zip(tables, self._store.multi_values(asked), strict=True) if count}

    def owners(self, names: Sequence[str]) -> list[CatalogEntry]:
        """Who has containers of these names, of whatever migration. Names that nobody has are left out."""
        container = self._existing()
        if container is None or not names:
            return []
        rows = container.get(_keys(names))
        return list(map(CatalogEntry, *(rows.column(name).to_pylist() for name in _FIELDS)))

    def of(self, plan: TablePlan) -> list[CatalogEntry]:
        """A table's entries, by container, each the one that the plan's naming gives for its value.

        Rows are put, deleted and altered where the entries say, so no other container may be named in them.
        Raises: CheckpointError for an entry that somebody else wrote or changed.
        """
        found = self.entries(plan.qualified)
        wrong = next((e for e in found if not _is_of(e, plan)), None)
        values = {e.value for e in found}
        if wrong is not None or len(values) < len(found):
            raise CheckpointError(
                f"{CATALOG_CONTAINER} was changed, or the names under containers in the config: "
                + (
                    f"two containers of {plan.qualified} have one value"
                    if wrong is None
                    else f'the container "{wrong.container[:80]}" is listed for {plan.qualified}, whose rows of that '
                    f'value go into "{container_name(plan, wrong.value)[:80]}"'
                ),
                state="nothing was changed",
                next_step="put that name in the config back as it was when the container was made; if it is as it was, "
                f"correct that row of {CATALOG_CONTAINER}, or {load_again(spelled(plan.schema, plan.table))} (but not "
                "the container that the row names)",
            )
        return found

    def told_apart(self, table: str, plans: Sequence[TablePlan | None]) -> tuple[list[str], list[str]]:
        """The names that are listed for a table: those that are proven to be its own, and the others.

        A container is its own if one of the plans gives the name for its value, *and* the entry under that very name is
        this migration's and table's. So neither a plan nor an entry that somebody changed is enough by itself: an entry
        of another name may tell of a container that is somebody else's, and a plan may be told to name it so. Names
        that no container of a table can have, as gridferry's own, are never proven.
        """
        entries = self.entries(table)
        named = [e for e in entries if any(plan is not None and _is_of(e, plan) for plan in plans)]
        owned = {e.container: e for e in self.owners([e.container for e in named if not name_problem(e.container)])}
        ours = {e.container for e in named if owned.get(e.container) == e}
        return sorted(ours), sorted({e.container for e in entries} - ours)

    def made_since(self, table: str, at: str) -> set[str]:
        """The containers of one table that were listed after a time (ISO 8601, UTC, milliseconds)."""
        container = self._existing()
        if container is None:
            return set()
        moment = f"TIMESTAMP({tql_text(at[:23] + 'Z')})"
        tql = f"{rows_of(self._migration(), table)} and created_at > {moment}"
        return {name for batch in container.query(tql).batches() for name in batch.column("container").to_pylist()}

    def claim(self, entries: Sequence[CatalogEntry]) -> list[CatalogEntry]:
        """List containers as the migration's, and bring that to disk.

        Returns: the entries of those that another migration or table has; then none of `entries` was listed. Of two
        that claim one name at the same moment, one gets it and the other finds it here.
        Raises: CheckpointError if others come and go without end.
        """
        if not entries:
            return []
        container = self._container()
        mine = [replace(entry, migration=self._migration()) for entry in entries]
        tables = {entry.container.lower(): (entry.migration, entry.table) for entry in mine}
        inserted: list[CatalogEntry] = []
        for _ in range(_TRIES):
            known = {entry.container.lower(): entry for entry in self.owners([e.container for e in mine])}
            others = [e for name, e in known.items() if (e.migration, e.table) != tables[name]]
            if others:
                self.remove([e for e in inserted if known.get(e.container.lower()) == e])
                return others
            missing = [e for e in mine if e.container.lower() not in known]
            if not missing:
                return []
            inserted += missing
            try:
                container.put(_rows(missing), mode=PutMode.INSERT)
            except RowExists:
                continue
            container.flush()  # a node that crashed before it has lost them: they are looked for once more
        raise CheckpointError(
            f"the entries of {mine[0].container} in {CATALOG_CONTAINER} come and go",
            state="nothing was written to the containers",
            next_step="see which other runs work in this target, then run the same command again",
        )

    def keep_only(self, plan: TablePlan) -> None:
        """Delete the table's entries that are not just those of the plan's containers, and bring that to disk.

        Also one that stands under another name than its container's: each is deleted by its own, which tells whose it
        is, so that no entry of another table or migration can go.
        """
        container = self._existing()
        if container is None:
            return
        wanted = {(c.name.lower(), c.name, c.value, plan.split_by) for c in plan.containers}
        gone: list[str] = []
        for batch in container.query(rows_of(self._migration(), plan.qualified)).batches():
            columns = (batch.column(name).to_pylist() for name in ("name", "container", "value", "split_by"))
            gone += [name for name, *rest in zip(*columns, strict=True) if (name, *rest) not in wanted]
        if gone:
            container.delete(_keys(gone))
            container.flush()

    def remove(self, entries: Sequence[CatalogEntry]) -> None:
        """Delete entries of the migration, and bring that to disk."""
        container = self._existing()
        if entries and container is not None:
            container.delete(_keys([e.container for e in entries]))
            container.flush()

    def _existing(self) -> Container | None:
        if self._opened is None:
            self._opened = open_own(self._store, CATALOG_CONTAINER, CATALOG_SCHEMA)
        return self._opened

    def _container(self) -> Container:
        container = self._existing() or make_to_last(self._store, CATALOG_CONTAINER, CATALOG_SCHEMA)
        self._opened = container
        return container


def _keys(names: Sequence[str]) -> pa.RecordBatch:
    return pa.record_batch([[name.lower() for name in names]], schema=CATALOG_SCHEMA.key_schema.arrow_schema)


def _rows(entries: Sequence[CatalogEntry]) -> pa.RecordBatch:
    columns = [
        [e.container.lower() for e in entries],
        [e.container for e in entries],
        [e.migration for e in entries],
        [e.table for e in entries],
        [e.split_by for e in entries],
        [e.value for e in entries],
        [datetime.now(timezone.utc)] * len(entries),
    ]
    return pa.record_batch(columns, schema=CATALOG_SCHEMA.arrow_schema)


def _is_of(entry: CatalogEntry, plan: TablePlan) -> bool:
    if plan.split_by is None and entry.value is not None:
        return False
    return entry.container == container_name(plan, entry.value) and entry.split_by == plan.split_by
