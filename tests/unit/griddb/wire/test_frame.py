"""Frames in and out: whole, byte by byte, several at once, malformed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.wire import frame as frame_module
from gridferry.griddb.wire.frame import MAGIC, Frame, FrameReader, Role, encode_reply, encode_request
from gridferry.griddb.wire.statement import Statement, Status

STATEMENTS = st.sampled_from([Statement.CONNECT, Statement.LOGIN, Statement.PUT_MULTIPLE_ROWS])


@st.composite
def messages(draw: st.DrawFn) -> tuple[Role, bytes, Frame]:
    """Who reads a frame, its bytes, and what it says."""
    statement, body = draw(STATEMENTS), draw(st.binary(max_size=40))
    number = draw(st.integers(0, (1 << (31 if statement is Statement.CONNECT else 63)) - 1))
    pieces: list[bytes | memoryview] = [body[: len(body) // 2], memoryview(body)[len(body) // 2 :]]
    if draw(st.booleans()):
        partition = draw(st.integers(0, 127))
        data = b"".join(encode_request(statement, number, pieces, partition=partition))
        return Role.SERVER, data, Frame(statement, number, memoryview(body), partition=partition)
    status = draw(st.sampled_from(list(Status)))
    data = b"".join(encode_reply(statement, number, pieces, status=status))
    return Role.CLIENT, data, Frame(statement, number, memoryview(body), status=status)


def frames(reader: FrameReader) -> list[Frame]:
    found = []
    while (frame := reader.next_frame()) is not None:
        found.append(frame)
    return found


@given(messages())
def test_whole(message: tuple[Role, bytes, Frame]) -> None:
    role, data, expected = message
    reader = FrameReader(role)
    assert reader.clean
    assert reader.next_frame() is None
    reader.receive(data)
    assert frames(reader) == [expected]
    assert reader.clean


@given(messages())
def test_byte_by_byte(message: tuple[Role, bytes, Frame]) -> None:
    role, data, expected = message
    reader = FrameReader(role)
    for at in range(len(data)):
        assert reader.next_frame() is None
        assert 0 < reader.missing <= len(data) - at
        assert at >= 20 or reader.missing == 20 - at
        assert at < 20 or reader.missing == len(data) - at
        reader.receive(data[at : at + 1])
        reader.receive(b"")
    assert frames(reader) == [expected]
    assert reader.clean


@given(st.lists(messages(), min_size=1, max_size=4), st.data())
def test_several_in_any_pieces(found: list[tuple[Role, bytes, Frame]], data: st.DataObject) -> None:
    found = [message for message in found if message[0] is found[0][0]]
    stream = b"".join(message[1] for message in found)
    reader, seen, at = FrameReader(found[0][0]), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream)))
        reader.receive(stream[at : at + size])
        at += size
        if data.draw(st.booleans()):
            seen += frames(reader)
    seen += frames(reader)
    assert seen == [message[2] for message in found]
    assert reader.clean


@given(messages(), st.data())
def test_frame_and_part_of_the_next(message: tuple[Role, bytes, Frame], data: st.DataObject) -> None:
    role, octets, expected = message
    reader = FrameReader(role)
    part = data.draw(st.integers(1, len(octets) - 1))
    reader.receive(octets + octets[:part])
    assert reader.next_frame() == expected
    assert not reader.clean
    assert reader.next_frame() is None
    reader.receive(octets[part:])
    assert reader.next_frame() == expected
    assert reader.clean


@given(messages(), st.booleans())
def test_heads_of_an_ipv6_connection(message: tuple[Role, bytes, Frame], one_by_one: bool) -> None:
    role, _, expected = message
    number, body = expected.statement_id, [expected.body]
    if role is Role.SERVER:
        statement = Statement(expected.statement)
        parts = encode_request(statement, number, body, partition=expected.partition, address_size=16)
    else:
        parts = encode_reply(expected.statement, number, body, status=Status(expected.status), address_size=16)
    data = b"".join(parts)
    assert data[28:32] == (len(data) - 32).to_bytes(4, "little")
    reader = FrameReader(role, address_size=16)
    for at in range(0, len(data), 1 if one_by_one else len(data)):
        reader.receive(data[at : at + (1 if one_by_one else len(data))])
    assert frames(reader) == [expected]
    assert reader.clean


def test_statements_unknown_to_us_are_frames_too() -> None:
    reader = FrameReader(Role.SERVER)
    reader.receive(struct.pack("<iiiiI", MAGIC, 0, 0, -1, 16) + struct.pack("<iiq", 4711, 5, 6))
    assert reader.next_frame() == Frame(4711, 6, memoryview(b""), partition=5)


def head(size: int, magic: int = MAGIC) -> bytes:
    return struct.pack("<iiiiI", magic, 0, 0, -1, size)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (head(16, magic=MAGIC + 1), "wrong magic"),
        (b"HTTP/1.1 400 Bad Request\r\n", "wrong magic"),
        (head(1 << 31), "2147483648 bytes: 2147483647 is the limit"),
        (head((1 << 32) - 1), "is the limit"),
        (head(0), "too short for its head"),
        (head(3) + bytes(3), "too short for its head"),
        (head(12) + struct.pack("<iq", 102, 1), "too short for its head"),
        (head(8) + struct.pack("<ii", 100, 1), "too short for its head"),
    ],
)
@pytest.mark.parametrize("role", list(Role))
def test_what_is_no_frame(role: Role, data: bytes, words: str) -> None:
    reader = FrameReader(role)
    for at in range(len(data) - 1):
        reader.receive(data[at : at + 1])
        if at < 19:
            assert reader.next_frame() is None
    reader.receive(data[-1:])
    with pytest.raises(RemoteProtocolError, match=words):
        reader.next_frame()


@pytest.mark.parametrize("role", list(Role))
def test_after_an_error_the_stream_is_unusable(role: Role) -> None:
    reader = FrameReader(role)
    reader.receive(head(0))
    with pytest.raises(RemoteProtocolError, match="too short"):
        reader.next_frame()
    reader.receive(b"".join(encode_request(Statement.LOGIN, 1, [])))
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="out of step"):
            reader.next_frame()


def test_a_reader_may_have_a_lower_limit() -> None:
    reader = FrameReader(Role.SERVER, max_body=100)
    reader.receive(b"".join(encode_request(Statement.LOGIN, 1, [bytes(84)])))
    assert reader.next_frame() is not None
    reader.receive(head(101))
    with pytest.raises(RemoteProtocolError, match="101 bytes: 100 is the limit"):
        reader.next_frame()


def test_many_frames_in_one_piece_are_not_copied_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left behind a frame is a view of the piece it came in."""
    one = b"".join(encode_reply(Statement.PUT_ROW, 7, [b"\0"]))
    piece = one * 50
    reader = FrameReader(Role.CLIENT)
    reader.receive(piece)
    found = frames(reader)
    assert len(found) == 50
    assert all(frame.body.obj is piece for frame in found)


def test_a_message_that_is_too_long_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_module, "MAX_MESSAGE_BYTES", 99)
    encode_request(Statement.LOGIN, 1, [bytes(83)])
    with pytest.raises(LocalProtocolError, match="100 bytes: 99 is the limit; put fewer rows"):
        encode_request(Statement.LOGIN, 1, [bytes(84)])


@given(st.binary(max_size=60), st.sampled_from(list(Role)))
def test_noise(data: bytes, role: Role) -> None:
    reader = FrameReader(role)
    reader.receive(head(len(data)) + data)
    try:
        frame = reader.next_frame()
    except RemoteProtocolError:
        return
    assert frame is not None
    assert reader.clean
