"""A multi-get's predicates, byte by byte. Origin: what GridDB's Java client sends and the 5.9.0 server reads."""

from __future__ import annotations

import pyarrow as pa
import pytest

from gridferry.errors import RemoteProtocolError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.encode import encode_key_set, encode_keys
from gridferry.griddb.wire.multi_requests import KeyPredicate, MultiGet
from gridferry.griddb.wire.octets import Buffer, Reader, Writer

HEAD = bytes(16) + bytes(4) + (1).to_bytes(4, "little")  # no client, no options, one predicate
TAIL = bytes(4)  # no containers

PAIR = ContainerSchema(
    ContainerKind.COLLECTION,
    (ColumnSpec("a", GridType.STRING, nullable=False), ColumnSpec("b", GridType.INTEGER, nullable=False)),
    2,
)
ONE = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("a", GridType.STRING, nullable=False),))
PAIR_KEY = "0000000000000000 00 09000000  03 03 61"
TWO_PAIRS = "0000000000000000 00 09000000  0300000000000000 00 07000000  03 03 61  03 05 6262"


def _pairs(*keys: tuple[str, int]) -> list[Buffer]:
    arrays = [pa.array([a for a, _ in keys]), pa.array([b for _, b in keys], pa.int32())]
    return encode_key_set(PAIR, pa.record_batch(arrays, schema=PAIR.arrow_schema))


def _single(*keys: str) -> list[bytes]:
    return encode_keys(ONE, pa.record_batch([pa.array(keys)], schema=ONE.arrow_schema))


CASES = {
    "distinct single keys": (
        KeyPredicate((0,), _single("a", "bb"), 2),
        "00 01  02000000  03 61 05 6262",
    ),
    "range of single keys": (
        KeyPredicate((0,), start=_single("a")[0], end=_single("bb")[0]),
        "00 00  01 03 61  01 05 6262",
    ),
    "open range": (KeyPredicate((0,), start=_single("a")[0]), "00 00  01 03 61  00"),
    "distinct composite keys": (
        KeyPredicate((0, 4), _pairs(("a", 9), ("bb", 7)), 2),
        f"ff 01  02000000 00 04  25000000 02000000 {TWO_PAIRS}",
    ),
    "range of composite keys": (
        KeyPredicate((0, 4), _pairs(("a", 9), ("bb", 7)), 2, ends=(True, True)),
        f"ff 00  02000000 00 04  01 01  25000000 02000000 {TWO_PAIRS}",
    ),
    "composite range without end": (
        KeyPredicate((0, 4), _pairs(("a", 9)), 1, ends=(True, False)),
        f"ff 00  02000000 00 04  01 00  14000000 01000000 {PAIR_KEY}",
    ),
}


@pytest.mark.parametrize(("predicate", "expected"), CASES.values(), ids=CASES)
def test_predicate_bytes(predicate: KeyPredicate, expected: str) -> None:
    out = Writer()
    MultiGet((predicate,), []).write(out)
    assert out.getvalue() == HEAD + bytes.fromhex(expected) + TAIL


@pytest.mark.parametrize(("predicate", "expected"), CASES.values(), ids=CASES)
def test_predicate_is_read_as_it_was_written(predicate: KeyPredicate, expected: str) -> None:
    message = MultiGet.read(Reader(HEAD + bytes.fromhex(expected) + TAIL))
    again = Writer()
    message.write(again)
    assert again.getvalue() == HEAD + bytes.fromhex(expected) + TAIL
    (found,) = message.predicates
    assert (found.types, found.count, found.start, found.end, found.ends) == (
        predicate.types,
        predicate.count,
        predicate.start,
        predicate.end,
        predicate.ends,
    )


@pytest.mark.parametrize("size", [0, 3, -1])
def test_a_size_that_leaves_no_room_for_the_count_is_refused(size: int) -> None:
    body = bytes.fromhex("ff 01  02000000 00 04") + size.to_bytes(4, "little", signed=True) + bytes(4)
    with pytest.raises(RemoteProtocolError, match="composite keys"):
        MultiGet.read(Reader(HEAD + body + TAIL))
