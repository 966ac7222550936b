"""A client of the emulator without a socket: frames in, frames out."""

from __future__ import annotations

from typing import Any

from gridferry.embedded.answers.call import Node, Peer
from gridferry.embedded.database import Database
from gridferry.embedded.dispatch import Dispatcher
from gridferry.embedded.server import password_digest
from gridferry.griddb.wire.frame import Frame, FrameReader, Role
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.replies import ErrorReply
from gridferry.griddb.wire.requests import Login, Request


class Client:
    """A peer without a socket."""

    def __init__(self, database: Database) -> None:
        node = Node("cluster", {"admin": password_digest("admin")})
        self.dispatcher = Dispatcher(database, node)
        self.peer = Peer()

    def login(self, **changes: Any) -> Frame:
        request = {"user": "admin", "digest": password_digest("admin"), "cluster": "cluster", **changes}
        return self.send(Login(**request))

    def send(self, message: Request, *, partition: int = 0, number: int = 1) -> Frame:
        out = Writer()
        message.write(out)
        return self.raw(message.statement, out.getvalue(), partition=partition, number=number)

    def raw(self, statement: int, body: bytes, *, partition: int = 0, number: int = 1) -> Frame:
        frame = Frame(statement, number, memoryview(body), partition=partition)
        reply = self.dispatcher.answer(self.peer, frame)
        assert reply is not None
        reader = FrameReader(Role.CLIENT)
        reader.receive(b"".join(reply))
        answer = reader.next_frame()
        assert answer is not None
        assert reader.clean
        assert (answer.statement, answer.statement_id) == (statement, number)
        return answer


def code(answer: Frame) -> int:
    """The error that an answer must be."""
    assert answer.status != 0
    return ErrorReply.read(Reader(answer.body)).code
