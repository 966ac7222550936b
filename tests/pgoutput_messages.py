"""Messages of pgoutput made by hand, and the plain reading of a row message, one value after the other."""

from __future__ import annotations

from collections.abc import Sequence

TEXT_OID = 25
UNCHANGED = object()
Value = object  # bytes, None or UNCHANGED


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big", signed=value < 0)


def begin(lsn: int, *, at_us: int = 0, xid: int = 7) -> bytes:
    return b"B" + number(lsn, 8) + number(at_us, 8) + number(xid, 4)


def commit(lsn: int, end: int, *, at_us: int = 0) -> bytes:
    return b"C\0" + number(lsn, 8) + number(end, 8) + number(at_us, 8)


def relation(oid: int, columns: Sequence[tuple[str, int, bool]], *, name: str = "t", identity: str = "d") -> bytes:
    """Args: columns (name, type oid, in the key)."""
    listed = b"".join(bytes([key]) + c.encode() + b"\0" + number(kind, 4) + number(-1, 4) for c, kind, key in columns)
    head = number(oid, 4) + b"public\0" + name.encode() + b"\0" + identity.encode()
    return b"R" + head + number(len(columns), 2) + listed


def row(values: Sequence[Value]) -> bytes:
    parts = [number(len(values), 2)]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif isinstance(value, bytes):
            parts.append(b"t" + number(len(value), 4) + value)
        else:
            parts.append(b"u")
    return b"".join(parts)


def insert(oid: int, values: Sequence[Value]) -> bytes:
    return b"I" + number(oid, 4) + b"N" + row(values)


def update(oid: int, values: Sequence[Value], *, old: Sequence[Value] | None = None, letter: bytes = b"K") -> bytes:
    before = b"" if old is None else letter + row(old)
    return b"U" + number(oid, 4) + before + b"N" + row(values)


def delete(oid: int, old: Sequence[Value], *, letter: bytes = b"K") -> bytes:
    return b"D" + number(oid, 4) + letter + row(old)


def in_block(message: bytes, xid: int) -> bytes:
    """The message as it is inside a block of an open transaction."""
    return message[:1] + number(xid, 4) + message[1:]


def stream_start(xid: int, *, first: bool) -> bytes:
    return b"S" + number(xid, 4) + bytes([first])


def stream_commit(xid: int, lsn: int, end: int) -> bytes:
    return b"c" + number(xid, 4) + b"\0" + number(lsn, 8) + number(end, 8) + number(0, 8)


def stream_abort(xid: int, subxid: int, *, parallel: bool = False) -> bytes:
    return b"A" + number(xid, 4) + number(subxid, 4) + (bytes(16) if parallel else b"")


STREAM_STOP = b"E"
