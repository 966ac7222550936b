"""Container schemas and their properties on the wire. Source: docs/protocol.md, Schema, Containers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.layout import check_fixed_bytes
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.statement import (
    ATTRIBUTE_SINGLE,
    FEATURE_FINE_TIMESTAMPS,
    MAX_COLUMN_NAME_BYTES,
    MAX_COLUMNS,
    MAX_COLUMNS_ANYWHERE,
)

_ARRAY, _NOT_NULL = 1, 4
_UNIT_DAY = 2
_REMEMBERED = 16  # schemas: each is compared with what comes


@dataclass(frozen=True)
class TimeSeriesProperties:
    """Row expiration and compression of a TIME_SERIES, of which 5.9 takes only the defaults: none."""

    expiration_time: int = -1
    expiration_unit: int = _UNIT_DAY
    division_count: int = -1
    window: int = -1
    window_unit: int = _UNIT_DAY
    compression: int = 0


@dataclass(frozen=True)
class IndexSpec:
    """An index. `kind` 0 TREE, 1 HASH, 2 SPATIAL, 0xff the server's choice; `columns` by number."""

    columns: tuple[int, ...]
    name: str = ""
    kind: int = 0xFF


def write_schema(out: Writer, schema: ContainerSchema) -> None:
    """Write the schema image. Raises: LocalProtocolError for more than the server takes."""
    out.raw(_image(schema))


@lru_cache(maxsize=64)
def _image(schema: ContainerSchema) -> bytes:
    """Made once for the many containers that have it."""
    out = Writer()
    if len(schema.columns) > MAX_COLUMNS:
        raise LocalProtocolError(f"{len(schema.columns)} columns: {MAX_COLUMNS} is the limit")
    out.i32(len(schema.columns))
    for column in schema.columns:
        if not 1 <= len(column.name.encode()) <= MAX_COLUMN_NAME_BYTES:
            raise LocalProtocolError(
                f'column name "{column.name[:40]}": 1 to {MAX_COLUMN_NAME_BYTES} bytes can be used'
            )
        out.string(column.name)
        out.u8(column.type)
        out.u8((_ARRAY if column.array else 0) | (0 if column.nullable else _NOT_NULL))
    out.i16(schema.key_length)
    for index in range(schema.key_length):
        out.i16(index)
    return out.getvalue()


class SchemaMemory:
    """Schemas read before, known by their bytes: those of many alike containers cost little, and share one object."""

    def __init__(self) -> None:
        self._seen: list[tuple[ContainerKind, bytes, ContainerSchema]] = []
        self._whole: dict[bytes, tuple[ContainerSchema, str]] = {}

    def read(self, source: Reader, kind: ContainerKind) -> ContainerSchema:
        """As `read_schema`. An image says itself where it ends: what begins with a known one is that one."""
        ahead = source.peek()
        for known_kind, image, schema in self._seen:
            if known_kind is kind and ahead[: len(image)] == image:
                source.raw(len(image))
                return schema
        schema = read_schema(source, kind)
        if len(self._seen) < _REMEMBERED:
            self._seen.append((kind, bytes(ahead[: len(ahead) - source.remaining]), schema))
        return schema

    def read_property(self, source: Reader) -> tuple[ContainerSchema, str]:
        """A schema as a property that takes all of `source`, and its data affinity; a TIME_SERIES' own are read past.

        Raises: RemoteProtocolError if it is malformed.
        """
        image = bytes(source.peek())
        known = self._whole.get(image)
        if known is not None:
            return known
        kind = read_kind(source)
        found = self.read(source, kind), source.string()
        if kind is ContainerKind.TIME_SERIES:
            read_time_series(source)
        if len(self._whole) < _REMEMBERED:
            self._whole[image] = found
        return found


def read_schema(source: Reader, kind: ContainerKind) -> ContainerSchema:
    """Read a schema image. Raises: RemoteProtocolError if it is malformed or breaks the rules for row keys."""
    count = source.count(at_least=6)
    if count > MAX_COLUMNS_ANYWHERE:
        raise RemoteProtocolError(f"{count} columns: no server takes more than {MAX_COLUMNS_ANYWHERE}")
    columns = tuple(_read_column(source) for _ in range(count))
    key_length = source.i16()
    if [source.i16() for _ in range(key_length)] != list(range(key_length)):
        raise RemoteProtocolError("the row key columns are not the first columns, in order")
    try:
        check_fixed_bytes(columns)
        return ContainerSchema(kind, columns, key_length)
    except LocalProtocolError as error:
        raise RemoteProtocolError(error.message) from error


def read_kind(source: Reader) -> ContainerKind:
    """Read a container type. Raises: RemoteProtocolError if it is unknown."""
    number = source.u8()
    if number not in (0, 1):
        raise RemoteProtocolError(f"container type {number} is unknown")
    return ContainerKind(number)


def _read_column(source: Reader) -> ColumnSpec:
    name, number, flags = source.string(), source.u8(), source.u8()
    try:
        kind = GridType(number)
    except ValueError as error:
        raise RemoteProtocolError(f'column "{name}" has the unknown type {number}') from error
    return ColumnSpec(name=name, type=kind, array=bool(flags & _ARRAY), nullable=not flags & _NOT_NULL)


def write_time_series(out: Writer, properties: TimeSeriesProperties | None) -> None:
    """Write a TIME_SERIES' own properties, or that there are none."""
    out.boolean(properties is not None)
    if properties is None:
        return
    out.i32(properties.expiration_time)
    out.u8(properties.expiration_unit)
    out.i32(properties.division_count)
    out.i32(properties.window)
    out.u8(properties.window_unit)
    out.u8(properties.compression)
    out.i32(0)


def read_time_series(source: Reader) -> TimeSeriesProperties | None:
    """Read a TIME_SERIES' own properties. Compression entries, which 5.9 refuses anyhow, are not interpreted."""
    if not source.boolean():
        return None
    properties = TimeSeriesProperties(
        expiration_time=source.i32(),
        expiration_unit=source.u8(),
        division_count=source.i32(),
        window=source.i32(),
        window_unit=source.u8(),
        compression=source.u8(),
    )
    if source.i32() != 0:
        raise RemoteProtocolError("column compression entries are not supported")
    return properties


def write_tail(out: Writer, *, expiration: int = 0) -> None:
    """Write the single-container attribute and empty schema options, as feature version 4.1 and later has them.

    `expiration` is 0 in requests and -1 in answers, as captured.
    """
    out.i32(ATTRIBUTE_SINGLE)
    out.i64(expiration)
    out.i32(-1)


def write_index(out: Writer, index: IndexSpec) -> None:
    """Write an index info, preceded by its size."""

    def body(inner: Writer) -> None:
        inner.string(index.name)
        inner.i32(len(index.columns))
        for column in index.columns:
            inner.i32(column)
        inner.u8(index.kind)

    out.sized(body)


def read_index(source: Reader) -> IndexSpec:
    """Read an index info. Fields behind the ones known here are skipped, as the size allows."""
    inner = Reader(source.raw(source.i32()))
    name = inner.string()
    columns = tuple(inner.i32() for _ in range(inner.count(at_least=4)))
    return IndexSpec(columns=columns, name=name, kind=inner.u8() if inner.remaining else 0xFF)


def needed_feature(schema: ContainerSchema) -> int:
    """The feature version that a request defining this schema must name; 0 if none."""
    fine = any(c.type in (GridType.TIMESTAMP_US, GridType.TIMESTAMP_NS) for c in schema.columns)
    return FEATURE_FINE_TIMESTAMPS if fine else 0


def iterate_indexes(source: Reader) -> Iterator[IndexSpec]:
    """The index infos of an INDEX_DETAIL property."""
    for _ in range(source.count(at_least=4)):
        yield read_index(source)
