"""Aggregations of GridDB's SQL. Behaviour as seen on GridDB CE 5.9.0."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sql.syntax import syntax_error, unsupported
from gridferry.embedded.sql.values import Typed, double, guarded, mismatch, text_of
from gridferry.embedded.tql_values import INTEGERS, NUMBERS, bound_once
from gridferry.griddb.schema import GridType

if TYPE_CHECKING:
    from gridferry.embedded.sql.expressions import Expressions

_DEVIATIONS = {
    "STDDEV": "stddev_samp",
    "STDDEV_SAMP": "stddev_samp",
    "STDDEV_POP": "stddev_pop",
    "VARIANCE": "var_samp",
    "VAR_SAMP": "var_samp",
    "VAR_POP": "var_pop",
}
# Of one row they are 0, and not NULL.
_OF_ONE = {"STDDEV0": "stddev_samp", "VARIANCE0": "var_samp"}
AGGREGATES = frozenset({"COUNT", "SUM", "AVG", "MIN", "MAX", "TOTAL", "GROUP_CONCAT", *_DEVIATIONS, *_OF_ONE})


def aggregate(compiler: Expressions, name: str, arguments: list[exp.Expression]) -> Typed:
    """An aggregation's value. Raises: 240001 where none may stand, 240005 number of arguments, 305010 types."""
    if not compiler.aggregates:
        raise syntax_error(f"Invalid use of aggregation function {name}")
    if name == "GROUP_CONCAT":
        return _joined(compiler, arguments)
    if len(arguments) != 1:
        raise Refusal(Code.SQL_COMPILE_INVALID_ARG_COUNT, "Invalid argument count")
    node = arguments[0]
    if isinstance(node, exp.Star):
        if name != "COUNT":
            raise syntax_error(f"{name} takes a value")
        return Typed("count(*)", GridType.LONG, nullable=False)
    node, distinct = _distinct(node)
    value = compiler.inner().value(node)
    if name == "COUNT":
        return Typed(f"count({distinct}{value.sql})", GridType.LONG, nullable=False)
    if name in ("MIN", "MAX"):
        if value.type is None:
            raise unsupported(f"{name} of NULL")
        return Typed(f"{name.lower()}({value.sql})", value.type, _may_be_null(compiler, value))
    found = _number(name, value, distinct)
    if name in ("SUM", "AVG"):
        return replace(found, nullable=_may_be_null(compiler, value))
    return found


def _may_be_null(compiler: Expressions, value: Typed) -> bool:
    """A group has a row, so an aggregation of what is never NULL is none; all rows together may be no row."""
    return value.nullable or value.type is None or not compiler.scope.keys


def _distinct(node: exp.Expression) -> tuple[exp.Expression, str]:
    if not isinstance(node, exp.Distinct):
        return node, ""
    if len(node.expressions) != 1 or node.args.get("on") or isinstance(node.expressions[0], exp.Star):
        raise syntax_error("DISTINCT takes one value")
    return node.expressions[0], "DISTINCT "


def _number(name: str, value: Typed, distinct: str) -> Typed:
    if value.type is None:
        value = Typed("NULL::DOUBLE", GridType.DOUBLE)
    if value.type not in NUMBERS:
        raise mismatch(value.label, "DOUBLE")
    if name == "SUM" and value.type in INTEGERS:
        low, high = -(2**63), 2**63 - 1
        sql = bound_once(
            f"sum({distinct}({value.sql})::HUGEINT)",
            "total",
            lambda got: guarded(
                f"{got} NOT BETWEEN {low} AND {high}", Code.QF_VALUE_OVERFLOW, f"({got})::BIGINT", "BIGINT"
            ),
        )
        return Typed(sql, GridType.LONG)
    number = f"{distinct}{double(value)}"
    if name == "SUM":
        return Typed(f"sum({number})", GridType.DOUBLE)
    if name == "TOTAL":
        return Typed(f"coalesce(sum({number}), 0.0::DOUBLE)", GridType.DOUBLE, nullable=False)
    if name == "AVG":
        return Typed(f"avg({number})", GridType.DOUBLE)
    if name in _OF_ONE:
        sql = f"CASE WHEN count({number}) = 1 THEN 0.0::DOUBLE ELSE {_OF_ONE[name]}({number}) END"
        return Typed(sql, GridType.DOUBLE)
    return Typed(f"{_DEVIATIONS[name]}({number})", GridType.DOUBLE)


def _joined(compiler: Expressions, arguments: list[exp.Expression]) -> Typed:
    if len(arguments) not in (1, 2):
        raise Refusal(Code.SQL_COMPILE_INVALID_ARG_COUNT, "Invalid argument count")
    node, distinct = _distinct(arguments[0])
    value = compiler.inner().value(node)
    mark = compiler.value(arguments[1]) if len(arguments) == 2 else None
    if mark is not None and not isinstance(mark.value, str):
        raise unsupported("GROUP_CONCAT with a separator that is neither a literal nor a parameter")
    between = "','" if mark is None else mark.sql
    text = text_of(value, compiler.compiling.zone_ms)
    return Typed(f"string_agg({distinct}{text}, {between})", GridType.STRING)
