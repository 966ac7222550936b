"""The SQL that gathers one column's facts in an aggregate scan, and what its answer means. Pure.

Each column's facts come back as one JSON array, so that any number of columns fits into one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import sql

from gridferry.griddb.wire.statement import MAX_ARRAY_ELEMENTS, MAX_STRING_BYTES
from gridferry.model.profile import ColumnProfile, ColumnRequest, Facts
from gridferry.source.postgres.sql.epoch import fine_sql, reached_sql

US_A_SECOND = 1_000_000
US_A_DAY = 86_400 * US_A_SECOND

Answer = Sequence[Any]

# Bytes in UTF-8, in hexadecimal digits. Source: RFC 3629, section 4. No braces: they are fields of the SQL here.
_TAIL = "[89ab]."
_UTF8_HEX = (
    rf"^([0-7].|(c[2-9a-f]|d.){_TAIL}|(e0[ab].|e[1-9abcef]{_TAIL}|ed[89].){_TAIL}"
    rf"|(f0[9ab].|f[1-3]{_TAIL}|f48.){_TAIL}{_TAIL})*$"
)


@dataclass(frozen=True)
class FactRule:
    """How one kind of facts is asked for. `values` follow the NULL count and the `outside` count in the JSON array.

    `measure` is what the bounds of a request are compared with, `bound` a bound as SQL; None where nothing can be
    outside. `finite` says which values take part. `read` turns the answers to `values` into fields of `ColumnProfile`.
    """

    values: tuple[str, ...] = ()
    finite: str = "TRUE"
    measure: str | None = None
    bound: Callable[[int | float], sql.Composable] = sql.Literal
    read: Callable[[Answer], dict[str, Any]] = lambda _: {}


@dataclass(frozen=True)
class Dialect:
    """What the SQL depends on: the server's version (as 160004), the database's encoding, and the char(n) columns: a
    cast to text takes their padding off, which the reader keeps.
    """

    server_version: int
    encoding: str = "UTF8"
    padded: frozenset[str] = frozenset()


def facts_sql(request: ColumnRequest, dialect: Dialect) -> sql.Composed:
    """One JSON array: NULLs, values outside the bounds, then what the rule asks."""
    rule = _rule(request, dialect)
    column = sql.Identifier(request.name)
    parts = [sql.SQL("count(*) - count({})").format(column), _outside_sql(request, rule, column)]
    parts += [sql.SQL(value).format(c=column, finite=sql.SQL(rule.finite).format(c=column)) for value in rule.values]
    if request.epoch is not None:
        parts.append(sql.SQL("count(*) FILTER (WHERE {})").format(fine_sql(column, request.epoch)))
    return sql.SQL("pg_catalog.json_build_array({})").format(sql.SQL(", ").join(parts))


def column_profile(request: ColumnRequest, answer: Answer, dialect: Dialect) -> ColumnProfile:
    """The facts that the array of `facts_sql` holds. Numbers with a fraction come as Decimal."""
    rule = _rule(request, dialect)
    outside = None if answer[1] is None else int(answer[1])
    told = {} if request.epoch is None else {"fine": int(answer[-1])}
    return ColumnProfile(request.name, nulls=int(answer[0]), outside=outside, **rule.read(answer[2:]), **told)


def _outside_sql(request: ColumnRequest, rule: FactRule, column: sql.Identifier) -> sql.Composable:
    if request.epoch is not None:
        finite = sql.SQL(rule.finite).format(c=column)
        return sql.SQL("count(*) FILTER (WHERE {} AND NOT {})").format(finite, reached_sql(column, request.epoch))
    if rule.measure is None or (request.low is None and request.high is None):
        return sql.SQL("NULL")
    measure = sql.SQL(rule.measure).format(c=column)
    tests = []
    if request.low is not None:
        tests.append(sql.SQL("{} < {}").format(measure, rule.bound(request.low)))
    if request.high is not None:
        tests.append(sql.SQL("{} > {}").format(measure, rule.bound(request.high)))
    finite = sql.SQL(rule.finite).format(c=column)
    return sql.SQL("count(*) FILTER (WHERE {} AND ({}))").format(finite, sql.SQL(" OR ").join(tests))


def _rule(request: ColumnRequest, dialect: Dialect) -> FactRule:
    if request.facts is Facts.NUMERIC:
        return _numeric(dialect.server_version)
    if request.facts is Facts.TEXT:
        text = "concat({c})" if request.name in dialect.padded else "{c}::text"
        return _text(text, dialect.encoding)
    return _RULES[request.facts]


def _text(text: str, encoding: str) -> FactRule:
    plain = encoding in ("UTF8", "SQL_ASCII")
    length = f"octet_length({text})" if plain else f"octet_length(convert_to({text}, 'UTF8'))"
    values = (f"max({length}) FILTER (WHERE {{c}} IS NOT NULL)",)
    if encoding != "SQL_ASCII":  # every other database has looked at what it holds
        return FactRule(values=values, measure=length, read=_read_bytes)
    broken = f"count(*) FILTER (WHERE encode(convert_to({text}, 'SQL_ASCII'), 'hex') !~ '{_UTF8_HEX}')"
    return FactRule(
        values=(*values, broken), measure=length, read=lambda answer: {**_read_bytes(answer), "broken": int(answer[1])}
    )


def _numeric(server_version: int) -> FactRule:
    infinity = "{c} IN ('Infinity', '-Infinity')" if server_version >= 140000 else "FALSE"
    finite = "NOT ({c} = 'NaN' OR " + infinity + ")"
    # Both leave out trailing zeros; min_scale() came with PostgreSQL 13.
    scale = "min_scale({c})" if server_version >= 130000 else "length(rtrim(split_part({c}::text, '.', 2), '0'))"
    digits = "length(btrim(replace(abs({c})::text, '.', ''), '0'))"
    # Of up to 15 characters every one comes back; the cast to a double fails far outside its range.
    doubled = (
        "CASE WHEN length({c}::text) <= 15 OR {c} = 0 THEN TRUE WHEN abs({c}) NOT BETWEEN 1e-290 AND 1e290 THEN FALSE"
        " ELSE {c}::float8::text::numeric = {c} END"
    )
    return FactRule(
        values=(
            "min({c}) FILTER (WHERE {finite})",
            "max({c}) FILTER (WHERE {finite})",
            "count(*) FILTER (WHERE {c} = 'NaN')",
            "count(*) FILTER (WHERE " + infinity + ")",
            "max(" + scale + ") FILTER (WHERE {finite})",
            f"max({digits}) FILTER (WHERE {{finite}})",
            f"count(*) FILTER (WHERE {{finite}} AND NOT {doubled})",
        ),
        finite=finite,
        measure="{c}",
        read=_read_numeric,
    )


def _read_bounds(answer: Answer) -> dict[str, Any]:
    return {"minimum": _number(answer[0]), "maximum": _number(answer[1])}


def _read_float(answer: Answer) -> dict[str, Any]:
    low, high = (None if value is None else float(value) for value in answer[:2])
    return {"minimum": low, "maximum": high, "nan": int(answer[2]), "infinite": int(answer[3])}


def _read_numeric(answer: Answer) -> dict[str, Any]:
    digits = None if answer[5] is None else max(int(answer[5]), 1)  # zero has one digit
    scale = None if answer[4] is None else int(answer[4])
    counts = {"nan": int(answer[2]), "infinite": int(answer[3])}
    counts["undoubled"] = int(answer[6])
    return {**_read_bounds(answer), **counts, "max_scale": scale, "max_digits": digits}


def _read_date(answer: Answer) -> dict[str, Any]:
    low, high = (None if day is None else int(day) * US_A_DAY for day in answer[:2])
    return {"minimum": low, "maximum": high, "infinite": int(answer[2])}


def _read_time(answer: Answer) -> dict[str, Any]:
    low_s, low_us, high_s, high_us, infinite, fine = answer
    return {
        "minimum": _microseconds(low_s, low_us),
        "maximum": _microseconds(high_s, high_us),
        "infinite": int(infinite),
        "fine": int(fine),
    }


def _read_bytes(answer: Answer) -> dict[str, Any]:
    return {"max_bytes": None if answer[0] is None else int(answer[0])}


def _microseconds(seconds: Any, micros: Any) -> int | None:
    """Whole seconds since 1970 and the seconds field in microseconds (0 to 59,999,999) -> microseconds since 1970.

    Two parts, since years after 294,246 do not fit into 64 bits of microseconds since 1970.
    """
    return None if seconds is None else int(seconds) * US_A_SECOND + int(micros) % US_A_SECOND


def _number(value: Any) -> int | float | None:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return None if value is None else int(value)


def _day_bound(microseconds: int | float) -> sql.Composable:
    # Days against a bound within a day: a Literal with a fraction compares exactly as numeric.
    return sql.Literal(Decimal(int(microseconds)) / US_A_DAY)


def _time_bound(microseconds: int | float) -> sql.Composable:
    days, rest = divmod(int(microseconds), US_A_DAY)
    seconds, micros = divmod(rest, US_A_SECOND)
    # Not as "n microseconds": before PostgreSQL 15 a field of an interval has 32 bits.
    return sql.SQL("(pg_catalog.timestamp '1970-01-01' + pg_catalog.interval {})").format(
        sql.Literal(f"{days} days +{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}")
    )


def _end(which: str) -> tuple[str, str]:
    """Seconds, and microseconds within the minute, of the least or greatest finite stamp."""
    value = which + "({c}) FILTER (WHERE {finite})"
    return (
        f"extract(epoch FROM date_trunc('second', {value}))::int8",
        f"extract(microseconds FROM {value})::int8",
    )


def _lists(element: str) -> FactRule:
    """Facts of arrays; `element` is the condition that an element `e` does not fit."""
    # Step by step: array_position() fails for several dimensions.
    unlisted = (
        "CASE WHEN {c} IS NULL OR cardinality({c}) = 0 THEN FALSE"
        " WHEN array_ndims({c}) <> 1 OR array_lower({c}, 1) <> 1 OR cardinality({c}) > "
        f"{MAX_ARRAY_ELEMENTS} THEN TRUE WHEN array_position({{c}}, NULL) IS NOT NULL THEN TRUE"
        f" ELSE {element} END"
    )
    values = ("max(octet_length({c}::text))", f"count(*) FILTER (WHERE {unlisted})")
    return FactRule(values, read=lambda answer: {**_read_bytes(answer), "unlisted": int(answer[1])})


_RULES: dict[Facts, FactRule] = {
    Facts.NULLS: FactRule(),
    Facts.INTEGER: FactRule(values=("min({c})", "max({c})"), measure="{c}", read=_read_bounds),
    Facts.FLOAT: FactRule(
        values=(
            "min({c}) FILTER (WHERE {finite})",
            "max({c}) FILTER (WHERE {finite})",
            "count(*) FILTER (WHERE {c} = 'NaN')",
            "count(*) FILTER (WHERE {c} IN ('Infinity', '-Infinity'))",
        ),
        finite="{c} NOT IN ('NaN', 'Infinity', '-Infinity')",
        measure="{c}",
        read=_read_float,
    ),
    Facts.DATE: FactRule(
        values=(
            "min({c}) FILTER (WHERE {finite}) - date '1970-01-01'",
            "max({c}) FILTER (WHERE {finite}) - date '1970-01-01'",
            "count(*) FILTER (WHERE NOT isfinite({c}))",
        ),
        finite="isfinite({c})",
        # An infinite date cannot be subtracted from, and PostgreSQL may evaluate a FILTER's parts in any order.
        measure="(CASE WHEN isfinite({c}) THEN {c} - date '1970-01-01' END)",
        bound=_day_bound,
        read=_read_date,
    ),
    Facts.TIME: FactRule(
        values=(
            *_end("min"),
            *_end("max"),
            "count(*) FILTER (WHERE NOT isfinite({c}))",
            "count(*) FILTER (WHERE {c} <> date_trunc('milliseconds', {c}))",
        ),
        finite="isfinite({c})",
        measure="{c}",
        bound=_time_bound,
        read=_read_time,
    ),
    Facts.LIST: _lists("FALSE"),
    Facts.LIST_OF_TEXT: _lists(
        f"EXISTS (SELECT FROM pg_catalog.unnest({{c}}) AS e WHERE octet_length(e::text) > {MAX_STRING_BYTES})"
    ),
    Facts.LIST_OF_TIMES: _lists(
        "EXISTS (SELECT FROM pg_catalog.unnest({c}) AS e WHERE NOT isfinite(e) OR e < '1970-01-01'"
        " OR e >= '10000-01-01' OR e <> date_trunc('milliseconds', e))"
    ),
    Facts.BYTES: FactRule(values=("max(octet_length({c}))",), measure="octet_length({c})", read=_read_bytes),
}
