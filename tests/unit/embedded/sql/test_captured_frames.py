"""The emulator answers the requests that were captured from a real GridDB as that one answered them."""

from __future__ import annotations

from tests.unit.griddb.wire.golden import captured, read

from gridferry.embedded.answers.call import Node, Peer
from gridferry.embedded.database import Database
from gridferry.embedded.server import password_digest
from gridferry.embedded.sql.service import SqlService
from gridferry.griddb.wire.frame import Frame, FrameReader, Role
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.replies import ErrorReply
from gridferry.griddb.wire.sql_replies import SqlReply
from gridferry.griddb.wire.statement import Statement

REQUESTS, REPLIES = captured("sql_frames.json")


def said(frame: Frame) -> list[object]:
    """An answer without what no client reads: the count of variable columns that stands before a row's."""
    reply = SqlReply.read(Reader(frame.body))
    found: list[object] = [reply.pragmas]
    for outcome in reply.outcomes:
        page = outcome.page
        rows = None if page is None else (page.columns, page.more, page.batch().to_pylist())
        found.append((outcome.changed, outcome.parameters, rows))
    return found


def test_captured_requests_are_answered_as_griddb_did(db: Database) -> None:
    service = SqlService(db, Node("myCluster", {"admin": password_digest("admin")}))
    peer = Peer(address=("127.0.0.1", 20001))
    wanted = {reply["case"]: read(reply, Role.CLIENT)[1] for reply in REPLIES}
    answered = 0
    for request in REQUESTS:
        [parts] = service.answers(peer, [read(request, Role.SERVER)[1]])
        reader = FrameReader(Role.CLIENT)
        reader.receive(b"".join(parts or []))
        answer = reader.next_frame()
        expected = wanted.get(request["case"])
        if expected is None:
            assert answer is None, request["case"]
            continue
        assert answer is not None, request["case"]
        assert (answer.statement, answer.statement_id) == (expected.statement, expected.statement_id)
        assert answer.status == expected.status, request["case"]
        answered += 1
        if answer.status:
            # The real server repeats the statement in its message.
            codes = [ErrorReply.read(Reader(frame.body)).code for frame in (answer, expected)]
            assert codes[0] == codes[1], request["case"]
        elif answer.statement == Statement.EXECUTE_SQL:
            assert said(answer) == said(expected), request["case"]
        else:
            assert bytes(answer.body) == bytes(expected.body), request["case"]
    assert answered == len(REPLIES)
