"""Which databases and containers there are: in memory for every statement, in two DuckDB tables for a restart."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from gridferry.embedded.duck import Duck
from gridferry.embedded.key_ranges import KeyRanges
from gridferry.embedded.refusal import Code, Refusal
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

PUBLIC = "public"
SINGLE = 0x10
# Types of indexes.
TREE = 0
SPATIAL = 2
_FIRST_DATABASE_ID = 100
_FORMAT = 1


@dataclass(frozen=True)
class Index:
    """An index as its container lists it; the emulator answers without using any. `type` 0 TREE, 1 HASH, 2 SPATIAL."""

    name: str
    columns: tuple[int, ...]
    type: int


@dataclass(eq=False)
class Container:
    """A container. `id` is unique in its partition, `number` in the whole store; neither is used again."""

    number: int
    database_id: int
    partition: int
    id: int
    name: str
    schema: ContainerSchema
    version: int = 0
    attribute: int = SINGLE
    affinity: str = ""
    indexes: tuple[Index, ...] = ()
    next_row_id: int = 0
    ranges: KeyRanges = field(default_factory=KeyRanges)

    @property
    def definition(self) -> str:
        """What is stored of it as JSON, beside its ids and its name."""
        schema = self.schema
        return json.dumps(
            {
                "kind": int(schema.kind),
                "key_length": schema.key_length,
                "columns": [[c.name, int(c.type), c.array, c.nullable] for c in schema.columns],
                "version": self.version,
                "attribute": self.attribute,
                "affinity": self.affinity,
                "indexes": [[i.name, list(i.columns), i.type] for i in self.indexes],
            }
        )


class Catalog:
    """All databases and containers. Changes are remembered until `save` writes them."""

    def __init__(self) -> None:
        self.databases: dict[str, int] = {PUBLIC: 0}
        self._by_name: dict[tuple[int, int, str], Container] = {}
        self._partitions: dict[int, dict[int, Container]] = {}
        self._next_number = 0
        self._next_ids: dict[int, int] = {}
        self._next_database = _FIRST_DATABASE_ID
        # One object a schema keeps ten thousand equal containers small and quick to compare.
        self._schemas: dict[ContainerSchema, ContainerSchema] = {}
        self._changed: dict[int, Container | None] = {}
        # Views of SQL: (database, name in lower case) -> name and query.
        self._views: dict[tuple[int, str], tuple[str, str]] = {}
        self._counters_changed = False

    # databases

    def add_database(self, name: str) -> int:
        """Make a database, or find the one that has this name. Returns its id."""
        for known, number in self.databases.items():
            if known.lower() == name.lower():
                return number
        self.databases[name] = self._next_database
        self._next_database += 1
        self._counters_changed = True
        return self.databases[name]

    def remove_database(self, name: str) -> list[Container]:
        """Forget a database and its containers, which are returned. Raises: 10081."""
        if name not in self.databases or name == PUBLIC:
            raise Refusal(Code.TXN_DATABASE_NAME_INVALID, f'database "{name}" cannot be dropped')
        number = self.databases.pop(name)
        gone = [c for c in self._by_name.values() if c.database_id == number]
        self._views = {key: view for key, view in self._views.items() if key[0] != number}
        for container in gone:
            self.remove(container)
        self._counters_changed = True
        return gone

    # views

    def view(self, database_id: int, name: str) -> tuple[str, str] | None:
        """The name and the query of the view of that name, whatever the case of its letters."""
        return self._views.get((database_id, name.lower()))

    def views(self, database_id: int) -> list[tuple[str, str]]:
        """The views of a database: name and query."""
        return [view for (number, _), view in self._views.items() if number == database_id]

    def set_view(self, database_id: int, name: str, query: str | None) -> None:
        """Make or replace a view; None removes it."""
        if query is None:
            self._views.pop((database_id, name.lower()), None)
        else:
            self._views[database_id, name.lower()] = (name, query)
        self._counters_changed = True

    # containers

    def find(self, database_id: int, partition: int, name: str) -> Container | None:
        """The container of that name, whatever the case of its letters."""
        return self._by_name.get((database_id, partition, name.lower()))

    def get(self, partition: int, container_id: int) -> Container:
        """The container with that id. Raises: 60157."""
        container = self._partitions.get(partition, {}).get(container_id)
        if container is None:
            raise Refusal(
                Code.DS_CONTAINER_UNEXPECTEDLY_REMOVED, f"no container with id {container_id} in partition {partition}"
            )
        return container

    def add(
        self, *, database_id: int, partition: int, name: str, schema: ContainerSchema, affinity: str, attribute: int
    ) -> Container:
        """Make a container."""
        container_id = self._next_ids.get(partition, 0)
        container = Container(
            number=self._next_number,
            database_id=database_id,
            partition=partition,
            id=container_id,
            name=name,
            schema=self._schemas.setdefault(schema, schema),
            affinity=affinity,
            attribute=attribute,
            indexes=_key_index(schema),
        )
        self._next_ids[partition] = container_id + 1
        self._next_number += 1
        self._counters_changed = True
        self._keep(container)
        self.changed(container)
        return container

    def _keep(self, container: Container) -> None:
        self._by_name[container.database_id, container.partition, container.name.lower()] = container
        self._partitions.setdefault(container.partition, {})[container.id] = container

    def remove(self, container: Container) -> None:
        """Forget a container."""
        del self._by_name[container.database_id, container.partition, container.name.lower()]
        del self._partitions[container.partition][container.id]
        self._changed[container.number] = None

    def changed(self, container: Container) -> None:
        """Remember that the container must be written."""
        self._changed[container.number] = container

    def in_partition(self, database_id: int, partition: int) -> list[Container]:
        """The containers of one database in one partition, oldest first."""
        found = [c for c in self._partitions.get(partition, {}).values() if c.database_id == database_id]
        return sorted(found, key=lambda c: c.id)

    @property
    def containers(self) -> list[Container]:
        """Every container of every database."""
        return list(self._by_name.values())

    # storage

    @property
    def dirty(self) -> bool:
        """Whether there is something to `save`."""
        return bool(self._changed) or self._counters_changed

    def save(self, duck: Duck) -> None:
        """Write what changed; the caller holds a transaction, and calls `saved` when it is over."""
        if self._changed:
            self._save_containers(duck)
        if self._counters_changed:
            counters = {
                "format": _FORMAT,
                "next_number": self._next_number,
                "next_database": self._next_database,
                "next_ids": self._next_ids,
                "databases": self.databases,
                "views": [[number, *view] for (number, _), view in self._views.items()],
            }
            duck.run("DELETE FROM gridferry_counters")
            duck.run("INSERT INTO gridferry_counters VALUES (?)", [json.dumps(counters)])

    def _save_containers(self, duck: Duck) -> None:
        kept = [c for c in self._changed.values() if c is not None]
        rows = pa.table(
            {
                "number": pa.array([c.number for c in kept], pa.int64()),
                "database_id": pa.array([c.database_id for c in kept], pa.int64()),
                "part": pa.array([c.partition for c in kept], pa.int64()),
                "id": pa.array([c.id for c in kept], pa.int64()),
                "name": pa.array([c.name for c in kept], pa.utf8()),
                "definition": pa.array([c.definition for c in kept], pa.utf8()),
            }
        )
        numbers = pa.table({"number": pa.array(list(self._changed), pa.int64())})
        with duck.given({"changed_rows": rows, "changed_numbers": numbers}):
            duck.run("DELETE FROM gridferry_containers WHERE number IN (SELECT number FROM changed_numbers)")
            duck.run("INSERT INTO gridferry_containers SELECT * FROM changed_rows")

    def saved(self) -> None:
        """Forget what `save` has written."""
        self._changed.clear()
        self._counters_changed = False

    def load(self, duck: Duck) -> None:
        """Read everything; makes the tables in a new store. Raises: Refusal for a store of a newer format."""
        duck.run(
            "CREATE TABLE IF NOT EXISTS gridferry_containers"
            " (number BIGINT, database_id BIGINT, part BIGINT, id BIGINT, name VARCHAR, definition VARCHAR)"
        )
        duck.run("CREATE TABLE IF NOT EXISTS gridferry_counters (counters VARCHAR)")
        for row in duck.select("SELECT counters FROM gridferry_counters").to_pylist():
            self._read_counters(json.loads(row["counters"]))
        for row in duck.select("SELECT * FROM gridferry_containers ORDER BY number").to_pylist():
            self._keep(self._container(row))

    def _read_counters(self, counters: dict[str, Any]) -> None:
        if counters["format"] > _FORMAT:
            raise Refusal(Code.CM_NOT_SUPPORTED, f"the store has format {counters['format']}, newer than {_FORMAT}")
        self.databases = dict(counters["databases"])
        self._next_number = counters["next_number"]
        self._next_database = counters["next_database"]
        self._views = {(n, name.lower()): (name, query) for n, name, query in counters.get("views", [])}
        self._next_ids = {int(partition): number for partition, number in counters["next_ids"].items()}

    def _container(self, row: dict[str, Any]) -> Container:
        known = json.loads(row["definition"])
        schema = ContainerSchema(
            kind=ContainerKind(known["kind"]),
            columns=tuple(
                ColumnSpec(name, GridType(kind), array=array, nullable=nullable)
                for name, kind, array, nullable in known["columns"]
            ),
            key_length=known["key_length"],
        )
        return Container(
            number=row["number"],
            database_id=row["database_id"],
            partition=row["part"],
            id=row["id"],
            name=row["name"],
            schema=self._schemas.setdefault(schema, schema),
            version=known["version"],
            attribute=known["attribute"],
            affinity=known["affinity"],
            indexes=tuple(Index(name, tuple(columns), kind) for name, columns, kind in known["indexes"]),
        )


def _key_index(schema: ContainerSchema) -> tuple[Index, ...]:
    """What a new container lists: a COLLECTION has an index without a name on its row key, which can be dropped."""
    if schema.kind is ContainerKind.TIME_SERIES or not schema.key_length:
        return ()
    return (Index(name="", columns=tuple(range(schema.key_length)), type=TREE),)
