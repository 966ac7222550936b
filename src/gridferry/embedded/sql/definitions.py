"""Tables, indexes, views and databases made, changed and dropped by SQL. Behaviour as seen on GridDB CE 5.9.0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlglot import exp

from gridferry.embedded.catalog import Container, Index
from gridferry.embedded.checks import check_schema
from gridferry.embedded.containers import drop_container, drop_database, move_columns, put_container, put_database
from gridferry.embedded.database import PARTITIONS
from gridferry.embedded.indexes import DEFAULT, create_index, drop_index
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sql import definition_syntax as syntax
from gridferry.embedded.sql.compiling import Compiling
from gridferry.embedded.sql.syntax import parse, unsupported
from gridferry.embedded.sql.tables import Tables, name_of
from gridferry.errors import LocalProtocolError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema
from gridferry.griddb.wire.names import container_key, partition_of


def define(compiling: Compiling, text: str) -> None:
    """Carry out a CREATE, DROP or ALTER. Raises: Refusal."""
    found = syntax.parse_definition(text)
    tables = compiling.tables
    table = getattr(found, "table", None)
    if table is not None:
        tables.check_database(table)
        if name_of(table).startswith("#"):
            raise Refusal(
                Code.SQL_DDL_INVALID_CONTAINER_ATTRIBUTE, f"'{name_of(table)}' is no table that can be changed"
            )
    with tables.db.lock:
        if isinstance(found, syntax.CreateView):
            _create_view(compiling, found)
        else:
            _MAKERS[type(found)](tables, found)


def _create_table(tables: Tables, found: syntax.CreateTable) -> None:
    name = name_of(found.table)
    if found.partitioned:
        raise syntax.refuse_partitions()
    _check_options(found)
    if tables.container(exp.Table(this=exp.Identifier(this=name, quoted=False))) is not None:
        if found.if_missing:
            return
        raise Refusal(Code.SQL_DDL_TABLE_ALREADY_EXISTS, f"Specified table '{name}' already exists")
    if tables.db.catalog.view(tables.database_id, name) is not None:
        raise Refusal(Code.SQL_DDL_TABLE_ALREADY_EXISTS, f"Specified table '{name}' already exists as a view")
    put_container(
        tables.db,
        name,
        _schema(found),
        database_id=tables.database_id,
        partition=partition_of(container_key(name, tables.database_id), PARTITIONS),
        affinity=str(found.options.get("data_affinity", "")),
    )


def _check_options(found: syntax.CreateTable) -> None:
    for option in found.options:
        if option.startswith("expiration_"):
            raise unsupported(f"expiration ({option})")
        if option != "data_affinity":
            raise Refusal(Code.SQL_DDL_INVALID_PARAMETER, f"unknown or unsupported option {option}")


def _schema(found: syntax.CreateTable) -> ContainerSchema:
    inline = [c.name for c in found.columns if c.key]
    if len(inline) > 1 or (inline and found.key):
        raise Refusal(Code.SQL_DDL_INVALID_PRIMARY_KEY, "Primary key is given twice")
    key = [name.lower() for name in (found.key or inline)]
    leading = [c.name.lower() for c in found.columns[: len(key)]]
    if key != leading:
        raise Refusal(Code.SQL_DDL_INVALID_PRIMARY_KEY, "Primary key must be the first columns of the table, in order")
    columns = []
    for number, column in enumerate(found.columns):
        in_key = number < len(key)
        if in_key and column.nullable:
            raise Refusal(Code.SQL_COMPILE_SYNTAX_ERROR, f"key column {column.name} cannot be NULL")
        columns.append(ColumnSpec(column.name, column.type, nullable=not in_key and column.nullable is not False))
    kind = ContainerKind.TIME_SERIES if found.time_series else ContainerKind.COLLECTION
    try:
        return ContainerSchema(kind, tuple(columns), len(key))
    except LocalProtocolError as error:
        raise Refusal(Code.DS_DS_SCHEMA_INVALID, error.message) from error


def _drop(tables: Tables, found: syntax.Drop) -> None:
    name = name_of(found.table)
    container, view = tables.container(found.table), tables.view(found.table)
    if found.kind == "VIEW":
        if container is not None:
            raise Refusal(Code.SQL_DDL_INVALID_CONTAINER_ATTRIBUTE, f"'{name}' is a table, not a view")
        if view is None and not found.if_there:
            raise Refusal(Code.SQL_DDL_VIEW_NOT_EXISTS, f"Specified view '{name}' is not found")
        if view is not None:
            tables.db.catalog.set_view(tables.database_id, name, None)
        return
    if view is not None:
        raise Refusal(Code.SQL_DDL_INVALID_CONTAINER_ATTRIBUTE, f"'{name}' is a view, not a table")
    if container is None and not found.if_there:
        raise Refusal(Code.SQL_DDL_TABLE_NOT_EXISTS, f"Specified table '{name}' is not found")
    if container is not None:
        drop_container(tables.db, container.name, database_id=tables.database_id, partition=container.partition)


def _create_view(compiling: Compiling, found: syntax.CreateView) -> None:
    tables, name = compiling.tables, name_of(found.table)
    taken = tables.container(found.table) is not None or tables.view(found.table) is not None
    if taken:
        raise Refusal(Code.SQL_DDL_TABLE_ALREADY_EXISTS, f"Specified view '{name}' already exists")
    parsed = parse(found.query)
    if not isinstance(parsed.tree, exp.Query) or parsed.parameters:
        raise Refusal(Code.SQL_COMPILE_SYNTAX_ERROR, "a view is a SELECT without parameters")
    if not found.force:
        compiling.query(parsed.tree)
    tables.db.catalog.set_view(tables.database_id, name, found.query)


def _table(tables: Tables, table: exp.Table) -> Container:
    container = tables.container(table)
    if container is None and tables.view(table) is not None:
        raise Refusal(Code.SQL_DDL_INVALID_CONTAINER_ATTRIBUTE, f"'{name_of(table)}' is a view, not a table")
    if container is None:
        raise Refusal(Code.SQL_DDL_TABLE_NOT_EXISTS, f"Specified table '{name_of(table)}' is not found")
    return container


def _number(container: Container, name: str, code: Code) -> int:
    for number, column in enumerate(container.schema.columns):
        if column.name.lower() == name.lower():
            return number
    raise Refusal(code, f"Specified column '{name}' is not found in {container.name}")


def _create_index(tables: Tables, found: syntax.CreateIndex) -> None:
    container = _table(tables, found.table)
    if any(index.name.lower() == found.name.lower() for index in container.indexes):
        if found.if_missing:
            return
        raise Refusal(Code.TXN_INDEX_ALREADY_EXISTS, f"Index '{found.name}' already exists")
    columns = tuple(_number(container, name, Code.SQL_DDL_INDEX_NOT_EXISTS) for name in found.columns)
    create_index(tables.db, container, Index(name=found.name, columns=columns, type=DEFAULT))


def _drop_index(tables: Tables, found: syntax.DropIndex) -> None:
    container = _table(tables, found.table)
    known = next((index for index in container.indexes if index.name.lower() == found.name.lower()), None)
    if known is None:
        if found.if_there:
            return
        raise Refusal(Code.TXN_INDEX_NOT_FOUND, f"Index '{found.name}' is not found")
    drop_index(tables.db, container, known, any_name=False, any_type=False)


def _add_column(tables: Tables, found: syntax.AddColumn) -> None:
    container, column = _table(tables, found.table), found.column
    if column.key:
        raise Refusal(Code.SQL_DDL_INVALID_PRIMARY_KEY, "a new column cannot be a key")
    spec = ColumnSpec(column.name, column.type, nullable=column.nullable is not False)
    columns = container.schema.columns
    _change(tables, container, (*columns, spec), (*range(len(columns)), None))


def _rename_column(tables: Tables, found: syntax.RenameColumn) -> None:
    container = _table(tables, found.table)
    number = _number(container, found.old, Code.SQL_DDL_INVALID_COLUMN)
    columns = list(container.schema.columns)
    columns[number] = replace(columns[number], name=found.new)
    _change(tables, container, tuple(columns), range(len(columns)))


def _change(tables: Tables, container: Container, columns: tuple[ColumnSpec, ...], taken: Sequence[int | None]) -> None:
    try:
        schema = ContainerSchema(container.schema.kind, columns, container.schema.key_length)
    except LocalProtocolError as error:
        raise Refusal(Code.DS_DS_SCHEMA_INVALID, error.message) from error
    check_schema(schema, container.affinity)
    tables.db.wait_for(container, None)
    move_columns(tables.db, container, schema, taken)


def _database(tables: Tables, found: syntax.Database) -> None:
    if found.made:
        put_database(tables.db, found.name)
        return
    if found.name not in tables.db.catalog.databases or found.name != tables.database:
        raise Refusal(Code.SQL_DDL_INVALID_CONNECTED_DATABASE, f"Specified database '{found.name}' is not connected")
    drop_database(tables.db, found.name, connected_to=tables.database)


_MAKERS: dict[type[Any], Callable[[Tables, Any], None]] = {
    syntax.CreateTable: _create_table,
    syntax.CreateIndex: _create_index,
    syntax.Drop: _drop,
    syntax.DropIndex: _drop_index,
    syntax.AddColumn: _add_column,
    syntax.RenameColumn: _rename_column,
    syntax.Database: _database,
}
