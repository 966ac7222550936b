"""CAST, and texts that are times. Behaviour as seen on GridDB CE 5.9.0."""

from __future__ import annotations

import re

from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.shape import TIMESTAMPS, sql_type
from gridferry.embedded.sql.syntax import syntax_error, unsupported
from gridferry.embedded.sql.values import DIGITS, Typed, assigned, guarded, literal, mismatch, text_of
from gridferry.embedded.tql_functions import parse_time
from gridferry.embedded.tql_values import INTEGERS, NUMBERS, bound_once
from gridferry.griddb.schema import GridType

TYPE_NAMES: dict[str, GridType] = {
    "BOOL": GridType.BOOL,
    "BYTE": GridType.BYTE,
    "TINYINT": GridType.BYTE,
    "SHORT": GridType.SHORT,
    "SMALLINT": GridType.SHORT,
    "INTEGER": GridType.INTEGER,
    "LONG": GridType.LONG,
    "BIGINT": GridType.LONG,
    "FLOAT": GridType.FLOAT,
    "DOUBLE": GridType.DOUBLE,
    "REAL": GridType.DOUBLE,
    "TIMESTAMP": GridType.TIMESTAMP_MS,
    "TIMESTAMP(3)": GridType.TIMESTAMP_MS,
    "TIMESTAMP(6)": GridType.TIMESTAMP_US,
    "TIMESTAMP(9)": GridType.TIMESTAMP_NS,
    "STRING": GridType.STRING,
    "VARCHAR": GridType.STRING,
    "TEXT": GridType.STRING,
    "BLOB": GridType.BLOB,
}
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_FRACTION = re.compile(r"\.(\d+)")
_WHOLE = r"^\s*[+-]?[0-9]+\s*$"
_NUMBER = r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"


def cast(value: Typed, name: str, *, zone_ms: int) -> Typed:
    """CAST(value AS name). Raises: 240001 no such type, 305005 a text that is no such value, 305010."""
    kind = TYPE_NAMES.get(name)
    if kind is None:
        raise syntax_error(f'Syntax error at or near "{name}"')
    if value.type is None:
        return Typed(f"NULL::{sql_type(kind)}", kind)
    if kind is GridType.STRING:
        return Typed(text_of(value, zone_ms), kind, value.nullable)
    if value.type is GridType.STRING:
        return _from_text(value, kind, zone_ms)
    if kind is GridType.BOOL and value.type in INTEGERS:
        return Typed(f"(({value.sql}) <> 0)", kind, value.nullable)
    if value.type is GridType.BOOL and kind in INTEGERS:
        return Typed(f"({value.sql})::{sql_type(kind)}", kind, value.nullable)
    return Typed(assigned(value, kind), kind, value.nullable)


def _from_text(value: Typed, kind: GridType, zone_ms: int) -> Typed:
    if kind in TIMESTAMPS:
        return time_in(value, kind, zone_ms=zone_ms)
    pattern, made = _TEXTS.get(kind, ("", ""))
    if not made:
        raise mismatch("STRING", kind.label)

    def checked(text: str) -> str:
        wrong = f"NOT regexp_full_match({text}, '{pattern}')"
        return guarded(wrong, Code.SQL_PROC_VALUE_SYNTAX_ERROR, made.format(text), sql_type(kind))

    if kind in INTEGERS:
        wide = Typed(_wide_whole(value.sql), GridType.DOUBLE if kind is None else GridType.LONG, value.nullable)
        return Typed(assigned(wide, kind), kind, value.nullable)
    return Typed(bound_once(value.sql, "spelling", checked), kind, value.nullable)


def _wide_whole(sql: str) -> str:
    def checked(text: str) -> str:
        whole = guarded(
            f"try_cast(trim({text}) AS BIGINT) IS NULL AND {text} IS NOT NULL",
            Code.SQL_PROC_VALUE_OVERFLOW,
            f"try_cast(trim({text}) AS BIGINT)",
            "BIGINT",
        )
        return guarded(f"NOT regexp_full_match({text}, '{_WHOLE}')", Code.SQL_PROC_VALUE_SYNTAX_ERROR, whole, "BIGINT")

    return bound_once(sql, "spelling", checked)


_TEXTS: dict[GridType, tuple[str, str]] = {
    **dict.fromkeys(INTEGERS, (_WHOLE, "{0}")),
    **dict.fromkeys(NUMBERS - INTEGERS, (_NUMBER, "trim({0})::DOUBLE")),
    GridType.BOOL: ("(?i)true|false", "(lower({0}) = 'true')"),
    GridType.BLOB: ("([0-9A-Fa-f][0-9A-Fa-f])*", "unhex({0})"),
}


def time_in(value: Typed, kind: GridType, *, zone_ms: int) -> Typed:
    """The time that a text says. Raises: 305005 for what is none; 240000 for the text of a column."""
    if value.type is None:
        return Typed("NULL::BIGINT", kind)
    if value.type is not GridType.STRING:
        raise mismatch(value.label, "STRING")
    if not isinstance(value.value, str):
        raise unsupported("time of a text that is neither a literal nor a parameter")
    return literal(kind, ticks_of(value.value, kind, zone_ms=zone_ms))


def ticks_of(text: str, kind: GridType, *, zone_ms: int) -> int:
    """Ticks of `2024-01-02`, or of `2024-01-02T03:04:05.678Z` with as many digits as fit. Raises: 305005."""
    wrong = Refusal(Code.SQL_PROC_VALUE_SYNTAX_ERROR, f"Value syntax error (value={text})")
    fraction = _FRACTION.search(text)
    if fraction is not None and len(fraction[1]) > DIGITS[kind]:
        raise wrong
    date = _DATE.fullmatch(text) is not None
    try:
        ticks = parse_time(text + "T00:00:00Z" if date else text, kind)
    except Refusal as error:
        raise wrong from error
    return ticks - (zone_ms * 10 ** (DIGITS[kind] - 3) if date else 0)
