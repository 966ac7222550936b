"""A conversation with GridDB's SQL service: queries started, fetched, closed and cancelled on one connection.

All that belongs to a query goes over the connection that started it, under one partition id: a FETCH under another one
may end the server (docs/protocol-sql.md, SQL node and worker).
"""

from __future__ import annotations

import itertools
import random
import uuid
from dataclasses import dataclass, replace

from gridferry.errors import AnswerTimeout, ConnectionLost, GridDBError, NodeUnreachable, StatementError, WrongNode
from gridferry.griddb.address import GridDBAddress
from gridferry.griddb.net.cluster import Connector, connect_socket
from gridferry.griddb.net.connection import SYSTEM_CLOCK, Clock, Connection, Service, Timing
from gridferry.griddb.net.discovery import sql_candidates
from gridferry.griddb.sql.errors import InterfaceError, InternalError, MayPass, translated
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.sql_replies import SqlOutcome, SqlPage, SqlReply
from gridferry.griddb.wire.sql_requests import CancelSql, ExecuteSql
from gridferry.griddb.wire.sql_values import BindTable
from gridferry.griddb.wire.statement import INT32_MAX, SQL_PARTITIONS, Option, SessionMode, SqlOperation

_NO_LIMIT_S = 10 * 365 * 86400.0  # heartbeats tell a node that is gone from one that works
_GRACE_S = 30.0  # after a cancel, for the query to end


@dataclass(frozen=True)
class Started:
    """A statement that ran: what it did, and the query's id, which stays open while `outcome.page.more`."""

    query_id: int
    outcome: SqlOutcome


class SqlSession:
    """One login to the SQL service. For one thread at a time, but for `cancel`.

    Raises: the errors of PEP 249.
    """

    def __init__(
        self,
        address: GridDBAddress,
        *,
        timing: Timing | None = None,
        connector: Connector = connect_socket,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.address = address
        self.timing = timing or Timing()
        self._connector = connector
        self._clock = clock
        self._client = uuid.uuid4().bytes
        # One SQL worker serves each: a node has several.
        self._partition = random.SystemRandom().randrange(SQL_PARTITIONS)
        self._ids = itertools.count(1)
        self._running = 0  # the query that is waited for
        self.closed = False
        with translated():
            self._connection = self._dial()

    @property
    def node(self) -> str:
        """The node that answers, as host:port."""
        return self._connection.node

    def run(self, text: str, *, timeout_s: float | None = None) -> Started:
        """Run a statement without parameters."""
        query = next(self._ids)
        return Started(
            query, _only(self._ask(ExecuteSql(self._client, SqlOperation.EXECUTE, query, text=text), timeout_s))
        )

    def prepare(self, text: str, *, timeout_s: float | None = None) -> int:
        """Prepare a statement with parameters; its query id, to run again and again and to close in the end."""
        query = next(self._ids)
        self._ask(ExecuteSql(self._client, SqlOperation.PREPARE, query, text=text), timeout_s)
        return query

    def run_prepared(self, query: int, bind: BindTable, *, timeout_s: float | None = None) -> Started:
        """Run a prepared statement with one row of values. Its result of before, if it is open still, is dropped."""
        request = ExecuteSql(self._client, SqlOperation.EXECUTE, query, mode=SessionMode.GET, bind=bind)
        return Started(query, _only(self._ask(request, timeout_s)))

    def pragma_query(self, text: str, *, timeout_s: float | None = None) -> Started:
        """Run a select that may read the tables of the driver, `#_driver_...`."""
        query = next(self._ids)
        return Started(
            query, _only(self._ask(ExecuteSql(self._client, SqlOperation.PRAGMA, query, text=text), timeout_s))
        )

    def fetch(self, query: int, *, timeout_s: float | None = None) -> SqlPage:
        """The next page of a result."""
        outcome = _only(self._ask(ExecuteSql(self._client, SqlOperation.FETCH, query, mode=SessionMode.GET), timeout_s))
        if outcome.page is None:
            raise InterfaceError("the result has no more pages")
        return outcome.page

    def close_query(self, query: int) -> None:
        """Let go of a query; of one that has ended too. What cannot be said over a broken connection is not said."""
        if self.closed or self._connection.broken:
            return
        self._ask(ExecuteSql(self._client, SqlOperation.CLOSE, query, mode=SessionMode.GET), None)

    def cancel(self) -> None:
        """Stop the statement that another thread waits for, over a connection of its own; nothing where none runs."""
        running = self._running
        if not running:
            return
        with translated():
            other = self._dial()
            try:
                other.tell(CancelSql(self._client, running), partition=self._partition)
                # The server answers nothing; the answer to this one says that it has read what came before.
                other.check_alive(timeout_s=self.timing.login_s)
            finally:
                other.close()

    def alive(self) -> bool:
        """Whether the node answers."""
        try:
            self._connection.check_alive(timeout_s=self.timing.login_s)
        except GridDBError:
            return False
        return True

    def close(self) -> None:
        """Close the connection, and with it all that runs on it. More than once does no harm."""
        self.closed = True
        self._connection.close()

    def _ask(self, request: ExecuteSql, timeout_s: float | None) -> SqlReply:
        if self.closed:
            raise InterfaceError("the connection is closed", next_step="connect again")
        if timeout_s is not None:
            limit = {Option.STATEMENT_TIMEOUT: max(1, min(int(timeout_s * 1000), INT32_MAX))}
            request = replace(request, options=limit)
        self._running = request.query_id
        try:
            with translated():
                return SqlReply.read(self._answer(request, timeout_s))
        finally:
            self._running = 0

    def _answer(self, request: ExecuteSql, timeout_s: float | None) -> Reader:
        line = self._connection
        number = line.send(request, partition=self._partition, asked="a statement")
        if line.arrived(number, timeout_s=_NO_LIMIT_S if timeout_s is None else timeout_s):
            return line.receive(number)
        # The server's own limit is 10 s and more late.
        line.tell(CancelSql(self._client, request.query_id), partition=self._partition)
        try:
            line.arrived(number, timeout_s=_GRACE_S)
            return line.receive(number, timeout_s=0.0)
        except (StatementError, AnswerTimeout) as error:
            raise MayPass(
                f"the statement did not end within {timeout_s:g} s, and was cancelled",
                next_step="give it a longer timeout, or let it do less",
            ) from error

    def _dial(self) -> Connection:
        trouble: GridDBError | None = None
        for host, port in sql_candidates(self.address, timeout_s=self.timing.connect_s):
            try:
                return self._dial_node(host, port)
            except (ConnectionLost, NodeUnreachable, WrongNode) as error:
                trouble = error
        raise trouble or NodeUnreachable("the GridDB address names no node of the SQL service")

    def _dial_node(self, host: str, port: int) -> Connection:
        transport = self._connector(host, port, self.timing.connect_s)
        connection = Connection(transport, self.timing, clock=self._clock, service=Service.SQL)
        try:
            connection.open(self.address, host)
            connection.login(self.address, self._client)
        except BaseException:
            connection.broken = True
            connection.close()
            raise
        return connection


def _only(reply: SqlReply) -> SqlOutcome:
    if len(reply.outcomes) != 1:
        raise InternalError(f"the server answered one statement with {len(reply.outcomes)} outcomes")
    return reply.outcomes[0]
