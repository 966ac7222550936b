"""Manual transactions: several statements on one container, committed or aborted together.

Source: protocol page, section 6. After any refusal the server has rolled everything back and would still answer a
commit with success, so the client must remember that and not commit.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from types import TracebackType

import pyarrow as pa
from typing_extensions import Self

from gridferry.errors import FerryError, LocalProtocolError
from gridferry.griddb.handle import Handle
from gridferry.griddb.net.cluster import Cluster
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.query import whole_result
from gridferry.griddb.results import QueryResult
from gridferry.griddb.wire.encode import encode_keys, encode_rows
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.requests import Request
from gridferry.griddb.wire.row_replies import QueryReply
from gridferry.griddb.wire.row_requests import Abort, CloseSession, Commit, DeleteRow, PutRows, QueryTql, Transaction
from gridferry.griddb.wire.statement import Option, PutMode, SessionMode, TransactionMode

_session_ids = itertools.count(1)
# Far from the connection's own ids, which heartbeats go on using while a transaction is under way.
_FIRST_STATEMENT_ID = 1 << 40


class ContainerTransaction:
    """Use as a context: leaving it commits, leaving it by an exception aborts. Not for use by two threads at once.

    Statement ids matter in a session: the server takes a write or commit whose id it has passed for done, answers with
    success and does nothing, and refuses a gap. A put of n rows uses up n ids (seen on 5.9.0; so count GridDB's own
    clients too).
    """

    def __init__(self, cluster: Cluster, handle: Handle) -> None:
        self._cluster = cluster
        self._handle = handle
        self._session = next(_session_ids)
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
        with self._held:
            if self._begun and not self._open().broken:
                self._end(commit=error is None)
            elif self._begun and error is None:
                raise LocalProtocolError("the transaction's connection was lost: nothing was committed")

    def put(self, batch: pa.RecordBatch, *, mode: PutMode = PutMode.UPSERT) -> None:
        """Put rows. Raises: as `Container.put`; the transaction is then aborted."""
        rows = encode_rows(self._handle.schema, batch)
        if not len(rows):
            return  # it would take no statement id, which the server does not foresee
        tx = self._tx({} if mode is PutMode.UPSERT else {Option.PUT_MODE: int(mode)})
        self._ask(PutRows(self._handle.container_id, tx, len(rows), rows.image()), uses=len(rows))

    def delete(self, keys: pa.RecordBatch) -> int:
        """Delete the rows of these keys and return how many there were."""
        found = 0
        for image in encode_keys(self._handle.schema, keys):
            found += self._ask(DeleteRow(self._handle.container_id, self._tx({}), image)).boolean()
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
            options,
        )

    def _ask(self, message: Request, *, uses: int = 1) -> Reader:
        if self._failed:
            raise LocalProtocolError("the transaction was aborted by an earlier error")
        self._begun = True
        try:
            return self._numbered(message, f'a statement on "{self._handle.name}"', uses=uses)
        except FerryError:
            self._failed = True
            raise

    def _numbered(self, message: Request, asked: str, *, uses: int = 1) -> Reader:
        number = self._next_id
        self._next_id += uses
        return self._open().ask(message, partition=self._handle.partition, asked=asked, number=number)

    def _end(self, *, commit: bool) -> None:
        identity = (self._handle.container_id, self._session, self._cluster.client)
        if commit and self._failed:
            raise LocalProtocolError("the transaction was aborted by an earlier error: nothing was committed")
        message: Request = Commit(*identity) if commit else Abort(*identity)
        if commit or not self._failed:
            self._numbered(message, f'to end a transaction on "{self._handle.name}"')
        self._numbered(CloseSession(*identity), "to close a session")

    def _open(self) -> Connection:
        if self._connection is None:
            raise LocalProtocolError("a transaction is used as a context: with container.transaction() as tx")
        return self._connection
