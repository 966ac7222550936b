"""The type atlas: every type of a fresh PostgreSQL with values at its edges, and the way back from GridDB.

A type that PostgreSQL gets in a later version fails `tests/e2e/test_atlas.py` until it has a line here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from gridferry.griddb.schema import GridType
from gridferry.model.time_text import day_text, moment_text
from gridferry.plan.plan import ColumnPlan, Kernel

# pg_type.typname -> literals. A value that the type's default does not keep is none of these.
VALUES: dict[str, tuple[str, ...]] = {
    "aclitem": ("postgres=arwdDxt/postgres", "=r/postgres"),
    "bit": ("1", "0"),
    "bool": ("t", "f"),
    "box": ("((1,2),(0.1,-2))", "((0,0),(0,0))"),
    "bpchar": ("ab", "a b"),
    "bytea": ("\\x", "\\x00ff275c"),
    "char": ("a", "\\", "'"),
    "cid": ("0", "4294967295"),
    "cidr": ("10.0.0.0/8", "192.168.1.5/32", "2001:db8::/32"),
    "circle": ("<(1,2),0.1>", "<(0,0),0>"),
    "date": ("1970-01-01", "2024-02-29", "9999-12-31"),
    "datemultirange": ("{}", "{[2024-01-01,2024-02-01),[2025-01-01,)}"),
    "daterange": ("empty", "[2024-01-01,2024-02-01)", "(,)"),
    "float4": ("1.5", "-0", "NaN", "Infinity", "3.4028235e38", "1e-45"),
    "float8": ("0.1", "-0", "NaN", "-Infinity", "5e-324", "1.7976931348623157e308"),
    "inet": ("10.0.0.1", "10.0.0.1/8", "::1", "2001:db8::1/64"),
    "int2": ("-32768", "32767"),
    "int2vector": ("", "1 -2"),
    "int4": ("-2147483648", "2147483647"),
    "int4multirange": ("{}", "{[1,3),[5,)}"),
    "int4range": ("empty", "[1,3)", "(,)"),
    "int8": ("-9223372036854775808", "9223372036854775807"),
    "int8multirange": ("{}", "{[1,3),[9223372036854775806,)}"),
    "int8range": ("empty", "[1,3)", "(,5)"),
    "interval": ("0", "1 mon -1 day 00:00:00.000001", "-178000000 years", "1 day 24:00:00", "-1 day +02:03:04"),
    "json": ('{"b": 1,  "a": "\\u00e4\\u0000"}', "null", '[1.10, "x"]'),
    "jsonb": ('{"b": 1.10, "a": [null, "\\"\\n"]}', "null", '""'),
    "jsonpath": ('$."a"[*]?(@ > 1)', "strict $"),
    "line": ("{1,-1,0.1}",),
    "lseg": ("[(0,0),(1,0.1)]",),
    "macaddr": ("b8:27:eb:bf:9d:51",),
    "macaddr8": ("b8:27:eb:ff:fe:bf:9d:51",),
    "money": ("0", "-12.34", "92233720368547758.07", "-92233720368547758.08"),
    "name": ("pg_class", "", 'a"b c'),
    "numeric": ("0", "-1.5", "99999.00001", "123456789012345"),
    "nummultirange": ("{}", "{[1.50,2),(3,)}"),
    "numrange": ("empty", "[1.50,2]", "(,NaN)"),
    "oid": ("0", "4294967295"),
    "oidvector": ("", "1 4294967295"),
    "path": ("[(0,0),(1,0.1)]", "((0,0),(1,0.1))"),
    "pg_lsn": ("0/0", "FFFFFFFF/FFFFFFFF"),
    "pg_snapshot": ("10:20:10,14,15", "10:10:"),
    "point": ("(0.1,-2)", "(Infinity,NaN)"),
    "polygon": ("((0,0),(1,0.1),(1,1))",),
    "refcursor": ("a", ""),
    "regclass": ("pg_class", "-", "4294967295"),
    "regcollation": ('"C"', "-"),
    "regconfig": ("english", "-"),
    "regdatabase": ("postgres", "-"),
    "regdictionary": ("simple", "-"),
    "regnamespace": ("pg_catalog", "-"),
    "regoper": ("||/", "0"),
    "regoperator": ("+(integer,integer)", "0"),
    "regproc": ("pg_sleep", "-"),
    "regprocedure": ("abs(integer)", "-"),
    "regrole": ("postgres", "-"),
    "regtype": ("integer", "-", "timestamp with time zone[]"),
    "text": ("", " a ", "ä€😀", "a\nb\t,\"'\\{}", "NULL"),
    "tid": ("(0,1)", "(4294967295,65535)"),
    "time": ("00:00", "23:59:59.999999", "24:00"),
    "timestamp": ("1970-01-01 00:00:00", "2024-02-29 23:59:59.123456", "9999-12-31 23:59:59.999999"),
    "timestamptz": ("1970-01-01 00:00:00+00", "2024-02-29 23:59:59.123456+05:30", "9999-12-31 23:59:59.999999+00"),
    "timetz": ("00:00+00", "23:59:59.999999-15:59", "24:00+05:30"),
    "tsmultirange": ("{}", '{["2024-01-01 00:00:00","2024-01-02 00:00:00.000001")}'),
    "tsquery": ("'fat' & ( 'rat' | !'cat':AB )", "'a b' <2> 'c'", ""),
    "tsrange": ("empty", '["2024-01-01 00:00:00","2024-01-02 00:00:00.000001")', "(,infinity)"),
    "tstzmultirange": ("{}", '{["2024-01-01 00:00:00+05",)}'),
    "tstzrange": ("empty", '["2024-01-01 00:00:00+05",infinity]'),
    "tsvector": ("", "'a':1A,3 'b c':2 'd''e'"),
    "txid_snapshot": ("10:20:10,14,15",),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"),
    "varbit": ("", "0110010"),
    "varchar": ("", "ä x"),
    "xid": ("0", "4294967295"),
    "xid8": ("0", "18446744073709551615"),
    "xml": ('<a b="1">x &amp; y</a>', "just text", ""),
}

# Elements of arrays that become GridDB's own: all of them fit. pg_type.typname -> literals.
FLAT: dict[str, tuple[str, ...]] = {
    **{name: VALUES[name] for name in ("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "uuid")},
    "date": ("1970-01-01", "9999-12-31"),
    "timestamp": ("1970-01-01 00:00:00", "2024-02-29 23:59:59.123"),
    "timestamptz": ("1970-01-01 00:00:00+00", "2024-02-29 23:59:59.123+05:30"),
}

# Types of contrib and of others, where the server has them.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "citext": ("A@x.org", ""),
    "cube": ("(1.5,-2)",),
    "hstore": ("", '"a"=>"1", "b\\""=>NULL'),
    "ltree": ("a.b_1.c", ""),
    "seg": ("1 .. 2.50",),
    "vector": ("[1,2.5,-3]",),
}
USER_VALUES: dict[str, tuple[str, ...]] = {
    "mood": ("fine", "so, so"),
    "address": ("10.0.0.1",),
    "pair": ("(1,)", '(,"a ""b"", c")'),
    "pairs": ('{"(1,x)",NULL}',),
    "floats": ("[0.1,2)", "empty"),
}

# What has a column, and no text that PostgreSQL reads: it is never stored by users. See `usual_rules.UNREADABLE`.
OWN = frozenset(
    {
        "gtsvector",
        "pg_brin_bloom_summary",
        "pg_brin_minmax_multi_summary",
        "pg_dependencies",
        "pg_ddl_command",
        "pg_mcv_list",
        "pg_ndistinct",
        "pg_node_tree",
    }
)

_EPOCH = datetime(1970, 1, 1)
_UNITS = {GridType.TIMESTAMP_MS: "milliseconds", GridType.TIMESTAMP_US: "microseconds"}


def way_back(column: ColumnPlan, value: Any) -> str | None:
    """The literal of the column's own type that a stored value stands for; times are integers of the target's unit."""
    if value is None:
        return None
    if column.kernel is Kernel.TEXT_BLOB:
        return bytes(value).decode()
    if column.kernel in (Kernel.DATE_LONG, Kernel.TIME_LONG):
        return (day_text if column.kernel is Kernel.DATE_LONG else moment_text)(value)
    day = column.kernel is Kernel.DATE_MS or column.pg_type == "date[]"
    if column.target.array:
        texts = [_text(column.target.type, each, day=day) for each in value]
        return "{" + ",".join('"' + t.replace("\\", "\\\\").replace('"', '\\"') + '"' for t in texts) + "}"
    return _text(column.target.type, value, day=day)


def _text(kind: GridType, value: Any, *, day: bool = False) -> str:
    if kind in _UNITS:
        moment = _EPOCH + timedelta(**{_UNITS[kind]: value})
        return moment.date().isoformat() if day else f"{moment.isoformat(sep=' ')}+00"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return repr(value).lower() if isinstance(value, bool) else str(value)
