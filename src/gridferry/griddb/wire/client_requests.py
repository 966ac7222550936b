"""Requests that GridDB's own client sends and gridferry does not. Source: protocol page, section 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from gridferry.griddb.wire.octets import Buffer, Reader, Writer
from gridferry.griddb.wire.requests import request
from gridferry.griddb.wire.row_requests import KeyedRow, Transaction, write_payload
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
