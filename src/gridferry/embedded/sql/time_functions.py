"""Functions of times in GridDB's SQL. Behaviour as seen on GridDB CE 5.9.0."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import TIMESTAMPS
from gridferry.embedded.sql.casts import time_in
from gridferry.embedded.sql.syntax import syntax_error, unsupported
from gridferry.embedded.sql.values import NULL, Typed, at_precision, mismatch, moment, within
from gridferry.embedded.tql_functions import FIXED_UNITS
from gridferry.embedded.tql_values import INTEGERS, NUMBERS, TICKS_A_SECOND, bound_once
from gridferry.griddb.schema import GridType

if TYPE_CHECKING:
    from gridferry.embedded.sql.expressions import Expressions

Call = Callable[["Expressions", str, list[exp.Expression]], Typed]
_UNITS = frozenset({"YEAR", "MONTH", *FIXED_UNITS})
_PARTS = {
    "YEAR": "year",
    "MONTH": "month",
    "DAY": "day",
    "HOUR": "hour",
    "MINUTE": "minute",
    "SECOND": "second",
    "DAY_OF_WEEK": "dayofweek",
    "DAY_OF_YEAR": "dayofyear",
}
_FRACTIONS = {"MILLISECOND": 10**3, "MICROSECOND": 10**6, "NANOSECOND": 10**9}


def _count(arguments: list[exp.Expression], *counts: int) -> None:
    if len(arguments) not in counts:
        raise Refusal(Code.SQL_COMPILE_INVALID_ARG_COUNT, "Invalid argument count")


def _word(node: exp.Expression, known: frozenset[str]) -> str:
    name = node.name.upper() if isinstance(node, exp.Column) and not node.args.get("table") else ""
    if name not in known:
        raise syntax_error(f'Syntax error at or near "{node.name}"')
    return name


def _time(compiler: Expressions, node: exp.Expression) -> Typed:
    value = compiler.value(node)
    if not value.is_a(*TIMESTAMPS):
        raise mismatch(value.label, "TIMESTAMP")
    return value


def _zone(compiler: Expressions, arguments: list[exp.Expression], place: int) -> int:
    """The time zone of a call in milliseconds: its own, or the login's."""
    if len(arguments) <= place:
        return compiler.compiling.zone_ms
    value = compiler.value(arguments[place]).value
    text = str(value)
    if text == "Z":
        return 0
    plain = text.replace(":", "")
    if not isinstance(value, str) or len(plain) != 5 or plain[0] not in "+-" or not plain[1:].isdigit():
        raise unsupported("time zone that is not written as '+09:00'")
    away = (int(plain[1:3]) * 60 + int(plain[3:])) * 60_000
    return -away if plain[0] == "-" else away


def _timestamp(kind: GridType) -> Call:
    def call(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
        _count(arguments, 1)
        return time_in(compiler.value(arguments[0]), kind, zone_ms=compiler.compiling.zone_ms)

    return call


def _now(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    _count(arguments, 0)
    return Typed(f"({compiler.compiling.now_ms})::BIGINT", GridType.TIMESTAMP_MS, nullable=False)


def _to_timestamp(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    _count(arguments, 1)
    value = compiler.value(arguments[0])
    if not value.is_a(*NUMBERS):
        raise mismatch(value.label, "LONG")
    if value.type is None:
        return Typed("NULL::BIGINT", GridType.TIMESTAMP_MS)
    ticks = value.sql if value.type in INTEGERS else f"trunc({value.sql})"
    return Typed(within(f"({ticks})::HUGEINT", GridType.TIMESTAMP_MS), GridType.TIMESTAMP_MS, value.nullable)


def _to_epoch(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    _count(arguments, 1)
    value = _time(compiler, arguments[0])
    if value.type is None:
        return Typed("NULL::BIGINT", GridType.LONG)
    return Typed(at_precision(value, GridType.TIMESTAMP_MS), GridType.LONG, value.nullable)


def _extract(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    _count(arguments, 2, 3)
    part = _word(arguments[0], frozenset({*_PARTS, *_FRACTIONS}))
    value = _time(compiler, arguments[1])
    if value.type is None:
        return Typed("NULL::BIGINT", GridType.LONG)
    a_second = TICKS_A_SECOND[value.type]
    if part in _FRACTIONS:
        nanos = f"(({value.sql}) % {a_second}) * {10**9 // a_second}"
        return Typed(f"({nanos} // {10**9 // _FRACTIONS[part]})::BIGINT", GridType.LONG, value.nullable)
    shift = _zone(compiler, arguments, 2) * a_second // 1000
    return Typed(
        f"{_PARTS[part]}({moment(f'({value.sql} + {shift})', value.type)})::BIGINT", GridType.LONG, value.nullable
    )


def _truncated(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    _count(arguments, 2, 3)
    unit = _word(arguments[0], _UNITS)
    value = _time(compiler, arguments[1])
    if value.type is None:
        return NULL
    a_second = TICKS_A_SECOND[value.type]
    shift = _zone(compiler, arguments, 2) * a_second // 1000
    shifted = f"({value.sql} + {shift})"
    if unit in FIXED_UNITS:
        width = FIXED_UNITS[unit] * a_second // 10**9
        sql = shifted if width <= 1 else f"({shifted} // {width} * {width})"
    else:
        sql = f"(epoch_ms(date_trunc('{unit.lower()}', {moment(shifted, value.type)})) // 1000 * {a_second})"
    return Typed(within(f"({sql} - {shift})::HUGEINT", value.type), value.type, value.nullable)


def _added(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    _count(arguments, 3, 4)
    unit = _word(arguments[0], _UNITS)
    value, count = _time(compiler, arguments[1]), compiler.value(arguments[2])
    if not count.is_a(*NUMBERS):
        raise mismatch(count.label, "LONG")
    if value.type is None or count.type is None:
        return NULL
    a_second = TICKS_A_SECOND[value.type]
    whole = count.sql if count.type in INTEGERS else f"trunc({count.sql})"
    may_be_null = value.nullable or count.nullable
    if unit in FIXED_UNITS:
        nanos = f"({value.sql}::HUGEINT * {10**9 // a_second} + ({whole})::HUGEINT * {FIXED_UNITS[unit]})"
        return Typed(within(f"({nanos} // {10**9 // a_second})", value.type), value.type, may_be_null)
    months = f"(({whole})::BIGINT * {12 if unit == 'YEAR' else 1})"
    if not isinstance(count.value, int) or abs(count.value) > 120_000:
        raise unsupported(f"TIMESTAMP_ADD of {unit}s that are neither a literal nor a parameter of a sensible size")
    shift = _zone(compiler, arguments, 3) * a_second // 1000

    def moved(ticks: str) -> str:
        shifted = (
            f"epoch_ms({moment(ticks, value.type or GridType.TIMESTAMP_MS)} + to_months({months}::INTEGER)) // 1000"
        )
        return f"(({shifted})::HUGEINT * {a_second} + ({ticks}) % {a_second} - {shift})"

    return Typed(within(bound_once(f"({value.sql} + {shift})", "moment", moved), value.type), value.type, may_be_null)


def _difference(compiler: Expressions, _: str, arguments: list[exp.Expression]) -> Typed:
    _count(arguments, 3)
    unit = _word(arguments[0], _UNITS)
    later, earlier = _time(compiler, arguments[1]), _time(compiler, arguments[2])
    if later.type is None or earlier.type is None:
        return Typed("NULL::BIGINT", GridType.LONG)
    may_be_null = later.nullable or earlier.nullable
    left, right = (at_precision(v, GridType.TIMESTAMP_NS) for v in (later, earlier))
    if unit in FIXED_UNITS:
        sql = f"((({left})::HUGEINT - ({right})::HUGEINT) // {FIXED_UNITS[unit]})::BIGINT"
        return Typed(sql, GridType.LONG, may_be_null)
    micros = [f"make_timestamp((({side})::HUGEINT // 1000)::BIGINT)" for side in (right, left)]
    return Typed(f"date_sub('{unit.lower()}', {micros[0]}, {micros[1]})", GridType.LONG, may_be_null)


TIME_FUNCTIONS: dict[str, Call] = {
    "EXTRACT": _extract,
    "NOW": _now,
    "TIMESTAMP": _timestamp(GridType.TIMESTAMP_MS),
    "TIMESTAMP_MS": _timestamp(GridType.TIMESTAMP_MS),
    "TIMESTAMP_US": _timestamp(GridType.TIMESTAMP_US),
    "TIMESTAMP_NS": _timestamp(GridType.TIMESTAMP_NS),
    "TIMESTAMPADD": _added,
    "TIMESTAMP_ADD": _added,
    "TIMESTAMPDIFF": _difference,
    "TIMESTAMP_DIFF": _difference,
    "TIMESTAMP_TRUNC": _truncated,
    "TO_EPOCH_MS": _to_epoch,
    "TO_TIMESTAMP_MS": _to_timestamp,
}
