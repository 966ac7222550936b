"""One request frame -> one answer. No I/O: a table of handlers, and what becomes of their errors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from gridferry.embedded.answers import connections, containers, many, queries, rows, series
from gridferry.embedded.answers.call import Call, Handler, Node, Peer
from gridferry.embedded.database import PARTITIONS, Database
from gridferry.embedded.refusal import Code, Refusal
from gridferry.errors import DataError, LocalProtocolError, RemoteProtocolError
from gridferry.griddb.wire import client_requests, multi_requests, requests, row_requests
from gridferry.griddb.wire.frame import Frame, encode_reply
from gridferry.griddb.wire.multi_requests import MultiQuery
from gridferry.griddb.wire.octets import Buffer, Reader, Writer
from gridferry.griddb.wire.replies import ErrorReply
from gridferry.griddb.wire.requests import REQUESTS
from gridferry.griddb.wire.row_requests import DeleteRow
from gridferry.griddb.wire.statement import Option, Statement, Status

_log = logging.getLogger(__name__)

HANDLERS: dict[Statement, Handler] = {
    Statement.CONNECT: connections.connect,
    Statement.LOGIN: connections.login,
    Statement.LOGOUT: connections.logout,
    Statement.GET_PARTITION_ADDRESS: connections.partition_address,
    Statement.GET_DATABASES: connections.get_databases,
    Statement.PUT_DATABASE: connections.make_database,
    Statement.DROP_DATABASE: connections.remove_database,
    Statement.PUT_CONTAINER: containers.make,
    Statement.GET_CONTAINER: containers.find,
    Statement.DROP_CONTAINER: containers.drop,
    Statement.GET_CONTAINER_PROPERTIES: containers.properties,
    Statement.GET_PARTITION_CONTAINER_NAMES: containers.names,
    Statement.CREATE_INDEX_DETAIL: containers.make_index,
    Statement.DROP_INDEX_DETAIL: containers.remove_index,
    Statement.FLUSH_LOG: containers.flush,
    Statement.CREATE_SESSION: rows.create_session,
    Statement.CLOSE_SESSION: rows.close_session,
    Statement.COMMIT_TRANSACTION: rows.commit,
    Statement.ABORT_TRANSACTION: rows.abort,
    Statement.PUT_ROW: rows.put_one,
    Statement.PUT_MULTIPLE_ROWS: rows.put,
    Statement.APPEND_TIME_SERIES_ROW: rows.append,
    Statement.UPDATE_ROW_BY_ID: rows.update_by_id,
    Statement.DELETE_ROW_BY_ID: rows.delete_by_id,
    Statement.GET_ROW: rows.get,
    Statement.DELETE_ROW: rows.delete,
    Statement.QUERY_TQL: queries.tql,
    Statement.QUERY_TIME_SERIES_RANGE: queries.time_range,
    Statement.GET_TIME_SERIES_ROW_RELATED: series.related,
    Statement.INTERPOLATE_TIME_SERIES_ROW: series.interpolate,
    Statement.QUERY_TIME_SERIES_SAMPLING: series.sampling,
    Statement.AGGREGATE_TIME_SERIES: series.aggregate,
    Statement.FETCH_ROW_SET: queries.fetch,
    Statement.CLOSE_ROW_SET: queries.close_result,
    Statement.PUT_MULTIPLE_CONTAINER_ROWS: many.put,
    Statement.GET_MULTIPLE_CONTAINER_ROWS: many.get,
    Statement.EXECUTE_MULTIPLE_QUERIES: many.query,
    Statement.CREATE_MULTIPLE_SESSIONS: many.create_sessions,
    Statement.CLOSE_MULTIPLE_SESSIONS: many.close_sessions,
}
# What is done together where it comes one after the other.
TOGETHER = frozenset({Statement.DELETE_ROW, Statement.EXECUTE_MULTIPLE_QUERIES})
# Importing the modules enters their requests into the table of them.
_READERS = (requests, row_requests, multi_requests, client_requests)

_WITHOUT_LOGIN = frozenset({Statement.CONNECT, Statement.LOGIN, Statement.GET_PARTITION_ADDRESS})
# Their privileges and properties are not read.
_WITH_MORE = frozenset({Statement.GET_DATABASES, Statement.PUT_DATABASE})
_WRITES = frozenset(
    {
        Statement.PUT_CONTAINER,
        Statement.DROP_CONTAINER,
        Statement.CREATE_INDEX_DETAIL,
        Statement.DROP_INDEX_DETAIL,
        Statement.COMMIT_TRANSACTION,
        Statement.PUT_ROW,
        Statement.PUT_MULTIPLE_ROWS,
        Statement.APPEND_TIME_SERIES_ROW,
        Statement.UPDATE_ROW_BY_ID,
        Statement.DELETE_ROW_BY_ID,
        Statement.DELETE_ROW,
        Statement.PUT_MULTIPLE_CONTAINER_ROWS,
        Statement.PUT_DATABASE,
        Statement.DROP_DATABASE,
    }
)


class Dispatcher:
    """Answers frames over one database. Thread-safe, as long as each peer's frames come one after the other."""

    def __init__(self, db: Database, node: Node) -> None:
        self._db = db
        self._node = node

    @property
    def at_once(self) -> frozenset[int]:
        """CONNECT, which is how a client asks whether the server lives."""
        return frozenset({Statement.CONNECT})

    def cut(self, peer: Peer) -> None:
        """Nothing runs longer than its statement here."""

    def answer(self, peer: Peer, frame: Frame) -> list[Buffer] | None:
        """The reply as buffers; None means that the peer has said goodbye. Never raises for what a peer sends."""
        if frame.statement == Statement.DISCONNECT:
            return None
        try:
            body = self._body(peer, frame)
            return encode_reply(frame.statement, frame.statement_id, body)
        except Exception as error:  # whatever a peer may cause must not end the server
            refusal = refusal_for(error)
            if refusal.code is Code.CM_INTERNAL_ERROR:
                _log.exception("statement %d failed", frame.statement)
        out = Writer()
        ErrorReply(int(refusal.code), refusal.message, refusal.name, refusal.parameters).write(out)
        return encode_reply(frame.statement, frame.statement_id, out.parts, status=Status(refusal.status))

    def answers(self, peer: Peer, frames: Sequence[Frame]) -> list[list[Buffer] | None]:
        """What `answer` says to each of these, which came one after the other.

        Deletes are carried out together, and so are aggregations of many containers.
        """
        statements = {frame.statement for frame in frames}
        bodies: list[list[Buffer]] | None = None
        if len(frames) > 1 and len(statements) == 1 and statements <= TOGETHER:
            bodies = self._together(peer, frames)
        if bodies is None:
            return [self.answer(peer, frame) for frame in frames]
        return [
            encode_reply(frame.statement, frame.statement_id, body) for frame, body in zip(frames, bodies, strict=True)
        ]

    def _together(self, peer: Peer, frames: Sequence[Frame]) -> list[list[Buffer]] | None:
        """The answers' bodies; None if nothing was done, and each request has to be looked at by itself."""
        try:
            with self._db.lock:
                self._db.expire_transactions()
                if frames[0].statement == Statement.DELETE_ROW:
                    existed = rows.delete_together([(self._call(peer, f), _delete_in(peer, f)) for f in frames])
                    return [[bytes([there])] for there in existed]
                outs = many.query_together([(self._call(peer, f), _queries_in(peer, f)) for f in frames])
                return [out.parts for out in outs]
        except Exception as error:  # one by one, each is answered with its own error
            _log.debug("statements %d are carried out one by one: %s", frames[0].statement, error)
            return None

    def _call(self, peer: Peer, frame: Frame) -> Call:
        return Call(self._db, self._node, peer, frame.partition, frame.statement_id)

    def _body(self, peer: Peer, frame: Frame) -> list[Buffer]:
        statement = _known(frame.statement)
        _check_allowed(peer, statement, frame.partition)
        source = Reader(frame.body)
        request = REQUESTS[statement].read(source)
        if statement not in _WITH_MORE:
            source.end()
        out = Writer()
        with self._db.waiting(_lock_wait(peer, request)):
            HANDLERS[statement](self._call(peer, frame), request, out)
        return out.parts

    def leave(self, peer: Peer) -> None:
        """The peer's connection has ended, and its results with it.

        Its open transactions stay until their time is over, as those of a real server do, whose client may come back
        over another connection. What they hold stays locked until then.
        """
        peer.close()
        with self._db.lock:
            self._db.sessions.leave(peer)
            self._db.released()


def _lock_wait(peer: Peer, request: Any) -> float:
    """How long a request waits for a lock, in seconds: as it says, else as the login said."""
    options = request.tx.options if hasattr(request, "tx") else getattr(request, "options", {})
    return float(options.get(Option.TRANSACTION_TIMEOUT, peer.transaction_timeout_s))


def _known(number: int) -> Statement:
    if number not in Statement.__members__.values() or Statement(number) not in HANDLERS:
        raise Refusal(Code.TXN_STATEMENT_TYPE_UNSUPPORTED, f"statement {number} is not supported")
    return Statement(number)


def _queries_in(peer: Peer, frame: Frame) -> MultiQuery:
    _check_allowed(peer, Statement.EXECUTE_MULTIPLE_QUERIES, frame.partition)
    source = Reader(frame.body)
    request = MultiQuery.read(source)
    source.end()
    return request


def _delete_in(peer: Peer, frame: Frame) -> DeleteRow:
    _check_allowed(peer, Statement.DELETE_ROW, frame.partition)
    return DeleteRow.read(Reader(frame.body))


def _check_allowed(peer: Peer, statement: Statement, partition: int) -> None:
    if not 0 <= partition < PARTITIONS:
        raise Refusal(Code.TXN_PARTITION_INACTIVE, f"there is no partition {partition}; there are {PARTITIONS}")
    if statement in _WITHOUT_LOGIN:
        return
    if not peer.logged_in:
        raise Refusal(Code.TXN_AUTH_FAILED, "log in first")
    if statement in _WRITES and not peer.owner:
        raise Refusal(Code.TXN_CONSISTENCY_TYPE_UNMATCH, "a login without immediate consistency cannot write")


def refusal_for(error: Exception) -> Refusal:
    """The refusal that an error of a handler or a decoder is answered with."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RemoteProtocolError) and isinstance(error.__cause__, LocalProtocolError):
        # The message was well-formed; what it says (a schema, most often) is not allowed.
        return Refusal(Code.DS_DS_SCHEMA_INVALID, error.message)
    if isinstance(error, RemoteProtocolError):
        return Refusal(Code.TXN_DECODE_FAILED, error.message)
    if isinstance(error, DataError):
        return Refusal(Code.DS_TIM_ROW_DATA_INVALID, error.message)
    if isinstance(error, LocalProtocolError):
        return Refusal(Code.DS_DS_SCHEMA_INVALID, error.message)
    return Refusal(Code.CM_INTERNAL_ERROR, f"internal error: {type(error).__name__}: {error}")
