"""Requests that GridDB's own client sends and gridferry does not. Source: docs/protocol.md, Row statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from typing_extensions import Self

from gridferry.griddb.wire.octets import Buffer, Reader, Writer
from gridferry.griddb.wire.requests import request
from gridferry.griddb.wire.row_requests import KeyedRow, QueryHead, Transaction, write_payload
from gridferry.griddb.wire.statement import Statement


@request
@dataclass(frozen=True)
class AppendRow(KeyedRow):
    """Put one row into a TIME_SERIES at the server's time; the key in its image means nothing."""

    statement: ClassVar[Statement] = Statement.APPEND_TIME_SERIES_ROW


@request
@dataclass(frozen=True)
class UpdateRowById:
    """Give the row with an id other values; its key stays."""

    statement: ClassVar[Statement] = Statement.UPDATE_ROW_BY_ID
    container_id: int
    tx: Transaction
    row_id: int
    image: Buffer | Sequence[Buffer]

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        self.tx.write(out)
        out.i64(self.row_id)
        write_payload(out, self.image)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(source.i64(), Transaction.read(source), source.i64(), source.rest())


@request
@dataclass(frozen=True)
class DeleteRowById:
    """Delete the row with an id."""

    statement: ClassVar[Statement] = Statement.DELETE_ROW_BY_ID
    container_id: int
    tx: Transaction
    row_id: int

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        self.tx.write(out)
        out.i64(self.row_id)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(source.i64(), Transaction.read(source), source.i64())


@request
@dataclass(frozen=True)
class InterpolateRow:
    """Ask for the row of a TIME_SERIES at a time, one column on the line between the rows around it."""

    statement: ClassVar[Statement] = Statement.INTERPOLATE_TIME_SERIES_ROW
    container_id: int
    tx: Transaction
    time_ms: int
    column: int

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.i64(self.container_id)
        self.tx.write(out)
        out.i64(self.time_ms)
        out.i32(self.column)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(source.i64(), Transaction.read(source), source.i64(), source.i32())


@request
@dataclass(frozen=True)
class QuerySampling:
    """Ask for rows of a TIME_SERIES at times `interval` units apart.

    `unit` is 2 day .. 6 millisecond, `mode` 0 linear in `columns` and else the row before, 1 empty between rows.
    """

    statement: ClassVar[Statement] = Statement.QUERY_TIME_SERIES_SAMPLING
    container_id: int
    tx: Transaction
    start: int
    end: int
    columns: tuple[int, ...]
    interval: int
    unit: int
    mode: int
    head: QueryHead = field(default_factory=QueryHead)

    def write(self, out: Writer, *, with_client: bool = True) -> None:
        """Write the body; without the client where one of many queries is written, which share it."""
        out.i64(self.container_id)
        self.tx.write(out, with_client=with_client)
        self.head.write(out)
        out.i64(self.start)
        out.i64(self.end)
        out.i32(len(self.columns))
        for column in self.columns:
            out.i32(column)
        out.i32(self.interval)
        out.u8(self.unit)
        out.u8(self.mode)

    @classmethod
    def read(cls, source: Reader, *, client: bytes | None = None) -> Self:
        """Read a body, which holds no client where one is given."""
        container_id, tx = source.i64(), Transaction.read(source, client=client)
        head, start, end = QueryHead.read(source), source.i64(), source.i64()
        columns = tuple(source.i32() for _ in range(source.count(at_least=4)))
        return cls(container_id, tx, start, end, columns, source.i32(), source.u8(), source.u8(), head)
