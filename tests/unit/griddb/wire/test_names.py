"""Container names: what is legal, how they look on the wire, which partition they live in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import names

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.wire.names import ContainerKey, container_key, legal_part, partition_of, read_key, write_key
from gridferry.griddb.wire.octets import Reader, Writer, var_size


def image(key: ContainerKey) -> bytes:
    out = Writer()
    write_key(out, key)
    return out.getvalue()


def read_whole(data: bytes) -> ContainerKey:
    source = Reader(data)
    key = read_key(source)
    source.end()
    return key


VECTORS = {"vec1": 73, "Vec1": 73, "VEC1": 73, "vec6": 106, "spec_t1": 28, "indb": 104, "nm@grp1": 84, "nm@77": 77}


@pytest.mark.parametrize(("name", "partition"), VECTORS.items())
def test_partitions_of_the_protocol_page(name: str, partition: int) -> None:
    assert partition_of(container_key(name), 128) == partition
    assert partition_of(container_key(name, 100), 128) == partition, "the database takes no part"


def test_partition_follows_the_affinity() -> None:
    assert partition_of(container_key("a@GRP1"), 128) == partition_of(container_key("grp1"), 128)
    assert partition_of(container_key("a@200"), 128) == 200 % 128
    assert partition_of(container_key("a@007"), 128) == partition_of(container_key("007"), 128)


def test_hash_mode_md5() -> None:
    # RFC 1321: MD5("abc") begins with 90 01 50 98.
    assert partition_of(container_key("ABC"), 1 << 32, 1) == 0x90015098
    with pytest.raises(RemoteProtocolError, match="hash mode 2"):
        partition_of(container_key("Vec1"), 128, 2)


@pytest.mark.parametrize(
    ("key", "data"),
    [
        (container_key("Vec1"), "0f 00 09 76656331 01"),
        (container_key("vec1"), "0f 00 09 76656331 00"),
        (container_key("indb", 100), "1f 01 6400000000000000 09 696e6462 00"),
        (container_key("nm@77"), "0d 04 05 6e6d 9b 00"),
        (container_key("Nm@300"), "13 04 05 6e6d b0040000 01"),
        (container_key("nM@gRp1"), "15 08 05 6e6d 09 67727031 0a"),
        (container_key("A23456789"), "1b 00 13 613233343536373839 0100"),
        (container_key("a2345678Z@B"), "1f 08 13 61323334353637387a 03 62 0003"),
        (ContainerKey("t", "3", large_id=9), "0d 06 03 74 13 07 00"),
        (ContainerKey("t", system_part="Sys"), "11 20 03 74 07 737973 02"),
    ],
)
def test_images(key: ContainerKey, data: str) -> None:
    assert image(key).hex(" ") == bytes.fromhex(data).hex(" ")
    assert read_whole(bytes.fromhex(data)) == key


NUMBERS = (st.integers(0, (1 << 62) - 1) | st.integers(1 << 62, 1 << 200)).map(str)


@given(
    st.builds(
        ContainerKey,
        base=names(),
        affinity=st.just("") | names() | NUMBERS,
        database_id=st.integers(-(1 << 63), (1 << 63) - 1),
        large_id=st.none() | st.integers(0, (1 << 62) - 1),
        system_part=st.just("") | names(),
    )
)
def test_keys_survive(key: ContainerKey) -> None:
    data = image(key)
    assert read_whole(data) == key
    for end in range(len(data)):
        with pytest.raises(RemoteProtocolError):
            read_key(Reader(data[:end]))


@pytest.mark.parametrize("digits", ["4611686018427387904", "9" * 19, "9" * 20, "1" + "0" * 5000])
def test_numbers_too_large_for_a_size_are_names_of_groups(digits: str) -> None:
    """As GridDB's own client has it."""
    key = container_key(f"c@{digits}")
    assert partition_of(key, 128) == partition_of(container_key(digits), 128)
    assert read_whole(image(key)) == key


def test_largest_number() -> None:
    key = container_key("c@4611686018427387903")
    assert partition_of(key, 128) == 127
    assert read_whole(image(key)) == key


@pytest.mark.parametrize("name", ["a", "9", "A.b-c/d=e_F", "x" * 16384, "a@1", "a@g-r.p", "-", "="])
def test_legal_names(name: str) -> None:
    assert container_key(name).name == name
    assert container_key(name).folded == name.lower()


ILLEGAL = ["", "a@", "@g", "@", "a@b@c", "a@g h", "é", "名", "１", "\ud800", "a\n", "a\0", "b8:27:eb", "#x", "(a)"]
ILLEGAL += [f"a{sign}b" for sign in " :#$*,+\"'\\%()"]


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_names(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="cannot name a container"):
        container_key(name)


def test_names_have_a_limit() -> None:
    with pytest.raises(LocalProtocolError, match="16385 bytes: 16384 is the limit"):
        container_key("x" * 16385)


def test_legal_part_is_about_the_whole_text() -> None:
    assert legal_part("temp_1")
    assert not legal_part("temp 1")
    assert not legal_part("temp\n")
    assert not legal_part("")


@pytest.mark.parametrize(
    "data",
    [
        b"\x01",  # nothing
        b"\x03\x00",  # no base
        b"\x0b\x00\x09vec",  # the base cut off
        b"\x0d\x00\x09vec1",  # no case bits
        b"\x11\x00\x09vec1\0\0",  # too many
        b"\x09\x00\x05\xff\xff\x00",  # no UTF-8
        b"\x05\x01\x00",  # the database id cut off
        var_size((1 << 62) - 1) + b"\0",
    ],
)
def test_malformed_images(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_key(Reader(data))


@given(st.binary(max_size=40))
def test_noise(data: bytes) -> None:
    try:
        key = read_key(Reader(data))
    except RemoteProtocolError:
        return
    assert isinstance(key, ContainerKey)
