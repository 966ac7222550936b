"""Requests about rows, sessions and transactions. Source: docs/protocol.md, Sessions, Row statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from typing_extensions import Self

from gridferry.griddb.wire.octets import Buffer, Reader, Writer
from gridferry.griddb.wire.options import NO_OPTIONS, Options, read_options, write_options
from gridferry.griddb.wire.requests import request
from gridferry.griddb.wire.statement import NO_LIMIT, SessionMode, Statement, TransactionMode

NO_CLIENT = bytes(16)


@dataclass(frozen=True)
class Transaction:
    """The TX block: which session and transaction a statement runs in, and the schema version it was made for."""

    version: int
    session_id: int = 0
    client: bytes = NO_CLIENT
    session_mode: int = SessionMode.AUTO
    transaction_mode: int = TransactionMode.AUTO
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer, *, with_client: bool = True) -> None:
        """Write the block; inside a multi-query it has no client id."""
        out.i64(self.session_id)
        if with_client:
            out.raw(self.client)
        out.i32(self.version)
        out.u8(self.session_mode)
        out.u8(self.transaction_mode)
        write_options(out, self.options)

    @classmethod
    def read(cls, source: Reader, *, client: bytes | None = None) -> Self:
        """Read the block; `client` is used where the block has no client id."""
        session_id = source.i64()
        uuid = bytes(source.raw(16)) if client is None else client
        version, session_mode, transaction_mode = source.i32(), source.u8(), source.u8()
        return cls(version, session_id, uuid, session_mode, transaction_mode, read_options(source))


@dataclass(frozen=True)
class QueryHead:
    """How much of a result is wanted: rows in all, and rows a page."""

    limit: int = NO_LIMIT
    fetch_size: int = NO_LIMIT
    partial: bool = False

    def write(self, out: Writer) -> None:
        """Write the head."""
        out.i64(self.limit)
        out.i64(self.fetch_size)
        out.boolean(self.partial)
        out.i32(0)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read the head; states of a partial execution are read past."""
        head = cls(limit=source.i64(), fetch_size=source.i64(), partial=source.boolean())
        for _ in range(source.count(at_least=5)):
            source.i8()
            source.raw(source.i32())
        return head


@dataclass(frozen=True)
class _Session:
    container_id: int
    session_id: int
    client: bytes
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        out.i64(self.session_id)
        out.raw(self.client)
        write_options(out, self.options)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(source.i64(), source.i64(), bytes(source.raw(16)), read_options(source))


@request
@dataclass(frozen=True)
class CreateSession(_Session):
    """Make a session on a container."""

    statement: ClassVar[Statement] = Statement.CREATE_SESSION


@request
@dataclass(frozen=True)
class CloseSession(_Session):
    """End a session, and abort what it left open."""

    statement: ClassVar[Statement] = Statement.CLOSE_SESSION


@request
@dataclass(frozen=True)
class Commit(_Session):
    """Commit a session's transaction."""

    statement: ClassVar[Statement] = Statement.COMMIT_TRANSACTION


@request
@dataclass(frozen=True)
class Abort(_Session):
    """Abort a session's transaction."""

    statement: ClassVar[Statement] = Statement.ABORT_TRANSACTION


@dataclass(frozen=True)
class KeyedRow:
    """A statement about one row, which its payload names or is."""

    container_id: int
    tx: Transaction
    payload: Buffer | Sequence[Buffer]  # a row key, or a one-row image

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        self.tx.write(out)
        write_payload(out, self.payload)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body; the payload is the rest of it."""
        return cls(source.i64(), Transaction.read(source), source.rest())


def write_payload(out: Writer, payload: Buffer | Sequence[Buffer]) -> None:
    """Append one buffer or several."""
    for part in [payload] if isinstance(payload, (bytes, bytearray, memoryview)) else payload:
        out.raw(part)


@request
@dataclass(frozen=True)
class GetRow(KeyedRow):
    """Ask for the row of a key."""

    statement: ClassVar[Statement] = Statement.GET_ROW


@request
@dataclass(frozen=True)
class PutRow(KeyedRow):
    """Put one row."""

    statement: ClassVar[Statement] = Statement.PUT_ROW


@request
@dataclass(frozen=True)
class DeleteRow(KeyedRow):
    """Delete the row of a key."""

    statement: ClassVar[Statement] = Statement.DELETE_ROW


def keyed_bodies(container_id: int, tx: Transaction, keys: Sequence[bytes]) -> list[bytes]:
    """The bodies of statements that name one row each, such as DeleteRow, all of one container and transaction block.

    What they have in common is written once.
    """
    head = Writer()
    KeyedRow(container_id, tx, b"").write(head)
    common = head.getvalue()
    return [common + key for key in keys]


@request
@dataclass(frozen=True)
class PutRows:
    """Put several rows into one container."""

    statement: ClassVar[Statement] = Statement.PUT_MULTIPLE_ROWS
    container_id: int
    tx: Transaction
    count: int
    image: Buffer | Sequence[Buffer]

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        self.tx.write(out)
        out.i64(self.count)
        write_payload(out, self.image)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(source.i64(), Transaction.read(source), source.i64(), source.rest())


@request
@dataclass(frozen=True)
class QueryTql:
    """Run a TQL query on one container."""

    statement: ClassVar[Statement] = Statement.QUERY_TQL
    container_id: int
    tx: Transaction
    tql: str
    head: QueryHead = field(default_factory=QueryHead)

    def write(self, out: Writer, *, with_client: bool = True) -> None:
        """Write the body; without the client where one of many queries is written, which share it."""
        out.i64(self.container_id)
        self.tx.write(out, with_client=with_client)
        self.head.write(out)
        out.string(self.tql)

    @classmethod
    def read(cls, source: Reader, *, client: bytes | None = None) -> Self:
        """Read a body, which holds no client where one is given."""
        container_id, tx = source.i64(), Transaction.read(source, client=client)
        head = QueryHead.read(source)
        return cls(container_id, tx, source.string(), head)


@request
@dataclass(frozen=True)
class QueryRange:
    """Read a TIME_SERIES from `start` to `end`, both included, in milliseconds; NO_LIMIT leaves a side open."""

    statement: ClassVar[Statement] = Statement.QUERY_TIME_SERIES_RANGE
    container_id: int
    tx: Transaction
    start: int = NO_LIMIT
    end: int = NO_LIMIT
    descending: bool = False
    head: QueryHead = field(default_factory=QueryHead)

    def write(self, out: Writer, *, with_client: bool = True) -> None:
        """Write the body; without the client where one of many queries is written, which share it."""
        out.i64(self.container_id)
        self.tx.write(out, with_client=with_client)
        self.head.write(out)
        out.i64(self.start)
        out.i64(self.end)
        out.boolean(self.descending)

    @classmethod
    def read(cls, source: Reader, *, client: bytes | None = None) -> Self:
        """Read a body, which holds no client where one is given."""
        container_id, tx = source.i64(), Transaction.read(source, client=client)
        head = QueryHead.read(source)
        return cls(container_id, tx, source.i64(), source.i64(), source.boolean(), head)


@request
@dataclass(frozen=True)
class GetRelated:
    """Ask for the row next to a time. `operation` 0 at or before, 1 before, 2 at or after, 3 after."""

    statement: ClassVar[Statement] = Statement.GET_TIME_SERIES_ROW_RELATED
    container_id: int
    tx: Transaction
    time_ms: int
    operation: int

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        self.tx.write(out)
        out.i64(self.time_ms)
        out.u8(self.operation)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(source.i64(), Transaction.read(source), source.i64(), source.u8())


@request
@dataclass(frozen=True)
class AggregateSeries:
    """Aggregate over a time range: 0 MIN 1 MAX 2 TOTAL 3 AVG 4 VARIANCE 5 STDDEV 6 COUNT 7 WEIGHTED_AVG."""

    statement: ClassVar[Statement] = Statement.AGGREGATE_TIME_SERIES
    container_id: int
    tx: Transaction
    start: int
    end: int
    column: int
    operation: int

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        self.tx.write(out)
        out.i64(self.start)
        out.i64(self.end)
        out.i32(self.column)
        out.u8(self.operation)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        container_id, tx = source.i64(), Transaction.read(source)
        return cls(container_id, tx, source.i64(), source.i64(), source.i32(), source.u8())


@request
@dataclass(frozen=True)
class FetchRowSet:
    """Ask for the next page of a result, on the connection that began it."""

    statement: ClassVar[Statement] = Statement.FETCH_ROW_SET
    container_id: int
    tx: Transaction
    result_id: int
    fetched: int
    fetch_size: int

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        self.tx.write(out)
        out.i64(self.result_id)
        out.i64(self.fetched)
        out.i64(self.fetch_size)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(source.i64(), Transaction.read(source), source.i64(), source.i64(), source.i64())


@request
@dataclass(frozen=True)
class CloseRowSet:
    """Give up a result before its last page."""

    statement: ClassVar[Statement] = Statement.CLOSE_ROW_SET
    container_id: int
    result_id: int
    options: Options = field(default_factory=lambda: NO_OPTIONS)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        write_options(out, self.options)
        out.i64(self.result_id)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        container_id, options = source.i64(), read_options(source)
        return cls(container_id, source.i64(), options)
