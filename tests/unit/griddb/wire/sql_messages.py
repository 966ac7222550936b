"""Messages of the SQL service for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.sql_replies import SqlOutcome, SqlPage, SqlReply
from gridferry.griddb.wire.sql_requests import CancelSql, ExecuteSql
from gridferry.griddb.wire.sql_rows import SqlColumn
from gridferry.griddb.wire.sql_values import NULL, Value, bind_table
from gridferry.griddb.wire.statement import Option, SessionMode, SqlOperation

G = GridType
I32, I64 = (st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (32, 64))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
UUID = st.binary(min_size=16, max_size=16)
# A value of each type that has one in SQL.
VALUES: dict[GridType, st.SearchStrategy[Any]] = {
    G.BOOL: st.booleans(),
    G.BYTE: st.integers(-128, 127),
    G.SHORT: st.integers(-(2**15), 2**15 - 1),
    G.INTEGER: I32,
    G.LONG: I64,
    G.FLOAT: st.floats(width=32, allow_nan=False),
    G.DOUBLE: st.floats(allow_nan=False),
    G.TIMESTAMP_MS: st.integers(0, 253402300799999),
    G.TIMESTAMP_US: st.integers(0, 253402300799999999),
    G.TIMESTAMP_NS: st.integers(0, 2**63 - 1),
    G.STRING: st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    G.BLOB: st.binary(max_size=300),
}
ANY_VALUES = st.just(NULL) | st.sampled_from(sorted(VALUES)).flatmap(
    lambda kind: st.builds(Value, st.just(kind), VALUES[kind])
)
BINDS = st.integers(0, 4).flatmap(
    lambda width: st.lists(st.lists(ANY_VALUES, min_size=width, max_size=width), min_size=1, max_size=3).map(bind_table)
)
REQUESTS: dict[Any, st.SearchStrategy[Any]] = {
    ExecuteSql: st.builds(
        ExecuteSql,
        client=UUID,
        operation=st.sampled_from(SqlOperation),
        query_id=I64,
        mode=st.sampled_from(SessionMode),
        closes=I64,
        again=st.booleans(),
        bind=st.none() | BINDS,
        options=st.fixed_dictionaries(
            {}, optional={Option.STATEMENT_TIMEOUT: I32, Option.PRAGMAS: st.dictionaries(TEXT, TEXT, max_size=2)}
        ),
        text=st.none() | TEXT,
    ),
    CancelSql: st.builds(CancelSql, client=UUID, query_id=I64),
}
_COLUMNS = st.builds(SqlColumn, label=TEXT, type=st.none() | st.sampled_from(GridType), nullable=st.booleans())
_PAGES = st.builds(
    SqlPage,
    columns=st.lists(_COLUMNS, max_size=3).map(tuple),
    rows=I32,
    image=st.binary(max_size=30),
    more=st.booleans(),
)
SQL_REPLIES = st.builds(
    SqlReply,
    outcomes=st.lists(st.builds(SqlOutcome, changed=I32, parameters=I32, page=st.none() | _PAGES), max_size=2).map(
        tuple
    ),
    pragmas=st.dictionaries(TEXT, TEXT, max_size=2),
)
