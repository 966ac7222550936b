"""A TQL query, compiled for the columns of a container: what to read, in DuckDB's terms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import TIMESTAMPS
from gridferry.embedded.tql_functions import FIXED_UNITS, FUNCTIONS, unit_of
from gridferry.embedded.tql_syntax import Statement, parse
from gridferry.embedded.tql_values import INTEGERS, NUMBERS, TICKS_A_SECOND, Compiler, Typed
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType


@dataclass(frozen=True)
class RowQuery:
    """`SELECT *`. `where` and `order` are SQL; an empty `order` leaves the container's own."""

    where: str
    order: str
    limit: int | None
    offset: int


@dataclass(frozen=True)
class Aggregation:
    """One aggregation. `sql` gives the value or NULL; `type` is the answer's, `wraps` its bits for an integer sum."""

    where: str
    sql: str
    type: GridType
    wraps: int | None = None
    # LIMIT 0 or any OFFSET leaves nothing of the one value.
    hidden: bool = False


@dataclass(frozen=True)
class TimeAverage:
    """TIME_AVG: each value weighs as long as it is the nearest one."""

    where: str
    column: int


@dataclass(frozen=True)
class ExtremeRows:
    """MAX_ROWS or MIN_ROWS: every row with the greatest or least value. `function` is `max` or `min`."""

    where: str
    column: int
    function: str
    limit: int | None
    offset: int


@dataclass(frozen=True)
class Neighbour:
    """TIME_NEXT, TIME_PREV and their _ONLY: the row nearest to a time on one side."""

    where: str
    time: int
    later: bool
    inclusive: bool
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True)
class Samples:
    """TIME_SAMPLING and TIME_INTERPOLATED: rows at times from `start` to `end`, `step` ms apart.

    Between two rows the earlier one is given, with the `columns` put on the line from one to the other; or, if
    `empty`, a row of empty values, also before and after all rows.
    """

    where: str
    columns: tuple[int, ...]
    start: int
    end: int
    step: int
    empty: bool = False
    order: str = ""
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True)
class Explanation:
    """EXPLAIN: what the query would do, in words; with ANALYZE also what it found. `condition` is the WHERE clause."""

    query: RowQuery | Aggregation | TimeAverage | ExtremeRows | Neighbour | Samples
    condition: str
    order: tuple[tuple[str, bool], ...]
    analyze: bool


Query = RowQuery | Aggregation | TimeAverage | ExtremeRows | Neighbour | Samples | Explanation


@dataclass(frozen=True)
class CompiledQuery:
    """A query, and the container it names, if it names one."""

    query: Query
    container: str | None


@lru_cache(maxsize=4096)
def compiled(text: str, schema: ContainerSchema) -> CompiledQuery:
    """The query for containers of `schema`. Raises: Refusal with GridDB's code (150xxx to 153xxx)."""
    statement = parse(text)
    compiler = Compiler(schema, FUNCTIONS)
    where = compiler.condition(statement.where) if statement.where is not None else ""
    if statement.select is None:
        query: Query = RowQuery(where, _order(compiler, statement), statement.limit, statement.offset)
    else:
        query = _function(compiler, statement, statement.select, where)
    if statement.explain and not isinstance(query, Explanation):
        order = tuple((node.name, descending) for node, descending in statement.order)
        condition = statement.where.sql() if statement.where is not None else "NULL"
        query = Explanation(query, condition, order, statement.analyze)
    return CompiledQuery(query, statement.container)


def _order(compiler: Compiler, statement: Statement) -> str:
    parts = []
    for node, descending in statement.order:
        if not isinstance(node, exp.Column):
            raise Refusal(Code.TQ_SYNTAX_ERROR_INVALID_ORDERBY_EXPR, "Only column name is allowed in order-by clause")
        column = compiler.column(node)
        if column.array:
            raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "Cannot sort by an array")
        # NULL is the greatest of all.
        parts.append(f"{column.sql} DESC NULLS FIRST" if descending else f"{column.sql} ASC NULLS LAST")
    return ", ".join(parts)


Selection = Callable[[Compiler, Statement, str, str, list[exp.Expression]], Query]


def _function(compiler: Compiler, statement: Statement, call: exp.Anonymous, where: str) -> Query:
    name = str(call.this).upper()
    arguments = list(call.expressions)
    selection = _SELECTIONS.get(name)
    if selection is not None:
        return selection(compiler, statement, where, name, arguments)
    if name in FUNCTIONS:
        raise Refusal(
            Code.TQ_INTERNAL_NOT_IMPLEMENTED, "Column selection and direct value selection are not implemented"
        )
    raise Refusal(Code.TQ_FUNCTION_NOT_FOUND, f"No such function : {name}")


def _aggregation(
    compiler: Compiler, statement: Statement, where: str, name: str, arguments: list[exp.Expression]
) -> Query:
    if statement.order:
        raise Refusal(Code.TQ_SYNTAX_ERROR_ORDERBY_WITH_AGGREGATION, "Cannot use order-by clause with aggregation")
    if len(arguments) != 1:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_COUNT, "Invalid argument count for aggregation")
    hidden = statement.limit == 0 or statement.offset > 0
    whole = _is_whole_series(compiler, statement)
    if isinstance(arguments[0], exp.Star):
        if name != "COUNT":
            raise _cannot_aggregate()
        return Aggregation(where, "count(*)", GridType.LONG, hidden=hidden)
    if not isinstance(arguments[0], exp.Column):
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "Invalid argument type for aggregation")
    number = compiler.column_number(arguments[0])
    return aggregation_over(compiler.schema, name, number, where=where, hidden=hidden, whole=whole)


def _is_whole_series(compiler: Compiler, statement: Statement) -> bool:
    """Whether the real server aggregates without looking at rows one by one: then types stay narrow."""
    if compiler.schema.kind is not ContainerKind.TIME_SERIES:
        return False
    if statement.where is None:
        return True
    return all(compiler.column_number(c) == 0 for c in statement.where.find_all(exp.Column) if not _is_unit(c))


def _is_unit(column: exp.Expression) -> bool:
    return isinstance(column.parent, exp.Anonymous) and column.name.upper() in {"YEAR", "MONTH", *FIXED_UNITS}


def aggregation_over(
    schema: ContainerSchema, name: str, number: int, *, where: str, hidden: bool = False, whole: bool = False
) -> Query:
    """The aggregation called `name` over a column. Raises: 150020, 152004."""
    column = schema.columns[number]
    sql = f"c{number}"
    if name == "COUNT":
        return Aggregation(where, "count(*)" if whole else f"count({sql})", GridType.LONG, hidden=hidden)
    numeric = not column.array and column.type in NUMBERS
    if name in ("MIN", "MAX") and (numeric or (not column.array and column.type in TIMESTAMPS)):
        return Aggregation(where, f"{name.lower()}({sql})", _kept_type(column, whole=whole), hidden=hidden)
    if not numeric:
        raise _cannot_aggregate()
    if name == "TIME_AVG":
        if schema.kind is not ContainerKind.TIME_SERIES:
            raise Refusal(Code.TQ_CONSTRAINT_AGGREGATION_ABUSE, "Aggregation for timeSeries is used to collection.")
        return TimeAverage(where, number)
    if name == "SUM":
        return _sum(column, sql, where=where, hidden=hidden, whole=whole)
    return Aggregation(where, _DEVIATIONS[name].format(f"{sql}::DOUBLE"), GridType.DOUBLE, hidden=hidden)


def _sum(column: ColumnSpec, sql: str, *, where: str, hidden: bool, whole: bool) -> Aggregation:
    if column.type not in INTEGERS:
        return Aggregation(where, f"sum({sql}::DOUBLE)", _kept_type(column, whole=whole), hidden=hidden)
    kind = GridType.LONG if column.type is GridType.LONG else GridType.INTEGER
    bits = 64 if kind is GridType.LONG else 32
    return Aggregation(where, f"sum({sql}::HUGEINT)", kind, wraps=bits, hidden=hidden)


def _kept_type(column: ColumnSpec, *, whole: bool) -> GridType:
    if whole:
        return column.type
    if column.type is GridType.FLOAT:
        return GridType.DOUBLE
    return GridType.INTEGER if column.type in (GridType.BYTE, GridType.SHORT) else column.type


# One row has no sample deviation; the real server says 0.
_DEVIATIONS = {
    "AVG": "avg({0})",
    "STDDEV": "CASE WHEN count({0}) = 1 THEN 0 ELSE stddev_samp({0}) END",
    "STDDEV_SAMP": "CASE WHEN count({0}) = 1 THEN 0 ELSE stddev_samp({0}) END",
    "STDDEV_POP": "stddev_pop({0})",
    "VARIANCE": "CASE WHEN count({0}) = 1 THEN 0 ELSE var_samp({0}) END",
    "VARIANCE_SAMP": "CASE WHEN count({0}) = 1 THEN 0 ELSE var_samp({0}) END",
    "VARIANCE_POP": "var_pop({0})",
}


def _cannot_aggregate() -> Refusal:
    return Refusal(Code.TQ_COLUMN_CANNOT_AGGREGATE, "Invalid column for aggregation")


def _extreme(compiler: Compiler, statement: Statement, where: str, name: str, arguments: list[exp.Expression]) -> Query:
    _count_arguments(arguments, 1)
    if isinstance(arguments[0], exp.Star):
        raise _cannot_aggregate()
    column = compiler.column(arguments[0])
    if column.array or column.type not in NUMBERS | TIMESTAMPS:
        raise _cannot_aggregate()
    number = compiler.column_number(arguments[0])
    return ExtremeRows(where, number, name[:3].lower(), statement.limit, statement.offset)


def _neighbour(
    compiler: Compiler, statement: Statement, where: str, name: str, arguments: list[exp.Expression]
) -> Query:
    _need_series(compiler)
    _count_arguments(arguments, 2)
    if not isinstance(arguments[0], exp.Star):
        raise Refusal(Code.TQ_COLUMN_CANNOT_AGGREGATE, "Invalid column for aggregation, first arg must be *")
    moment = _moment(compiler, arguments[1])
    later, inclusive = "NEXT" in name, not name.endswith("_ONLY")
    return Neighbour(where, moment, later, inclusive, statement.limit, statement.offset)


def _interpolated(
    compiler: Compiler, statement: Statement, where: str, _: str, arguments: list[exp.Expression]
) -> Query:
    _need_series(compiler)
    _count_arguments(arguments, 2)
    if isinstance(arguments[0], exp.Star):
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "Cannot interpolate '*'")
    moment = _moment(compiler, arguments[1])
    columns = (_numeric_column(compiler, arguments[0]),)
    return Samples(where, columns, moment, moment, 1, limit=statement.limit, offset=statement.offset)


def _sampling(compiler: Compiler, statement: Statement, where: str, _: str, arguments: list[exp.Expression]) -> Query:
    _need_series(compiler)
    _count_arguments(arguments, 5)
    columns = () if isinstance(arguments[0], exp.Star) else (_numeric_column(compiler, arguments[0]),)
    start, end = _moment(compiler, arguments[1]), _moment(compiler, arguments[2])
    count = compiler.value(arguments[3])
    unit = unit_of(arguments[4])
    wrong = Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_RANGE, "Invalid duration for TIME_SAMPLING()")
    if isinstance(count.value, int) and count.value < 0:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "Invalid arguments for selection")
    if not isinstance(count.value, int) or count.value == 0 or FIXED_UNITS.get(unit, 0) < FIXED_UNITS["MILLISECOND"]:
        raise wrong
    return Samples(
        where,
        columns,
        start,
        end,
        step=count.value * FIXED_UNITS[unit] // 10**6,
        order=_order(compiler, statement),
        limit=statement.limit,
        offset=statement.offset,
    )


def _numeric_column(compiler: Compiler, node: exp.Expression) -> int:
    column = compiler.column(node)
    if column.array or column.type not in NUMBERS:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "Cannot interpolate non-numeric column")
    return compiler.column_number(node)


def _moment(compiler: Compiler, node: exp.Expression) -> int:
    """A time in milliseconds."""
    found: Typed = compiler.value(node)
    if found.type not in TICKS_A_SECOND or not isinstance(found.value, int):
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "A timestamp value is expected")
    return found.value * 1000 // TICKS_A_SECOND[found.type]


def _need_series(compiler: Compiler) -> None:
    if compiler.schema.kind is not ContainerKind.TIME_SERIES:
        raise Refusal(Code.TQ_CONSTRAINT_SELECTION_ABUSE, "Selection for timeSeries is used to collection.")


def _count_arguments(arguments: list[exp.Expression], count: int) -> None:
    if len(arguments) != count:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_COUNT, "Invalid argument count for selection")


_SELECTIONS: dict[str, Selection] = {
    **dict.fromkeys(("COUNT", "MIN", "MAX", "SUM", "TIME_AVG", *_DEVIATIONS), _aggregation),
    "MAX_ROWS": _extreme,
    "MIN_ROWS": _extreme,
    "TIME_NEXT": _neighbour,
    "TIME_NEXT_ONLY": _neighbour,
    "TIME_PREV": _neighbour,
    "TIME_PREV_ONLY": _neighbour,
    "TIME_INTERPOLATED": _interpolated,
    "TIME_SAMPLING": _sampling,
}
