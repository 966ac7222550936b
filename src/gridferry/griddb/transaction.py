"""Manual transactions: several statements on one container, committed or aborted together.

Source: docs/protocol.md, Sessions. After any refusal the server has rolled everything back and would still answer a
commit with success, so the client must remember that and not commit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType

import pyarrow as pa
from typing_extensions import Self

from gridferry.errors import GridDBError, LocalProtocolError, StatementError
from gridferry.griddb.handle import Handle
from gridferry.griddb.net.cluster import NODE_TROUBLE, Cluster
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.net.limits import TRANSACTION_TIMEOUT_S
from gridferry.griddb.net.refusals import row_mode
from gridferry.griddb.pipeline import WINDOW
from gridferry.griddb.query import whole_result
from gridferry.griddb.results import QueryResult
from gridferry.griddb.wire.encode import encode_keys, encode_rows
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.requests import Request
from gridferry.griddb.wire.row_replies import QueryReply
from gridferry.griddb.wire.row_requests import Abort, CloseSession, Commit, DeleteRow, PutRows, QueryTql, Transaction
from gridferry.griddb.wire.statement import Option, PutMode, SessionMode, TransactionMode

# Far from the connection's own ids, which heartbeats go on using while a transaction is under way.
_FIRST_STATEMENT_ID = 1 << 40


class ContainerTransaction:
    """Use as a context: leaving it commits, leaving it by an exception aborts. Not for use by two threads at once.

    The server aborts it after `timeout_s`; so long, too, a statement in it waits for a lock.

    Statement ids matter in a session: the server takes a write or commit whose id it has passed for done, answers with
    success and does nothing, and refuses a gap. A put of n rows uses up n ids (seen on 5.9.0; so count GridDB's own
    clients too).
    """

    def __init__(self, cluster: Cluster, handle: Handle, *, timeout_s: int = TRANSACTION_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._cluster = cluster
        self._handle = handle
        self._session = cluster.new_session()
        self._held = ExitStack()
        self._connection: Connection | None = None
        self._begun = False
        self._failed = False
        self._next_id = _FIRST_STATEMENT_ID

    def __enter__(self) -> Self:
        self._connection = self._held.enter_context(self._cluster.at_partition(self._handle.partition))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._begun:
                return
            ended = self._failed or self._open().broken
            if error is None and not ended:
                self._commit()
                return
            # What ended the transaction is reported already, or below; the rest is for the server's sake.
            with suppress(GridDBError):
                self._give_up()
            if error is None:
                raise LocalProtocolError("the transaction was aborted by an earlier error: nothing was committed")
        finally:
            self._held.close()

    def put(self, batch: pa.RecordBatch, *, mode: PutMode = PutMode.UPSERT) -> None:
        """Put rows. Raises: as `Container.put`; the transaction is then aborted."""
        rows = encode_rows(self._handle.schema, batch)
        if not len(rows):
            return  # it would take no statement id, which the server does not foresee
        tx = self._tx({} if mode is PutMode.UPSERT else {Option.PUT_MODE: int(mode)})
        with row_mode(mode):
            self._ask(PutRows(self._handle.container_id, tx, len(rows), rows.image()), uses=len(rows))

    def delete(self, keys: pa.RecordBatch) -> int:
        """Delete the rows of these keys and return how many there were: a statement a row, many sent ahead."""
        images = deque(encode_keys(self._handle.schema, keys))
        found = 0
        if images and not self._begun:  # what begins a transaction is answered before others go on in it
            found += self._ask(DeleteRow(self._handle.container_id, self._tx({}), images.popleft())).boolean()
        while images:
            ahead = [images.popleft() for _ in range(min(WINDOW, len(images)))]
            found += self._ask_ahead([DeleteRow(self._handle.container_id, self._tx({}), image) for image in ahead])
        return found

    def query(self, tql: str, *, for_update: bool = False) -> QueryResult:
        """Run TQL and see this transaction's own changes; `for_update` locks the rows that are found."""
        tx = self._tx({Option.FOR_UPDATE: True} if for_update else {})
        reply = QueryReply.read(self._ask(QueryTql(self._handle.container_id, tx, tql)))
        return whole_result(self._handle.schema, reply)

    def _tx(self, options: dict[Option, object]) -> Transaction:
        first = not self._begun
        return Transaction(
            self._handle.version,
            self._session,
            self._cluster.client,
            SessionMode.CREATE if first else SessionMode.GET,
            TransactionMode.BEGIN if first else TransactionMode.CONTINUE,
            {Option.TRANSACTION_TIMEOUT: self._timeout_s, **options},
        )

    def _ask(self, message: Request, *, uses: int = 1) -> Reader:
        if self._failed:
            raise LocalProtocolError("the transaction was aborted by an earlier error")
        self._begun = True
        try:
            return self._numbered(self._open(), message, f'a statement on "{self._handle.name}"', uses=uses)
        except BaseException:
            self._failed = True
            raise

    def _ask_ahead(self, messages: Sequence[DeleteRow]) -> int:
        """Send all, then read the answers; how many of them said yes."""
        if self._failed:
            raise LocalProtocolError("the transaction was aborted by an earlier error")
        connection, asked = self._open(), f'a statement on "{self._handle.name}"'
        try:
            numbers = []
            for message in messages:
                numbers.append(
                    connection.send(message, partition=self._handle.partition, asked=asked, number=self._next_id)
                )
                self._next_id += 1
            return sum(connection.receive(number).boolean() for number in numbers)
        except BaseException:
            self._failed = True
            raise

    def _numbered(self, connection: Connection, message: Request, asked: str, *, uses: int = 1) -> Reader:
        number = self._next_id
        self._next_id += uses
        return connection.ask(message, partition=self._handle.partition, asked=asked, number=number)

    def _commit(self) -> None:
        identity = (self._handle.container_id, self._session, self._cluster.client)
        try:
            self._numbered(self._open(), Commit(*identity), f'to commit on "{self._handle.name}"')
        except NODE_TROUBLE as error:
            self._cluster.forget()
            error.state = f'it is not known whether the transaction on "{self._handle.name}" was committed'
            raise
        with suppress(GridDBError):  # committed; a session left open ends by its own timeout
            self._numbered(self._open(), CloseSession(*identity), "to close a session")

    def _give_up(self) -> None:
        """Abort and close the session. It holds locks, so if its connection is lost a new one is made for that."""
        if not self._open().broken:
            self._abort(self._open())
            return
        with self._cluster.at_partition(self._handle.partition) as connection:
            self._abort(connection)

    def _abort(self, connection: Connection) -> None:
        identity = (self._handle.container_id, self._session, self._cluster.client)
        with suppress(StatementError):  # the server may have aborted before; the session is closed all the same
            self._numbered(connection, Abort(*identity), f'to abort a transaction on "{self._handle.name}"')
        self._numbered(connection, CloseSession(*identity), "to close a session")

    def _open(self) -> Connection:
        if self._connection is None:
            raise LocalProtocolError("a transaction is used as a context: with container.transaction() as tx")
        return self._connection
