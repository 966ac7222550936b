"""Answers of the SQL service: counts, pages of rows, pragmas. Source: docs/protocol-sql.md, SQL answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
from typing_extensions import Self

from gridferry.errors import RemoteProtocolError
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.octets import Buffer, Reader, Writer
from gridferry.griddb.wire.sql_rows import SqlColumn, decode_sql_rows
from gridferry.griddb.wire.sql_values import ANY

_NOT_NULL = 4


@dataclass(frozen=True)
class SqlPage:
    """A page of a result, as it came. `more`: the next one is to be fetched; a page may have no rows at all."""

    columns: tuple[SqlColumn, ...]
    rows: int
    image: Buffer = b""
    more: bool = False

    def batch(self) -> pa.RecordBatch:
        """The rows. Raises: RemoteProtocolError, DataError."""
        return decode_sql_rows(self.columns, self.rows, self.image)

    def write(self, out: Writer) -> None:
        """Write the page."""
        out.boolean(self.more)
        out.i32(self.rows)
        out.sized(self._write_schema)
        out.i32(8 + len(self.image))
        out.i64(0)
        out.raw(self.image)

    def _write_schema(self, out: Writer) -> None:
        out.i32(len(self.columns))
        for column in self.columns:
            out.string("")
            out.i8(ANY if column.type is None else column.type)
            out.u8(0 if column.nullable else _NOT_NULL)
        out.i16(0)
        for column in self.columns:
            out.string(column.label)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a page. Raises: RemoteProtocolError."""
        more, rows = source.boolean(), source.i32()
        columns = _read_schema(Reader(source.raw(source.i32())))
        table = Reader(source.raw(source.i32()))
        table.i64()
        return cls(columns, rows, table.rest(), more)


def _read_schema(source: Reader) -> tuple[SqlColumn, ...]:
    found: list[tuple[GridType | None, bool]] = []
    for _ in range(source.count(at_least=6)):
        source.string()
        number, flags = source.i8(), source.u8()
        try:
            kind = None if number == ANY else GridType(number)
        except ValueError as error:
            raise RemoteProtocolError(f"a column of a result has the unknown type {number}") from error
        if flags & ~_NOT_NULL:
            raise RemoteProtocolError(f"a column of a result has the unknown flags {flags}")
        found.append((kind, not flags & _NOT_NULL))
    source.i16()
    return tuple(SqlColumn(source.string(), kind, nullable) for kind, nullable in found)


@dataclass(frozen=True)
class SqlOutcome:
    """What one run of a statement did: rows changed, parameters of a prepared one, the first page of a result."""

    changed: int = 0
    parameters: int = 0
    page: SqlPage | None = None


@dataclass(frozen=True)
class SqlReply:
    """The answer to a statement: an outcome for each row of parameters; pragmas that it changed."""

    outcomes: tuple[SqlOutcome, ...] = ()
    pragmas: dict[str, str] = field(default_factory=dict)

    def write(self, out: Writer) -> None:
        """Write the body."""
        out.boolean(False)  # no transaction begun
        out.boolean(True)  # every statement commits
        out.i32(len(self.outcomes))
        for outcome in self.outcomes:
            out.i32(outcome.changed)
            out.i32(outcome.parameters)
            out.boolean(outcome.page is not None)
            if outcome.page is not None:
                outcome.page.write(out)
        out.i32(len(self.pragmas))
        for name, value in self.pragmas.items():
            out.string(name)
            out.string(value)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a body; the pragmas may be missing. Raises: RemoteProtocolError."""
        source.boolean()
        source.boolean()
        outcomes = []
        for _ in range(source.count(at_least=9)):
            changed, parameters = source.i32(), source.i32()
            outcomes.append(SqlOutcome(changed, parameters, SqlPage.read(source) if source.boolean() else None))
        pragmas = {}
        if source.remaining:
            pragmas = {source.string(): source.string() for _ in range(source.count(at_least=8))}
        source.end()
        return cls(tuple(outcomes), pragmas)
