"""Frames: magic, length, statement, partition, statement id, body. Source: docs/protocol.md, Frame."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gridferry.errors import LocalProtocolError, RemoteProtocolError
from gridferry.griddb.wire.octets import Buffer
from gridferry.griddb.wire.statement import MAX_MESSAGE_BYTES, Statement, Status

MAGIC = 65021048
# Magic, sender address, sender port, -1, body length. The address is as long as those of the connection.
_OUTER = {4: struct.Struct("<i4siiI"), 16: struct.Struct("<i16siiI")}
_REQUEST = struct.Struct("<iiq")
_REQUEST_CONNECT = struct.Struct("<iii")
_REPLY = struct.Struct("<iqB")
_REPLY_CONNECT = struct.Struct("<iiB")


class Role(Enum):
    """Which end of the connection we are: it decides which way frames are read."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True)
class Frame:
    """One message. `partition` counts in requests, `status` in replies; `statement` may be a number unknown to us."""

    statement: int
    statement_id: int
    body: memoryview
    partition: int = 0
    status: int = Status.SUCCESS


def encode_request(
    statement: Statement, statement_id: int, body: Sequence[Buffer], *, partition: int = 0, address_size: int = 4
) -> list[Buffer]:
    """A request as a list of buffers, head first. `address_size` is 16 on an IPv6 connection."""
    if statement is Statement.CONNECT:
        head = _REQUEST_CONNECT.pack(statement, partition, statement_id)
    else:
        head = _REQUEST.pack(statement, partition, statement_id)
    return _framed(head, body, address_size)


def encode_reply(
    statement: int,
    statement_id: int,
    body: Sequence[Buffer],
    *,
    status: Status = Status.SUCCESS,
    address_size: int = 4,
) -> list[Buffer]:
    """A reply as a list of buffers, head first."""
    form = _REPLY_CONNECT if statement == Statement.CONNECT else _REPLY
    return _framed(form.pack(statement, statement_id, status), body, address_size)


def _framed(head: bytes, body: Sequence[Buffer], address_size: int) -> list[Buffer]:
    size = len(head) + sum(len(b) for b in body)
    if size > MAX_MESSAGE_BYTES:
        raise LocalProtocolError(f"a message of {size} bytes: {MAX_MESSAGE_BYTES} is the limit; put fewer rows at once")
    return [_OUTER[address_size].pack(MAGIC, bytes(address_size), 0, -1, size) + head, *body]


class FrameReader:
    """Bytes in, frames out. `None` means that more bytes are needed; after an error the stream is unusable.

    Bytes are kept as the pieces they came in and joined once a frame is complete.
    """

    def __init__(self, role: Role, *, max_body: int = MAX_MESSAGE_BYTES, address_size: int = 4) -> None:
        self._role = role
        self._outer = _OUTER[address_size]
        self._max_body = max_body
        self._pieces: list[Buffer] = []
        self._size = 0
        self._wanted: int | None = None  # bytes of the whole frame, once its head is known
        self._broken = False

    def allow(self, max_body: int) -> None:
        """Take bodies of up to `max_body` bytes from now on."""
        self._max_body = max_body

    def receive(self, data: bytes) -> None:
        """Append bytes from the peer."""
        if data:
            self._pieces.append(data)
            self._size += len(data)

    @property
    def missing(self) -> int:
        """How many bytes, at least, the next frame still needs."""
        return max(0, (self._wanted or self._outer.size) - self._size)

    @property
    def clean(self) -> bool:
        """Whether no part of a frame is waiting: the peer may end here without harm."""
        return self._size == 0

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None. Raises: RemoteProtocolError for what is no frame."""
        if self._broken:
            raise RemoteProtocolError("the connection is out of step after a malformed frame")
        try:
            return self._next()
        except (RemoteProtocolError, struct.error) as error:
            self._broken = True
            if isinstance(error, struct.error):
                raise RemoteProtocolError("a frame is too short for its head") from error
            raise

    def _next(self) -> Frame | None:
        if self._size < self._outer.size:
            return None
        if self._wanted is None:
            self._wanted = self._whole_size()
        if self._size < self._wanted:
            return None
        data = self._joined()
        frame = memoryview(data)[self._outer.size : self._wanted]
        # A view, not a copy: many small frames may come in one piece.
        rest = memoryview(data)[self._wanted :]
        self._pieces, self._size, self._wanted = ([rest] if len(rest) else []), len(rest), None
        return self._parsed(frame)

    def _joined(self) -> Buffer:
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    def _whole_size(self) -> int:
        if len(self._pieces[0]) < self._outer.size:
            self._joined()
        magic, _, _, _, size = self._outer.unpack_from(self._pieces[0])
        if magic != MAGIC:
            raise RemoteProtocolError("the peer does not speak GridDB's protocol (wrong magic number)")
        if size > self._max_body:
            raise RemoteProtocolError(f"a message of {size} bytes: {self._max_body} is the limit")
        return self._outer.size + int(size)

    def _parsed(self, frame: memoryview) -> Frame:
        (statement,) = struct.unpack_from("<i", frame)
        connect = statement == Statement.CONNECT
        if self._role is Role.SERVER:
            request = _REQUEST_CONNECT if connect else _REQUEST
            _, partition, statement_id = request.unpack_from(frame)
            return Frame(statement, statement_id, frame[request.size :], partition=partition)
        reply = _REPLY_CONNECT if connect else _REPLY
        _, statement_id, status = reply.unpack_from(frame)
        return Frame(statement, statement_id, frame[reply.size :], status=status)
