"""Edge values of every type rule: what PostgreSQL is told, what its driver yields, what GridDB must hold.

Text is as the source reader's session writes it (dates in ISO form, intervals in ISO 8601, zone UTC).
One table for the unit tests of the transform, for the end-to-end tests, and for the page of type rules. Times are
microseconds since 1970 where the source yields them; what is stored is in the unit of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from gridferry.griddb.schema import GridType
from gridferry.griddb.schema import GridType as G
from gridferry.model.table import PgType, TypeKind
from gridferry.transform.refusals import Reason

_INFINITY_US = -9222425352054775809  # as the driver yields infinity: PostgreSQL's extreme, wrapped by the epoch
_MINUS_INFINITY_US = -9222425352054775808
_LAST_US = 253402300799999999
LONG_TEXT = "x" * 31745


@dataclass(frozen=True)
class Edge:
    """`literal` in SQL (cast to the sample's type), what the source driver yields, and what is stored or why not."""

    literal: str
    read: object
    stored: object


@dataclass(frozen=True)
class Sample:
    """A declared type, how the user wants it (or nothing), and edge values. `sql` is the type in CREATE TABLE."""

    sql: str
    pg_type: PgType
    target: GridType
    edges: tuple[Edge, ...]
    wish: GridType | None = None
    in_key: bool = False
    truncate: bool = False

    @property
    def name(self) -> str:
        """A short name for test ids."""
        role = ",key" if self.in_key else ",truncate" if self.truncate else ""
        return f"{self.sql}->{self.target.label}{role}"


def known_to(samples: Sequence[Sample], version: int) -> list[Sample]:
    """The samples without the values that a version of PostgreSQL, as 16, does not have."""
    if version >= 14:
        return list(samples)
    return [
        replace(s, edges=tuple(e for e in s.edges if not (s.sql.startswith("numeric") and "Infinity" in e.literal)))
        for s in samples
    ]


ARROW_OF_SOURCE: dict[str, pa.DataType] = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "text": pa.utf8(),
    "varchar": pa.utf8(),
    "bpchar": pa.utf8(),
    "name": pa.utf8(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}
"""The Arrow type of a plainly read column, as the ADBC PostgreSQL driver 1.11 yields it; text-cast ones are utf8."""


def _same(*pairs: tuple[str, object]) -> tuple[Edge, ...]:
    return tuple(Edge(literal, value, value) for literal, value in pairs)


def _base(name: str, sql: str = "", **declared: Any) -> PgType:
    return PgType(name=name, formatted=sql or name, **declared)


_INT2 = (("-32768", -32768), ("0", 0), ("32767", 32767))
_INT4 = (("-2147483648", -(2**31)), ("2147483647", 2**31 - 1))
_INT8 = (("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1))
_FLOATS = (("0", 0.0), ("-0", -0.0), ("NaN", float("nan")), ("Infinity", float("inf")), ("-Infinity", -float("inf")))
_TEXT = (("", ""), (" a ", " a "), ("ä€😀", "ä€😀"), ("x" * 31744, "x" * 31744))
_TOO_LONG = Edge(LONG_TEXT, LONG_TEXT, Reason.LENGTH)
_TIME_US = (
    Edge("1970-01-01 00:00:00", 0, 0),
    Edge("2020-07-12 00:01:34.385975", 1594512094385975, 1594512094385975),
    Edge("9999-12-31 23:59:59.999999", _LAST_US, _LAST_US),
    Edge("1969-12-31 23:59:59.999999", -1, Reason.TIME_RANGE),
    Edge("10000-01-01 00:00:00", _LAST_US + 1, Reason.TIME_RANGE),
    Edge("infinity", _INFINITY_US, Reason.TIME_RANGE),
    Edge("-infinity", _MINUS_INFINITY_US, Reason.TIME_RANGE),
)
_TIME_MS = (
    Edge("2020-07-12 00:01:34.385", 1594512094385000, 1594512094385),
    Edge("2020-07-12 00:01:34.385975", 1594512094385975, Reason.FINE_TIME),
    Edge("1969-12-31 23:59:59.999999", -1, Reason.TIME_RANGE),
    Edge("infinity", _INFINITY_US, Reason.TIME_RANGE),
)
_TIME_CUT = (
    Edge("2020-07-12 00:01:34.385975", 1594512094385975, 1594512094385),
    Edge("9999-12-31 23:59:59.999999", _LAST_US, _LAST_US // 1000),
    Edge("1969-12-31 23:59:59.999999", -1, Reason.TIME_RANGE),
    Edge("infinity", _INFINITY_US, Reason.TIME_RANGE),
)
_FAR_DAYS = (
    Edge("1953-09-02", -5965, -5965),
    Edge("0044-03-15 BC", -735160, -735160),
    Edge("5874897-12-31", 2145042905, 2145042905),
    Edge("infinity", -2147472692, 2**63 - 1),
    Edge("-infinity", -2147472691, -(2**63)),
)
_FAR_TIMES = (
    Edge("1969-12-31 23:59:59.999999", -1, -1),
    Edge("10000-01-01 00:00:00", _LAST_US + 1, _LAST_US + 1),
    Edge("4714-11-24 00:00:00 BC", -210866803200000000, -210866803200000000),
    Edge("infinity", _INFINITY_US, 2**63 - 1),
    Edge("-infinity", _MINUS_INFINITY_US, -(2**63)),
    Edge("294276-12-31 23:59:59", -9222425352054775809 - 2, Reason.RANGE),
)
_INT4_TYPE, _INT8_TYPE, _INT2_TYPE = _base("int4", "integer"), _base("int8", "bigint"), _base("int2", "smallint")
_ZONED, _UNZONED = "timestamp with time zone", "timestamp without time zone"
_NUMERIC = _base("numeric")
_MOOD = PgType("mood", "mood", TypeKind.ENUM)

SAMPLES: tuple[Sample, ...] = (
    Sample("smallint", _INT2_TYPE, G.SHORT, _same(*_INT2)),
    Sample("integer", _INT4_TYPE, G.INTEGER, _same(*_INT4)),
    Sample("bigint", _INT8_TYPE, G.LONG, _same(*_INT8)),
    Sample(
        "real", _base("float4", "real"), G.FLOAT, _same(*_FLOATS, ("1.5", 1.5), ("3.4028235e38", 3.4028234663852886e38))
    ),
    Sample(
        "double precision",
        _base("float8", "double precision"),
        G.DOUBLE,
        _same(*_FLOATS, ("0.004955938648391245", 0.004955938648391245), ("5e-324", 5e-324)),
    ),
    Sample("boolean", _base("bool", "boolean"), G.BOOL, _same(("true", True), ("false", False))),
    Sample(
        "numeric(18,0)",
        _base("numeric", "numeric(18,0)", precision=18, scale=0),
        G.LONG,
        (
            Edge("999999999999999999", "999999999999999999", 999999999999999999),
            Edge("-999999999999999999", "-999999999999999999", -999999999999999999),
            Edge("NaN", "NaN", Reason.NOT_A_NUMBER),
        ),
    ),
    Sample(
        "numeric(15,5)",
        _base("numeric", "numeric(15,5)", precision=15, scale=5),
        G.DOUBLE,
        (
            Edge("9999999999.99999", "9999999999.99999", 9999999999.99999),
            Edge("-0.00001", "-0.00001", -0.00001),
            Edge("0.1", "0.10000", 0.1),
            Edge("NaN", "NaN", float("nan")),
        ),
    ),
    Sample(
        "numeric(16,2)",
        _base("numeric", "numeric(16,2)", precision=16, scale=2),
        G.STRING,
        _same(("99999999999999.99", "99999999999999.99"), ("NaN", "NaN")),
    ),
    Sample(
        "numeric(10,2)",
        _base("numeric", "numeric(10,2)", precision=10, scale=2),
        G.STRING,
        (Edge("1.5", "1.50", "1.50"),),
        in_key=True,
    ),
    Sample(
        "numeric",
        _NUMERIC,
        G.STRING,
        _same(
            ("0.1000", "0.1000"),
            ("123456789012345678901234567890.12345", "123456789012345678901234567890.12345"),
            ("NaN", "NaN"),
            ("Infinity", "Infinity"),
        ),
    ),
    Sample("text", _base("text"), G.STRING, (*_same(*_TEXT), _TOO_LONG)),
    Sample(
        "varchar(30)",
        _base("varchar", "character varying(30)", length=30),
        G.STRING,
        _same(("b8:27:eb:bf:9d:51", "b8:27:eb:bf:9d:51")),
    ),
    Sample(
        "char(5)",
        _base("bpchar", "character(5)", length=5),
        G.STRING,
        (Edge("ab", "ab   ", "ab   "), Edge("", "     ", "     ")),
    ),
    Sample("name", _base("name"), G.STRING, _same(("pg_class", "pg_class"))),
    Sample("bytea", _base("bytea"), G.BLOB, _same(("", b""), ("\\x00ff", b"\x00\xff"))),
    Sample(
        "date",
        _base("date"),
        G.TIMESTAMP_MS,
        (
            Edge("1970-01-01", 0, 0),
            Edge("9999-12-31", 2932896, 253402214400000),
            Edge("1969-12-31", -1, Reason.TIME_RANGE),
            Edge("10000-01-01", 2932897, Reason.TIME_RANGE),
            Edge("infinity", -2147472692, Reason.TIME_RANGE),
            Edge("-infinity", -2147472691, Reason.TIME_RANGE),
        ),
    ),
    Sample("timestamp", _base("timestamp", _UNZONED), G.TIMESTAMP_US, _TIME_US),
    Sample(
        "timestamptz",
        _base("timestamptz", _ZONED),
        G.TIMESTAMP_US,
        (
            Edge("2020-07-12 02:01:34.385975+02", 1594512094385975, 1594512094385975),
            Edge("9999-12-31 23:59:59.999999+00", _LAST_US, _LAST_US),
            Edge("1970-01-01 00:00:00+01", -3600000000, Reason.TIME_RANGE),
            Edge("infinity", _INFINITY_US, Reason.TIME_RANGE),
        ),
    ),
    Sample(
        "uuid",
        _base("uuid"),
        G.STRING,
        (
            Edge(
                "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            ),
        ),
    ),
    Sample("json", _base("json"), G.STRING, _same(('{"b": 1,  "a": 1.0}', '{"b": 1,  "a": 1.0}'))),
    Sample("jsonb", _base("jsonb"), G.STRING, (Edge('{"b":1,  "a":1.0}', '{"a": 1.0, "b": 1}', '{"a": 1.0, "b": 1}'),)),
    Sample("mood", _MOOD, G.STRING, _same(("fine", "fine"))),
    Sample("smallint", _INT2_TYPE, G.INTEGER, _same(*_INT2), in_key=True),
    Sample("boolean", _base("bool", "boolean"), G.STRING, _same(("true", "true"), ("false", "false")), in_key=True),
    Sample("integer", _INT4_TYPE, G.LONG, _same(*_INT4), wish=G.LONG),
    Sample("integer", _INT4_TYPE, G.DOUBLE, (Edge("2147483647", 2147483647, 2147483647.0),), wish=G.DOUBLE),
    Sample("smallint", _INT2_TYPE, G.FLOAT, (Edge("32767", 32767, 32767.0),), wish=G.FLOAT),
    Sample("real", _base("float4", "real"), G.DOUBLE, _same(*_FLOATS, ("1.5", 1.5)), wish=G.DOUBLE),
    Sample(
        "smallint",
        _INT2_TYPE,
        G.BYTE,
        (*_same(("-128", -128), ("127", 127)), Edge("128", 128, Reason.RANGE), Edge("-129", -129, Reason.RANGE)),
        wish=G.BYTE,
    ),
    Sample(
        "integer",
        _INT4_TYPE,
        G.SHORT,
        (*_same(("-32768", -32768)), Edge("32768", 32768, Reason.RANGE), Edge("65536", 65536, Reason.RANGE)),
        wish=G.SHORT,
    ),
    Sample(
        "bigint",
        _INT8_TYPE,
        G.INTEGER,
        (*_same(("2147483647", 2147483647)), Edge("2147483648", 2**31, Reason.RANGE)),
        wish=G.INTEGER,
    ),
    Sample(
        "numeric",
        _NUMERIC,
        G.LONG,
        (
            Edge("9223372036854775807", "9223372036854775807", 2**63 - 1),
            Edge("-9223372036854775808", "-9223372036854775808", -(2**63)),
            Edge("7.00", "7.00", 7),
            Edge("9223372036854775808", "9223372036854775808", Reason.RANGE),
            Edge("1" + "0" * 50, "1" + "0" * 50, Reason.RANGE),
            Edge("0.5", "0.5", Reason.FRACTION),
            Edge("NaN", "NaN", Reason.NOT_A_NUMBER),
            Edge("-Infinity", "-Infinity", Reason.NOT_A_NUMBER),
        ),
        wish=G.LONG,
    ),
    Sample("timestamp", _base("timestamp", _UNZONED), G.TIMESTAMP_MS, _TIME_MS, wish=G.TIMESTAMP_MS),
    Sample("text", _base("text"), G.BLOB, (Edge(LONG_TEXT, LONG_TEXT, LONG_TEXT.encode()),), wish=G.BLOB),
    Sample("bigint", _INT8_TYPE, G.DOUBLE, (Edge("9007199254740993", 2**53 + 1, 2.0**53),), wish=G.DOUBLE),
    Sample("integer", _INT4_TYPE, G.FLOAT, (Edge("16777217", 2**24 + 1, 2.0**24),), wish=G.FLOAT),
    Sample(
        "double precision",
        _base("float8", "double precision"),
        G.FLOAT,
        (
            Edge("0.1", 0.1, 0.10000000149011612),
            Edge("1e39", 1e39, Reason.RANGE),
            *_same(("NaN", float("nan")), ("Infinity", float("inf"))),
        ),
        wish=G.FLOAT,
    ),
    Sample(
        "numeric",
        _NUMERIC,
        G.DOUBLE,
        (
            Edge("0.12345678901234567890", "0.12345678901234567890", 0.12345678901234568),
            Edge("1" + "0" * 400, "1" + "0" * 400, Reason.RANGE),
            Edge("NaN", "NaN", float("nan")),
            Edge("Infinity", "Infinity", float("inf")),
        ),
        wish=G.DOUBLE,
    ),
    Sample("timestamp", _base("timestamp", _UNZONED), G.TIMESTAMP_MS, _TIME_CUT, wish=G.TIMESTAMP_MS, truncate=True),
    Sample("date", _base("date"), G.LONG, _FAR_DAYS, wish=G.LONG),
    Sample("timestamp", _base("timestamp", _UNZONED), G.LONG, _FAR_TIMES, wish=G.LONG),
    Sample(
        "timestamp",
        _base("timestamp", _UNZONED),
        G.STRING,
        _same(("294276-12-31 23:59:59", "294276-12-31 23:59:59"), ("infinity", "infinity")),
        wish=G.STRING,
    ),
    Sample("interval", _base("interval"), G.STRING, (Edge("1 day 2 hours", "P1DT2H", "P1DT2H"),)),
    Sample(
        "integer[]",
        PgType("_int4", "integer[]", TypeKind.ARRAY),
        G.STRING,
        (Edge("{1,NULL,3}", "{1,NULL,3}", "{1,NULL,3}"),),
    ),
    Sample("inet", _base("inet"), G.BLOB, (Edge("127.0.0.1", "127.0.0.1/32", b"127.0.0.1/32"),), wish=G.BLOB),
    Sample("pg_node_tree", _base("pg_node_tree"), G.STRING, ()),
)
