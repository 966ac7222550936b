"""Numbers, sizes and strings: scalar and vectorised forms agree, at every border."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import slow_rows

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.wire.octets import Reader, Writer, read_var_sizes, var_size, var_sizes

BORDERS = [
    0, 1, 63, 64, 126, 127, 128, 300, 16383, 16384, (1 << 30) - 1, 1 << 30, (1 << 31) - 1, 1 << 31, 1 << 32,
    1 << 60, (1 << 61) - 1, 1 << 61, (1 << 62) - 1,
]  # fmt: skip
sizes = st.sampled_from(BORDERS) | st.integers(0, (1 << 62) - 1) | st.integers(0, 200)


def test_the_size_of_the_protocol_page() -> None:
    assert var_size(300).hex() == "b0040000"


@pytest.mark.parametrize("value", BORDERS)
def test_borders(value: int) -> None:
    data = var_size(value)
    assert data == slow_rows.size(value)
    assert len(data) == (1 if value < 1 << 7 else 4 if value < 1 << 30 else 8)
    source = Reader(data)
    assert source.var_size() == value
    source.end()


@given(st.lists(sizes))
def test_vectorised_equals_scalar(values: list[int]) -> None:
    octets, offsets = var_sizes(np.array(values, np.int64))
    assert octets.tobytes() == b"".join(var_size(v) for v in values)
    assert offsets.tolist() == [sum(len(var_size(v)) for v in values[:n]) for n in range(len(values) + 1)]


@given(st.lists(sizes))
def test_vectorised_sizes_are_read_back(values: list[int]) -> None:
    octets, offsets = var_sizes(np.array(values, np.int64))
    found, after = read_var_sizes(octets, offsets[:-1])
    assert found.tolist() == values
    assert after.tolist() == offsets[1:].tolist()


@given(st.binary(min_size=1, max_size=12), st.lists(st.integers(-2, 13), max_size=4))
def test_vectorised_reading_equals_scalar(area: bytes, at: list[int]) -> None:
    def scalar(position: int) -> tuple[int, int]:
        source = Reader(area[position:] if 0 <= position <= len(area) else b"")
        return source.var_size(), len(area) - source.remaining

    try:
        expected = [scalar(position) for position in at]
    except RemoteProtocolError:
        with pytest.raises(RemoteProtocolError):
            read_var_sizes(np.frombuffer(area, np.uint8), np.array(at, np.int64))
        return
    found, after = read_var_sizes(np.frombuffer(area, np.uint8), np.array(at, np.int64))
    assert list(zip(found.tolist(), after.tolist(), strict=True)) == expected


@pytest.mark.parametrize("value", [-1, 1 << 62, 1 << 64])
def test_sizes_that_cannot_be_written(value: int) -> None:
    with pytest.raises(LocalProtocolError, match=str(value)):
        var_size(value)
    if value < 1 << 63:
        with pytest.raises(LocalProtocolError, match=str(value)):
            var_sizes(np.array([5, value, 6], np.int64))


NUMBERS = {"u8": (8, False), "i8": (8, True), "i16": (16, True), "i32": (32, True), "i64": (64, True)}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    bits, signed = NUMBERS[name]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    out = Writer()
    for value in (low, 1, high):
        getattr(out, name)(value)
    assert out.getvalue() == b"".join(v.to_bytes(bits // 8, "little", signed=signed) for v in (low, 1, high))
    assert out.size == 3 * bits // 8
    source = Reader(out.getvalue())
    assert [getattr(source, name)() for _ in range(3)] == [low, 1, high]
    for value in (low - 1, high + 1):
        with pytest.raises(LocalProtocolError, match="does not fit"):
            getattr(out, name)(value)
    with pytest.raises(RemoteProtocolError, match="ends early"):
        getattr(source, name)()


@given(st.text(st.characters(blacklist_categories=["Cs"])), st.floats(allow_nan=False), st.booleans())
def test_strings_floats_and_booleans(text: str, number: float, flag: bool) -> None:
    out = Writer()
    out.string(text)
    out.var_string(text)
    out.f64(number)
    out.boolean(flag)
    out.sized(lambda inner: inner.string(text))
    source = Reader(out.getvalue())
    assert (source.string(), source.var_string(), source.f64(), source.boolean()) == (text, text, number, flag)
    assert Reader(source.raw(source.i32())).string() == text
    source.end()


def test_half_a_surrogate_pair_cannot_be_written() -> None:
    for write in (Writer.string, Writer.var_string):
        with pytest.raises(LocalProtocolError, match="surrogate"):
            write(Writer(), "a\ud800")


NO_STRINGS = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7fab", b"\x02\0\0\0a", b"\x01\0\0\0\xff", b"\0\0\0"]


@pytest.mark.parametrize("data", NO_STRINGS)
def test_strings_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Reader(data).string()


NO_COUNTS = [(b"\xff\xff\xff\xff", 1), (b"\xff\xff\xff\x7f" + bytes(50), 1), (b"\x02\0\0\0" + bytes(11), 6)]


@pytest.mark.parametrize(("data", "at_least"), NO_COUNTS)
def test_counts_that_a_message_cannot_hold(data: bytes, at_least: int) -> None:
    with pytest.raises(RemoteProtocolError, match="count"):
        Reader(data).count(at_least=at_least)


def test_left_over_bytes() -> None:
    source = Reader(b"ab")
    assert bytes(source.peek()) == b"ab"
    with pytest.raises(RemoteProtocolError, match="2 bytes are left over"):
        source.end()
    assert bytes(source.rest()) == b"ab"
    source.end()
