"""Requests about many containers of one partition at once. Source: docs/protocol.md, Multi-put and below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from typing_extensions import Self

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.client_requests import QuerySampling
from gridferry.griddb.wire.names import ContainerKey, read_key, write_key
from gridferry.griddb.wire.octets import Buffer, Reader, Writer
from gridferry.griddb.wire.options import NO_OPTIONS, Options, read_options, write_options
from gridferry.griddb.wire.plain_queries import read_plain_query
from gridferry.griddb.wire.requests import request
from gridferry.griddb.wire.row_requests import NO_CLIENT, QueryHead, QueryRange, QueryTql, Transaction, write_payload
from gridferry.griddb.wire.schema_image import read_kind, read_schema, write_schema
from gridferry.griddb.wire.statement import Statement

_COMPOSITE = 0xFF
_RANGE, _DISTINCT = 0, 1
_COUNT_BYTES = 4  # the size of composite keys counts the key count before them too


@dataclass(frozen=True)
class PutEntry:
    """The rows for one container of a multi-put; `schema` counts in the message's list of schemas."""

    container_id: int
    schema: int
    count: int
    image: Buffer | Sequence[Buffer]
    session_id: int = 0
    statement_id: int = 0
    session_mode: int = 0
    transaction_mode: int = 0


@request
@dataclass(frozen=True)
class MultiPut:
    """Put rows into several containers. Not atomic: after an error, containers and rows before it stay stored."""

    statement: ClassVar[Statement] = Statement.PUT_MULTIPLE_CONTAINER_ROWS
    schemas: tuple[ContainerSchema, ...]
    entries: Sequence[PutEntry]
    client: bytes = NO_CLIENT
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.raw(self.client)
        write_options(out, self.options)
        out.i32(len(self.schemas))
        for schema in self.schemas:
            out.u8(schema.kind)
            write_schema(out, schema)
        out.i32(len(self.entries))
        for entry in self.entries:
            _write_entry(out, entry)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        client, options = bytes(source.raw(16)), read_options(source)
        schemas = tuple(read_schema(source, read_kind(source)) for _ in range(source.count(at_least=7)))
        entries = [_read_entry(source, len(schemas)) for _ in range(source.count(at_least=46))]
        return cls(schemas, entries, client, options)


def _write_entry(out: Writer, entry: PutEntry) -> None:
    out.i64(entry.statement_id)
    out.i64(entry.container_id)
    out.i64(entry.session_id)
    out.u8(entry.session_mode)
    out.u8(entry.transaction_mode)
    out.i32(0)
    out.i32(entry.schema)
    rows = [entry.image] if isinstance(entry.image, (bytes, bytearray, memoryview)) else entry.image
    out.i32(sum(len(r) for r in rows) + 8)
    out.i64(entry.count)
    write_payload(out, rows)


def _read_entry(source: Reader, schema_count: int) -> PutEntry:
    statement_id, container_id, session_id = source.i64(), source.i64(), source.i64()
    session_mode, transaction_mode = source.u8(), source.u8()
    read_options(source)
    schema = source.i32()
    if not 0 <= schema < schema_count:
        raise RemoteProtocolError(f"schema {schema} of {schema_count} is named in a multi-put")
    rows = Reader(source.raw(source.i32()))
    return PutEntry(
        container_id=container_id,
        schema=schema,
        count=rows.i64(),
        image=rows.rest(),
        session_id=session_id,
        statement_id=statement_id,
        session_mode=session_mode,
        transaction_mode=transaction_mode,
    )


@dataclass(frozen=True)
class KeyPredicate:
    """Which rows a multi-get wants: a range of keys, both ends included, or distinct ones.

    `types` are the key columns' types. For a range of single keys `start` and `end` are one key each, or None. Distinct
    keys, and the ends of a range of composite keys, are in `keys`, `count` of them (see `encode.encode_key_set`);
    `ends` says for such a range whether it has a start and an end.
    """

    types: tuple[int, ...]
    keys: Buffer | Sequence[Buffer] | None = None
    count: int = 0
    start: bytes | None = None
    end: bytes | None = None
    ends: tuple[bool, bool] | None = None


@request
@dataclass(frozen=True)
class MultiGet:
    """Get rows of several containers; each entry names a container and one of the predicates."""

    statement: ClassVar[Statement] = Statement.GET_MULTIPLE_CONTAINER_ROWS
    predicates: tuple[KeyPredicate, ...]
    entries: Sequence[tuple[ContainerKey, int]]
    client: bytes = NO_CLIENT
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.raw(self.client)
        write_options(out, self.options)
        out.i32(len(self.predicates))
        for predicate in self.predicates:
            _write_predicate(out, predicate)
        out.i32(len(self.entries))
        for key, index in self.entries:
            out.i32(0)
            write_key(out, key)
            out.i32(index)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        client, options = bytes(source.raw(16)), read_options(source)
        predicates = tuple(_read_predicate(source) for _ in range(source.count(at_least=2)))
        entries = []
        for _ in range(source.count(at_least=10)):
            read_options(source)
            entries.append((read_key(source), source.i32()))
        if any(not 0 <= index < len(predicates) for _, index in entries):
            raise RemoteProtocolError("a multi-get names a predicate that it does not have")
        return cls(predicates, entries, client, options)


def _write_predicate(out: Writer, predicate: KeyPredicate) -> None:
    composite = len(predicate.types) > 1
    ranged = predicate.keys is None or predicate.ends is not None
    out.u8(_COMPOSITE if composite else predicate.types[0])
    out.u8(_RANGE if ranged else _DISTINCT)
    if composite:
        _write_composite(out, predicate, (predicate.ends or (False, False)) if ranged else None)
    elif ranged:
        for bound in (predicate.start, predicate.end):
            out.boolean(bound is not None)
            out.raw(bound or b"")
    else:
        out.i32(predicate.count)
        write_payload(out, _parts(predicate))


def _write_composite(out: Writer, predicate: KeyPredicate, ends: tuple[bool, bool] | None) -> None:
    if predicate.start is not None or predicate.end is not None or (ends is not None and predicate.count != sum(ends)):
        raise LocalProtocolError("the ends of a range of composite row keys are given by `ends`, `count` and `keys`")
    out.i32(len(predicate.types))
    for number in predicate.types:
        out.u8(number)
    for there in ends or ():
        out.boolean(there)
    parts = _parts(predicate)
    out.i32(_COUNT_BYTES + sum(len(p) for p in parts))
    out.i32(predicate.count)
    write_payload(out, parts)


def _parts(predicate: KeyPredicate) -> Sequence[Buffer]:
    keys = predicate.keys or b""
    return [keys] if isinstance(keys, (bytes, bytearray, memoryview)) else keys


def _read_predicate(source: Reader) -> KeyPredicate:
    number, kind = source.u8(), source.u8()
    if kind not in (_RANGE, _DISTINCT):
        raise RemoteProtocolError(f"multi-get predicate kind {kind} is unknown")
    if number == _COMPOSITE:
        return _read_composite(source, ranged=kind == _RANGE)
    if kind == _RANGE:
        start = _read_bare(source, number) if source.boolean() else None
        end = _read_bare(source, number) if source.boolean() else None
        return KeyPredicate(types=(number,), start=start, end=end)
    count = source.count()
    keys = b"".join(_read_bare(source, number) for _ in range(count))
    return KeyPredicate(types=(number,), keys=keys, count=count)


def _read_composite(source: Reader, *, ranged: bool) -> KeyPredicate:
    types = tuple(source.u8() for _ in range(source.count()))
    if len(types) < 2:
        raise RemoteProtocolError(f"a composite row key of {len(types)} columns cannot be")
    ends = (source.boolean(), source.boolean()) if ranged else None
    size, count = source.i32(), source.i32()
    if size < _COUNT_BYTES or count < 0 or (ends is not None and count != sum(ends)):
        raise RemoteProtocolError(f"a multi-get has {count} composite keys in {size} bytes")
    return KeyPredicate(types=types, keys=source.raw(size - _COUNT_BYTES), count=count, ends=ends)


_BARE_SIZES = {4: 4, 5: 8, 8: 8, 11: 8, 12: 9}


def _read_bare(source: Reader, number: int) -> bytes:
    if number == 0:
        out = Writer()
        out.var_bytes(bytes(source.var_bytes()))
        return out.getvalue()
    if number not in _BARE_SIZES:
        raise RemoteProtocolError(f"type {number} cannot be a row key")
    return bytes(source.raw(_BARE_SIZES[number]))


@request
@dataclass(frozen=True)
class MultiQuery:
    """Run queries on containers of one partition. The queries' `tx.client` is this message's `client`."""

    statement: ClassVar[Statement] = Statement.EXECUTE_MULTIPLE_QUERIES
    queries: Sequence[QueryTql | QueryRange | QuerySampling]
    client: bytes = NO_CLIENT
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.raw(self.client)
        write_options(out, self.options)
        out.i32(len(self.queries))
        for query in self.queries:
            out.i32(query.statement)
            out.i64(0)
            query.write(out, with_client=False)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body. Raises: RemoteProtocolError for another sort of query."""
        client, options = bytes(source.raw(16)), read_options(source)
        queries: list[QueryTql | QueryRange | QuerySampling] = []
        whole, blocks = QueryHead(), dict[int, Transaction]()
        for _ in range(source.count(at_least=60)):
            plain = read_plain_query(source)
            if plain is None:
                queries.append(_read_query(source, client))
                continue
            container_id, version, tql = plain
            tx = blocks.get(version)
            if tx is None:
                tx = blocks[version] = Transaction(version, client=client)
            queries.append(QueryTql(container_id, tx, tql, whole))
        return cls(queries, client, options)


def _read_query(source: Reader, client: bytes) -> QueryTql | QueryRange | QuerySampling:
    statement, _ = source.i32(), source.i64()
    if statement == Statement.QUERY_TQL:
        return QueryTql.read(source, client=client)
    if statement == Statement.QUERY_TIME_SERIES_RANGE:
        return QueryRange.read(source, client=client)
    if statement == Statement.QUERY_TIME_SERIES_SAMPLING:
        return QuerySampling.read(source, client=client)
    raise RemoteProtocolError(f"statement {statement} cannot be part of a multi-query")


@request
@dataclass(frozen=True)
class CreateSessions:
    """Make sessions on several containers, given by key, or by id where `container_ids` are given."""

    statement: ClassVar[Statement] = Statement.CREATE_MULTIPLE_SESSIONS
    keys: tuple[ContainerKey | None, ...]
    session_ids: tuple[int, ...]
    container_ids: tuple[int, ...] = ()
    client: bytes = NO_CLIENT
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.raw(self.client)
        write_options(out, self.options)
        out.boolean(bool(self.container_ids))
        out.i32(len(self.session_ids))
        for index, session_id in enumerate(self.session_ids):
            out.i32(0)
            key = self.keys[index] if self.keys else None
            if self.container_ids:
                out.i64(self.container_ids[index])
            elif key is not None:
                write_key(out, key)
            out.i64(session_id)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        client, options, with_id = bytes(source.raw(16)), read_options(source), source.boolean()
        keys: list[ContainerKey | None] = []
        container_ids, session_ids = [], []
        for _ in range(source.count(at_least=12)):
            read_options(source)
            keys.append(None if with_id else read_key(source))
            if with_id:
                container_ids.append(source.i64())
            session_ids.append(source.i64())
        return cls(tuple(keys), tuple(session_ids), tuple(container_ids), client, options)


@request
@dataclass(frozen=True)
class CloseSessions:
    """Close sessions of several containers: (statement id, container id, session id) each."""

    statement: ClassVar[Statement] = Statement.CLOSE_MULTIPLE_SESSIONS
    entries: tuple[tuple[int, int, int], ...]
    client: bytes = NO_CLIENT
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.raw(self.client)
        write_options(out, self.options)
        out.i32(len(self.entries))
        for entry in self.entries:
            for number in entry:
                out.i64(number)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        client, options = bytes(source.raw(16)), read_options(source)
        count = source.count(at_least=24)
        return cls(tuple((source.i64(), source.i64(), source.i64()) for _ in range(count)), client, options)
