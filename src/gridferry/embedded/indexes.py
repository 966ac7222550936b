"""Indexes: which ones a container may list. The emulator uses none. Rules as seen on GridDB CE 5.9.0."""

from __future__ import annotations

from dataclasses import replace

from gridferry.embedded.catalog import SPATIAL, TREE, Container, Index
from gridferry.embedded.database import Database
from gridferry.embedded.refusal import Code, Refusal
from gridferry.griddb.schema import ContainerKind, GridType

DEFAULT = 0xFF


def create_index(db: Database, container: Container, index: Index) -> None:
    """List an index; the same one again is fine, also without its name. The DEFAULT type becomes the columns'.

    Raises: 60015 no such column, 60081 the key of a TIME_SERIES, 1007 a type that the columns cannot have, or an index
    that has the name or the columns and is another.
    """
    index = _checked(container, index)
    with db.lock:
        for known in container.indexes:
            alike = (known.columns, known.type) == (index.columns, index.type)
            named_alike = index.name.lower() == known.name.lower()
            if alike and (named_alike or not index.name):
                return
            if alike or (index.name and named_alike):
                raise Refusal(
                    Code.CM_NOT_SUPPORTED,
                    f'index "{index.name}" on columns {index.columns} would contradict the existing index'
                    f' "{known.name}" on columns {known.columns}',
                )
        container.indexes = (*container.indexes, index)
        db.catalog.changed(container)


def _checked(container: Container, index: Index) -> Index:
    columns, chosen = container.schema.columns, index.columns
    if not chosen or not all(0 <= n < len(columns) for n in chosen):
        raise Refusal(Code.DS_DS_SCHEMA_INVALID, f"{container.name} has no columns {chosen} to index")
    series = container.schema.kind is ContainerKind.TIME_SERIES
    if series and 0 in chosen:
        raise Refusal(Code.DS_TIM_CREATEINDEX_ON_ROWKEY, f"no index on the row key of TIME_SERIES {container.name}")
    if len(set(chosen)) < len(chosen):
        raise Refusal(Code.CM_NOT_SUPPORTED, f"an index names a column of {container.name} twice")
    geometry = len(chosen) == 1 and columns[chosen[0]].type is GridType.GEOMETRY and not series
    if index.type == DEFAULT:
        index = replace(index, type=SPATIAL if geometry else TREE)
    for column in (columns[n] for n in chosen):
        plain = not column.array and column.type not in (GridType.BLOB, GridType.GEOMETRY)
        if not (geometry if index.type == SPATIAL else plain and index.type == TREE):
            raise Refusal(
                Code.CM_NOT_SUPPORTED, f'no index of type {index.type} on column "{column.name}" ({column.label})'
            )
    return index


def drop_index(db: Database, container: Container, index: Index, *, any_name: bool, any_type: bool) -> None:
    """Take every matching index off the list; none need match. Without columns it is looked for by its name.

    The DEFAULT type matches any: columns have indexes of one type only.
    """
    any_type = any_type or index.type == DEFAULT
    with db.lock:
        container.indexes = tuple(
            i
            for i in container.indexes
            if (index.columns and i.columns != index.columns)
            or not (any_name or i.name.lower() == index.name.lower())
            or not (any_type or i.type == index.type)
        )
        db.catalog.changed(container)
