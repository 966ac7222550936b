"""Values whose types travel with them: parameters of SQL statements. Source: docs/protocol-sql.md, Parameters."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.layout import FIXED_DTYPES, NANOS_IN_UNIT
from gridferry.griddb.wire.octets import Buffer, Reader, Writer, utf8, var_size

ANY = -1
# The type, and the value left-aligned; what does not fit stands in the variable area.
ANY_VALUE = np.dtype([("type", "i1"), ("value", "V8")])
ANY_BYTES = 8
NANO_BYTES = 9
MAX_BIND_ROWS = 1000  # the server's limit; a statement that went beyond it hangs for ever

_FORMS = {
    GridType.BYTE: struct.Struct("<b"),
    GridType.SHORT: struct.Struct("<h"),
    GridType.INTEGER: struct.Struct("<i"),
    GridType.LONG: struct.Struct("<q"),
    GridType.FLOAT: struct.Struct("<f"),
    GridType.DOUBLE: struct.Struct("<d"),
    GridType.TIMESTAMP_MS: struct.Struct("<q"),
    GridType.TIMESTAMP_US: struct.Struct("<q"),
}
_NANO = struct.Struct("<qB")

# What a value is outside the wire: numbers for numbers; times as units since 1970, those of TIMESTAMP(9) nanoseconds.
Plain = bool | int | float | str | bytes | None


@dataclass(frozen=True)
class Value:
    """A value and its type. NULL has none: `type` is None."""

    type: GridType | None
    plain: Plain = None


NULL = Value(None)


@dataclass(frozen=True)
class BindTable:
    """Rows of parameters, written: `fixed` and `area` as on the wire. One row for one run of a statement."""

    rows: int
    columns: int
    fixed: Buffer
    area: Buffer

    def write(self, out: Writer) -> None:
        """Write the table. Raises: LocalProtocolError for more rows than the server takes."""
        if self.rows > MAX_BIND_ROWS:
            raise LocalProtocolError(f"{self.rows} rows of parameters: {MAX_BIND_ROWS} is the limit")
        out.i64(self.rows)
        out.sized(self._write_schema)
        out.i32(8 + len(self.fixed) + len(self.area))
        out.i64(0)
        out.raw(self.fixed)
        out.raw(self.area)

    def _write_schema(self, out: Writer) -> None:
        out.i32(self.columns)
        out.raw((struct.pack("<i", 0) + b"\xff\0") * self.columns)
        out.i16(0)
        out.raw(bytes(4) * self.columns)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Read a table. Raises: RemoteProtocolError if it is malformed."""
        rows = source.i64()
        schema = Reader(source.raw(source.i32()))
        columns = schema.count(at_least=6)
        for _ in range(columns):
            schema.string()
            if schema.i8() != ANY:
                raise RemoteProtocolError("a column of parameters has a type of its own")
            schema.u8()
        table = Reader(source.raw(source.i32()))
        table.i64()
        width = row_width(columns) * rows
        if rows < 0 or width > table.remaining:
            raise RemoteProtocolError(f"{rows} rows of {columns} parameters do not fit their table")
        return cls(rows, columns, bytes(table.raw(width)), bytes(table.rest()))

    def values(self) -> list[tuple[Value, ...]]:
        """The parameters, row by row. Raises: RemoteProtocolError if they are malformed."""
        area = Reader(self.area)
        return [tuple(self._row(number, area)) for number in range(self.rows)]

    def _row(self, number: int, area: Reader) -> list[Value]:
        if not self.columns:
            return []
        area.var_size()
        width = row_width(self.columns)
        start = number * width + width - (1 + ANY_BYTES) * self.columns
        found = []
        for column in range(self.columns):
            at = start + (1 + ANY_BYTES) * column
            found.append(read_any(memoryview(self.fixed)[at : at + 1 + ANY_BYTES], area))
        return found


def row_width(columns: int) -> int:
    """Bytes of a row's fixed part. A row without parameters has none at all."""
    return 8 + (columns + 7) // 8 + (1 + ANY_BYTES) * columns if columns else 0


def bind_table(rows: Sequence[Sequence[Value]]) -> BindTable:
    """Parameters as a table.

    Raises: LocalProtocolError for rows of unequal length, or a value that its type does not have.
    """
    columns = len(rows[0]) if rows else 0
    fixed: list[bytes] = []
    area: list[bytes] = []
    offset = 0
    for row in rows:
        if len(row) != columns:
            raise LocalProtocolError(f"a row has {len(row)} parameters, the first one {columns}")
        if not columns:
            continue
        fixed.append(struct.pack("<q", offset) + bytes((columns + 7) // 8))
        pieces = [var_size(columns)]
        for value in row:
            image, variable = write_any(value)
            fixed.append(image)
            pieces.append(variable)
        taken = b"".join(pieces)
        area.append(taken)
        offset += len(taken)
    return BindTable(len(rows), columns, b"".join(fixed), b"".join(area))


def bind_columns(kinds: Sequence[GridType], columns: Sequence[Sequence[Plain]]) -> BindTable:
    """Rows for a statement that holds many of them, column by column, as the one row of parameters that it takes.

    Args: kinds (c,) types; columns (c,) of n values each, None for NULL.
    Raises: LocalProtocolError for a value that its type does not have.
    """
    n, c = len(columns[0]), len(columns)
    fixed = np.zeros((n, c), ANY_VALUE)
    octets = fixed.view(np.uint8).reshape(n, c, 1 + ANY_BYTES)
    pieces: list[list[bytes]] = []
    for number, (kind, values) in enumerate(zip(kinds, columns, strict=True)):
        absent = np.fromiter((value is None for value in values), bool, n) if None in values else np.zeros(n, bool)
        fixed["type"][:, number] = np.where(absent, ANY, kind)
        if kind in _SIZED:
            pieces.append([b"" if value is None else _sized(kind, value) for value in values])
            continue
        try:
            plain = np.array([0 if value is None else value for value in values], FIXED_DTYPES[kind])
        except (TypeError, ValueError, OverflowError) as error:
            raise LocalProtocolError(f"a value does not fit {kind.label}") from error
        octets[:, number, 1 : 1 + plain.itemsize] = plain.view(np.uint8).reshape(n, plain.itemsize)
    count = n * c
    head = bytes(8 + (count + 7) // 8)
    area = itertools.chain((var_size(count),), itertools.chain.from_iterable(zip(*pieces, strict=True)))
    return BindTable(1, count, head + fixed.tobytes(), b"".join(area))


_SIZED = (GridType.STRING, GridType.BLOB, GridType.TIMESTAMP_NS)


def _sized(kind: GridType, value: Plain) -> bytes:
    if kind is GridType.STRING and type(value) is str:
        octets = utf8(value)
        return var_size(len(octets)) + octets
    return write_any(Value(kind, value))[1]


def write_any(value: Value) -> tuple[bytes, bytes]:
    """A value's fixed part (9 bytes) and what stands in the variable area.

    Raises: LocalProtocolError for a value that its type cannot hold.
    """
    kind, plain = value.type, value.plain
    try:
        if kind is None or plain is None:
            return b"\xff" + bytes(ANY_BYTES), b""
        if kind in _FORMS:
            return bytes([kind]) + _FORMS[kind].pack(plain).ljust(ANY_BYTES, b"\0"), b""
        if kind is GridType.BOOL:
            return bytes([kind, 1 if plain else 0]) + bytes(7), b""
        if kind is GridType.TIMESTAMP_NS:
            return bytes([kind]) + bytes(ANY_BYTES), _NANO.pack(*divmod(int(plain), NANOS_IN_UNIT))
    except (struct.error, OverflowError, ValueError) as error:
        raise LocalProtocolError(f"{plain!r} does not fit {kind.label if kind else 'NULL'}") from error
    octets = utf8(plain) if isinstance(plain, str) else plain
    if kind not in (GridType.STRING, GridType.BLOB) or not isinstance(octets, bytes):
        raise LocalProtocolError(f"a value of {kind.label} cannot be a parameter")
    return bytes([kind]) + bytes(ANY_BYTES), var_size(len(octets)) + octets


def read_any(image: memoryview, area: Reader) -> Value:
    """A value from its fixed part (9 bytes) and the variable area. Raises: RemoteProtocolError if it is malformed."""
    number = image[0] - 256 if image[0] > 127 else image[0]
    if number == ANY:
        return NULL
    try:
        kind = GridType(number)
    except ValueError as error:
        raise RemoteProtocolError(f"a value has the unknown type {number}") from error
    if kind is GridType.BOOL:
        return Value(kind, image[1] != 0)
    if kind is GridType.TIMESTAMP_NS:
        units, rest = _NANO.unpack(area.raw(NANO_BYTES))
        return Value(kind, units * NANOS_IN_UNIT + rest)
    if kind is GridType.STRING:
        return Value(kind, area.var_string())
    if kind in (GridType.BLOB, GridType.GEOMETRY):
        return Value(kind, bytes(area.var_bytes()))
    return Value(kind, _FORMS[kind].unpack_from(image, 1)[0])


def column_of_any(kinds: NDArray[np.int8], images: NDArray[np.void], pieces: Sequence[bytes]) -> list[Plain]:
    """A column of n values whose types are their own, as plain values: times as numbers.

    Args: kinds (n,); images (n,) of 8 bytes; pieces (n) from the variable area, sizes left out.
    """
    found: list[Plain] = []
    for kind, image, piece in zip(kinds.tolist(), images, pieces, strict=True):
        number = kind & 0xFF
        if number in (GridType.STRING, GridType.BLOB, GridType.GEOMETRY):
            piece = var_size(len(piece)) + piece
        found.append(read_any(memoryview(bytes([number]) + image.tobytes()), Reader(piece)).plain)
    return found
