"""Sampling and interpolation by statement: both servers answer GridDB's client as GridDB CE 5.9.0 does."""

from __future__ import annotations

import struct

import pytest
from tests.oracle.judge import Judge, JudgeError
from tests.oracle.tql_table import SECOND_NS
from tests.oracle.values import Nanos, Row, Value, float_bits

from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

pytestmark = pytest.mark.oracle

TYPES = (
    GridType.DOUBLE,
    GridType.FLOAT,
    GridType.BYTE,
    GridType.SHORT,
    GridType.INTEGER,
    GridType.LONG,
    GridType.STRING,
    GridType.BOOL,
    GridType.GEOMETRY,
    GridType.BLOB,
    GridType.TIMESTAMP_NS,
)
SERIES = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        *(ColumnSpec(kind.name.lower(), kind) for kind in TYPES),
        ColumnSpec("list", GridType.STRING, array=True),
    ),
)
NAMES = [column.name for column in SERIES.columns]


def _row(second: float, *numbers: float) -> Row:
    double, single, *whole = numbers
    tail: tuple[Value, ...] = ("text", True, "POINT(1 2)", b"bytes", Nanos(7), ["a"])
    bits = (float_bits(GridType.DOUBLE, double), float_bits(GridType.FLOAT, single))
    return (_at(second), *bits, *map(int, whole), *tail)


def _at(second: float) -> Nanos:
    return Nanos(round(second * SECOND_NS))


# The steps between whole numbers are too wide for their types: the difference wraps.
FIRST = _row(10, 0.1, 0.1, -99, -30_000, -(2**30), 2**60 + 1)
SECOND = _row(20, 0.2, 0.2, 98, 30_000, 2**30, 2**61 + 2)
THIRD = (_at(30), None, None, None, None, None, None, *FIRST[7:])
LAST = _row(40, 4.0, 4.0, 4, 4, 4, 4)
EMPTY = (*_row(0, 0, 0, 0, 0, 0, 0)[1:7], "", False, "POINT(EMPTY)", b"", Nanos(0), [])


@pytest.fixture
def series(judge: Judge, name: str) -> str:
    judge.create(name, SERIES)
    judge.put(name, SERIES, [FIRST, SECOND, THIRD, LAST])
    return name


def _moved(row: Row, second: float) -> Row:
    return (_at(second), *row[1:])


def _seconds(rows: list[Row]) -> list[float]:
    return [row[0] / SECOND_NS for row in rows if isinstance(row[0], int)]


def _as_float(number: float) -> float:
    found: float = struct.unpack("<f", struct.pack("<f", number))[0]
    return found


# What stands at 13 s; a DOUBLE was rounded to a FLOAT.
BETWEEN: dict[str, Value] = {
    "double": float_bits(GridType.DOUBLE, _as_float(0.13)),
    "float": float_bits(GridType.FLOAT, 0.13),
    "byte": -116,
    "short": -31_660,
    "integer": -1_717_986_918,
    "long": 1_498_797_955_988_901_120,
}


@pytest.mark.parametrize("column", BETWEEN)
def test_one_column_is_interpolated(judge: Judge, series: str, column: str) -> None:
    expected = list(_moved(FIRST, 13))
    expected[NAMES.index(column)] = BETWEEN[column]
    assert judge.interpolate(series, SERIES, _at(13), column) == [tuple(expected)]


def test_columns_are_sampled_between_rows(judge: Judge, series: str) -> None:
    expected = (_at(13), *BETWEEN.values(), *FIRST[7:])
    found = judge.sample(series, SERIES, _at(10), _at(20), "LINEAR_OR_PREVIOUS", "3", "SECOND", *BETWEEN)
    assert found[:2] == [FIRST, expected]
    assert _seconds(found) == [10, 13, 16, 19]


@pytest.mark.parametrize(
    ("second", "expected"), [(5, []), (10, [FIRST]), (25, [_moved((None, None, *SECOND[2:]), 25)]), (41, [])]
)
def test_interpolation_needs_a_row_on_each_side(judge: Judge, series: str, second: int, expected: list[Row]) -> None:
    assert judge.interpolate(series, SERIES, _at(second), "double") == expected


def test_the_row_before_is_given_where_no_column_is_interpolated(judge: Judge, series: str) -> None:
    found = judge.sample(series, SERIES, _at(5), _at(50), "LINEAR_OR_PREVIOUS", "5000", "MILLISECOND")
    at = {10: FIRST, 20: SECOND, 30: THIRD, 40: LAST, 50: LAST}
    assert found == [_moved(at[second // 10 * 10], second) for second in range(10, 51, 5)]


def test_an_empty_row_is_given_where_there_is_none(judge: Judge, series: str) -> None:
    found = judge.sample(series, SERIES, _at(0), _at(60), "EMPTY", "15", "SECOND")
    assert found == [THIRD if second == 30 else (_at(second), *EMPTY) for second in range(0, 61, 15)]


SAMPLED = [
    ((0, 9), ("LINEAR_OR_PREVIOUS", "1", "SECOND"), []),
    ((12, 42), ("LINEAR_OR_PREVIOUS", "10", "SECOND"), [12, 22, 32]),
    ((12, 43), ("LINEAR_OR_PREVIOUS", "10", "SECOND"), [12, 22, 32, 42]),
    ((41, 61), ("LINEAR_OR_PREVIOUS", "10", "SECOND"), [41, 51, 61]),
    ((41, 41), ("LINEAR_OR_PREVIOUS", "10", "SECOND"), []),
    ((12, 60), ("LINEAR_OR_PREVIOUS", "10", "SECOND", "long"), [12, 22, 32]),
    ((20, 10), ("LINEAR_OR_PREVIOUS", "1", "SECOND"), []),
    ((10, 50), ("LINEAR_OR_PREVIOUS", "1", "DAY"), [10]),
    ((10, 50), ("LINEAR_OR_PREVIOUS", "-2", "SECOND"), [10]),
    ((100, 102), ("EMPTY", "1", "SECOND"), [100, 101, 102]),
    ((20, 10), ("EMPTY", "1", "SECOND"), []),
]


@pytest.mark.parametrize(("ends", "how", "seconds"), SAMPLED)
def test_which_times_are_sampled(
    judge: Judge, series: str, ends: tuple[int, int], how: tuple[str, ...], seconds: list[float]
) -> None:
    assert _seconds(judge.sample(series, SERIES, _at(ends[0]), _at(ends[1]), *how)) == seconds


REFUSED = [
    (("EMPTY", "1", "SECOND", "double"), 60076),
    (("EMPTY", "0", "SECOND"), 70004),
    (("LINEAR_OR_PREVIOUS", "-1", "SECOND"), 70004),
    (("LINEAR_OR_PREVIOUS", "1", "MONTH"), 60074),
    (("EMPTY", "1", "YEAR"), 60074),
    *((("LINEAR_OR_PREVIOUS", "1", "SECOND", name), 60075) for name in ("ts", *NAMES[7:])),
]


@pytest.mark.parametrize(("how", "code"), REFUSED)
def test_samplings_that_are_refused(judge: Judge, series: str, how: tuple[str, ...], code: int) -> None:
    with pytest.raises(JudgeError) as refused:
        judge.sample(series, SERIES, _at(10), _at(20), *how)
    assert refused.value.code == code


@pytest.mark.parametrize("column", ["ts", *NAMES[7:]])
def test_only_numbers_are_interpolated(judge: Judge, series: str, column: str) -> None:
    with pytest.raises(JudgeError) as refused:
        judge.interpolate(series, SERIES, _at(13), column)
    assert refused.value.code == 60075


def test_no_row_has_a_time_before_1970(judge: Judge, series: str) -> None:
    for ask in (
        lambda: judge.interpolate(series, SERIES, _at(-1), "double"),
        lambda: judge.related(series, SERIES, _at(-1), "NEXT"),
        lambda: judge.sample(series, SERIES, _at(-1), _at(1), "EMPTY", "1", "SECOND"),
    ):
        with pytest.raises(JudgeError) as refused:
            ask()
        assert refused.value.code == 70007
