"""Numbers, tagged sizes and strings: one at a time (`Writer`, `Reader`) and n at a time (numpy)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridferry.errors import LocalProtocolError, RemoteProtocolError

Buffer = bytes | bytearray | memoryview

_U8 = struct.Struct("<B")
_I8 = struct.Struct("<b")
_I16 = struct.Struct("<h")
_I32 = struct.Struct("<i")
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_U64 = struct.Struct("<Q")
_F64 = struct.Struct("<d")

MAX_1 = 1 << 7
MAX_4 = 1 << 30
MAX_8 = 1 << 62


def var_size(length: int) -> bytes:
    """One size in GridDB's tagged form. Raises: LocalProtocolError outside 0 <= length < 2**62.

    Source: docs/protocol.md, Conventions: 1, 4 or 8 bytes, little-endian; the low bits of the first byte say which.
    """
    if 0 <= length < MAX_1:
        return _U8.pack(length << 1 | 1)
    if MAX_1 <= length < MAX_4:
        return _U32.pack(length << 2)
    if MAX_4 <= length < MAX_8:
        return _U64.pack(length << 2 | 2)
    raise LocalProtocolError(f"a size of {length} cannot be written: 0 to 2**62 - 1 can")


def var_sizes(lengths: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """n sizes in GridDB's tagged form, end to end, and where each begins.

    Args: lengths (n,) in bytes.
    Returns: octets (m,); offsets (n + 1,) in bytes, offsets[-1] == m.
    Raises: LocalProtocolError if a length is outside 0 <= length < 2**62.
    """
    n = len(lengths)
    low, high = (int(lengths.min()), int(lengths.max())) if n else (0, 0)
    if low < 0 or high >= MAX_8:
        raise LocalProtocolError(f"a size of {low if low < 0 else high} cannot be written: 0 to 2**62 - 1 can")
    if high < MAX_1:
        return (lengths << 1 | 1).astype(np.uint8), np.arange(n + 1, dtype=np.int64)
    widths = np.where(lengths < MAX_1, 1, np.where(lengths < MAX_4, 4, 8))
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(widths, out=offsets[1:])
    octets = np.empty(int(offsets[-1]), np.uint8)
    for width, tagged in ((1, lengths << 1 | 1), (4, lengths << 2), (8, lengths << 2 | 2)):
        chosen = np.flatnonzero(widths == width)
        source = np.ascontiguousarray(tagged[chosen].astype("<i8")).view(np.uint8).reshape(-1, 8)[:, :width]
        octets[offsets[chosen][:, None] + np.arange(width)] = source
    return octets, offsets


def read_var_sizes(area: NDArray[np.uint8], at: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The sizes at n positions, and the position behind each.

    Args: area (m,); at (n,) positions in it.
    Returns: sizes (n,) in bytes; after (n,).
    Raises: RemoteProtocolError if a size reaches beyond the area or has no valid tag.
    """
    end = len(area)
    if len(at) and (int(at.min()) < 0 or int(at.max()) >= end):
        raise RemoteProtocolError("a size is outside the variable area")
    first = area[at].astype(np.int64)
    short = (first & 1) == 1
    if bool(short.all()):
        return first >> 1, at + 1
    sizes, after = first >> 1, at + 1
    for width, tag in ((4, 0), (8, 2)):
        chosen = np.flatnonzero(~short & ((first & 3) == tag))
        if not len(chosen):
            continue
        start = at[chosen]
        if int(start.max()) + width > end:
            raise RemoteProtocolError("a size is cut off by the end of the variable area")
        wide = np.zeros((len(chosen), 8), np.uint8)
        wide[:, :width] = area[start[:, None] + np.arange(width)]
        values = wide.reshape(-1).view("<u8") >> np.uint64(2)
        sizes[chosen] = values.astype(np.int64)
        after[chosen] = start + width
    return sizes, after


def utf8(text: str) -> bytes:
    """A text's bytes. Raises: LocalProtocolError for half of a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise LocalProtocolError("a text holds half of a surrogate pair, which UTF-8 cannot") from error


class Writer:
    """Collects the fields of one message body; bulk buffers are kept by reference, not copied."""

    def __init__(self) -> None:
        self._parts: list[Buffer] = []

    def raw(self, data: Buffer) -> None:
        """Append bytes as they are."""
        self._parts.append(data)

    def u8(self, value: int) -> None:
        """Append an unsigned byte."""
        self._pack(_U8, value)

    def i8(self, value: int) -> None:
        """Append a signed byte."""
        self._pack(_I8, value)

    def boolean(self, value: bool) -> None:
        """Append 0 or 1."""
        self._pack(_U8, 1 if value else 0)

    def i16(self, value: int) -> None:
        """Append two bytes."""
        self._pack(_I16, value)

    def i32(self, value: int) -> None:
        """Append four bytes."""
        self._pack(_I32, value)

    def i64(self, value: int) -> None:
        """Append eight bytes."""
        self._pack(_I64, value)

    def f64(self, value: float) -> None:
        """Append a double."""
        self._parts.append(_F64.pack(value))

    def string(self, text: str) -> None:
        """Append an i32 byte length and UTF-8 bytes."""
        data = utf8(text)
        self.i32(len(data))
        self.raw(data)

    def var_size(self, length: int) -> None:
        """Append a tagged size."""
        self._parts.append(var_size(length))

    def var_bytes(self, data: Buffer) -> None:
        """Append a tagged size and bytes."""
        self._parts += (var_size(len(data)), data)

    def var_string(self, text: str) -> None:
        """Append a tagged size and UTF-8 bytes."""
        self.var_bytes(utf8(text))

    def sized(self, write: Callable[[Writer], None]) -> None:
        """Append the i32 size of what `write` writes, and then that."""
        inner = Writer()
        write(inner)
        self.i32(inner.size)
        self._parts += inner._parts

    @property
    def size(self) -> int:
        """Bytes collected so far."""
        return sum(len(p) for p in self._parts)

    @property
    def parts(self) -> list[Buffer]:
        """What was collected, in order; the body is their concatenation."""
        return self._parts

    def getvalue(self) -> bytes:
        """The body as one bytes object."""
        return b"".join(self._parts)

    def _pack(self, form: struct.Struct, value: int) -> None:
        try:
            self._parts.append(form.pack(value))
        except struct.error as error:
            raise LocalProtocolError(f"{value} does not fit a field of {form.size} bytes") from error


class Reader:
    """Takes fields from one message body. Raises RemoteProtocolError when the body is too short or malformed."""

    def __init__(self, data: Buffer) -> None:
        self._data = memoryview(data)
        self._at = 0

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def raw(self, size: int) -> memoryview:
        """The next `size` bytes, not copied."""
        if not 0 <= size <= self.remaining:
            raise RemoteProtocolError(f"the message ends early: {size} bytes expected, {self.remaining} left")
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def peek(self) -> memoryview:
        """All bytes not read yet, which stay unread."""
        return self._data[self._at :]

    def rest(self) -> memoryview:
        """All bytes not read yet."""
        return self.raw(self.remaining)

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        """Several fields at once."""
        start = self._at
        if start + form.size > len(self._data):
            self.raw(form.size)  # raises
        self._at = start + form.size
        return form.unpack_from(self._data, start)

    def u8(self) -> int:
        """An unsigned byte."""
        return self._unpack(_U8)

    def i8(self) -> int:
        """A signed byte."""
        return self._unpack(_I8)

    def boolean(self) -> bool:
        """0 is false, all else true."""
        return self._unpack(_U8) != 0

    def i16(self) -> int:
        """Two bytes."""
        return self._unpack(_I16)

    def i32(self) -> int:
        """Four bytes."""
        return self._unpack(_I32)

    def i64(self) -> int:
        """Eight bytes."""
        return self._unpack(_I64)

    def f64(self) -> float:
        """A double."""
        value: float = _F64.unpack(self.raw(8))[0]
        return value

    def string(self) -> str:
        """An i32 byte length and UTF-8 bytes."""
        return self._text(self.raw(self.i32()))

    def count(self, *, at_least: int = 1) -> int:
        """An i32 count of items of which each takes `at_least` bytes: never more than the message can hold."""
        value = self.i32()
        if not 0 <= value * at_least <= self.remaining:
            raise RemoteProtocolError(f"a count of {value} cannot be right: {self.remaining} bytes are left")
        return value

    def var_size(self) -> int:
        """A tagged size."""
        first = self.u8()
        self._at -= 1
        if first & 1:
            return self.u8() >> 1
        if first & 3 == 0:
            return self._unpack(_U32) >> 2
        return self._unpack(_U64) >> 2

    def var_bytes(self) -> memoryview:
        """A tagged size and bytes, not copied."""
        return self.raw(self.var_size())

    def var_string(self) -> str:
        """A tagged size and UTF-8 bytes."""
        return self._text(self.var_bytes())

    def end(self) -> None:
        """Check that nothing is left. Raises: RemoteProtocolError."""
        if self.remaining:
            raise RemoteProtocolError(f"{self.remaining} bytes are left over at the end of the message")

    def plain_text(self) -> str:
        """As `string`, for text that is only shown: what is not UTF-8 becomes a replacement character.

        A server that refuses a name may cut it in the middle of a character.
        """
        return str(self.raw(self.i32()), "utf-8", errors="replace")

    def _text(self, data: memoryview) -> str:
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise RemoteProtocolError("a string is not UTF-8") from error

    def _unpack(self, form: struct.Struct) -> int:
        # The most used of all: no view is made of the few bytes.
        start, end = self._at, self._at + form.size
        if end > len(self._data):
            self.raw(form.size)  # raises
        self._at = end
        value: int = form.unpack_from(self._data, start)[0]
        return value
