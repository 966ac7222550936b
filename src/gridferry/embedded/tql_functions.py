"""TQL's functions: name -> what it takes, and the SQL it becomes. Behaviour as seen on GridDB CE 5.9.0."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import TIMESTAMPS
from gridferry.embedded.tql_values import (
    INTEGERS,
    NULL,
    NUMBERS,
    TICKS_A_SECOND,
    Call,
    Compiler,
    Typed,
    at_precision,
    bound_once,
    row_error,
    text,
    time,
)
from gridferry.griddb.schema import GridType

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{3}|\d{6}|\d{9}))?(Z|[+-]\d\d:?\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST_SECOND = 253_402_300_799
# Nanoseconds of the units that always take the same time.
FIXED_UNITS = {
    "DAY": 86_400 * 10**9,
    "HOUR": 3_600 * 10**9,
    "MINUTE": 60 * 10**9,
    "SECOND": 10**9,
    "MILLISECOND": 10**6,
    "MICROSECOND": 10**3,
    "NANOSECOND": 1,
}
_UNITS = frozenset({"YEAR", "MONTH", *FIXED_UNITS})


def _values(compiler: Compiler, arguments: list[exp.Expression], *counts: int) -> list[Typed]:
    if len(arguments) not in counts:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_COUNT, "Invalid argument count")
    return [compiler.value(a) for a in arguments]


def _need(argument: Typed, number: int, what: str, *types: GridType) -> None:
    if not argument.is_a(*types):
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, f"Argument {number} is not {what}")


def parse_time(value: str, kind: GridType) -> int:
    """Ticks of the precision; finer digits are cut off. Raises: 152010 for what is no time, or has 1 or 2 digits."""
    found = _TIME.fullmatch(value)
    wrong = Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, f"Cannot parse argument as Timestamp (value={value})")
    if found is None:
        raise wrong
    year, month, day, hour, minute, second = (int(found[n]) for n in range(1, 7))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc) - _zone(found[8])
    except (ValueError, OverflowError) as error:
        raise wrong from error
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if not 0 <= seconds <= _LAST_SECOND:
        raise wrong
    ticks = TICKS_A_SECOND[kind]
    return seconds * ticks + int((found[7] or "").ljust(9, "0")) * ticks // 10**9


def _zone(mark: str) -> timedelta:
    if mark == "Z":
        return timedelta(0)
    away = timedelta(hours=int(mark[1:3]), minutes=int(mark[-2:]))
    return -away if mark[0] == "-" else away


def _timestamp(kind: GridType) -> Call:
    def call(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
        (value,) = _values(compiler, arguments, 1)
        if value.type is None:
            return NULL
        if not isinstance(value.value, str):
            raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "Argument 1 is not a string value")
        return time(parse_time(value.value, kind), kind)

    return call


def _now(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    _values(compiler, arguments, 0)
    # Evaluated by DuckDB: compiled queries are kept and used again later.
    return Typed("epoch_ms(now())", GridType.TIMESTAMP_MS)


def _to_timestamp_ms(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = _values(compiler, arguments, 1)
    _need(value, 1, "an integer value", *INTEGERS)
    if isinstance(value.value, int):
        return time(value.value, GridType.TIMESTAMP_MS)
    return Typed(f"{value.sql}::BIGINT", GridType.TIMESTAMP_MS)


def _to_epoch_ms(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = _values(compiler, arguments, 1)
    _need(value, 1, "a timestamp value", *TIMESTAMPS)
    if value.type is None:
        return NULL
    return Typed(f"({value.sql} // {TICKS_A_SECOND[value.type] // 1000})", GridType.LONG)


def unit_of(node: exp.Expression) -> str:
    """The name of a time unit, quoted or not. Raises: 150012, 152012."""
    quoted = isinstance(node, exp.Literal) and node.is_string
    name = str(node.this) if quoted else (node.name if isinstance(node, exp.Column) else "")
    if name.upper() not in _UNITS:
        code = Code.TQ_CONSTRAINT_INVALID_ARGUMENT_RANGE if quoted else Code.TQ_COLUMN_NOT_FOUND
        raise Refusal(code, f"No such column {name}")
    return name.upper()


def _timestamp_add(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    moment, count = _values(compiler, arguments[1:], 2)
    unit = unit_of(arguments[0])
    _need(moment, 2, "a timestamp value", *TIMESTAMPS)
    _need(count, 3, "a integer value", *INTEGERS)
    if moment.type is None or count.type is None:
        return NULL
    a_second = TICKS_A_SECOND[moment.type]
    if unit in FIXED_UNITS:
        # In nanoseconds first: a unit finer than the value's precision still counts when there are many of it.
        nanos = f"({moment.sql}::HUGEINT * {10**9 // a_second} + {count.sql}::HUGEINT * {FIXED_UNITS[unit]})"
        return Typed(_in_range(f"({nanos} // {10**9 // a_second})", a_second), moment.type)
    months = f"{count.sql}::INTEGER * {12 if unit == 'YEAR' else 1}"

    def moved(ticks: str) -> str:
        shifted = f"epoch_ms(make_timestamp_ms(({ticks} // {a_second}) * 1000) + to_months({months})) // 1000"
        return f"(({shifted})::HUGEINT * {a_second} + {ticks} % {a_second})"

    return Typed(_in_range(bound_once(moment.sql, "moment", moved), a_second), moment.type)


def _in_range(ticks: str, a_second: int) -> str:
    """SQL that fails for times before 1970 or after 9999."""
    guard = row_error(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_RANGE)
    last = (_LAST_SECOND + 1) * a_second - 1
    return bound_once(
        ticks,
        "ticks",
        lambda found: f"CASE WHEN {found} NOT BETWEEN 0 AND {last} THEN {guard}::HUGEINT ELSE {found} END",
    )


def _timestamp_difference(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    later, earlier = _values(compiler, arguments[1:], 2)
    unit = unit_of(arguments[0])
    _need(later, 2, "a timestamp value", *TIMESTAMPS)
    _need(earlier, 3, "a timestamp value", *TIMESTAMPS)
    if later.type is None or earlier.type is None:
        return NULL
    left, right = at_precision(later, GridType.TIMESTAMP_NS).sql, at_precision(earlier, GridType.TIMESTAMP_NS).sql
    if unit in FIXED_UNITS:
        # DuckDB's // rounds towards zero for integers, as the real server does.
        return Typed(f"(({left}::HUGEINT - {right}::HUGEINT) // {FIXED_UNITS[unit]})", GridType.LONG)
    micros = [f"make_timestamp((({side}::HUGEINT) // 1000)::BIGINT)" for side in (right, left)]
    return Typed(f"date_sub('{unit.lower()}', {micros[0]}, {micros[1]})", GridType.LONG)


def _character_length(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = _values(compiler, arguments, 1)
    _need(value, 1, "a string", GridType.STRING)
    return Typed(f"length({value.sql})", GridType.LONG)


def _concat(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    values = _values(compiler, arguments, *range(1, 65))
    for number, value in enumerate(values, 1):
        _need(value, number, "a string", GridType.STRING)
    return Typed("(" + " || ".join(v.sql for v in values) + ")", GridType.STRING)


def _letters(function: str) -> Call:
    def call(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
        (value,) = _values(compiler, arguments, 1)
        _need(value, 1, "a string", GridType.STRING)
        return Typed(f"{function}({value.sql})", GridType.STRING)

    return call


def _substring(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    values = _values(compiler, arguments, 2, 3)
    _need(values[0], 1, "a string", GridType.STRING)
    for number, value in enumerate(values[1:], 2):
        _need(value, number, "an integer value", *INTEGERS)
        if isinstance(value.value, int) and value.value < (1 if number == 2 else 0):
            raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_RANGE, f"Argument {number} is invalid range")
    return Typed(f"substring({', '.join(v.sql for v in values)})", GridType.STRING)


def _rounding(function: str) -> Call:
    def call(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
        if len(arguments) != 1:
            raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT, "Invalid argument count")
        value = compiler.value(arguments[0])
        _need(value, 1, "a numeric value", *NUMBERS)
        if value.type in INTEGERS:
            return value
        return Typed(f"{function}({value.sql}::DOUBLE)", GridType.DOUBLE)

    return call


def _array_length(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = _values(compiler, arguments, 1)
    if not value.array:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "Argument 1 is not an array")
    return Typed(f"len({value.sql})", GridType.LONG)


def _element(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    place, array = _values(compiler, arguments, 2)
    if place.array or place.type not in INTEGERS:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "Invalid datatypes: argument 1 is not an integer")
    if not array.array:
        raise Refusal(Code.TQ_CONSTRAINT_INVALID_ARGUMENT_TYPE, "Invalid datatypes: argument 2 is not an array")
    guard = row_error(Code.TQ_CONSTRAINT_ARRAY_OUT_OF_RANGE)

    def element(of: str, at: str) -> str:
        outside = f"({of} IS NOT NULL AND ({at} < 0 OR {at} >= len({of})))"
        return f"CASE WHEN {outside} THEN {guard} ELSE {of}[{at} + 1] END"

    found = bound_once(array.sql, "elements", lambda of: bound_once(place.sql, "place", lambda at: element(of, at)))
    return Typed(found, array.type)


def _string(compiler: Compiler, _: str, arguments: list[exp.Expression]) -> Typed:
    (value,) = _values(compiler, arguments, 1)
    _need(value, 1, "a string", GridType.STRING)
    return text(value.value) if isinstance(value.value, str) else value


FUNCTIONS: dict[str, Call] = {
    "TIMESTAMP": _timestamp(GridType.TIMESTAMP_MS),
    "TIMESTAMP_MS": _timestamp(GridType.TIMESTAMP_MS),
    "TIMESTAMP_US": _timestamp(GridType.TIMESTAMP_US),
    "TIMESTAMP_NS": _timestamp(GridType.TIMESTAMP_NS),
    "TO_TIMESTAMP_MS": _to_timestamp_ms,
    "TO_EPOCH_MS": _to_epoch_ms,
    "NOW": _now,
    "TIMESTAMPADD": _timestamp_add,
    "TIMESTAMP_ADD": _timestamp_add,
    "TIMESTAMPDIFF": _timestamp_difference,
    "TIMESTAMP_DIFF": _timestamp_difference,
    "CHAR_LENGTH": _character_length,
    "CONCAT": _concat,
    "UPPER": _letters("upper"),
    "LOWER": _letters("lower"),
    "SUBSTRING": _substring,
    "STRING": _string,
    "ROUND": _rounding("round"),
    "CEILING": _rounding("ceil"),
    "FLOOR": _rounding("floor"),
    "ARRAY_LENGTH": _array_length,
    "ELEMENT": _element,
}
