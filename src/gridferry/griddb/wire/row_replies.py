"""Answers about rows: query results, single rows, multi-get and multi-query. Source: docs/protocol.md, Queries."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gridferry.errors import DataError, LocalProtocolError, RemoteProtocolError
from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.griddb.schema import ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.decode import decode_rows
from gridferry.griddb.wire.layout import NANOS_IN_UNIT, row_layout
from gridferry.griddb.wire.names import ContainerKey, read_key, write_key
from gridferry.griddb.wire.octets import Buffer, Reader, Writer
from gridferry.griddb.wire.row_requests import write_payload
from gridferry.griddb.wire.schema_image import read_kind, read_schema, write_schema
from gridferry.griddb.wire.statement import NO_LIMIT, ResultKind

_FLOAT = struct.Struct("<f")
# An aggregation's answer in a multi-query: size, parts, kind, size of the part, number of values, type, value.
_LONG_ANSWER = struct.Struct("<qiBiqBq")
_LONG_SIZE = _LONG_ANSWER.size - 8  # behind the size itself
_LONG_PART = 17  # of number of values, type, value
_AGGREGATION = int(ResultKind.AGGREGATION)
_LONG_HEAD = [_LONG_SIZE, 1, _AGGREGATION, _LONG_PART, 1]
_LONGS = frozenset({GridType.LONG, GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US})


@dataclass(frozen=True)
class Aggregate:
    """An aggregation's value: `type` and `value`; None where there is none, as MAX of an empty container.

    Times are integers in their type's unit since 1970.
    """

    type: GridType | None
    value: int | float | bool | None

    @property
    def scalar(self) -> pa.Scalar:
        """The value as an Arrow scalar of the type's Arrow type. Raises: DataError for a time Arrow cannot hold."""
        if self.type is None:
            return pa.scalar(None)
        if self.type is GridType.TIMESTAMP_NS and not -NO_LIMIT <= (self.value or 0) <= NO_LIMIT:
            raise DataError("an aggregation's TIMESTAMP(9) is outside 1970 .. 2262, which Arrow's nanoseconds hold")
        return pa.scalar(self.value, ARROW_TYPES[self.type])


@dataclass(frozen=True)
class RowsPart:
    """Rows of a query response, still in wire form: `count` rows in `image`."""

    count: int
    image: Buffer | Sequence[Buffer]


@dataclass(frozen=True)
class PartialFetch:
    """More pages are ready at the server."""

    total: int
    result_id: int


@dataclass(frozen=True)
class QueryReply:
    """A query's response: rows or one aggregation or an analysis, and the state of a paged result."""

    rows: RowsPart | None = None
    aggregate: Aggregate | None = None
    analysis: RowsPart | None = None
    partial: PartialFetch | None = None

    def write(self, out: Writer) -> None:
        """Write the body."""
        entries: list[tuple[ResultKind, Writer]] = []
        if self.partial is not None:
            state = Writer()
            state.i64(self.partial.total)
            state.i64(self.partial.result_id)
            entries.append((ResultKind.PARTIAL_FETCH, state))
        for kind, part in ((ResultKind.ROW_SET, self.rows), (ResultKind.ANALYSIS, self.analysis)):
            if part is not None:
                body = Writer()
                body.i64(part.count)
                write_payload(body, part.image)
                entries.append((kind, body))
        if self.aggregate is not None:
            body = Writer()
            write_aggregate(body, self.aggregate)
            entries.append((ResultKind.AGGREGATION, body))
        out.i32(len(entries))
        for kind, body in entries:
            out.u8(kind)
            out.i32(body.size)
            write_payload(out, body.parts)

    @classmethod
    def read(cls, source: Reader) -> QueryReply:
        """Read a body."""
        found: dict[str, Any] = {}
        for _ in range(source.count(at_least=5)):
            kind = source.u8()
            body = Reader(source.raw(source.i32()))
            if kind == ResultKind.ROW_SET:
                found["rows"] = RowsPart(body.i64(), body.rest())
            elif kind == ResultKind.AGGREGATION:
                found["aggregate"] = read_aggregate(body)
            elif kind == ResultKind.ANALYSIS:
                found["analysis"] = RowsPart(body.i64(), body.rest())
            elif kind == ResultKind.PARTIAL_FETCH:
                found["partial"] = PartialFetch(body.i64(), body.i64())
            elif kind != ResultKind.PARTIAL_EXECUTION:
                raise RemoteProtocolError(f"part {kind} of a query response is unknown")
        return cls(**found)


def write_aggregate(out: Writer, aggregate: Aggregate) -> None:
    """Write an aggregation: its count, 0 or 1, and the value with its type."""
    out.i64(0 if aggregate.type is None or aggregate.value is None else 1)
    if aggregate.type is not None and aggregate.value is not None:
        write_value(out, aggregate.type, aggregate.value)


def read_aggregate(source: Reader) -> Aggregate:
    """Read an aggregation."""
    if source.i64() == 0:
        return Aggregate(None, None)
    return read_value(source)


def write_value(out: Writer, kind: GridType, value: int | float | bool) -> None:
    """Write a type id and a value of that type."""
    out.u8(kind)
    if kind is GridType.TIMESTAMP_NS:
        units, rest = divmod(int(value), NANOS_IN_UNIT)
        out.i64(units)
        out.u8(rest)
    elif kind is GridType.FLOAT:
        out.raw(_FLOAT.pack(value))
    elif kind is GridType.DOUBLE:
        out.f64(float(value))
    else:
        _INTEGERS[kind][0](out, int(value))


def read_value(source: Reader) -> Aggregate:
    """Read a type id and a value of that type."""
    number = source.u8()
    try:
        kind = GridType(number)
    except ValueError as error:
        raise RemoteProtocolError(f"an aggregation has the unknown type {number}") from error
    if kind is GridType.TIMESTAMP_NS:
        return Aggregate(kind, source.i64() * NANOS_IN_UNIT + source.u8())
    if kind is GridType.FLOAT:
        return Aggregate(kind, _FLOAT.unpack(source.raw(4))[0])
    if kind is GridType.DOUBLE:
        return Aggregate(kind, source.f64())
    if kind not in _INTEGERS:
        raise RemoteProtocolError(f"an aggregation of type {kind.label} cannot be")
    return Aggregate(kind, _INTEGERS[kind][1](source))


_INTEGERS: dict[GridType, Any] = {
    GridType.BOOL: (lambda out, v: out.boolean(bool(v)), Reader.boolean),
    GridType.BYTE: (Writer.i8, Reader.i8),
    GridType.SHORT: (Writer.i16, Reader.i16),
    GridType.INTEGER: (Writer.i32, Reader.i32),
    GridType.LONG: (Writer.i64, Reader.i64),
    GridType.TIMESTAMP_MS: (Writer.i64, Reader.i64),
    GridType.TIMESTAMP_US: (Writer.i64, Reader.i64),
}


def write_found(out: Writer, image: Buffer | Sequence[Buffer] | None) -> None:
    """Write whether a row was found, and its image."""
    out.boolean(image is not None)
    if image is not None:
        write_payload(out, image)


def read_found(source: Reader) -> memoryview | None:
    """Read whether a row was found, and its image."""
    return source.rest() if source.boolean() else None


@dataclass(frozen=True)
class FetchReply:
    """A further page of a result; `closed` after the last one."""

    closed: bool
    base: int
    count: int
    image: Buffer | Sequence[Buffer]

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.boolean(self.closed)
        out.i64(self.base)
        out.i64(self.count)
        write_payload(out, self.image)

    @classmethod
    def read(cls, source: Reader) -> FetchReply:
        """Read a body."""
        return cls(source.boolean(), source.i64(), source.i64(), source.rest())


@dataclass(frozen=True)
class FoundRows:
    """One entry of a multi-get's answer."""

    key: ContainerKey
    schema: int
    count: int
    image: Buffer | Sequence[Buffer]


@dataclass(frozen=True)
class MultiGetReply:
    """A multi-get's answer. A container may have several entries, and one that is missing has none."""

    schemas: tuple[ContainerSchema, ...]
    entries: tuple[FoundRows, ...]

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i32(len(self.schemas))
        for schema in self.schemas:
            out.u8(schema.kind)
            write_schema(out, schema)
        out.i32(len(self.entries))
        for entry in self.entries:
            write_key(out, entry.key)
            out.i32(entry.schema)
            out.i64(entry.count)
            write_payload(out, entry.image)

    @classmethod
    def read(cls, source: Reader) -> MultiGetReply:
        """Read a body. Row images carry no size, so each one's end is found by walking it."""
        schemas = tuple(read_schema(source, read_kind(source)) for _ in range(source.count(at_least=7)))
        entries = []
        for _ in range(source.count(at_least=15)):
            key, number, count = read_key(source), source.i32(), source.i64()
            if not 0 <= number < len(schemas):
                raise RemoteProtocolError("a multi-get answer names a schema that it does not have")
            size = image_size(schemas[number], count, source)
            entries.append(FoundRows(key, number, count, source.raw(size)))
        return cls(schemas, tuple(entries))


def image_size(schema: ContainerSchema, count: int, source: Reader) -> int:
    """Bytes of the row image of `count` rows that begins here; the reader does not move."""
    layout = row_layout(schema, row_ids=schema.kind is ContainerKind.COLLECTION)
    ahead = Reader(source.peek())
    if count < 0:
        raise RemoteProtocolError(f"a row count of {count} cannot be right")
    fixed = np.frombuffer(ahead.raw(count * layout.dtype.itemsize), layout.dtype)
    if layout.variable and count:
        # Rows follow one another without a gap, so only the last one must be walked.
        ahead.raw(int(fixed["offset"][-1]) - int(fixed["offset"][0]))
        if ahead.var_size() != len(layout.variable):
            raise RemoteProtocolError(f"a row does not have {len(layout.variable)} variable columns, as its schema has")
        for _ in layout.variable:
            ahead.var_bytes()
    return source.remaining - ahead.remaining


def rows_of(schema: ContainerSchema, part: RowsPart | FoundRows | FetchReply) -> pa.RecordBatch:
    """The rows of an answer from a container of this schema."""
    image = part.image if isinstance(part.image, (bytes, bytearray, memoryview)) else b"".join(part.image)
    batch, _ = decode_rows(schema, part.count, image, row_ids=schema.kind is ContainerKind.COLLECTION)
    return batch


def write_multi_query(out: Writer, replies: Sequence[QueryReply]) -> None:
    """Write the answers of a multi-query."""
    out.i32(len(replies))
    for reply in replies:
        one = reply.aggregate
        if one is not None and one.type in _LONGS and one.value is not None and _alone(reply):
            out.raw(_LONG_ANSWER.pack(*_LONG_HEAD, one.type, int(one.value)))
            continue
        body = Writer()
        reply.write(body)
        out.i64(body.size)
        write_payload(out, body.parts)


def write_multi_values(out: Writer, values: Sequence[tuple[GridType, int | float | None]]) -> None:
    """Write the answers of a multi-query of aggregations: their types and values, None where there is none."""
    out.i32(len(values))
    for kind, value in values:
        if kind in _LONGS and value is not None:
            out.raw(_LONG_ANSWER.pack(*_LONG_HEAD, kind, int(value)))
            continue
        body = Writer()
        QueryReply(aggregate=Aggregate(kind, value)).write(body)
        out.i64(body.size)
        write_payload(out, body.parts)


def _alone(reply: QueryReply) -> bool:
    return reply.rows is None and reply.analysis is None and reply.partial is None


def read_multi_query(source: Reader) -> list[QueryReply]:
    """Read the answers of a multi-query."""
    return [QueryReply.read(Reader(source.raw(source.i64()))) for _ in range(source.count(at_least=12))]


def read_multi_values(source: Reader) -> list[int | float | bool | None]:
    """Read the answers of a multi-query of aggregations: their values alone, None where there is none.

    Counts and times, which most are, cost one look each.
    Raises: LocalProtocolError where a query gave rows.
    """
    count = source.count(at_least=12)
    area = source.peek()
    end, at = len(area) - _LONG_ANSWER.size, 0
    values: list[int | float | bool | None] = []
    for _ in range(count):
        if at <= end:
            *head, number, value = _LONG_ANSWER.unpack_from(area, at)
            if head == _LONG_HEAD and number in _LONGS:
                values.append(value)
                at += _LONG_ANSWER.size
                continue
        rest = Reader(area[at:])
        values.append(_value(Reader(rest.raw(rest.i64()))))
        at = len(area) - rest.remaining
    source.raw(at)
    return values


def _value(source: Reader) -> int | float | bool | None:
    aggregate = QueryReply.read(source).aggregate
    if aggregate is None:
        raise LocalProtocolError("the query gave rows, not an aggregated value")
    return aggregate.value
