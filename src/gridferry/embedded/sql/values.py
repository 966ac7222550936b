"""SQL values as DuckDB expressions: their GridDB type, whether NULL is possible, and how they are converted.

Behaviour as seen on GridDB CE 5.9.0 (tests/conformance/sql_answers.txt).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlglot import exp

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import TIMESTAMPS, sql_type
from gridferry.embedded.tql_values import INTEGERS, NUMBERS, TICKS_A_SECOND, bound_once, row_error
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.sql_values import Plain

INTEGER_BITS = {GridType.BYTE: 8, GridType.SHORT: 16, GridType.INTEGER: 32, GridType.LONG: 64}
DIGITS = {GridType.TIMESTAMP_MS: 3, GridType.TIMESTAMP_US: 6, GridType.TIMESTAMP_NS: 9}
_LAST_SECOND = 253_402_300_799


@dataclass(frozen=True)
class Typed:
    """A DuckDB expression. `type` None is NULL, or a column of a type that SQL does not have, which is NULL too.

    `value` is that of a literal or a parameter: times as ticks of their precision.
    """

    sql: str
    type: GridType | None
    nullable: bool = True
    value: Plain = None

    @property
    def label(self) -> str:
        """The type's name as GridDB's messages write it."""
        if self.type is None:
            return "NULL"
        return "TIMESTAMP" if self.type is GridType.TIMESTAMP_MS else self.type.label

    def is_a(self, *types: GridType) -> bool:
        """Whether it has one of the types, or is NULL."""
        return self.type is None or self.type in types


# `SELECT NULL` is NOT NULL to the real server.
NULL = Typed("NULL", None, nullable=False)


def literal(kind: GridType, value: Plain) -> Typed:
    """A literal or a parameter."""
    if isinstance(value, bytes):
        return Typed(f"unhex('{value.hex()}')", kind, nullable=False, value=value)
    if isinstance(value, str):
        return Typed(exp.Literal.string(value).sql("duckdb"), kind, nullable=False, value=value)
    if isinstance(value, bool):
        return Typed("TRUE" if value else "FALSE", kind, nullable=False, value=value)
    if isinstance(value, float):
        text = repr(value) if math.isfinite(value) else f"'{value}'"
        return Typed(f"({text})::{sql_type(kind)}", kind, nullable=False, value=value)
    if value is None:
        return NULL
    whole = "BIGINT" if -(2**63) <= value < 2**63 else "HUGEINT"
    return Typed(f"({value})::{whole}", kind, nullable=False, value=value)


def integer(value: int) -> Typed:
    """A whole number; one beyond 64 bits is a DOUBLE, as for the real server."""
    if -(2**63) <= value < 2**63:
        return literal(GridType.LONG, value)
    return literal(GridType.DOUBLE, float(value))


def mismatch(left: str, right: str) -> Refusal:
    """Two types that do not go together."""
    return Refusal(Code.SQL_PROC_UNSUPPORTED_TYPE_CONVERSION, f"Value type unmatched (from={left}, to={right})")


def out_of_range(value: object) -> Refusal:
    """A value that its type does not hold."""
    return Refusal(Code.SQL_PROC_VALUE_OVERFLOW, f"Value overflow (value={value})")


def double(value: Typed) -> str:
    """SQL of a number as a DOUBLE."""
    return f"({value.sql})::DOUBLE"


def at_precision(value: Typed, kind: GridType) -> str:
    """SQL of the ticks that a time has at another precision: finer ones by a factor, coarser ones cut."""
    if value.type is None or value.type is kind:
        return value.sql
    have, want = TICKS_A_SECOND[value.type], TICKS_A_SECOND[kind]
    if want > have:
        return f"(({value.sql})::HUGEINT * {want // have})"
    return f"(({value.sql}) // {have // want})"


def common_type(values: list[Typed]) -> GridType | None:
    """The type of a column that holds all of these; None where all are NULL. Raises: 305010."""
    kinds = [v.type for v in values if v.type is not None]
    if not kinds:
        return None
    if all(kind is kinds[0] for kind in kinds):
        return kinds[0]
    if all(kind in INTEGERS for kind in kinds):
        return GridType.LONG
    if all(kind in NUMBERS for kind in kinds):
        return GridType.DOUBLE
    if all(kind in TIMESTAMPS for kind in kinds):
        return max(kinds, key=lambda kind: TICKS_A_SECOND[kind])
    raise mismatch(values[0].label, next(v.label for v in values if v.type is not kinds[0]))


def as_type(value: Typed, kind: GridType | None) -> str:
    """SQL of a value as the common type that `common_type` found."""
    if kind is None:
        return "NULL"
    if value.type in TIMESTAMPS and kind in TIMESTAMPS:
        return f"({at_precision(value, kind)})::BIGINT"
    return f"({value.sql})::{sql_type(kind)}"


def guarded(condition: str, code: Code, sql: str, cast: str) -> str:
    """SQL that fails with a code where a condition holds."""
    return f"CASE WHEN {condition} THEN {row_error(code)}::{cast} ELSE {sql} END"


def finite(result: str, *operands: str) -> str:
    """A DOUBLE that fails where operands that are finite give one that is not: the real server's overflow."""
    inside = " AND ".join(f"isfinite({each})" for each in operands)
    return bound_once(
        result,
        "outcome",
        lambda got: guarded(f"NOT isfinite({got}) AND {inside}", Code.QF_VALUE_OVERFLOW, got, "DOUBLE"),
    )


def within(ticks: str, kind: GridType) -> str:
    """SQL that fails for times before 1970 or after 9999."""
    last = min((_LAST_SECOND + 1) * TICKS_A_SECOND[kind] - 1, 2**63 - 1 if kind is GridType.TIMESTAMP_NS else 2**62)
    return bound_once(
        ticks,
        "ticks",
        lambda found: (
            "("
            + guarded(
                f"{found} NOT BETWEEN 0 AND {last}", Code.SQL_PROC_VALUE_OVERFLOW, f"({found})::HUGEINT", "HUGEINT"
            )
            + ")::BIGINT"
        ),
    )


def assigned(value: Typed, kind: GridType) -> str:
    """SQL of a value as a column of the type stores it: numbers lose fractions, times their finer digits.

    Raises: 305010 for types that do not go together; the SQL itself fails with 305004 for what is out of range.
    """
    if value.type is None:
        return f"NULL::{sql_type(kind)}"
    if value.type in NUMBERS and kind in NUMBERS:
        return _number(value, kind)
    if value.type in TIMESTAMPS and kind in TIMESTAMPS:
        return f"({at_precision(value, kind)})::BIGINT"
    if value.type is not kind:
        raise mismatch(value.label, kind.label)
    return value.sql


def _number(value: Typed, kind: GridType) -> str:
    if kind is GridType.DOUBLE:
        return double(value)
    if kind is GridType.FLOAT:
        limit = "3.4028235677973366e38::DOUBLE"
        return bound_once(
            double(value),
            "number",
            lambda got: guarded(
                f"isfinite({got}) AND abs({got}) >= {limit}", Code.SQL_PROC_VALUE_OVERFLOW, f"({got})::FLOAT", "FLOAT"
            ),
        )
    bits = INTEGER_BITS[kind]
    low, high = -(1 << bits - 1), 1 << bits - 1
    if value.type in INTEGERS:
        if INTEGER_BITS[value.type] <= bits and not isinstance(value.value, int):
            return f"({value.sql})::{sql_type(kind)}"
        inside = f"BETWEEN {low} AND {high - 1}"
        cut = value.sql
        outside = "{0} NOT " + inside
    else:
        cut = f"trunc({double(value)})"
        outside = "NOT ({0} >= " + f"{low}::DOUBLE AND {{0}} < {high}::DOUBLE)"
    return bound_once(
        cut,
        "number",
        lambda got: (
            f"({guarded(outside.format(got), Code.SQL_PROC_VALUE_OVERFLOW, f'({got})::BIGINT', 'BIGINT')})"
            f"::{sql_type(kind)}"
        ),
    )


def text_of(value: Typed, zone_ms: int = 0) -> str:
    """SQL of a value as a STRING. Raises: 305010."""
    kind = value.type
    if kind is None:
        return "NULL::VARCHAR"
    if kind is GridType.STRING:
        return value.sql
    if kind in INTEGERS:
        return f"({value.sql})::VARCHAR"
    if kind is GridType.BOOL:
        return f"CASE ({value.sql}) WHEN TRUE THEN 'true' WHEN FALSE THEN 'false' END"
    if kind in NUMBERS:
        # Adding 0 makes 0.0 of -0.0.
        plain = f"format('{{:.15g}}', {double(value)} + 0.0::DOUBLE)"
        return rf"regexp_replace({plain}, '^(-?[0-9]+)(e.*)?$', '\1.0\2')"
    if kind in TIMESTAMPS:
        return iso_text(value, zone_ms)
    if kind is GridType.BLOB:
        return f"hex({value.sql})"
    raise mismatch(value.label, "STRING")


def iso_text(value: Typed, zone_ms: int) -> str:
    """SQL of a time as text, with all digits of its precision, in a time zone."""
    kind = value.type
    if kind is None:
        return "NULL::VARCHAR"
    a_second = TICKS_A_SECOND[kind]
    shift = zone_ms * a_second // 1000

    def written(ticks: str) -> str:
        seconds = f"strftime({moment(ticks, kind)}, '%Y-%m-%dT%H:%M:%S')"
        fraction = f"lpad((({ticks}) % {a_second})::VARCHAR, {DIGITS[kind]}, '0')"
        return f"({seconds} || '.' || {fraction} || '{zone_text(zone_ms)}')"

    return bound_once(f"({value.sql} + {shift})" if shift else value.sql, "written", written)


def moment(ticks: str, kind: GridType) -> str:
    """SQL of a DuckDB TIMESTAMP of whole seconds."""
    return f"make_timestamp((({ticks}) // {TICKS_A_SECOND[kind]})::BIGINT * 1000000)"


def zone_text(zone_ms: int) -> str:
    """A time zone as it stands behind a time: Z, +09:00."""
    if not zone_ms:
        return "Z"
    minutes = abs(zone_ms) // 60_000
    return f"{'-' if zone_ms < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"
