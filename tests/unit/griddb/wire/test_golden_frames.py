"""Frames captured from a real GridDB 5.9.0: each must decode, and encode again to the same bytes."""

from __future__ import annotations

import pytest
from tests.unit.griddb.wire.golden import captured, named, read, require_same_request

from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire import container_requests, multi_requests, row_requests  # noqa: F401 - they enter their requests into the table
from gridferry.griddb.wire.decode import decode_rows
from gridferry.griddb.wire.frame import Role, encode_reply
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.replies import (
    ConnectReply,
    ContainerReply,
    ErrorReply,
    LoginReply,
    PartitionAddress,
    read_properties,
    write_properties,
)
from gridferry.griddb.wire.requests import Login
from gridferry.griddb.wire.row_replies import QueryReply, rows_of
from gridferry.griddb.wire.statement import Property, Statement, Status

REQUEST_FRAMES, REPLY_FRAMES = captured("frames.json")

TS = ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False)
VEC1 = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (TS, ColumnSpec("v", GridType.DOUBLE), ColumnSpec("f", GridType.BOOL), ColumnSpec("s", GridType.STRING)),
)
VEC6 = ContainerSchema(
    ContainerKind.COLLECTION,
    (ColumnSpec("ts", GridType.TIMESTAMP_US, nullable=False), ColumnSpec("v", GridType.DOUBLE)),
)


@pytest.mark.parametrize("frame", REQUEST_FRAMES, ids=named)
def test_requests_decode_and_encode_to_the_same_bytes(frame: dict[str, str]) -> None:
    require_same_request(frame)


def _same(kind):
    def both(source: Reader, out: Writer) -> object:
        reply = kind.read(source)
        reply.write(out)
        return reply

    return both


def _container(kind: ContainerKind):
    def both(source: Reader, out: Writer) -> object:
        reply = ContainerReply.read(source, kind)
        source.rest()
        reply.write(out)
        return reply

    return both


def _properties(source: Reader, out: Writer) -> object:
    answers = read_properties(source)
    write_properties(out, answers, [Property.ID, Property.SCHEMA, Property.ATTRIBUTE, Property.INDEX_DETAIL])
    return answers


def _raw(source: Reader, out: Writer) -> None:
    out.raw(source.rest())


SHAPES = {
    "CONNECT": _same(ConnectReply),
    "LOGIN": _same(LoginReply),
    "GET_PARTITION_ADDRESS": _same(PartitionAddress),
    "QUERY_TQL": _same(QueryReply),
    "PUT_MULTIPLE_ROWS": _raw,
}
BY_CASE = {
    "put TIME_SERIES container Vec1": _container(ContainerKind.TIME_SERIES),
    "put COLLECTION with TIMESTAMP(6) key": _container(ContainerKind.COLLECTION),
    "properties id,schema,attribute,index detail": _properties,
    "error: schema version mismatch": _same(ErrorReply),
}


@pytest.mark.parametrize("frame", REPLY_FRAMES, ids=named)
def test_replies_decode_and_encode_to_the_same_bytes(frame: dict[str, str]) -> None:
    data, found = read(frame, Role.CLIENT)
    assert Statement(found.statement).name == frame["statement"]
    source, out = Reader(found.body), Writer()
    shape = BY_CASE.get(frame["case"]) or SHAPES.get(frame["statement"])
    if shape is not None:
        shape(source, out)
    source.end()
    again = b"".join(encode_reply(found.statement, found.statement_id, out.parts, status=Status(found.status)))
    # Sender address and port are the server's own business: they are ignored on both sides.
    assert again[16:] == data[16:]


def reply_body(case: str) -> Reader:
    frame = next(f for f in REPLY_FRAMES if f["case"] == case)
    return Reader(read(frame, Role.CLIENT)[1].body)


def test_values_of_captured_rows() -> None:
    reply = QueryReply.read(reply_body("TQL rows"))
    assert reply.rows is not None
    rows = rows_of(VEC1, reply.rows)
    assert rows.column("ts").cast("int64").to_pylist() == [1700000000000, 1700000001000]
    assert rows.column("v").to_pylist() == [1.5, None]
    assert rows.column("f").to_pylist() == [True, False]
    assert rows.column("s").to_pylist() == ["abc", None]


def test_values_of_captured_rows_with_row_id() -> None:
    reply = QueryReply.read(reply_body("TQL rows with row id"))
    assert reply.rows is not None
    image = reply.rows.image
    assert isinstance(image, bytes | bytearray | memoryview)
    batch, row_ids = decode_rows(VEC6, reply.rows.count, image, row_ids=True)
    assert row_ids is not None
    assert row_ids.tolist() == [0]
    assert batch.column("ts").cast("int64").to_pylist() == [1700000000123456]
    assert batch.column("v").to_pylist() == [2.0]


def test_values_of_captured_aggregates() -> None:
    values = {}
    for case in ("TQL count", "TQL max", "TQL max TIMESTAMP(6)"):
        aggregate = QueryReply.read(reply_body(case)).aggregate
        assert aggregate is not None
        values[case] = (aggregate.type, aggregate.value)
    assert values == {
        "TQL count": (GridType.LONG, 2),
        "TQL max": (GridType.TIMESTAMP_MS, 1700000001000),
        "TQL max TIMESTAMP(6)": (GridType.TIMESTAMP_US, 1700000000123456),
    }


def test_captured_error() -> None:
    error = ErrorReply.read(reply_body("error: schema version mismatch"))
    assert (error.code, error.name) == (10017, "TXN_CONTAINER_SCHEMA_UNMATCH")


def test_captured_login_digest() -> None:
    frame = next(f for f in REQUEST_FRAMES if f["statement"] == "LOGIN")
    login = Login.read(Reader(read(frame, Role.SERVER)[1].body))
    assert (login.user, login.cluster, login.owner) == ("admin", "specCluster", True)
    assert login.digest == "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918"
