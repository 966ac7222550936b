"""Frames of the SQL service, captured from a real GridDB 5.9.0: each must decode, and encode to the same bytes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.griddb.wire.golden import captured, named, read, require_same_request
from tests.unit.griddb.wire.sql_messages import VALUES

from gridferry.errors import DataError, RemoteProtocolError
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.frame import Role, encode_reply
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.replies import ConnectReply, ErrorReply, LoginReply, PartitionAddress
from gridferry.griddb.wire.sql_replies import SqlPage, SqlReply
from gridferry.griddb.wire.sql_requests import CancelSql, ExecuteSql
from gridferry.griddb.wire.sql_rows import SqlColumn, arrow_schema, column_names, encode_sql_rows
from gridferry.griddb.wire.sql_values import NULL, Value, bind_table
from gridferry.griddb.wire.statement import SessionMode, SqlOperation, Statement, Status

REQUESTED, ANSWERED = captured("sql_frames.json")
REPLIES: dict[str, Any] = {
    "CONNECT": ConnectReply,
    "LOGIN": LoginReply,
    "GET_PARTITION_ADDRESS": PartitionAddress,
    "EXECUTE_SQL": SqlReply,
}
CLIENT = bytes(range(16, 32))


@pytest.mark.parametrize("frame", REQUESTED, ids=named)
def test_requests_decode_and_encode_to_the_same_bytes(frame: dict[str, str]) -> None:
    require_same_request(frame)


@pytest.mark.parametrize("frame", ANSWERED, ids=named)
def test_answers_decode_and_encode_to_the_same_bytes(frame: dict[str, str]) -> None:
    data, found = read(frame, Role.CLIENT)
    if found.status != Status.SUCCESS:
        reply = ErrorReply.read(Reader(found.body))
        assert (reply.code, reply.name) == (240001, "SQL_COMPILE_SYNTAX_ERROR")
        return
    source = Reader(found.body)
    message = REPLIES[frame["statement"]].read(source)
    out = Writer()
    message.write(out)
    body = out.getvalue()
    if isinstance(message, SqlReply) and not message.pragmas and len(body) == len(found.body) + 4:
        body = body[:-4]  # the server leaves a count of no pragmas out
    head = Statement(found.statement)
    again = b"".join(encode_reply(head, found.statement_id, [body], status=Status(found.status)))
    assert again[24:] == data[24:]  # before that stands an address


def answer(case: str) -> SqlReply:
    (frame,) = [f for f in ANSWERED if f["case"] == case]
    return SqlReply.read(Reader(read(frame, Role.CLIENT)[1].body))


def asked(case: str) -> ExecuteSql:
    (frame,) = [f for f in REQUESTED if f["case"] == case]
    return ExecuteSql.read(Reader(read(frame, Role.SERVER)[1].body))


def test_what_the_answers_say() -> None:
    assert answer("insert 2 rows").outcomes[0].changed == 2
    assert answer("prepare insert").outcomes[0].parameters == 3
    assert [o.changed for o in answer("execute prepared as batch, 2 rows").outcomes] == [1, 1]
    assert answer("close of an unknown query").outcomes == ()
    assert answer("pragma").pragmas == {"internal.compiler.meta_table_visible": "1"}
    page = answer("select").outcomes[0].page
    assert page is not None
    assert (page.more, page.columns) == (
        False,
        (
            SqlColumn("id", GridType.INTEGER, nullable=False),
            SqlColumn("s", GridType.STRING),
            SqlColumn("d", GridType.DOUBLE),
        ),
    )
    assert page.batch().to_pylist() == [{"id": 1, "s": "abc", "d": 1.5}, {"id": 2, "s": None, "d": None}]


def test_values_of_every_kind_that_were_sent_come_back() -> None:
    page = answer("execute prepared select (TIMESTAMP(9), BLOB 0102, TIMESTAMP ms, BOOL)").outcomes[0].page
    assert page is not None
    assert column_names(page.columns) == ["column_1", "column_2", "column_3", "column_4"]
    batch = page.batch()
    times = [batch.column(0).cast(pa.int64()).to_pylist(), batch.column(2).cast(pa.int64()).to_pylist()]
    assert times == [[1704164645678901234], [1704164645678]]
    assert [batch.column(1).to_pylist(), batch.column(3).to_pylist()] == [[b"\1\2"], [True]]
    (sent,) = asked("execute prepared select (TIMESTAMP(9), BLOB 0102, TIMESTAMP ms, BOOL)").bind.values()  # type: ignore[union-attr]
    assert sent == (
        Value(GridType.TIMESTAMP_NS, 1704164645678901234),
        Value(GridType.BLOB, b"\1\2"),
        Value(GridType.TIMESTAMP_MS, 1704164645678),
        Value(GridType.BOOL, True),
    )


def test_a_null_literal_has_the_type_any() -> None:
    page = answer("ANY typed result (NULL literal)").outcomes[0].page
    assert page is not None
    assert [c.type for c in page.columns] == [None, GridType.LONG]
    assert page.batch().to_pylist() == [{"column_1": None, "column_2": 1}]
    fixed, area = encode_sql_rows(page.columns, page.batch())
    assert isinstance(page.image, memoryview)
    assert fixed[8:] + area == bytes(page.image)[8:]  # the server's first offset is not 0


def test_what_the_requests_say() -> None:
    made = asked('execute prepared, 1 row (INTEGER 3, STRING "x", NULL)')
    assert (made.mode, made.operation, made.client, made.text) == (SessionMode.GET, SqlOperation.UPDATE, CLIENT, None)
    assert made.bind is not None
    row = (Value(GridType.INTEGER, 3), Value(GridType.STRING, "x"), NULL)
    assert made.bind.values() == [row]
    assert bind_table([row]) == made.bind
    batch = asked("execute prepared as batch, 2 rows")
    assert batch.bind is not None
    assert bind_table(batch.bind.values()) == batch.bind


def test_a_cancel_names_the_query() -> None:
    (frame,) = [f for f in REQUESTED if f["statement"] == "CANCEL_SQL"]
    assert CancelSql.read(Reader(read(frame, Role.SERVER)[1].body)) == CancelSql(CLIENT, 77)


@given(st.data())
def test_pages_survive_and_malformed_ones_give_an_error_and_nothing_else(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.none() | st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    columns = tuple(SqlColumn(f"c{number}", kind) for number, kind in enumerate(kinds))
    n = data.draw(st.integers(0, 4))
    plain = [
        [None] * n if kind is None else data.draw(st.lists(st.none() | VALUES[kind], min_size=n, max_size=n))
        for kind in kinds
    ]
    schema = arrow_schema(columns)
    arrays = [
        pa.array(values, pa.int64()).cast(field.type)
        if pa.types.is_timestamp(field.type)
        else pa.array(values, field.type)
        for values, field in zip(plain, schema, strict=True)
    ]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    image = b"".join(encode_sql_rows(columns, batch))
    assert SqlPage(columns, n, image).batch().equals(batch)
    at = data.draw(st.integers(0, len(image)))
    piece = data.draw(st.sampled_from([b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x01"]) | st.binary(max_size=2))
    for octets in (image[:at], image[:at] + piece + image[at + len(piece) :]):
        with suppress(RemoteProtocolError, DataError):
            SqlPage(columns, n, octets).batch()
