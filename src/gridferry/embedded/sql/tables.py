"""What names of tables mean: containers, views, and the tables of the catalog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa
from sqlglot import exp

from gridferry.embedded.catalog import Container
from gridferry.embedded.database import PARTITIONS, Database
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import shape_of
from gridferry.embedded.sources import committed
from gridferry.embedded.sql.syntax import parse, syntax_error
from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.griddb.wire.names import container_key, partition_of

_MOST_VIEWS = 16


@dataclass(frozen=True)
class TableColumn:
    """A column and what DuckDB calls it. `type` None: one that SQL does not have."""

    name: str
    type: GridType | None
    nullable: bool
    sql: str


@dataclass(frozen=True)
class Table:
    """A table in FROM: its own name, its FROM item and columns; or, for a view, its query."""

    name: str
    sql: str = ""
    columns: tuple[TableColumn, ...] = ()
    view: exp.Expression | None = None


@dataclass(frozen=True)
class MetaTable:
    """A table of the catalog: columns and rows."""

    columns: tuple[TableColumn, ...]
    rows: pa.Table


MetaTables = Callable[[str], MetaTable | None]


@dataclass(frozen=True)
class Tables:
    """The tables of one database as one statement finds them. `used` are tables that DuckDB has to be given."""

    db: Database
    database: str
    database_id: int
    meta: MetaTables
    used: dict[str, pa.Table]
    depth: int = 0

    def inside_view(self) -> Tables:
        """For the query of a view. Raises: 1008 for views of views of views without end."""
        if self.depth >= _MOST_VIEWS:
            raise Refusal(Code.CM_LIMITS_EXCEEDED, f"more than {_MOST_VIEWS} views in one another")
        return replace(self, depth=self.depth + 1)

    def find(self, node: exp.Table) -> Table:
        """The table that a name means. Raises: 280005, 240007 for a catalog's, 280011 another database."""
        name = name_of(node)
        self.check_database(node)
        if name.startswith("#"):
            return self._meta(name)
        container = self.container(node)
        if container is not None:
            return self._stored(container)
        view = self.view(node)
        if view is None:
            raise Refusal(Code.SQL_DDL_TABLE_NOT_EXISTS, f"Specified table '{name}' is not found")
        return Table(view[0], view=parse(view[1]).tree)

    def check_database(self, node: exp.Table) -> None:
        """Raise 280011 for a name of another database."""
        other = node.args.get("db")
        if other is not None and other.name.lower() != self.database.lower():
            raise Refusal(
                Code.SQL_DDL_INVALID_CONNECTED_DATABASE, f"Specified database '{other.name}' is not connected"
            )

    def container(self, node: exp.Table) -> Container | None:
        """The container of that name: letter by letter where it is quoted."""
        name = name_of(node)
        partition = partition_of(container_key(name, self.database_id), PARTITIONS)
        found = self.db.catalog.find(self.database_id, partition, name)
        if found is not None and node.this.args.get("quoted") and found.name != name:
            return None
        return found

    def view(self, node: exp.Table) -> tuple[str, str] | None:
        """The name and the query of the view."""
        name = name_of(node)
        found = self.db.catalog.view(self.database_id, name)
        return None if found is None or (node.this.args.get("quoted") and found[0] != name) else found

    def _stored(self, container: Container) -> Table:
        shape = shape_of(container.schema)
        self.db.rows.make(shape)
        columns = tuple(
            TableColumn(spec.name, _plain(spec), spec.nullable, name)
            for name, spec in zip(shape.value_names, container.schema.columns, strict=True)
        )
        return Table(container.name, committed(container).sql, columns)

    def _meta(self, name: str) -> Table:
        found = self.meta(name)
        if found is None:
            raise Refusal(Code.SQL_COMPILE_TABLE_NOT_FOUND, f"Table not found (name={name})")
        given = "meta_" + "".join(letter for letter in name.lower() if letter.isalnum() or letter == "_")
        self.used[given] = found.rows
        return Table(name, given, found.columns)


def name_of(node: exp.Table) -> str:
    """A table's name. Raises: 240001 for a catalog before a database."""
    if node.args.get("catalog") or not isinstance(node.this, exp.Identifier):
        raise syntax_error("a table's name is name or database.name")
    return node.name


def _plain(spec: ColumnSpec) -> GridType | None:
    return None if spec.array or spec.type is GridType.GEOMETRY else spec.type
