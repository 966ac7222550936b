"""The tables of the catalog: "#tables", "#columns" and the others. Columns as GridDB CE 5.9.0 has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gridferry.embedded.catalog import SINGLE, Container
from gridferry.embedded.database import Database
from gridferry.embedded.shape import TIMESTAMPS
from gridferry.embedded.sql.syntax import unsupported
from gridferry.embedded.sql.tables import MetaTable, TableColumn
from gridferry.embedded.sql.values import DIGITS
from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.griddb.schema import ColumnSpec, ContainerKind, GridType

_S, _I, _L, _H, _B, _D, _T = (
    GridType.STRING,
    GridType.INTEGER,
    GridType.LONG,
    GridType.SHORT,
    GridType.BOOL,
    GridType.DOUBLE,
    GridType.TIMESTAMP_MS,
)
_LETTERS = {"s": _S, "i": _I, "l": _L, "h": _H, "b": _B, "d": _D, "t": _T}
_INDEX_TYPES = ("TREE", "HASH", "SPATIAL")


@dataclass(frozen=True)
class Place:
    """Which database of which server is asked."""

    db: Database
    database: str
    database_id: int

    @property
    def containers(self) -> list[Container]:
        """The containers that SQL sees as tables, by name."""
        found = [c for c in self.db.catalog.containers if c.database_id == self.database_id and c.attribute == SINGLE]
        return sorted(found, key=lambda c: c.name)


# Name -> `COLUMN:letter of its type`, with ! for NOT NULL, and what gives its rows.
MetaTables = dict[str, tuple[str, Callable[[Place], Iterator[Sequence[Any]]]]]


def meta_table(place: Place, name: str, known_tables: MetaTables) -> MetaTable | None:
    """A table of the catalog; None where there is none of that name. Names have no case."""
    known = known_tables.get(name.upper().lstrip("#")) if name.startswith("#") else None
    if known is None and name.upper() in _LEFT_OUT:
        raise unsupported(f"table {name}")
    if known is None:
        return None
    specs, rows = known
    columns = tuple(
        TableColumn(title, _LETTERS[letter[0]], not letter.endswith("!"), f"m{number}")
        for number, (title, letter) in enumerate(each.split(":") for each in specs.split())
    )
    listed = [dict(zip((c.sql for c in columns), row, strict=True)) for row in rows(place)]
    schema = pa.schema(
        [(c.sql, pa.int64() if c.type in TIMESTAMPS or c.type is None else ARROW_TYPES[c.type]) for c in columns]
    )
    return MetaTable(columns, pa.Table.from_pylist(listed, schema=schema))


def _tables(place: Place) -> Iterator[Sequence[Any]]:
    for container in place.containers:
        kind = "TIMESERIES" if container.schema.kind is ContainerKind.TIME_SERIES else "COLLECTION"
        yield (
            place.database, container.name, kind, container.affinity or None, *[None] * 16,
            container.partition, *[None] * 3,
        )  # fmt: skip


def _columns(place: Place) -> Iterator[Sequence[Any]]:
    for container in place.containers:
        for number, column in enumerate(container.schema.columns, start=1):
            digits = DIGITS.get(column.type)
            yield (
                place.database, container.name, number, column.name, type_name(column), column.nullable,
                None, None, None, None, None if column.array else digits, octets_of(column),
            )  # fmt: skip


def octets_of(column: ColumnSpec) -> int:
    """The longest text of a value, as the real server says it."""
    return 27 + DIGITS[column.type] if column.type in TIMESTAMPS and not column.array else 2_000_000_000


def type_name(column: ColumnSpec) -> str:
    name = "TIMESTAMP" if column.type in TIMESTAMPS else column.type.name
    return name + ("_ARRAY" if column.array else "")


def _primary_keys(place: Place) -> Iterator[Sequence[Any]]:
    for container in place.containers:
        for number, column in enumerate(container.schema.key, start=1):
            yield place.database, container.name, column.name, number


def _index_info(place: Place) -> Iterator[Sequence[Any]]:
    for container in place.containers:
        for index in container.indexes:
            for number, column in enumerate(index.columns, start=1):
                name = container.schema.columns[column].name
                kind = _INDEX_TYPES[index.type]
                yield place.database, container.name, index.name or None, kind, number, name


def _views(place: Place) -> Iterator[Sequence[Any]]:
    for name, query in sorted(place.db.catalog.views(place.database_id)):
        yield place.database, name, f" {query.lstrip()}\n;"


def _databases(place: Place) -> Iterator[Sequence[Any]]:
    for name, number in place.db.catalog.databases.items():
        yield number, name


def _none(_: Place) -> Iterator[Sequence[Any]]:
    return iter(())


# What a real server tells of what runs on it.
_LEFT_OUT = frozenset({"#SQLS", "#EVENTS", "#SOCKETS", "#DATABASE_STATS", "#DATABASE_USERS", "#TABLE_STATS"})
_PARTITIONED = (
    "DATA_AFFINITY:s EXPIRATION_TIME:i EXPIRATION_TIME_UNIT:s EXPIRATION_DIVISION_COUNT:i COMPRESSION_METHOD:s"
    " COMPRESSION_WINDOW_SIZE:i COMPRESSION_WINDOW_SIZE_UNIT:s PARTITION_TYPE:s PARTITION_COLUMN:s"
    " PARTITION_INTERVAL_VALUE:s PARTITION_INTERVAL_UNIT:s PARTITION_DIVISION_COUNT:i SUBPARTITION_TYPE:s"
    " SUBPARTITION_COLUMN:s SUBPARTITION_INTERVAL_VALUE:s SUBPARTITION_INTERVAL_UNIT:s SUBPARTITION_DIVISION_COUNT:i"
    " CLUSTER_PARTITION_INDEX:i! EXPIRATION_TYPE:s PARTITION_INTERVAL_WORKER_GROUP:i"
    " PARTITION_INTERVAL_WORKER_GROUP_POSITION:i"
)
_PARTS = (
    "PARTITION_SEQ:l! PARTITION_NAME:s! PARTITION_BOUNDARY_VALUE:s SUBPARTITION_BOUNDARY_VALUE:s"
    " PARTITION_NODE_AFFINITY:l! CLUSTER_PARTITION_INDEX:i! CLUSTER_NODE_ADDRESS:s! PARTITION_EXPIRED_CHECK_TIME:s"
    " PARTITION_EXPIRED_ERASABLE_TIME:s PARTITION_STATUS:s! WORKER_INDEX:i!"
)
TABLES: MetaTables = {
    "TABLES": (f"DATABASE_NAME:s! TABLE_NAME:s! TABLE_OPTIONAL_TYPE:s! {_PARTITIONED}", _tables),
    "CONTAINERS": (f"DATABASE_NAME:s! CONTAINER_NAME:s! CONTAINER_OPTIONAL_TYPE:s! {_PARTITIONED}", _tables),
    "COLUMNS": (
        (
            "DATABASE_NAME:s! TABLE_NAME:s! ORDINAL_POSITION:i! COLUMN_NAME:s! TYPE_NAME:s! NULLABLE:b!"
            " COMPRESSION_RELATIVE:b COMPRESSION_RATE:d COMPRESSION_SPAN:d COMPRESSION_WIDTH:d DECIMAL_DIGITS:i"
            " CHAR_OCTET_LENGTH:i!"
        ),
        _columns,
    ),
    "PRIMARY_KEYS": ("DATABASE_NAME:s! TABLE_NAME:s! COLUMN_NAME:s! KEY_SEQ:h!", _primary_keys),
    "INDEX_INFO": (
        "DATABASE_NAME:s! TABLE_NAME:s! INDEX_NAME:s INDEX_TYPE:s! ORDINAL_POSITION:h! COLUMN_NAME:s!",
        _index_info,
    ),
    # Nothing is partitioned here.
    "TABLE_PARTITIONS": (f"DATABASE_NAME:s! TABLE_NAME:s! {_PARTS}", _none),
    "CONTAINER_PARTITIONS": (f"DATABASE_NAME:s! CONTAINER_NAME:s! {_PARTS}", _none),
    "VIEWS": ("DATABASE_NAME:s! VIEW_NAME:s! VIEW_DEFINITION:s!", _views),
    "DATABASES": ("DATABASE_ID:l! DATABASE_NAME:s!", _databases),
    "EVENT_TRIGGERS": (
        (
            "DATABASE_NAME:s! TABLE_NAME:s! ORDINAL_POSITION:h! TRIGGER_NAME:s! EVENT_TYPE:s COLUMN_NAME:s"
            " TRIGGER_TYPE:s URI:s JMS_DESTINATION_TYPE:s JMS_DESTINATION_NAME:s USER:s PASSWORD:s"
        ),
        _none,
    ),
}
