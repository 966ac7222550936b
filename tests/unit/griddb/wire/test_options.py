"""The optional-request section: known options, blocks of them, and those of newer clients."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.options import read_options, write_options
from gridferry.griddb.wire.statement import Option

I8, I32, I64 = (st.integers(-(1 << b - 1), (1 << b - 1) - 1) for b in (8, 32, 64))
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
VALUES: dict[Option, st.SearchStrategy[Any]] = {
    Option.LEGACY_VERSION: I8,
    Option.TRANSACTION_TIMEOUT: I32,
    Option.FOR_UPDATE: st.booleans(),
    Option.LOCK_CONTINUES: st.booleans(),
    Option.SYSTEM_MODE: st.booleans(),
    Option.DATABASE_NAME: TEXT,
    Option.CONTAINER_ATTRIBUTE: I32,
    Option.PUT_MODE: I8,
    Option.REQUEST_MODULE: I8,
    Option.STATEMENT_TIMEOUT: I32,
    Option.FETCH_LIMIT: I64,
    Option.FETCH_SIZE: I64,
    Option.CLIENT_ID: st.tuples(I64, st.binary(min_size=16, max_size=16)),
    Option.FETCH_BYTES_SIZE: I32,
    Option.META_CONTAINER_ID: I64,
    Option.FEATURE_VERSION: I32,
    Option.ACCEPTABLE_FEATURE_VERSION: I32,
    Option.CONTAINER_VISIBILITY: I32,
    Option.META_NAMING_TYPE: I8,
    Option.APPLICATION_NAME: TEXT,
    Option.MEMORY_SWAP_RATE: st.floats(allow_nan=False),
    Option.TIME_ZONE_OFFSET: I64,
    Option.AUTHENTICATION_TYPE: I8,
    Option.CONNECTION_ROUTE: I8,
    Option.SUB_CONTAINER_VERSION: I64,
    Option.SUB_CONTAINER_EXPIRABLE: st.booleans(),
    Option.PRAGMAS: st.dictionaries(TEXT, TEXT, max_size=3),
}
options = st.fixed_dictionaries({}, optional=VALUES)


def image(value: dict[Option, Any]) -> bytes:
    out = Writer()
    write_options(out, value)
    return out.getvalue()


def section(hexadecimal: str) -> Reader:
    body = bytes.fromhex(hexadecimal)
    return Reader(len(body).to_bytes(4, "little") + body)


def test_every_option_but_one_is_tried() -> None:
    assert set(Option) - set(VALUES) == {Option.QUERY_CONTAINER_KEY}


@given(options)
def test_options_survive(value: dict[Option, Any]) -> None:
    source = Reader(image(value))
    assert read_options(source) == value
    source.end()


@given(options)
def test_cut_off(value: dict[Option, Any]) -> None:
    data = image(value)
    for end in range(len(data)):
        with pytest.raises(RemoteProtocolError):
            read_options(Reader(data[:end]))


def test_no_options_are_four_zeros() -> None:
    assert image({}) == bytes(4)


def test_layout_of_blocks() -> None:
    """As captured: low ids directly, those from 11000 on in one sized block for each thousand."""
    value = {
        Option.SUB_CONTAINER_EXPIRABLE: True,
        Option.FEATURE_VERSION: 5,
        Option.TRANSACTION_TIMEOUT: 300,
        Option.STATEMENT_TIMEOUT: 7,
    }
    assert image(value).hex(" ", -4) == bytes.fromhex(
        "2100000001002c010000112707000000f82a06000000fc2a05000000c83203000000ca3201"
    ).hex(" ", -4)


def test_put_mode_as_the_reference_client_writes_it() -> None:
    """Four bytes: the last three read as LEGACY_VERSION 0."""
    assert read_options(section("070001000000")) == {Option.PUT_MODE: 1, Option.LEGACY_VERSION: 0}


def test_unknown_options_in_a_block_are_skipped_with_its_rest() -> None:
    in_block = section("f82a0c000000" + "fc2a05000000" + "e72b01020304" + "010007000000")
    assert read_options(in_block) == {Option.FEATURE_VERSION: 5, Option.TRANSACTION_TIMEOUT: 7}
    whole_block = section("e02e03000000" + "aabbcc" + "010005000000")
    assert read_options(whole_block) == {Option.TRANSACTION_TIMEOUT: 5}


NO_SECTIONS = ["6300", "ffff00", "142700", "0100", "f82a", "f82a10000000", "f82affffffff", "050001000000"]


@pytest.mark.parametrize("data", NO_SECTIONS)
def test_sections_that_cannot_be_read(data: str) -> None:
    with pytest.raises(RemoteProtocolError):
        read_options(section(data))


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x01\0\0\0"])
def test_sizes_that_cannot_be(size: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_options(Reader(size))


def test_options_that_cannot_be_written() -> None:
    with pytest.raises(LocalProtocolError, match="QUERY_CONTAINER_KEY"):
        image({Option.QUERY_CONTAINER_KEY: b""})
    with pytest.raises(LocalProtocolError, match="does not fit"):
        image({Option.PUT_MODE: 1000})


@given(st.binary(max_size=40))
def test_noise(data: bytes) -> None:
    try:
        found = read_options(Reader(len(data).to_bytes(4, "little") + data))
    except RemoteProtocolError:
        return
    assert set(found) <= set(Option)
