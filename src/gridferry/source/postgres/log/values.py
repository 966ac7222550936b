"""Values in PostgreSQL's text form, many at a time -> the Arrow arrays that the snapshot reader yields.

The session that streams has the settings of `transactions.SETTINGS`: ISO dates, UTC, hexadecimal bytea,
shortest floats.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gridferry.plan.plan import ReadAs
from gridferry.source.postgres.log.pgoutput import EPOCH_US, broken

_EPOCH_DAYS = EPOCH_US // 86_400_000_000
_MINUS, _PLUS, _ZERO, _NINE = b"-"[0], b"+"[0], b"0"[0], b"9"[0]
_TRUE, _FALSE = b"t"[0], b"f"[0]
_HEX = np.full(256, 255, np.uint8)
for _digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
    _HEX[np.frombuffer(_digits, np.uint8)] = np.arange(16, dtype=np.uint8)

_DAY = re.compile(r"(\d{4,7})-(\d\d)-(\d\d)( BC)?")
_TIME = re.compile(r"(\d{4,7})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:\+00)?( BC)?")


@dataclass(frozen=True)
class Texts:
    """m values inside `octets`: value i is `octets[starts[i]:ends[i]]`; NULL where `valid` is false.

    `octets` is padded: at least 8 bytes are before the first value and after the last. Starts are ascending, and no
    value begins before the one ahead of it ends.
    """

    octets: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    valid: NDArray[np.bool_]

    def array(self, kind: pa.DataType) -> pa.Array:
        """The values as an array of `kind`, string or binary.

        The octets are read as 2m strings, every second one of them a gap between values; Arrow's own take then copies
        the values together, faster than any indexing by byte.
        """
        count = len(self.starts)
        edges = np.stack((self.starts, self.ends), axis=1).reshape(-1)
        if count and (edges[0] < 0 or edges.max() > len(self.octets) or bool((edges[1:] < edges[:-1]).any())):
            raise broken("values overlap, or lie outside the message")  # Arrow does not look
        offsets = np.empty(2 * count + 1, np.int32)
        offsets[:-1] = edges
        offsets[-1] = offsets[-2] if count else 0
        every = pa.Array.from_buffers(kind, 2 * count, [None, pa.py_buffer(offsets), pa.py_buffer(self.octets)])
        places = np.arange(0, 2 * count, 2, dtype=np.int32)
        return every.take(pa.array(places, mask=None if self.valid.all() else ~self.valid))

    def without(self, tail: int) -> Texts:
        """The values without their last `tail` bytes."""
        return Texts(self.octets, self.starts, np.maximum(self.ends - tail, self.starts), self.valid)

    def only(self, mask: NDArray[np.bool_]) -> Texts:
        """The values where `mask` (m,) is true, NULL elsewhere."""
        return Texts(self.octets, self.starts, self.ends, self.valid & mask)

    def text(self, row: int) -> str:
        """One value."""
        return self.octets[self.starts[row] : self.ends[row]].tobytes().decode(errors="replace")


Decoder = Callable[[Texts], pa.Array]


def decoder_for(base_type: int, read_as: ReadAs) -> Decoder:
    """What decodes a column whose type, after domains, has the oid `base_type`.

    The result gives the same Arrow type and values as `reader.Reader` does: for ReadAs.TEXT what PostgreSQL's cast to
    text gives, which for a few types is not what their output function writes.
    """
    if read_as is ReadAs.TEXT:
        return _AS_TEXT.get(base_type, _text)
    return _PLAIN.get(base_type, _text)


def _text(texts: Texts) -> pa.Array:
    return texts.array(pa.utf8())


def _cast_to(kind: pa.DataType) -> Decoder:
    def decode(texts: Texts) -> pa.Array:
        try:
            return texts.array(pa.utf8()).cast(kind)
        except pa.ArrowInvalid as error:
            raise broken(f"a value of type {kind} is not one") from error

    return decode


def _bool(texts: Texts) -> pa.Array:
    letters = texts.octets[texts.starts]
    true = letters == _TRUE
    if not ((true | (letters == _FALSE)) & (texts.ends - texts.starts == 1) | ~texts.valid).all():
        raise broken("a boolean is neither t nor f")
    return pa.array(true, mask=~texts.valid)


def _bool_text(texts: Texts) -> pa.Array:
    return _bool(texts).cast(pa.utf8())


def _unpadded(texts: Texts) -> pa.Array:
    """character(n) cast to text loses its padding blanks."""
    return pc.ascii_rtrim(_text(texts), characters=" ")


def _address(texts: Texts) -> pa.Array:
    """Inet cast to text always has its netmask; the output function leaves that of a single host out."""
    plain = _text(texts)
    six = pc.match_substring(plain, ":")
    full = pc.binary_join_element_wise(plain, pc.if_else(six, "/128", "/32"), "")
    return pc.if_else(pc.match_substring(plain, "/"), plain, full)


def _bytea(texts: Texts) -> pa.Array:
    """Hexadecimal digits after a leading backslash and x."""
    sizes = texts.ends - texts.starts - 2
    prefix = (texts.octets[texts.starts] == b"\\"[0]) & (texts.octets[texts.starts + 1] == b"x"[0])
    if not (prefix & (sizes >= 0) & (sizes % 2 == 0) | ~texts.valid).all():
        raise broken("a bytea value is not in hexadecimal form")
    shifted = Texts(texts.octets, np.minimum(texts.starts + 2, texts.ends), texts.ends, texts.valid)
    digits = shifted.array(pa.binary())
    sizes = np.where(texts.valid, sizes, 0)
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    data = digits.buffers()[2]
    nibbles = _HEX[np.frombuffer(data, np.uint8)[: offsets[-1]]] if data is not None else np.empty(0, np.uint8)
    if (nibbles == 255).any():
        raise broken("a bytea value is not in hexadecimal form")
    octets = nibbles[0::2] << 4 | nibbles[1::2]
    whole = [None, pa.py_buffer((offsets // 2).astype(np.int32)), pa.py_buffer(octets)]
    decoded = pa.Array.from_buffers(pa.binary(), len(sizes), whole)
    if texts.valid.all():
        return decoded
    return pc.if_else(pa.array(texts.valid), decoded, pa.scalar(None, pa.binary()))


def _looks_plain(texts: Texts) -> NDArray[np.bool_]:
    """True for dates and stamps of the years 1 to 9999: those that Arrow can read."""
    last = texts.octets[texts.ends - 1]
    plain: NDArray[np.bool_] = (texts.octets[texts.starts + 4] == _MINUS) & (last >= _ZERO) & (last <= _NINE)
    return plain & (texts.ends - texts.starts >= 10)


def _date(texts: Texts) -> pa.Array:
    plain = _looks_plain(texts) | ~texts.valid
    days = _cast_to(pa.date32())(texts.only(plain))
    return _with_odd(days, texts, plain, pa.date32(), _odd_day)


def _timestamp(texts: Texts) -> pa.Array:
    plain = _looks_plain(texts) | ~texts.valid
    return _with_odd(_cast_to(pa.timestamp("us"))(texts.only(plain)), texts, plain, pa.timestamp("us"), _odd_time)


def _timestamptz(texts: Texts) -> pa.Array:
    plain = (_looks_plain(texts) & (texts.octets[texts.ends - 3] == _PLUS)) | ~texts.valid
    naive = _cast_to(pa.timestamp("us"))(texts.only(plain).without(3))
    return _with_odd(naive, texts, plain, pa.timestamp("us", tz="UTC"), _odd_time)


def _with_odd(
    array: pa.Array, texts: Texts, plain: NDArray[np.bool_], kind: pa.DataType, parse: Callable[[str], int]
) -> pa.Array:
    """`array` as `kind`, with the values that are not `plain` parsed one by one: they are few."""
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    if plain.all():
        return array.view(width).view(kind)
    numbers = array.view(width).fill_null(0).to_numpy(zero_copy_only=False).copy()
    for row in np.flatnonzero(~plain):
        numbers[row] = parse(texts.text(int(row)))
    return pa.array(numbers, mask=~texts.valid).view(kind)


def _odd_day(text: str) -> int:
    """Days since 1970, wrapped in 32 bits as the driver of the snapshot reader does."""
    if text.lstrip("-") == "infinity":
        days = -(2**31) if text.startswith("-") else 2**31 - 1
        return _wrapped(days + _EPOCH_DAYS, bits=32)
    found = _DAY.fullmatch(text)
    if found is None:
        raise broken("a date is not one")
    return _wrapped(_days(found), bits=32)


def _odd_time(text: str) -> int:
    """Microseconds since 1970, wrapped in 64 bits as the driver of the snapshot reader does."""
    if text.lstrip("-") == "infinity":
        return _wrapped((-(2**63) if text.startswith("-") else 2**63 - 1) + EPOCH_US, bits=64)
    found = _TIME.fullmatch(text)
    if found is None:
        raise broken("a timestamp is not one")
    hours, minutes, seconds = (int(found.group(i)) for i in (4, 5, 6))
    whole = ((_days(found) * 24 + hours) * 60 + minutes) * 60 + seconds
    return _wrapped(whole * 1_000_000 + int((found.group(7) or "0").ljust(6, "0")), bits=64)


def _days(found: re.Match[str]) -> int:
    """Days since 1970 of a date of the proleptic Gregorian calendar; years before 1 are marked BC, and 1 BC is 0."""
    year, month, day = (int(found.group(i)) for i in (1, 2, 3))
    if found.group(found.re.groups):
        year = 1 - year
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)  # a year that ends with February
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - 719468


def _wrapped(value: int, *, bits: int) -> int:
    half = 1 << bits - 1
    return (value + half) % (2 * half) - half


OIDS = {
    "bool": 16,
    "bytea": 17,
    "int8": 20,
    "int2": 21,
    "int4": 23,
    "float4": 700,
    "float8": 701,
    "inet": 869,
    "bpchar": 1042,
    "date": 1082,
    "timestamp": 1114,
    "timestamptz": 1184,
}
"""The types whose values are not just taken as the text they come in. Source: PostgreSQL, pg_type.dat."""

_PLAIN: dict[int, Decoder] = {
    OIDS["bool"]: _bool,
    OIDS["bytea"]: _bytea,
    OIDS["int8"]: _cast_to(pa.int64()),
    OIDS["int2"]: _cast_to(pa.int16()),
    OIDS["int4"]: _cast_to(pa.int32()),
    OIDS["float4"]: _cast_to(pa.float32()),
    OIDS["float8"]: _cast_to(pa.float64()),
    OIDS["date"]: _date,
    OIDS["timestamp"]: _timestamp,
    OIDS["timestamptz"]: _timestamptz,
}
_AS_TEXT: dict[int, Decoder] = {OIDS["bool"]: _bool_text, OIDS["bpchar"]: _unpadded, OIDS["inet"]: _address}
