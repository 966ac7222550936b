"""Queries with paged results. The next page is asked for before the last one is handed out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, suppress
from dataclasses import replace

import pyarrow as pa

from gridferry.errors import GridDBError
from gridferry.griddb.handle import Handle
from gridferry.griddb.net.cluster import Cluster
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.results import QueryResult
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.decode import decode_rows
from gridferry.griddb.wire.layout import row_layout
from gridferry.griddb.wire.row_replies import FetchReply, PartialFetch, QueryReply, RowsPart, rows_of
from gridferry.griddb.wire.row_requests import CloseRowSet, FetchRowSet, QueryRange, QueryTql, Transaction

DEFAULT_PAGE_ROWS = 50_000
# GridDB counts a page in rows, memory is counted in bytes: where rows may be long, a short first page tells how long.
PAGE_BYTES = 16 << 20
FIRST_ROWS_WITH_STRINGS = 2_000
FIRST_ROWS_WITH_BLOBS = 100
_GIVING_UP_S = 10.0

# The rows of EXPLAIN, which have no row id although they belong to no TIME_SERIES.
ANALYSIS = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("ID", GridType.INTEGER),
        ColumnSpec("DEPTH", GridType.INTEGER),
        *(ColumnSpec(n, GridType.STRING) for n in ("TYPE", "VALUE_TYPE", "VALUE_STRING", "STATEMENT")),
    ),
    key_length=0,
)


def run_query(cluster: Cluster, handle: Handle, message: QueryTql | QueryRange) -> QueryResult:
    """Run a query. Its first page is here when this returns; the others come as they are read.

    A paged result holds its connection until the last page was read or the iterator is closed.
    Raises: StatementError and its kin; later, from the iterator, ResultSetLost or node trouble: run it again.
    """
    return cluster.retry(lambda: _begin(cluster, handle, message))


def whole_result(schema: ContainerSchema, reply: QueryReply) -> QueryResult:
    """The result of an answer that has no further pages."""
    if reply.analysis is not None:
        return QueryResult(ANALYSIS, batches=iter([_analysis(reply.analysis)]), aggregate=None)
    if reply.rows is not None:
        return QueryResult(schema, batches=iter([rows_of(schema, reply.rows)]), aggregate=None)
    return QueryResult(schema, batches=None, aggregate=reply.aggregate)


def _begin(cluster: Cluster, handle: Handle, message: QueryTql | QueryRange) -> QueryResult:
    with ExitStack() as stack:
        connection = stack.enter_context(cluster.at_partition(handle.partition))
        first = rows_unseen(handle.schema, message.head.fetch_size)
        asked = replace(message, head=replace(message.head, fetch_size=first))
        body = connection.ask(asked, partition=handle.partition, asked=f'a query of container "{handle.name}"')
        reply = QueryReply.read(body)
        if reply.partial is None or reply.rows is None:
            return whole_result(handle.schema, reply)
        pages = _pages(stack.pop_all(), connection, handle, message, reply.rows, reply.partial)
        next(pages)  # from here on its clean-up runs, even if no page is ever asked for
        return QueryResult(handle.schema, batches=pages, aggregate=None)


def _pages(
    held: ExitStack,
    connection: Connection,
    handle: Handle,
    message: QueryTql | QueryRange,
    first: RowsPart,
    state: PartialFetch,
) -> Generator[pa.RecordBatch, None, None]:
    """First an empty batch, to begin; then the pages."""
    tx = Transaction(version=handle.version, client=message.tx.client)
    asked = f'the next page of container "{handle.name}"'
    with held:
        page: RowsPart | FetchReply = first
        fetched, closed = first.count, False
        ahead: int | None = None
        try:
            yield pa.RecordBatch.from_pylist([], schema=handle.schema.arrow_schema)
            while True:
                if not closed and fetched < state.total:
                    size = _rows_ahead(page, message.head.fetch_size)
                    fetch = FetchRowSet(handle.container_id, tx, state.result_id, fetched, size)
                    ahead = connection.send(fetch, partition=handle.partition, asked=asked)
                yield rows_of(handle.schema, page)
                if ahead is None:
                    break
                number, ahead = ahead, None
                page = FetchReply.read(connection.receive(number))
                fetched, closed = fetched + page.count, page.closed or page.count == 0
        finally:
            if not closed and not connection.broken:
                _give_up(connection, handle, state, ahead)


def rows_unseen(schema: ContainerSchema, most: int) -> int:
    """How many rows make an answer while nothing is known of them but the schema."""
    if any(c.array or c.type in (GridType.BLOB, GridType.GEOMETRY) for c in schema.columns):
        return min(most, FIRST_ROWS_WITH_BLOBS)
    if any(c.variable for c in schema.columns):
        return min(most, FIRST_ROWS_WITH_STRINGS)
    return min(most, max(1, PAGE_BYTES // row_layout(schema, row_ids=True).dtype.itemsize))


def _rows_ahead(page: RowsPart | FetchReply, most: int) -> int:
    """How many rows of the length of this page's make a page."""
    image = page.image
    octets = len(image) if isinstance(image, (bytes, bytearray, memoryview)) else sum(len(part) for part in image)
    return max(1, min(most, PAGE_BYTES * page.count // max(1, octets)))


def _give_up(connection: Connection, handle: Handle, state: PartialFetch, ahead: int | None) -> None:
    """Let the server drop the rest of a result. The rows are read or not wanted: what goes wrong here harms nobody."""
    with suppress(GridDBError):
        closed = ahead is not None and FetchReply.read(connection.receive(ahead, timeout_s=_GIVING_UP_S)).closed
        if not closed:
            message = CloseRowSet(handle.container_id, state.result_id)
            connection.ask(message, partition=handle.partition, asked="to end a result", timeout_s=_GIVING_UP_S)


def _analysis(part: RowsPart) -> pa.RecordBatch:
    image = part.image if isinstance(part.image, (bytes, bytearray, memoryview)) else b"".join(part.image)
    return decode_rows(ANALYSIS, part.count, image)[0]
