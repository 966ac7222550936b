"""What drivers read of a database to tell of it: "#_driver_tables" and others, with the columns that JDBC names.

Only the operation PRAGMA may read them. Source: GridDB CE 5.9.0, as its JDBC driver asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gridferry.embedded.catalog import Container
from gridferry.embedded.shape import TIMESTAMPS
from gridferry.embedded.sql.meta_tables import MetaTables, Place, octets_of, type_name
from gridferry.griddb.schema import ColumnSpec, GridType

# Of java.sql.Types, and how it sorts them.
_JDBC = {
    GridType.BOOL: -7,
    GridType.BYTE: -6,
    GridType.LONG: -5,
    GridType.INTEGER: 4,
    GridType.SHORT: 5,
    GridType.FLOAT: 6,
    GridType.DOUBLE: 8,
    GridType.STRING: 12,
    GridType.TIMESTAMP_MS: 93,
    GridType.TIMESTAMP_US: 93,
    GridType.TIMESTAMP_NS: 93,
    GridType.BLOB: 2004,
}
_OTHER = 1111
_SIZE, _BUFFER, _RADIX, _INDEX_OTHER = 131_072, 2_000_000_000, 10, 3
_DIGITS = {GridType.TIMESTAMP_MS: 3, GridType.TIMESTAMP_US: 6, GridType.TIMESTAMP_NS: 9}


def _jdbc(column: ColumnSpec) -> int:
    return _OTHER if column.array else _JDBC.get(column.type, _OTHER)


def _cluster(_: Place) -> Iterator[Sequence[Any]]:
    yield 5, 9, "-./="


def _table_types(_: Place) -> Iterator[Sequence[Any]]:
    yield ("TABLE",)
    yield ("VIEW",)


def _tables(place: Place) -> Iterator[Sequence[Any]]:
    views = sorted(name for name, _ in place.db.catalog.views(place.database_id))
    for name, kind in [*((c.name, "TABLE") for c in place.containers), *((name, "VIEW") for name in views)]:
        yield None, None, name, kind, *[None] * 6


def _columns(place: Place) -> Iterator[Sequence[Any]]:
    for container in place.containers:
        for number, column in enumerate(container.schema.columns, start=1):
            yield _column(container, number, column)


def _column(container: Container, number: int, column: ColumnSpec) -> Sequence[Any]:
    digits = None if column.array else _DIGITS.get(column.type)
    return (
        None, None, container.name, column.name, _jdbc(column), type_name(column), _SIZE, _BUFFER, digits, _RADIX,
        int(column.nullable), None, None, 0, 0, octets_of(column), number, "YES" if column.nullable else "NO",
        None, None, None, None, "NO", "NO",
    )  # fmt: skip


def _primary_keys(place: Place) -> Iterator[Sequence[Any]]:
    for container in place.containers:
        for number, column in enumerate(container.schema.key, start=1):
            yield None, None, container.name, column.name, number, None


def _index_info(place: Place) -> Iterator[Sequence[Any]]:
    for container in place.containers:
        for index in container.indexes:
            for number, column in enumerate(index.columns, start=1):
                name = container.schema.columns[column].name
                yield (
                    None, None, container.name, True, None, index.name or None, _INDEX_OTHER, number, name,
                    None, 0, 0, None,
                )  # fmt: skip


def _type_info(_: Place) -> Iterator[Sequence[Any]]:
    kinds = [(kind.name, number, 0) for kind, number in _JDBC.items() if kind not in TIMESTAMPS]
    for name, number, precision in [*kinds, ("TIMESTAMP", 93, 9), ("UNKNOWN", _OTHER, 0)]:
        yield (
            name, number, precision, None, None, None, 1, True, 3, False, False, False, None, 0, 0, 0, 0, _RADIX,
        )  # fmt: skip


_NAME = "TABLE_CAT:s TABLE_SCHEM:s TABLE_NAME:s!"
DRIVER_TABLES: MetaTables = {
    "_DRIVER_CLUSTER_INFO": (
        "DATABASE_MAJOR_VERSION:i! DATABASE_MINOR_VERSION:i! EXTRA_NAME_CHARACTERS:s!",
        _cluster,
    ),
    "_DRIVER_TABLE_TYPES": ("TABLE_TYPE:s!", _table_types),
    "_DRIVER_TABLES": (
        (
            f"{_NAME} TABLE_TYPE:s! REMARKS:s TYPE_CAT:s TYPE_SCHEM:s TYPE_NAME:s"
            " SELF_REFERENCING_COL_NAME:s REF_GENERATION:s"
        ),
        _tables,
    ),
    "_DRIVER_COLUMNS": (
        (
            f"{_NAME} COLUMN_NAME:s! DATA_TYPE:i! TYPE_NAME:s! COLUMN_SIZE:i! BUFFER_LENGTH:i! DECIMAL_DIGITS:i"
            " NUM_PREC_RADIX:i! NULLABLE:i! REMARKS:s COLUMN_DEF:s SQL_DATA_TYPE:i! SQL_DATETIME_SUB:i!"
            " CHAR_OCTET_LENGTH:i! ORDINAL_POSITION:i! IS_NULLABLE:s! SCOPE_CATALOG:s SCOPE_SCHEMA:s SCOPE_TABLE:s"
            " SOURCE_DATA_TYPE:h IS_AUTOINCREMENT:s! IS_GENERATEDCOLUMN:s!"
        ),
        _columns,
    ),
    "_DRIVER_PRIMARY_KEYS": (f"{_NAME} COLUMN_NAME:s! KEY_SEQ:h! PK_NAME:s", _primary_keys),
    "_DRIVER_INDEX_INFO": (
        (
            f"{_NAME} NON_UNIQUE:b! INDEX_QUALIFIER:s INDEX_NAME:s TYPE:h! ORDINAL_POSITION:h! COLUMN_NAME:s!"
            " ASC_OR_DESC:s CARDINALITY:l! PAGES:l! FILTER_CONDITION:s"
        ),
        _index_info,
    ),
    "_DRIVER_TYPE_INFO": (
        (
            "TYPE_NAME:s! DATA_TYPE:i! PRECISION:i! LITERAL_PREFIX:s LITERAL_SUFFIX:s CREATE_PARAMS:s NULLABLE:i!"
            " CASE_SENSITIVE:b! SEARCHABLE:h! UNSIGNED_ATTRIBUTE:b! FIXED_PREC_SCALE:b! AUTO_INCREMENT:b!"
            " LOCAL_TYPE_NAME:s MINIMUM_SCALE:h! MAXIMUM_SCALE:h! SQL_DATA_TYPE:i!"
            " SQL_DATETIME_SUB:i! NUM_PREC_RADIX:i!"
        ),
        _type_info,
    ),
}
