"""Functions of GridDB's SQL: name -> what it takes, and the DuckDB SQL it becomes. As seen on GridDB CE 5.9.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sql.operators import coalesced, compared, lowered, nullable, raised
from gridferry.embedded.sql.syntax import syntax_error, unsupported
from gridferry.embedded.sql.time_functions import TIME_FUNCTIONS
from gridferry.embedded.sql.values import (
    NULL,
    Typed,
    as_type,
    common_type,
    double,
    guarded,
    mismatch,
)
from gridferry.embedded.tql_values import INTEGERS, NUMBERS, bound_once
from gridferry.griddb.schema import GridType

if TYPE_CHECKING:
    from gridferry.embedded.sql.expressions import Expressions

Call = Callable[["Expressions", str, list[exp.Expression]], Typed]
_BYTES = (GridType.STRING, GridType.BLOB)


def call(compiler: Expressions, name: str, arguments: list[exp.Expression]) -> Typed:
    """A function's value. Raises: 240010 no such function, 240005 number of arguments, 305010 types, 240000."""
    from gridferry.embedded.sql.aggregates import AGGREGATES, aggregate

    if name in AGGREGATES and not (name in ("MIN", "MAX") and len(arguments) > 1):
        return aggregate(compiler, name, arguments)
    function = FUNCTIONS.get(name) or TIME_FUNCTIONS.get(name)
    if function is None and name in _LEFT_OUT:
        raise unsupported(f"function {name}")
    if function is None:
        raise Refusal(Code.SQL_COMPILE_FUNCTION_NOT_FOUND, f"Function not found (name={name})")
    if any(isinstance(each, exp.Star | exp.Distinct) for each in arguments):
        raise syntax_error(f"{name} takes values")
    return function(compiler, name, arguments)


def values_of(compiler: Expressions, arguments: list[exp.Expression], *counts: int) -> list[Typed]:
    """The arguments. Raises: 240005 for another number of them."""
    if len(arguments) not in counts:
        raise Refusal(Code.SQL_COMPILE_INVALID_ARG_COUNT, "Invalid argument count")
    return [compiler.value(a) for a in arguments]


def need(value: Typed, *types: GridType) -> None:
    """Raise 305010 for a value of another type."""
    if not value.is_a(*types):
        raise mismatch(value.label, types[0].label)


def _texts(function: str, *counts: int, kind: GridType = GridType.STRING) -> Call:
    def call(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
        values = values_of(compiler, arguments, *counts)
        for value in values:
            need(value, GridType.STRING)
        return Typed(function.format(*(_text(v) for v in values)), kind, nullable(*values))

    return call


def _text(value: Typed) -> str:
    return value.sql if value.type is not None else "NULL::VARCHAR"


def _letters(fold: Callable[[str], str]) -> Call:
    def call(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
        (value,) = values_of(compiler, arguments, 1)
        need(value, GridType.STRING)
        return Typed(fold(_text(value)), GridType.STRING, nullable(value))

    return call


def _trim(function: str) -> Call:
    def call(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
        values = values_of(compiler, arguments, 1, 2)
        for value in values:
            need(value, GridType.STRING)
        return Typed(f"{function}({', '.join(_text(v) for v in values)})", GridType.STRING, nullable(*values))

    return call


def _length(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = values_of(compiler, arguments, 1)
    need(value, *_BYTES)
    function = "octet_length" if value.type is GridType.BLOB else "length"
    sql = f"{function}({value.sql})::BIGINT" if value.type is not None else "NULL::BIGINT"
    return Typed(sql, GridType.LONG, nullable(value))


def _substr(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    values = values_of(compiler, arguments, 2, 3)
    need(values[0], GridType.STRING)
    for value in values[1:]:
        need(value, *INTEGERS)
    if values[0].type is None:
        return NULL
    may_be_null = nullable(*values)
    text, *places = values
    if len(values) == 3:
        sql = f"substring({_text(text)}, {places[0].sql}, {places[1].sql})"
        if not isinstance(places[1].value, int):
            raise unsupported("SUBSTR with a length that is neither a literal nor a parameter")
    else:
        sql = f"substring({_text(text)}, {places[0].sql})"
    if places[0].type is not None and not isinstance(places[0].value, int):
        raise unsupported("SUBSTR with a place that is neither a literal nor a parameter")
    if isinstance(places[0].value, int) and places[0].value == 0 and len(values) == 3:
        # A place before the first letter counts: 0 with a length of 2 gives one letter.
        length = int(str(places[1].value))
        sql = f"substring({_text(text)}, 1, {max(0, length - 1)})"
    return Typed(sql, GridType.STRING, may_be_null)


def _instr(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    text, part = values_of(compiler, arguments, 2)
    need(text, GridType.STRING)
    need(part, GridType.STRING)
    return Typed(f"instr({_text(text)}, {_text(part)})::BIGINT", GridType.LONG, nullable(text, part))


def _absolute(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = values_of(compiler, arguments, 1)
    need(value, *NUMBERS)
    if value.type is None:
        return NULL
    if value.type in INTEGERS:
        return Typed(f"abs(({value.sql})::BIGINT)", GridType.LONG, value.nullable)
    return Typed(f"abs({double(value)})", GridType.DOUBLE, value.nullable)


def _rounding(compiler: Expressions, name: str, arguments: list[exp.Expression]) -> Typed:
    values = values_of(compiler, arguments, 1, 2)
    for value in values:
        need(value, *NUMBERS)
    if values[0].type is None:
        return NULL
    places = values[1].value if len(values) == 2 else 0
    if not isinstance(places, int):
        raise unsupported(f"{name} to digits that are neither a literal nor a parameter")
    value = values[0]
    if name == "ROUND":
        # The real server knows no places before the point here.
        places = max(0, places)
        if value.type in INTEGERS:
            return Typed(f"({value.sql})::BIGINT", GridType.LONG, value.nullable)
        return Typed(f"round({double(value)}, {places})", GridType.DOUBLE, value.nullable)
    if value.type in INTEGERS:
        unit = 10 ** min(18, max(0, -places))
        return Typed(f"((({value.sql})::BIGINT // {unit}) * {unit})", GridType.LONG, value.nullable)
    return Typed(f"trunc({double(value)}, {places})", GridType.DOUBLE, value.nullable)


def _square_root(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = values_of(compiler, arguments, 1)
    need(value, *NUMBERS)
    if value.type is None:
        return Typed("NULL::DOUBLE", GridType.DOUBLE)
    sql = bound_once(
        double(value), "number", lambda got: guarded(f"{got} < 0", Code.QF_VALUE_OUT_OF_RANGE, f"sqrt({got})", "DOUBLE")
    )
    return Typed(sql, GridType.DOUBLE, value.nullable)


def _logarithm(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    base, value = values_of(compiler, arguments, 2)
    need(base, *NUMBERS)
    need(value, *NUMBERS)
    if base.type is None or value.type is None:
        return Typed("NULL::DOUBLE", GridType.DOUBLE)
    wrong = f"{double(base)} <= 0 OR {double(base)} = 1 OR {double(value)} <= 0"
    sql = guarded(wrong, Code.QF_VALUE_OUT_OF_RANGE, f"log({double(base)}, {double(value)})", "DOUBLE")
    return Typed(sql, GridType.DOUBLE, nullable(base, value))


def _hex(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = values_of(compiler, arguments, 1)
    need(value, *_BYTES)
    return Typed(f"coalesce(hex({value.sql}), '')", GridType.STRING, nullable=False)


def _coalesce(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    if len(arguments) < 2:
        raise Refusal(Code.SQL_COMPILE_INVALID_ARG_COUNT, "Invalid argument count")
    return coalesced([compiler.value(a) for a in arguments])


def _if_null(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    return coalesced(values_of(compiler, arguments, 2))


def _null_if(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    left, right = values_of(compiler, arguments, 2)
    if left.type is None:
        return NULL
    same = compared(left, "=", right)
    kind = common_type([left, right])
    return Typed(f"CASE WHEN {same.sql} THEN NULL ELSE {as_type(left, kind)} END", kind)


def _extreme(compiler: Expressions, name: str, arguments: list[exp.Expression]) -> Typed:
    """MAX or MIN of two values or more: NULL where one is."""
    values = [compiler.value(a) for a in arguments]
    kind = common_type(values)
    if kind is None:
        return NULL
    found = [as_type(v, kind) for v in values]
    inside = f"{'greatest' if name == 'MAX' else 'least'}({', '.join(found)})"
    some = " OR ".join(f"{each} IS NULL" for each in found)
    return Typed(f"CASE WHEN {some} THEN NULL ELSE {inside} END", kind, nullable(*values))


def _type_of(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = values_of(compiler, arguments, 1)
    sql = f"CASE WHEN {value.sql} IS NULL THEN 'NULL' ELSE '{value.label}' END"
    return Typed(sql, GridType.STRING, nullable=False)


def _unicode(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = values_of(compiler, arguments, 1)
    need(value, GridType.STRING)
    text = _text(value)
    return Typed(f"CASE WHEN {text} = '' THEN NULL ELSE unicode({text})::BIGINT END", GridType.LONG)


def _quote(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = values_of(compiler, arguments, 1)
    need(value, GridType.STRING)
    if value.type is None or value.nullable:
        raise unsupported("QUOTE of what may be NULL")
    return Typed(f"('''' || replace({value.sql}, '''', '''''') || '''')", GridType.STRING, nullable=False)


FUNCTIONS: dict[str, Call] = {
    "ABS": _absolute,
    "COALESCE": _coalesce,
    "HEX": _hex,
    "IFNULL": _if_null,
    "INSTR": _instr,
    "LENGTH": _length,
    "LOG": _logarithm,
    "LOWER": _letters(lowered),
    "LTRIM": _trim("ltrim"),
    "MAX": _extreme,
    "MIN": _extreme,
    "NULLIF": _null_if,
    "QUOTE": _quote,
    "REPLACE": _texts("replace({0}, {1}, {2})", 3),
    "ROUND": _rounding,
    "RTRIM": _trim("rtrim"),
    "SQRT": _square_root,
    "SUBSTR": _substr,
    "TRANSLATE": _texts("translate({0}, {1}, {2})", 3),
    "TRIM": _trim("trim"),
    "TRUNC": _rounding,
    "TYPEOF": _type_of,
    "UNICODE": _unicode,
    "UPPER": _letters(raised),
}
# Functions of GridDB's that the emulator does not have.
_LEFT_OUT = frozenset(
    {"CHAR", "GLOB", "HEX_TO_DEC", "LIKE", "PRINTF", "RANDOM", "RANDOMBLOB", "ZEROBLOB", "STRFTIME", "ROW_NUMBER",
     "LAG", "LEAD", "PERCENTILE_CONT", "MEDIAN", "FIRST", "LAST", "MAKE_TIMESTAMP", "MAKE_TIMESTAMP_MS",
     "MAKE_TIMESTAMP_US", "MAKE_TIMESTAMP_NS"}
)  # fmt: skip
