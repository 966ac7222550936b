"""What only a TIME_SERIES is asked: neighbours, rows between rows, samples, aggregations over a range."""

from __future__ import annotations

from gridferry.embedded.answers.call import Call
from gridferry.embedded.answers.queries import answer_query, between
from gridferry.embedded.catalog import Container
from gridferry.embedded.checks import LAST_MS
from gridferry.embedded.images import found_image
from gridferry.embedded.queries import Value, run
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.results import Rows
from gridferry.embedded.tql_query import Aggregation, Neighbour, Query, Samples, aggregation_over
from gridferry.embedded.tql_values import NUMBERS
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.client_requests import InterpolateRow, QuerySampling
from gridferry.griddb.wire.octets import Writer
from gridferry.griddb.wire.row_replies import QueryReply, write_found, write_value
from gridferry.griddb.wire.row_requests import AggregateSeries, GetRelated, Transaction
from gridferry.griddb.wire.statement import Option

# Over a range variance and deviation are those of the population, in TQL those of a sample: seen on 5.9.0.
_OPERATIONS = ("MIN", "MAX", "SUM", "AVG", "VARIANCE_POP", "STDDEV_POP", "COUNT", "TIME_AVG")
# Milliseconds of the units 2 to 6; a sampling cannot use years and months, nor what is finer.
_UNIT_MS = {2: 86_400_000, 3: 3_600_000, 4: 60_000, 5: 1000, 6: 1}
_EMPTY_MODE = 1
_UINT32_MAX = (1 << 32) - 1


def related(call: Call, request: GetRelated, out: Writer) -> None:
    """The row next to a time. Raises: 70007 for a time that no row can have."""
    container = call.series_at(request.container_id, request.tx.version)
    _check_time(request.time_ms)
    query = None
    if 0 <= request.operation <= 3:
        later, inclusive = request.operation >= 2, request.operation % 2 == 0
        query = Neighbour("", request.time_ms, later=later, inclusive=inclusive)
    _write_one(call, container, request.tx, query, out)


def interpolate(call: Call, request: InterpolateRow, out: Writer) -> None:
    """The row at a time, a column on the line between its neighbours. Raises: 60075, 70006, 70007."""
    container = call.series_at(request.container_id, request.tx.version)
    _check_time(request.time_ms)
    if not 0 <= request.column < len(container.schema.columns):
        raise Refusal(Code.QP_COLUMN_ID_INVALID, f"column {request.column} does not exist")
    _check_numeric(container, request.column)
    query = Samples("", (request.column,), request.time_ms, request.time_ms, 1)
    _write_one(call, container, request.tx, query, out)


def _write_one(call: Call, container: Container, block: Transaction, query: Query | None, out: Writer) -> None:
    found = None
    if query is not None:
        with call.inside(container, block) as scope:
            rows = run(call.db, container, query, transaction=scope.transaction)
        if isinstance(rows, Rows):
            found = found_image(container.schema, rows)
    write_found(out, found)


def sampling(call: Call, request: QuerySampling, out: Writer) -> None:
    """Rows at times of equal distance."""
    answer_sampling(call, request).write(out)


def answer_sampling(call: Call, request: QuerySampling) -> QueryReply:
    """The answer to a sampling, or its first page.

    Raises: 10012 rows to be locked, 60074 unit, 60075 and 60102 columns, 60076 columns to interpolate in a mode
    without, 70004 no interval, 70007 a time that no row can have.
    """
    container = call.series_at(request.container_id, request.tx.version)
    if request.tx.options.get(Option.FOR_UPDATE, False):
        raise Refusal(Code.TXN_STATEMENT_TYPE_NOT_EXECUTABLE, "row lock (forUpdate) is not applicable")
    _check_time(request.start)
    _check_time(request.end)
    interval = request.interval & _UINT32_MAX
    if interval in (0, _UINT32_MAX):
        raise Refusal(Code.QP_INTERVAL_INVALID, f"interval {request.interval}")
    if request.unit not in _UNIT_MS:
        raise Refusal(Code.DS_TIM_SAMPLING_TIME_UNIT_INVALID, f"time unit {request.unit} of an interval")
    empty = request.mode == _EMPTY_MODE
    if empty and request.columns:
        raise Refusal(Code.DS_TIM_INTERPOLATED_COLUMN_IDLIST_INVALID, "this mode interpolates no columns")
    for column in request.columns:
        if not 0 <= column < len(container.schema.columns):
            raise Refusal(Code.DS_COLUMN_ID_INVALID, f"column {column} does not exist")
        _check_numeric(container, column)
    query = Samples("", request.columns, request.start, request.end, interval * _UNIT_MS[request.unit], empty=empty)
    return answer_query(call, container, request.tx, head=request.head, query=query)


def _check_time(time_ms: int) -> None:
    if not 0 <= time_ms <= LAST_MS:
        raise Refusal(Code.QP_TIMESTAMP_RANGE_INVALID, f"Timestamp out of range ({time_ms})")


def _check_numeric(container: Container, number: int) -> None:
    column = container.schema.columns[number]
    if column.array or column.type not in NUMBERS:
        raise Refusal(Code.DS_TIM_INTERPOLATED_COLUMN_TYPE_INVALID, f'column "{column.name}" is {column.label}')


def aggregate(call: Call, request: AggregateSeries, out: Writer) -> None:
    """An aggregation over a time range. Raises: 60100, 60102 for what cannot be aggregated."""
    container = call.series_at(request.container_id, request.tx.version)
    query = _aggregation(container, request)
    with call.inside(container, request.tx) as scope:
        found = run(call.db, container, query, transaction=scope.transaction)
    value = found.value if isinstance(found, Value) else None
    out.boolean(value is not None)
    if isinstance(found, Value) and value is not None:
        write_value(out, found.type, value)


def _aggregation(container: Container, request: AggregateSeries) -> Query:
    where = between(request.start, request.end)
    if not 0 <= request.operation < len(_OPERATIONS):
        raise Refusal(Code.DS_AGGREGATED_COLUMN_TYPE_INVALID, f"aggregation {request.operation} does not exist")
    name = _OPERATIONS[request.operation]
    if request.column == -1 and name == "COUNT":
        return Aggregation(where, "count(*)", GridType.LONG)
    if not 0 <= request.column < len(container.schema.columns):
        raise Refusal(Code.DS_COLUMN_ID_INVALID, f"column {request.column} does not exist")
    try:
        return aggregation_over(container.schema, name, request.column, where=where, whole=True)
    except Refusal as refusal:
        raise Refusal(Code.DS_AGGREGATED_COLUMN_TYPE_INVALID, refusal.message) from refusal
