"""Queries: TQL, time ranges, pages."""

from __future__ import annotations

from gridferry.embedded import explain
from gridferry.embedded.answers.call import Call
from gridferry.embedded.catalog import Container
from gridferry.embedded.images import aggregate_of, image_of, rows_part
from gridferry.embedded.queries import Analysis, Answer, Value, plan, run, run_paged
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.results import Rows
from gridferry.embedded.tql_query import (
    Aggregation,
    Explanation,
    Query,
    RowQuery,
    TimeAverage,
)
from gridferry.griddb.wire.octets import Writer
from gridferry.griddb.wire.row_replies import (
    FetchReply,
    PartialFetch,
    QueryReply,
)
from gridferry.griddb.wire.row_requests import (
    CloseRowSet,
    FetchRowSet,
    QueryHead,
    QueryRange,
    QueryTql,
    Transaction,
)
from gridferry.griddb.wire.statement import NO_LIMIT, Option


def tql(call: Call, request: QueryTql, out: Writer) -> None:
    """Answer a TQL query."""
    container = call.container_at(request.container_id, request.tx.version)
    answer_query(call, container, request.tx, head=request.head, query=None, text=request.tql).write(out)


def answer_query(
    call: Call, container: Container, block: Transaction, *, head: QueryHead, query: Query | None, text: str = ""
) -> QueryReply:
    """A query's answer, or its first page where the asker wants pages. `query` None means the TQL in `text`."""
    limit = None if head.limit == NO_LIMIT else max(0, head.limit)
    with call.inside(container, block) as scope:
        query = plan(container, text) if query is None else query
        lock = bool(block.options.get(Option.FOR_UPDATE, False))
        rows = not isinstance(query, (Aggregation, TimeAverage, Explanation))
        if rows and 0 < head.fetch_size < NO_LIMIT:
            pages = run_paged(call.db, container, query, limit=limit, transaction=scope.transaction, for_update=lock)
            first = pages.take(head.fetch_size)
            if pages.done:
                pages.close()
                return reply_of(container, first)
            state = PartialFetch(pages.total, call.peer.keep(pages))
            return QueryReply(rows=rows_part(container.schema, first), partial=state)
        found = run(call.db, container, query, limit=limit, transaction=scope.transaction, for_update=lock)
    return reply_of(container, found)


def reply_of(container: Container, found: Answer) -> QueryReply:
    """Rows, a value or an analysis as a query's answer."""
    if isinstance(found, Value):
        return QueryReply(aggregate=aggregate_of(found))
    if isinstance(found, Analysis):
        return QueryReply(analysis=rows_part(explain.SCHEMA, Rows(found.batch, None)))
    return QueryReply(rows=rows_part(container.schema, found))


def fetch(call: Call, request: FetchRowSet, out: Writer) -> None:
    """The next page. Raises: 60132 for a result that is not open on this connection."""
    container = call.container_at(request.container_id, request.tx.version)
    pages = call.peer.results.get(request.result_id)
    if pages is None:
        raise Refusal(Code.DS_DS_RESULT_ID_INVALID, f"result {request.result_id} is not open on this connection")
    if request.fetched != pages.taken or request.fetch_size <= 0:
        raise Refusal(Code.DS_INPUT_MESSAGE_INVALID, f"{pages.taken} rows were fetched, not {request.fetched}")
    rows = pages.take(request.fetch_size)
    if pages.done:
        call.peer.drop_result(request.result_id)
    FetchReply(pages.done, 0, rows.batch.num_rows, image_of(container.schema, rows)).write(out)


def close_result(call: Call, request: CloseRowSet, _: Writer) -> None:
    """Let go of a result."""
    call.peer.drop_result(request.result_id)


def time_range(call: Call, request: QueryRange, out: Writer) -> None:
    """Rows of a TIME_SERIES between two times."""
    answer_range(call, request).write(out)


def answer_range(call: Call, request: QueryRange) -> QueryReply:
    """The answer to a query for a range of times, or its first page."""
    container = call.series_at(request.container_id, request.tx.version)
    order = "c0 DESC" if request.descending else "c0 ASC"
    query = RowQuery(between(request.start, request.end), order, None, 0)
    return answer_query(call, container, request.tx, head=request.head, query=query)


def between(start: int, end: int) -> str:
    """SQL for start <= key <= end; NO_LIMIT leaves a side open."""
    parts = [f"c0 >= {start}"] if start != NO_LIMIT else []
    return " AND ".join([*parts, *([f"c0 <= {end}"] if end != NO_LIMIT else [])])
