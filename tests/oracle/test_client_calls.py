"""What GridDB's client can ask beyond what gridferry asks: both servers answer it alike."""

from __future__ import annotations

import time

import pytest
from tests.oracle.judge import Judge
from tests.oracle.tql_table import SECOND_NS, SERIES
from tests.oracle.values import Bits, Nanos, Row

pytestmark = pytest.mark.oracle

DAY_NS = 86_400 * SECOND_NS


def test_an_appended_row_gets_the_servers_time(judge: Judge, name: str) -> None:
    judge.create(name, SERIES)
    row: Row = (Nanos(0), Bits("3ff8000000000000"), 1, "appended")
    assert not judge.append(name, SERIES, row)
    [(at, *values)] = judge.read(name, SERIES)
    assert values == list(row[1:])
    assert isinstance(at, int)
    assert abs(at - time.time_ns()) < DAY_NS


def test_a_row_is_appended_before_rows_of_the_future(judge: Judge, name: str) -> None:
    judge.create(name, SERIES)
    future: Row = (Nanos(4_000_000_000 * SECOND_NS), None, 2, "future")
    judge.put(name, SERIES, [future])
    judge.append(name, SERIES, (Nanos(0), None, 1, "now"))
    assert [row[3] for row in judge.read(name, SERIES)] == ["now", "future"]
