"""A node of the SQL service in memory: it answers statements as a test says, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
from tests.unit.griddb.net.memory import FakeClock, MemoryTransport, refused, reply, request_of, written

from gridferry.griddb import GridDBAddress
from gridferry.griddb.schema import GridType
from gridferry.griddb.sql.connection import Connection
from gridferry.griddb.sql.session import SqlSession
from gridferry.griddb.wire.frame import Frame
from gridferry.griddb.wire.replies import ConnectReply, LoginReply
from gridferry.griddb.wire.requests import Connect, Login
from gridferry.griddb.wire.sql_replies import SqlOutcome, SqlPage, SqlReply
from gridferry.griddb.wire.sql_requests import CancelSql, ExecuteSql
from gridferry.griddb.wire.sql_rows import SqlColumn, arrow_schema, encode_sql_rows
from gridferry.griddb.wire.sql_values import Value
from gridferry.griddb.wire.statement import SQL_PROTOCOL_VERSION, SqlOperation

ADDRESS = GridDBAddress("c", password="admin", members=(("node", 10001),))
ID = (SqlColumn("id", GridType.LONG, nullable=False),)


def pages(columns: tuple[SqlColumn, ...], *parts: list[dict[str, object]]) -> list[SqlPage]:
    """The pages of a result, each of some rows."""
    found = []
    for number, rows in enumerate(parts, 1):
        batch = pa.RecordBatch.from_pylist(rows, schema=arrow_schema(columns))
        image = b"".join(encode_sql_rows(columns, batch))
        found.append(SqlPage(columns, len(rows), image, more=number < len(parts)))
    return found


@dataclass
class SqlNode:
    """`results` are pages by the text of a statement; any other one changes `changes` rows. `refuse` gives codes."""

    results: dict[str, list[SqlPage]] = field(default_factory=dict)
    refuse: dict[str, int] = field(default_factory=dict)
    refuse_login: int = 0
    changes: int = 1
    silent: set[str] = field(default_factory=set)
    parameters: int = 0
    texts: dict[int, str] = field(default_factory=dict)
    left: dict[int, list[SqlPage]] = field(default_factory=dict)
    asked: list[ExecuteSql] = field(default_factory=list)
    cancelled: list[CancelSql] = field(default_factory=list)
    partitions: set[int] = field(default_factory=set)
    dialled: list[tuple[str, int]] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    clock: FakeClock = field(default_factory=FakeClock)
    on_cancel: Callable[[CancelSql], list[bytes]] = lambda _: []

    def connect(self, host: str, port: int, timeout_s: float) -> MemoryTransport:
        self.dialled.append((host, port))
        return MemoryTransport(self.answer, clock=self.clock)

    def connection(self, *, timeout_s: float | None = None) -> Connection:
        session = SqlSession(ADDRESS, connector=self.connect, clock=self.clock.clock)
        return Connection(session, timeout_s=timeout_s)

    @property
    def operations(self) -> list[str]:
        return [request.operation.name for request in self.asked]

    @property
    def open_queries(self) -> set[int]:
        """Those that were prepared, or have pages left."""
        return set(self.texts) | {query for query, left in self.left.items() if left}

    def values(self, number: int = -1) -> list[tuple[Value, ...]]:
        """The parameters of a request."""
        bind = self.asked[number].bind
        assert bind is not None
        return bind.values()

    def answer(self, frame: Frame) -> list[bytes]:
        request = request_of(frame)
        if isinstance(request, Connect):
            self.versions.add(request.version)
            return [reply(frame, written(ConnectReply(SQL_PROTOCOL_VERSION)))]
        if isinstance(request, Login) and self.refuse_login:
            return [refused(frame, self.refuse_login)]
        if isinstance(request, Login):
            return [reply(frame, written(LoginReply()))]
        if isinstance(request, CancelSql):
            self.cancelled.append(request)
            return self.on_cancel(request)
        if not isinstance(request, ExecuteSql):
            return []
        self.asked.append(request)
        self.partitions.add(frame.partition)
        text = request.text if request.text is not None else self.texts.get(request.query_id, "")
        if text in self.silent and request.operation is not SqlOperation.CLOSE:
            return []
        if text in self.refuse and request.operation is not SqlOperation.CLOSE:
            return [refused(frame, self.refuse[text], message=f'no on executing statement (sql="{text}") (db="x")')]
        return [reply(frame, written(self._done(request, text)))]

    def _done(self, request: ExecuteSql, text: str) -> SqlReply:
        if request.operation is SqlOperation.CLOSE:
            self.texts.pop(request.query_id, None)
            self.left.pop(request.query_id, None)
            return SqlReply()
        if request.operation is SqlOperation.PREPARE:
            self.texts[request.query_id] = text
            return SqlReply((SqlOutcome(parameters=text.count("?")),))
        if request.operation is not SqlOperation.FETCH:
            self.left[request.query_id] = list(self.results.get(text, []))
            if not self.left[request.query_id]:
                return SqlReply((SqlOutcome(changed=self.changes),))
        return SqlReply((SqlOutcome(page=self.left[request.query_id].pop(0)),))
