"""Statements about containers, indexes and databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gridferry.embedded.catalog import PUBLIC, SINGLE, Container, Index
from gridferry.embedded.checks import check_container_name, check_schema
from gridferry.embedded.database import Database
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import shape_of, sql_type
from gridferry.griddb.schema import ColumnSpec, ContainerSchema, GridType


def put_container(
    db: Database,
    name: str,
    schema: ContainerSchema,
    *,
    database_id: int = 0,
    partition: int,
    modifiable: bool = False,
    affinity: str = "",
    attribute: int = SINGLE,
) -> Container:
    """The container of that name: made, found with the same schema, or altered if `modifiable`.

    The same columns in another order change nothing. Of one that is there it waits for every open transaction, also
    where there is nothing to change.
    Raises: 1008 names and limits, 60015 schema, 60016 another schema and not modifiable, 60026 another kind, 60149
    another type, NOT NULL or row key for a column that is there, 60166 an open transaction.
    """
    check_container_name(name)
    check_schema(schema, affinity)
    with db.lock:
        db.faults.check_put()
        known = db.catalog.find(database_id, partition, name)
        if known is None:
            return db.catalog.add(
                database_id=database_id,
                partition=partition,
                name=name,
                schema=schema,
                affinity=affinity,
                attribute=attribute,
            )
        if known.schema is schema or _same(known.schema, schema):
            db.wait_for(known, None)
            return known
        _check_change(known, schema, modifiable=modifiable)
        db.wait_for(known, None)
        if set(map(_plain, known.schema.columns)) != set(map(_plain, schema.columns)):
            _alter(db, known, schema)
        return known


def _same(known: ContainerSchema, wanted: ContainerSchema) -> bool:
    return (
        known.kind == wanted.kind
        and known.key_length == wanted.key_length
        and [_plain(c) for c in known.columns] == [_plain(c) for c in wanted.columns]
    )


def _plain(column: ColumnSpec) -> ColumnSpec:
    return replace(column, name=column.name.lower())


def _check_change(known: Container, wanted: ContainerSchema, *, modifiable: bool) -> None:
    if known.schema.kind != wanted.kind:
        raise Refusal(Code.DS_DS_CONTAINER_TYPE_INVALID, f"{known.name} is a {known.schema.kind.name}")
    if not modifiable:
        raise Refusal(
            Code.DS_DS_CHANGE_SCHEMA_DISABLE, f"{known.name} has another schema, and changing it is not allowed"
        )
    if [_plain(c) for c in known.schema.key] != [_plain(c) for c in wanted.key]:
        raise Refusal(Code.DS_DS_SCHEMA_CHANGE_INVALID, f"{known.name}: the row key cannot be changed")
    old = {c.name.lower(): _plain(c) for c in known.schema.columns}
    for column in wanted.columns:
        same = old.get(column.name.lower(), _plain(column))
        if same != _plain(column):
            raise Refusal(
                Code.DS_DS_SCHEMA_CHANGE_INVALID,
                f'{known.name}: column "{column.name}" is {same.label}{"" if same.nullable else " NOT NULL"},'
                f" not {column.label}{'' if column.nullable else ' NOT NULL'}",
            )


def _alter(db: Database, container: Container, wanted: ContainerSchema) -> None:
    places = {c.name.lower(): n for n, c in enumerate(container.schema.columns)}
    move_columns(db, container, wanted, [places.get(c.name.lower()) for c in wanted.columns])


def move_columns(db: Database, container: Container, wanted: ContainerSchema, taken: Sequence[int | None]) -> None:
    """Give a container other columns. `taken` says for each which column it was; None makes a new one.

    A new column is NULL, or the type's empty value where it is NOT NULL.
    """
    values = [_empty_sql(c) if place is None else f"c{place}" for c, place in zip(wanted.columns, taken, strict=True)]
    before = (container.schema, container.version, container.indexes)
    try:
        with db.writing():
            db.rows.move(container, target=shape_of(wanted), values=values)
            container.schema = wanted
            container.version += 1
            container.indexes = _kept_indexes(container.indexes, taken)
            db.catalog.changed(container)
    except BaseException:
        container.schema, container.version, container.indexes = before
        raise


def _empty_sql(column: ColumnSpec) -> str:
    if column.nullable:
        return f"NULL::{sql_type(column.type, array=column.array)}"
    if column.array:
        return f"[]::{sql_type(column.type, array=True)}"
    if column.type is GridType.STRING:
        return "''"
    if column.variable:
        return "''::BLOB"
    return f"0::{sql_type(column.type)}"


def _kept_indexes(indexes: tuple[Index, ...], taken: Sequence[int | None]) -> tuple[Index, ...]:
    """The indexes whose columns are all still there."""
    places = {old: new for new, old in enumerate(taken) if old is not None}
    return tuple(
        replace(index, columns=tuple(places[n] for n in index.columns))
        for index in indexes
        if all(n in places for n in index.columns)
    )


def drop_container(db: Database, name: str, *, database_id: int = 0, partition: int) -> None:
    """Drop the container of that name, and its sessions; nothing happens when there is none.

    Raises: 60166 where a transaction on it stays open.
    """
    with db.lock:
        container = db.catalog.find(database_id, partition, name)
        if container is not None:
            db.wait_for(container, None)
            db.catalog.remove(container)
            _forget(db, container)


def _forget(db: Database, container: Container) -> None:
    db.rows.forget(container)
    db.sessions.close_all(container)
    db.released()


def put_database(db: Database, name: str) -> int:
    """Make a database; one that exists is fine, as on the real server. Returns its id. Raises: 1008, 10081."""
    check_container_name(name)
    if name.lower() == PUBLIC:
        raise Refusal(Code.TXN_DATABASE_NAME_INVALID, f"(database name = {name})")
    with db.lock:
        return db.catalog.add_database(name)


def drop_database(db: Database, name: str, *, connected_to: str) -> None:
    """Drop a database and all in it; only from a connection to it. Raises: 10081."""
    if name != connected_to or name == PUBLIC:
        raise Refusal(Code.TXN_DATABASE_NAME_INVALID, f'only a connection to database "{name}" can drop it')
    with db.lock:
        for container in db.catalog.remove_database(name):
            _forget(db, container)
