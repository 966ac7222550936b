"""Requests of the SQL service: one statement for all that SQL does, and one that cancels.

Source: docs/protocol-sql.md, SQL request, Cancel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from typing_extensions import Self

from gridferry.errors import RemoteProtocolError
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.options import NO_OPTIONS, Options, read_options, write_options
from gridferry.griddb.wire.requests import request
from gridferry.griddb.wire.sql_values import BindTable
from gridferry.griddb.wire.statement import SessionMode, SqlOperation, Statement


@request
@dataclass(frozen=True)
class ExecuteSql:
    """Run, prepare, fetch from or close a query.

    `client` (16 bytes) and `query_id` name the query: all that belongs to it goes over one connection under one
    partition id, or the server may die. `closes` is an older query of the client to close first, 0 for none; `again`
    says that a statement is repeated after a connection broke.
    """

    statement: ClassVar[Statement] = Statement.EXECUTE_SQL
    client: bytes
    operation: SqlOperation
    query_id: int
    mode: SessionMode = SessionMode.CREATE
    closes: int = 0
    again: bool = False
    bind: BindTable | None = None
    options: Options = field(default_factory=lambda: NO_OPTIONS)
    text: str | None = None

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.raw(self.client)
        out.u8(self.mode)
        out.i32(self.operation)
        out.i64(self.query_id)
        out.i64(self.closes)
        out.boolean(False)  # no transaction: the service has none
        out.boolean(self.again)
        out.boolean(self.bind is not None)
        if self.bind is not None:
            self.bind.write(out)
        write_options(out, self.options)
        out.i32(0 if self.text is None else 1)
        if self.text is not None:
            out.string(self.text)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body; several texts are one, as the server glues them."""
        client, mode = bytes(source.raw(16)), source.u8()
        operation, query_id, closes = source.i32(), source.i64(), source.i64()
        source.boolean()
        again = source.boolean()
        bind = BindTable.read(source) if source.boolean() else None
        options = read_options(source)
        texts = [source.string() for _ in range(source.count(at_least=4))]
        try:
            return cls(
                client=client,
                operation=SqlOperation(operation),
                query_id=query_id,
                mode=SessionMode(mode),
                closes=closes,
                again=again,
                bind=bind,
                options=options,
                text="".join(texts) if texts else None,
            )
        except ValueError as error:
            raise RemoteProtocolError(f"an SQL request has operation {operation} and mode {mode}") from error


@request
@dataclass(frozen=True)
class CancelSql:
    """Stop a query. There is no answer: the query itself ends with an error."""

    statement: ClassVar[Statement] = Statement.CANCEL_SQL
    client: bytes
    query_id: int

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.raw(self.client)
        out.i64(self.query_id)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body."""
        return cls(bytes(source.raw(16)), source.i64())
