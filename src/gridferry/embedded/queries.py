"""Running compiled queries: on one container, on many at once, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from gridferry.embedded.catalog import Container
from gridferry.embedded.database import Database
from gridferry.embedded.duck import Stream
from gridferry.embedded.explain import explained
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.results import Rows, rows_of
from gridferry.embedded.series import sampled, time_average
from gridferry.embedded.shape import NUMBER, ROW_ID, Shape, shape_of
from gridferry.embedded.sources import Source, committed, committed_in
from gridferry.embedded.tql_query import (
    Aggregation,
    CompiledQuery,
    Explanation,
    ExtremeRows,
    Neighbour,
    Query,
    RowQuery,
    Samples,
    TimeAverage,
    compiled,
)
from gridferry.embedded.transactions import Transaction, stored_keys
from gridferry.griddb.schema import ContainerSchema, GridType

# A result with more rows than this is read from disk page by page, not kept in memory.
_KEPT_ROWS = 200_000


class Value(NamedTuple):
    """An aggregation's answer; `value` None where there is none. Times are ticks of the type's precision.

    A tuple, since there may be tens of thousands in one answer.
    """

    type: GridType
    value: int | float | None


@dataclass(frozen=True)
class Analysis:
    """EXPLAIN's answer; `explain.SCHEMA` is its schema."""

    batch: pa.RecordBatch


Answer = Rows | Value | Analysis
Limited = TypeVar("Limited", RowQuery, Samples)


class Pages:
    """A result that is handed out in pages; close it."""

    def __init__(self, schema: ContainerSchema, total: int, source: Stream | pa.Table) -> None:
        self.total = total
        self.taken = 0
        self._schema = schema
        self._source = source

    def take(self, count: int) -> Rows:
        """The next `count` rows, fewer at the end."""
        if isinstance(self._source, pa.Table):
            table = self._source.slice(self.taken, count)
        else:
            table = self._source.take(count)
        self.taken += table.num_rows
        return rows_of(self._schema, table)

    @property
    def done(self) -> bool:
        """Whether every row was taken."""
        return self.taken >= self.total

    def close(self) -> None:
        """Let go of the result."""
        if not isinstance(self._source, pa.Table):
            self._source.close()


def plan(container: Container, text: str) -> Query:
    """The query that a TQL text means for a container. Raises: 150010 for another container's name; see `compiled`."""
    return query_for(container, compiled(text, container.schema))


def query_for(container: Container, found: CompiledQuery) -> Query:
    """A compiled query, for one container of its schema. Raises: 150010 for another container's name."""
    if found.container is not None and found.container.lower() != container.name.lower():
        raise Refusal(
            Code.TQ_INVALID_COLLECTION_NAME,
            "Collection names given to API and specified in FROM clause are not equal.",
        )
    return found.query


def run(
    db: Database,
    container: Container,
    query: Query,
    *,
    limit: int | None = None,
    transaction: Transaction | None = None,
    for_update: bool = False,
) -> Answer:
    """The query's answer. `for_update` locks the rows for the transaction. Raises: 150017 for what cannot be locked."""
    with db.lock:
        if for_update:
            _check_lockable(query)
        if isinstance(query, Explanation):
            return _explain(db, container, query, transaction)
        source = _source(db, container, transaction)
        if isinstance(query, Aggregation):
            found = db.duck.select(_aggregate_sql(source, query), tables=source.tables)
            return _value(query, found.column(0)[0].as_py())
        if isinstance(query, TimeAverage):
            return _time_average(db, source, query)
        table = _rows(db, container, source, query, limit=limit)
        if for_update and transaction is not None:
            table = _locked(db, container, table, query, limit=limit, transaction=transaction)
        return rows_of(container.schema, table)


def _check_lockable(query: Query) -> None:
    if not isinstance(query, RowQuery):
        raise Refusal(Code.TQ_CANNOT_LOCK_ROW, "Cannot lock rows for update in aggregation/selection")


def _locked(
    db: Database, container: Container, table: pa.Table, query: Query, *, limit: int | None, transaction: Transaction
) -> pa.Table:
    """The query's rows once no other transaction holds any of those in `table`; they are the transaction's then."""
    if db.wait_for(container, set(stored_keys(shape_of(container.schema), table)), mine=transaction):
        table = _rows(db, container, transaction.source, query, limit=limit)
    transaction.lock(table)
    return table


def _explain(db: Database, container: Container, query: Explanation, transaction: Transaction | None) -> Analysis:
    if not query.analyze:
        return Analysis(explained(query, None))
    found = run(db, container, query.query, transaction=transaction)
    return Analysis(explained(query, found.batch.num_rows if isinstance(found, Rows) else 1))


def run_paged(
    db: Database,
    container: Container,
    query: Query,
    *,
    limit: int | None,
    transaction: Transaction | None,
    for_update: bool = False,
) -> Pages:
    """The rows of a query, to be taken in pages; it sees no later change. Locks and refuses as `run`."""
    with db.lock:
        if for_update:
            _check_lockable(query)
        source = _source(db, container, transaction)
        if not isinstance(query, RowQuery) or transaction is not None:
            table = _rows(db, container, source, query, limit=limit)
            if for_update and transaction is not None:
                table = _locked(db, container, table, query, limit=limit, transaction=transaction)
            return Pages(container.schema, table.num_rows, table)
        limited = _limited(query, limit)
        stream = db.duck.stream(_row_sql(source, limited))
        try:
            head = stream.take(_KEPT_ROWS + 1)
            if head.num_rows <= _KEPT_ROWS:
                stream.close()
                return Pages(container.schema, head.num_rows, head)
            stream.put_back(head)
            total = int(db.duck.select(_count_sql(source, limited)).column(0)[0].as_py())
        except BaseException:
            stream.close()
            raise
        return Pages(container.schema, total, stream)


def run_many(db: Database, queries: Sequence[tuple[Container, Query]]) -> list[Answer]:
    """The answers of many queries, in order.

    Aggregations with one WHERE over containers of one shape are one scan; so is one `SELECT *` of many containers.
    """
    # Containers of one schema share the object, and so do the queries that one text means for them: cheap to tell.
    alike: dict[tuple[int, int], list[int]] = {}
    for place, (container, query) in enumerate(queries):
        alike.setdefault((id(container.schema), id(query)), []).append(place)
    scans: dict[tuple[Shape, str, str | None], list[int]] = {}
    alone: list[int] = []
    for places in alike.values():
        container, query = queries[places[0]]
        if isinstance(query, Aggregation):
            scans.setdefault((shape_of(container.schema), query.where, None), []).extend(places)
        elif isinstance(query, RowQuery) and query.limit is None and not query.offset and len(places) > 1:
            scans.setdefault((shape_of(container.schema), query.where, query.order), []).extend(places)
        else:
            alone += places
    answers: dict[int, Answer] = {}
    with db.lock:
        db.settle()
        for (_, _, order), places in scans.items():
            scan = _grouped if order is None else _rows_by_container
            answers.update(zip(places, scan(db, [queries[place] for place in places]), strict=True))
        answers.update((place, run(db, *queries[place])) for place in alone)
    return [answers[place] for place in range(len(queries))]


def _grouped(db: Database, queries: Sequence[tuple[Container, Query]]) -> Sequence[Answer]:
    """The answers of aggregations that have one WHERE clause, over containers of one shape."""
    asked = [(container, query) for container, query in queries if isinstance(query, Aggregation)]
    source = committed_in([container for container, _ in asked])
    db.rows.make(source.shape)
    sqls = list(dict.fromkeys(query.sql for _, query in asked))
    where = f"WHERE {asked[0][1].where}" if asked[0][1].where else ""
    found = db.duck.select(
        f"SELECT {', '.join([NUMBER, *sqls])} FROM {source.sql} {where} GROUP BY {NUMBER}", tables=source.tables
    )
    numbers = found.column(0).to_pylist()
    values = {
        sql: dict(zip(numbers, found.column(place).to_pylist(), strict=True)) for place, sql in enumerate(sqls, start=1)
    }
    return [_value(q, values[q.sql].get(c.number, 0 if q.sql.startswith("count(") else None)) for c, q in asked]


def _rows_by_container(db: Database, queries: Sequence[tuple[Container, Query]]) -> Sequence[Answer]:
    """The rows that one query selects in each of many containers of one shape."""
    source = committed_in([container for container, _ in queries])
    db.rows.make(source.shape)
    query = queries[0][1]
    if not isinstance(query, RowQuery):
        raise Refusal(Code.CM_INTERNAL_ERROR, "only rows are selected from many containers")
    order = f"{NUMBER}, {query.order}" if query.order else NUMBER
    table = db.duck.select(_row_sql(source, replace(query, order=order)), tables=source.tables).combine_chunks()
    numbers = np.asarray(table.column(NUMBER).to_numpy())
    edges = {
        c.number: np.searchsorted(numbers, (c.number, c.number + 1)).tolist()
        for c in {c.number: c for c, _ in queries}.values()
    }
    return [
        rows_of(c.schema, table.slice(edges[c.number][0], edges[c.number][1] - edges[c.number][0])) for c, _ in queries
    ]


def _source(db: Database, container: Container, transaction: Transaction | None) -> Source:
    db.settle()
    db.rows.make(shape_of(container.schema))
    return committed(container) if transaction is None else transaction.source


def _aggregate_sql(source: Source, query: Aggregation) -> str:
    where = f" WHERE {query.where}" if query.where else ""
    return f"SELECT {query.sql} FROM {source.sql}{where}"


def _value(query: Aggregation, value: Any) -> Value:
    if value is None or query.hidden:
        return Value(query.type, None)
    if query.wraps is not None:
        half = 1 << (query.wraps - 1)
        return Value(query.type, (int(value) + half) % (2 * half) - half)
    return Value(query.type, value)


def _time_average(db: Database, source: Source, query: TimeAverage) -> Value:
    conditions = [f"c{query.column} IS NOT NULL", *([query.where] if query.where else [])]
    found = db.duck.select(
        f"SELECT c0, c{query.column}::DOUBLE FROM {source.sql} WHERE {' AND '.join(conditions)} ORDER BY c0",
        tables=source.tables,
    )
    times, values = (np.asarray(c.to_numpy()) for c in found.columns)
    return Value(GridType.DOUBLE, time_average(times, values))


def _rows(db: Database, container: Container, source: Source, query: Query, *, limit: int | None) -> pa.Table:
    if isinstance(query, Samples):
        return sampled(db.duck, source, container.schema, _limited(query, limit))
    if isinstance(query, RowQuery):
        sql = _row_sql(source, _limited(query, limit))
    elif isinstance(query, ExtremeRows):
        sql = _extreme_sql(source, query, limit)
    elif isinstance(query, Neighbour):
        sql = _neighbour_sql(source, query)
    else:
        raise Refusal(Code.TQ_INTERNAL_NOT_IMPLEMENTED, "an aggregation has no rows")
    return db.duck.select(sql, tables=source.tables)


def _limited(query: Limited, limit: int | None) -> Limited:
    limits = [n for n in (query.limit, limit) if n is not None]
    return replace(query, limit=min(limits)) if limits else query


def natural_order(shape: Shape) -> str:
    """The order in which a container's rows come when nobody asks for another: by time, or as they were put."""
    return ROW_ID if shape.row_ids else "c0"


def _count_sql(source: Source, query: RowQuery) -> str:
    """How many rows a query selects: without sorting them."""
    return f"SELECT count(*) FROM (SELECT 1 FROM {source.sql}{_where(query)}{_window(query)})"


def _where(query: RowQuery) -> str:
    return f" WHERE {query.where}" if query.where else ""


def _window(query: RowQuery) -> str:
    limit = f" LIMIT {query.limit}" if query.limit is not None else ""
    return limit + (f" OFFSET {query.offset}" if query.offset else "")


def _row_sql(source: Source, query: RowQuery) -> str:
    natural = natural_order(source.shape)
    order = f"{query.order}, {natural}" if query.order else natural
    names = ", ".join(source.shape.names)
    return f"SELECT {names} FROM {source.sql}{_where(query)} ORDER BY {order}{_window(query)}"


def _extreme_sql(source: Source, query: ExtremeRows, limit: int | None) -> str:
    where = f" WHERE {query.where}" if query.where else ""
    column = f"c{query.column}"
    best = f"(SELECT {query.function}({column}) FROM {source.sql}{where})"
    condition = f"{column} = {best}" + (f" AND {query.where}" if query.where else "")
    return _row_sql(source, _limited(RowQuery(condition, "", query.limit, query.offset), limit))


def _neighbour_sql(source: Source, query: Neighbour) -> str:
    sign = (">" if query.later else "<") + ("=" if query.inclusive else "")
    condition = f"c0 {sign} {query.time}" + (f" AND {query.where}" if query.where else "")
    order = "c0 ASC" if query.later else "c0 DESC"
    one = 1 if query.limit is None else min(1, query.limit)
    return _row_sql(source, RowQuery(condition, order, max(0, one - query.offset), 0))
