"""Python values as parameters: nothing is cut or rounded without a word."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.griddb.wire.sql_messages import VALUES

from gridferry.griddb.schema import GridType
from gridferry.griddb.sql.errors import DataError, NotSupportedError
from gridferry.griddb.sql.parameters import value_for, value_of
from gridferry.griddb.wire.sql_values import NULL, Plain, Value, bind_columns, bind_table

G = GridType
ZONE = dt.timezone(dt.timedelta(hours=9))
ID = uuid.UUID(int=5)


@pytest.mark.parametrize(
    ("given_value", "value"),
    [
        (None, NULL),
        (True, Value(G.BOOL, True)),
        (np.bool_(False), Value(G.BOOL, False)),
        (-(2**63), Value(G.LONG, -(2**63))),
        (np.int16(7), Value(G.LONG, 7)),
        (np.float32(0.5), Value(G.DOUBLE, 0.5)),
        ("x", Value(G.STRING, "x")),
        (bytearray(b"\0"), Value(G.BLOB, b"\0")),
        (ID, Value(G.STRING, str(ID))),
        (dt.datetime(1970, 1, 1, 0, 0, 1), Value(G.TIMESTAMP_MS, 1000)),
        (dt.datetime(1970, 1, 1, 9, 0, 0, 1, tzinfo=ZONE), Value(G.TIMESTAMP_US, 1)),
        (dt.date(1970, 1, 2), Value(G.TIMESTAMP_MS, 86400000)),
        (np.datetime64(1, "ns"), Value(G.TIMESTAMP_NS, 1)),
        (np.datetime64("1970-01-02"), Value(G.TIMESTAMP_MS, 86400000)),
    ],
)
def test_a_value_has_the_type_that_it_has_itself(given_value: Any, value: Value) -> None:
    assert value_of(given_value) == value


@pytest.mark.parametrize("given_value", [2**63, np.datetime64("NaT")])
def test_a_value_that_fits_no_type_is_refused(given_value: Any) -> None:
    with pytest.raises(DataError):
        value_of(given_value)


@pytest.mark.parametrize("given_value", [1 + 2j, [1], dt.time(1, 2), Decimal(1)])
def test_a_type_that_sql_does_not_have_is_refused(given_value: Any) -> None:
    with pytest.raises(NotSupportedError, match=type(given_value).__name__):
        value_of(given_value)


@pytest.mark.parametrize(
    ("kind", "given_value", "plain"),
    [
        (G.BYTE, -128, -128),
        (G.INTEGER, 5.0, 5),
        (G.LONG, Decimal("7.00"), 7),
        (G.DOUBLE, 2**53, 2.0**53),
        (G.DOUBLE, float("inf"), float("inf")),
        (G.FLOAT, 0.1, 0.1),
        (G.TIMESTAMP_US, dt.datetime(1970, 1, 1, 0, 0, 0, 5), 5),
        (G.TIMESTAMP_NS, np.datetime64(5, "us"), 5000),
        (G.STRING, None, None),
    ],
)
def test_a_value_for_a_column_has_its_type(kind: GridType, given_value: Any, plain: Plain) -> None:
    assert value_for(kind, given_value).plain == plain


@pytest.mark.parametrize(
    ("kind", "given_value"),
    [
        (G.BYTE, 128),
        (G.LONG, 2**63),
        (G.INTEGER, 0.5),
        (G.INTEGER, float("nan")),
        (G.INTEGER, Decimal("Infinity")),
        (G.INTEGER, "5"),
        (G.BOOL, 1),
        (G.LONG, True),
        (G.DOUBLE, 2**53 + 1),
        (G.DOUBLE, 10**400),
        (G.FLOAT, 1e39),
        (G.STRING, b"x"),
        (G.BLOB, "x"),
        (G.TIMESTAMP_MS, dt.datetime(1970, 1, 1, 0, 0, 0, 5)),
        (G.TIMESTAMP_US, np.datetime64(1, "ns")),
        (G.TIMESTAMP_MS, 5),
        (G.GEOMETRY, "POINT(1 1)"),
    ],
)
def test_a_value_that_its_column_would_change_is_refused(kind: GridType, given_value: Any) -> None:
    with pytest.raises(DataError):
        value_for(kind, given_value)


@given(st.data())
def test_rows_written_column_by_column_are_those_written_one_by_one(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))
    n = data.draw(st.integers(1, 4))
    columns = [data.draw(st.lists(st.none() | VALUES[kind], min_size=n, max_size=n)) for kind in kinds]
    rows = [
        NULL if v is None else Value(k, v)
        for row in zip(*columns, strict=True)
        for k, v in zip(kinds, row, strict=True)
    ]
    table = bind_columns(kinds, columns)
    assert table == bind_table([rows])
    assert table.values() == [tuple(rows)]
