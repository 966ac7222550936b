"""The optional-request section of a statement. Source: docs/protocol.md, Options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.statement import Option

Options = Mapping[Option, Any]
NO_OPTIONS: Options = {}

_RANGED_FROM = 11000
_RANGE_SIZE = 1000


def _write_client_id(out: Writer, value: tuple[int, bytes]) -> None:
    out.i64(value[0])
    out.raw(value[1])


def _read_client_id(source: Reader) -> tuple[int, bytes]:
    return source.i64(), bytes(source.raw(16))


def _write_pragmas(out: Writer, value: Mapping[str, str]) -> None:
    out.i32(len(value))
    for name, setting in value.items():
        out.string(name)
        out.string(setting)


def _read_pragmas(source: Reader) -> dict[str, str]:
    return {source.string(): source.string() for _ in range(source.count(at_least=8))}


_FORMS: dict[Option, tuple[Callable[[Writer, Any], None], Callable[[Reader], Any]]] = {
    Option.LEGACY_VERSION: (Writer.i8, Reader.i8),
    Option.TRANSACTION_TIMEOUT: (Writer.i32, Reader.i32),
    Option.FOR_UPDATE: (Writer.boolean, Reader.boolean),
    Option.LOCK_CONTINUES: (Writer.boolean, Reader.boolean),
    Option.SYSTEM_MODE: (Writer.boolean, Reader.boolean),
    Option.DATABASE_NAME: (Writer.string, Reader.string),
    Option.CONTAINER_ATTRIBUTE: (Writer.i32, Reader.i32),
    # GridDB's own client writes four bytes here: the last three then read as LEGACY_VERSION 0, which is harmless.
    Option.PUT_MODE: (Writer.i8, Reader.i8),
    Option.REQUEST_MODULE: (Writer.i8, Reader.i8),
    Option.STATEMENT_TIMEOUT: (Writer.i32, Reader.i32),
    Option.FETCH_LIMIT: (Writer.i64, Reader.i64),
    Option.FETCH_SIZE: (Writer.i64, Reader.i64),
    Option.CLIENT_ID: (_write_client_id, _read_client_id),
    Option.FETCH_BYTES_SIZE: (Writer.i32, Reader.i32),
    Option.META_CONTAINER_ID: (Writer.i64, Reader.i64),
    Option.FEATURE_VERSION: (Writer.i32, Reader.i32),
    Option.ACCEPTABLE_FEATURE_VERSION: (Writer.i32, Reader.i32),
    Option.CONTAINER_VISIBILITY: (Writer.i32, Reader.i32),
    Option.META_NAMING_TYPE: (Writer.i8, Reader.i8),
    Option.APPLICATION_NAME: (Writer.string, Reader.string),
    Option.MEMORY_SWAP_RATE: (Writer.f64, Reader.f64),
    Option.TIME_ZONE_OFFSET: (Writer.i64, Reader.i64),
    Option.AUTHENTICATION_TYPE: (Writer.i8, Reader.i8),
    Option.CONNECTION_ROUTE: (Writer.i8, Reader.i8),
    Option.SUB_CONTAINER_VERSION: (Writer.i64, Reader.i64),
    Option.SUB_CONTAINER_EXPIRABLE: (Writer.boolean, Reader.boolean),
    Option.PRAGMAS: (_write_pragmas, _read_pragmas),
}


def write_options(out: Writer, options: Options) -> None:
    """Write the section: its size, the low options, then one sized block for each thousand of the high ones."""
    if not options:
        out.i32(0)
        return
    out.sized(lambda body: _write_body(body, options))


def read_options(source: Reader) -> dict[Option, Any]:
    """The options of a section. Raises: RemoteProtocolError for an id that this version does not know.

    Unknown ids in a sized block are skipped: newer clients may send them.
    """
    body = Reader(source.raw(source.i32()))
    found: dict[Option, Any] = {}
    while body.remaining:
        number = body.i16()
        if number >= _RANGED_FROM and number % _RANGE_SIZE == 0:
            _read_block(Reader(body.raw(body.i32())), found)
        elif (option := _known(number)) is not None:
            found[option] = _FORMS[option][1](body)
        else:
            raise RemoteProtocolError(f"request option {number} is unknown, and its size with it")
    return found


def _write_body(out: Writer, options: Options) -> None:
    for option in sorted(o for o in options if o < _RANGED_FROM):
        _write_one(out, option, options[option])
    for block in sorted({o // _RANGE_SIZE for o in options if o >= _RANGED_FROM}):
        members = sorted(o for o in options if o // _RANGE_SIZE == block)
        out.i16(block * _RANGE_SIZE)
        inner = Writer()
        for option in members:
            _write_one(inner, option, options[option])
        out.i32(inner.size)
        out.raw(inner.getvalue())


def _write_one(out: Writer, option: Option, value: Any) -> None:
    if option not in _FORMS:
        raise LocalProtocolError(f"request option {option.name} cannot be written")
    out.i16(option)
    _FORMS[option][0](out, value)


def _read_block(block: Reader, found: dict[Option, Any]) -> None:
    while block.remaining:
        option = _known(block.i16())
        if option is None:
            return
        found[option] = _FORMS[option][1](block)


def _known(number: int) -> Option | None:
    return next((o for o in _FORMS if o == number), None)
