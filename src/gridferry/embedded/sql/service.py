"""The SQL service: frames in, frames out. It has a version of the protocol of its own, and one statement for all.

As on the real server LOGOUT, DISCONNECT, CANCEL and what it does not know are not answered, and a query belongs to the
connection that started it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from gridferry.embedded.answers import connections
from gridferry.embedded.answers.call import Call, Node, Peer
from gridferry.embedded.database import Database
from gridferry.embedded.dispatch import refusal_for
from gridferry.embedded.duck import sql_refusal
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sql.queries import Query
from gridferry.embedded.sql.statements import Changed, Login, Selected, check, run, statement_of
from gridferry.griddb.wire.frame import Frame, encode_reply
from gridferry.griddb.wire.octets import Buffer, Reader, Writer
from gridferry.griddb.wire.replies import ConnectReply, ErrorReply, PartitionAddress
from gridferry.griddb.wire.requests import Connect, GetPartitionAddress
from gridferry.griddb.wire.requests import Login as LoginRequest
from gridferry.griddb.wire.sql_replies import SqlOutcome, SqlPage, SqlReply
from gridferry.griddb.wire.sql_requests import CancelSql, ExecuteSql
from gridferry.griddb.wire.sql_rows import SqlColumn
from gridferry.griddb.wire.sql_values import MAX_BIND_ROWS, Value
from gridferry.griddb.wire.statement import (
    SQL_PARTITIONS,
    SQL_PROTOCOL_VERSION,
    Option,
    SqlOperation,
    Statement,
    Status,
)

_log = logging.getLogger(__name__)

_ACCEPTED_VERSIONS = (SQL_PROTOCOL_VERSION, -8, 0)
_ANSWERED = frozenset(
    {Statement.CONNECT, Statement.LOGIN, Statement.GET_PARTITION_ADDRESS, Statement.EXECUTE_SQL, Statement.CANCEL_SQL}
)
Key = tuple[bytes, int]


class SqlService:
    """Answers frames of SQL over one database. Thread-safe, as long as each peer's frames come one after the other."""

    def __init__(self, db: Database, node: Node) -> None:
        self._db = db
        self._node = node
        self._queries: dict[Key, Query] = {}
        self._lock = threading.Lock()

    @property
    def at_once(self) -> frozenset[int]:
        """The question whether the server lives, and what stops a query."""
        return frozenset({Statement.CONNECT, Statement.CANCEL_SQL})

    def answers(self, peer: Peer, frames: Sequence[Frame]) -> list[list[Buffer] | None]:
        """The answer to each, in order; an empty one where there is none."""
        return [self._answer(peer, frame) for frame in frames]

    def _answer(self, peer: Peer, frame: Frame) -> list[Buffer]:
        known = frame.statement in _ANSWERED and 0 <= frame.partition < SQL_PARTITIONS
        if frame.statement == Statement.LOGOUT:
            peer.logged_in = False
        if not known:
            return []
        out = Writer()
        try:
            self._do(peer, frame, out)
        except Exception as error:  # whatever a peer may cause must not end the server
            refusal = refusal_for(sql_refusal(error) if isinstance(error, Refusal) else error)
            if refusal.code is Code.CM_INTERNAL_ERROR:
                _log.exception("statement %d failed", frame.statement)
            out = Writer()
            ErrorReply(int(refusal.code), refusal.message, refusal.name, refusal.parameters).write(out)
            return encode_reply(frame.statement, frame.statement_id, out.parts, status=Status(refusal.status))
        if frame.statement == Statement.CANCEL_SQL:
            return []
        return encode_reply(frame.statement, frame.statement_id, out.parts)

    def _do(self, peer: Peer, frame: Frame, out: Writer) -> None:
        source = Reader(frame.body)
        if frame.statement == Statement.CONNECT:
            _connect(Connect.read(source), out)
            return
        if frame.statement == Statement.LOGIN:
            call = Call(self._db, self._node, peer, 0, frame.statement_id)
            connections.login(call, LoginRequest.read(source), out)
            return
        if not peer.logged_in:
            raise Refusal(Code.TXN_AUTH_REQUIRED, "log in first")
        if frame.statement == Statement.GET_PARTITION_ADDRESS:
            _address(peer, GetPartitionAddress.read(source), out)
        elif frame.statement == Statement.CANCEL_SQL:
            self._cancel(CancelSql.read(source))
        else:
            request = ExecuteSql.read(source)
            source.end()
            self._execute(peer, request).write(out)

    def _cancel(self, request: CancelSql) -> None:
        with self._lock:
            found = self._queries.get((request.client, request.query_id))
        if found is not None and not found.idle.is_set():
            found.stop()

    def cut(self, peer: Peer) -> None:
        """Nothing more comes from the peer: stop what runs for it."""
        with self._lock:
            running = [query for query in self._queries.values() if query.peer is peer and not query.idle.is_set()]
        for query in running:
            query.stop()

    def leave(self, peer: Peer) -> None:
        """The peer's connection has ended, and its queries with it."""
        with self._lock:
            gone = {key: query for key, query in self._queries.items() if query.peer is peer}
            for key in gone:
                del self._queries[key]
        for query in gone.values():
            query.end()
        peer.close()

    # queries

    def _execute(self, peer: Peer, request: ExecuteSql) -> SqlReply:
        if request.closes:
            self._forget(peer, (request.client, request.closes))
        key = (request.client, request.query_id)
        if request.operation is SqlOperation.CLOSE:
            gone = self._forget(peer, key)
            return SqlReply() if gone is None else SqlReply((SqlOutcome(parameters=gone.statement.parameters),))
        query = self._query(peer, request, key)
        query.stopped = False
        query.idle.clear()
        try:
            return self._answered(peer, request, query)
        except BaseException:
            query.end()
            if request.text is not None:
                self._forget(peer, key)
            raise
        finally:
            query.idle.set()

    def _query(self, peer: Peer, request: ExecuteSql, key: Key) -> Query:
        """The query that a request is about: a new one where it brings a text. Raises: 200007, 240001, .."""
        if request.text is None:
            with self._lock:
                found = self._queries.get(key)
            if found is None or found.peer is not peer:
                raise Refusal(Code.SQL_CANCELLED, f"no query {request.query_id} is open on this connection")
            return found
        query = Query(peer, statement_of(request.text))
        self._forget(peer, key)
        with self._lock:
            self._queries[key] = query
        return query

    def _forget(self, peer: Peer, key: Key) -> Query | None:
        with self._lock:
            found = self._queries.get(key)
            if found is None or found.peer is not peer:
                return None
            del self._queries[key]
        found.end()
        return found

    def _answered(self, peer: Peer, request: ExecuteSql, query: Query) -> SqlReply:
        statement = query.statement
        login = Login(
            peer.database,
            peer.database_id,
            peer.time_zone_ms,
            internal=request.operation is SqlOperation.PRAGMA,
        )
        if request.operation is SqlOperation.FETCH:
            return self._next(request, query)
        if request.operation is SqlOperation.PREPARE:
            check(self._db, login, statement)
            page = _parameters_page(statement.parameters) if statement.selects and statement.parameters else None
            return SqlReply((SqlOutcome(parameters=statement.parameters, page=page),))
        _check_category(request.operation, selects=statement.selects)
        rows = _values(request, statement.parameters)
        outcomes: list[SqlOutcome] = []
        pragmas: dict[str, str] = {}
        for values in rows:
            with self._db.waiting(float(peer.transaction_timeout_s)):
                done = run(self._db, login, statement, values)
            if isinstance(done, Changed):
                page = SqlPage((), 0) if done.pragmas else None
                outcomes.append(SqlOutcome(changed=done.rows, parameters=statement.parameters, page=page))
                pragmas.update(done.pragmas)
            else:
                outcomes.append(self._first(request, query, done))
        if request.text is not None and query.pages is None:
            self._forget(query.peer, (request.client, request.query_id))
        return SqlReply(tuple(outcomes), pragmas)

    def _first(self, request: ExecuteSql, query: Query, selected: Selected) -> SqlOutcome:
        query.begin(self._db, selected, int(request.options.get(Option.FETCH_LIMIT, 0)))
        return SqlOutcome(parameters=query.statement.parameters, page=_page(query))

    def _next(self, request: ExecuteSql, query: Query) -> SqlReply:
        if query.pages is None:
            raise Refusal(Code.SQL_CANCELLED, f"query {request.query_id} has no more pages")
        outcome = SqlOutcome(parameters=query.statement.parameters, page=_page(query))
        if query.pages is None and not query.statement.parameters:
            self._forget(query.peer, (request.client, request.query_id))
        return SqlReply((outcome,))


def _page(query: Query) -> SqlPage:
    pages = query.pages
    if pages is None:
        raise Refusal(Code.SQL_CANCELLED, "the query has no more pages")
    query.require_going()
    page = pages.take()
    query.require_going()
    if not page.more:
        query.end()
    return page


def _connect(request: Connect, out: Writer) -> None:
    if request.version not in _ACCEPTED_VERSIONS:
        raise Refusal(
            Code.TXN_CLIENT_VERSION_NOT_ACCEPTABLE,
            f"(connectClientVersion={request.version}, serverVersion={SQL_PROTOCOL_VERSION})",
        )
    ConnectReply(SQL_PROTOCOL_VERSION).write(out)


def _address(peer: Peer, request: GetPartitionAddress, out: Writer) -> None:
    if request.master:
        PartitionAddress(SQL_PARTITIONS, master_asked=True, is_master=True, master=peer.address).write(out)
    else:
        PartitionAddress(SQL_PARTITIONS, owners=(peer.address,)).write(out)


def _parameters_page(count: int) -> SqlPage:
    """What PREPARE says of a query with parameters: a column of no type for each of them."""
    return SqlPage(tuple(SqlColumn("", None) for _ in range(count)), 0)


def _check_category(operation: SqlOperation, *, selects: bool) -> None:
    if (operation is SqlOperation.QUERY and not selects) or (operation is SqlOperation.UPDATE and selects):
        raise Refusal(
            Code.SQL_STATEMENT_CATEGORY_UNMATCHED, f"a statement of another kind than {operation.name} was sent"
        )


def _values(request: ExecuteSql, parameters: int) -> list[tuple[Value, ...]]:
    """The parameters, a tuple for each run. Raises: 240001, 240004, 250002, 250015."""
    if request.bind is None:
        if request.text is not None and parameters:
            raise Refusal(Code.SQL_COMPILE_SYNTAX_ERROR, "a statement with ? is to be prepared first")
        if request.text is None:
            raise Refusal(Code.SQL_EXECUTION_INTERNAL_ALREADY_EXIST, "a prepared statement needs its parameters")
        return [()]
    if request.bind.rows > MAX_BIND_ROWS:
        raise Refusal(Code.SQL_ADD_BATCH_LIMIT_EXCEEDED, f"{request.bind.rows} rows: {MAX_BIND_ROWS} is the limit")
    return request.bind.values()
