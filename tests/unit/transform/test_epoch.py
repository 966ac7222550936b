"""Numbers that count time since 1970 become GridDB's times, and give the numbers back."""

from __future__ import annotations

from datetime import datetime, timezone
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs
from gridferry.transform.kernels import KERNELS
from gridferry.transform.refusals import Reason

MS, US = GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US
LAST_S = 253402300799
MOMENT = 1704067200  # 2024-01-01


def column(kernel: Kernel, unit: int, target: GridType, *, text: bool = False) -> ColumnPlan:
    read_as = ReadAs.TEXT if text else ReadAs.PLAIN
    return ColumnPlan("ts", "bigint", ColumnSpec("ts", target), read_as, kernel, Fidelity.WIDENED, "", scale=unit)


def converted(values: list[object], kind: pa.DataType, plan: ColumnPlan) -> tuple[list[int | None], dict[int, Reason]]:
    array, refusals = KERNELS[plan.kernel](pa.array(values, kind), plan)
    why = {int(row): each.reason for each in refusals for row in each.rows}
    assert array.type == plan.target.arrow_type
    return array.view(pa.int64()).to_pylist(), why


@pytest.mark.parametrize(
    ("value", "unit", "target", "stored"),
    [
        (MOMENT, 0, MS, MOMENT * 1000),
        (MOMENT, 0, US, MOMENT * 10**6),
        (0, 0, MS, 0),
        (LAST_S, 0, MS, LAST_S * 1000),
        (LAST_S + 1, 0, MS, Reason.TIME_RANGE),
        (-1, 0, US, Reason.TIME_RANGE),
        (2**63 - 1, 0, MS, Reason.TIME_RANGE),
        (MOMENT * 1000 + 7, 3, MS, MOMENT * 1000 + 7),
        (MOMENT * 1000 + 7, 3, US, MOMENT * 10**6 + 7000),
        (MOMENT * 10**6 + 1000, 6, MS, MOMENT * 1000 + 1),
        (MOMENT * 10**6 + 1, 6, MS, Reason.FINE_TIME),
        (MOMENT * 10**6 + 1, 6, US, MOMENT * 10**6 + 1),
        (MOMENT * 10**9 + 1000, 9, US, MOMENT * 10**6 + 1),
        (MOMENT * 10**9 + 1, 9, US, Reason.FINER_TIME),
        (2**63 - 1, 9, US, Reason.FINER_TIME),
        (-(2**63), 9, US, Reason.TIME_RANGE),
    ],
)
def test_whole_numbers_and_the_same_as_decimals(value: int, unit: int, target: GridType, stored: object) -> None:
    for kind, text in ((pa.int64(), False), (pa.utf8(), True)):
        given_value = str(value) if text else value
        numbers, why = converted([None, given_value], kind, column(Kernel.EPOCH, unit, target, text=text))
        assert numbers[0] is None
        assert why.get(1, numbers[1]) == stored


@pytest.mark.parametrize(
    ("value", "unit", "target", "stored"),
    [
        ("1704067200.123456", 0, US, MOMENT * 10**6 + 123456),
        ("1704067200.1234560000", 0, US, MOMENT * 10**6 + 123456),
        ("1704067200.1234561", 0, US, Reason.FINER_TIME),
        ("1704067200.123", 0, MS, MOMENT * 1000 + 123),
        ("1704067200123.5", 3, MS, Reason.FINE_TIME),
        ("7", 6, MS, Reason.FINE_TIME),
        ("0.000", 9, US, 0),
        ("-0.1", 0, US, Reason.TIME_RANGE),
        ("253402300799.999999", 0, US, LAST_S * 10**6 + 999999),
        ("253402300800", 0, US, Reason.TIME_RANGE),
        ("9" * 60, 3, US, Reason.TIME_RANGE),
        ("NaN", 0, US, Reason.NOT_A_NUMBER),
        ("Infinity", 0, US, Reason.TIME_RANGE),
        ("-Infinity", 0, US, Reason.TIME_RANGE),
    ],
)
def test_decimals(value: str, unit: int, target: GridType, stored: object) -> None:
    numbers, why = converted([value], pa.utf8(), column(Kernel.EPOCH, unit, target, text=True))
    assert why.get(0, numbers[0]) == stored


@given(st.integers(0, 2**32 * 10**6), st.sampled_from([0, 3, 6, 9]))
def test_the_nearest_double_to_a_microsecond_is_that_microsecond(micros: int, unit: int) -> None:
    value = float(Fraction(micros * 10**unit, 10**6))
    numbers, why = converted([value], pa.float64(), column(Kernel.EPOCH_DOUBLE, unit, US))
    assert (numbers, why) == ([micros], {})


@given(st.floats(1.5e9, 1.8e9))
def test_a_double_that_is_stored_is_given_back(value: float) -> None:
    numbers, why = converted([value], pa.float64(), column(Kernel.EPOCH_DOUBLE, 0, US))
    assert why.get(0) is Reason.FINER_TIME or (numbers[0] or 0) / 10**6 == value


@pytest.mark.parametrize(
    ("value", "kernel", "target", "stored"),
    [
        (datetime(2024, 1, 1, 0, 0, 0, 123456, timezone.utc).timestamp(), Kernel.EPOCH_DOUBLE, US, 1704067200123456),
        (1704067200.123456, Kernel.EPOCH_DOUBLE, MS, Reason.FINE_TIME),
        (1704067200.123456, Kernel.EPOCH_DOUBLE_TRUNCATE, MS, 1704067200123),
        (1704067200.123, Kernel.EPOCH_DOUBLE, MS, 1704067200123),
        (1704067200.1234562, Kernel.EPOCH_DOUBLE, US, Reason.FINER_TIME),
        (-0.5, Kernel.EPOCH_DOUBLE, US, Reason.TIME_RANGE),
        (float("nan"), Kernel.EPOCH_DOUBLE, US, Reason.NOT_A_NUMBER),
        (float("inf"), Kernel.EPOCH_DOUBLE, US, Reason.TIME_RANGE),
        (1e308, Kernel.EPOCH_DOUBLE, US, Reason.TIME_RANGE),
        (float("nan"), Kernel.EPOCH_DOUBLE_NULL, US, None),
        (-5.0, Kernel.EPOCH_DOUBLE_NULL, US, None),
        (-5.0, Kernel.EPOCH_DOUBLE_CLAMP, US, 0),
        (float("inf"), Kernel.EPOCH_DOUBLE_CLAMP, MS, LAST_S * 1000 + 999),
        (float("nan"), Kernel.EPOCH_DOUBLE_CLAMP, MS, Reason.NOT_A_NUMBER),
    ],
)
def test_doubles(value: float, kernel: Kernel, target: GridType, stored: object) -> None:
    numbers, why = converted([None, value], pa.float64(), column(kernel, 0, target))
    assert numbers[0] is None
    assert why.get(1, numbers[1]) == stored


def test_digits_are_cut_and_ends_are_reached_only_where_that_is_asked() -> None:
    values: list[object] = [1999, -1, LAST_S * 10**6 + 10**6, None]
    cut, why = converted(values, pa.int64(), column(Kernel.EPOCH_TRUNCATE, 6, MS))
    assert (cut[0], why) == (1, {1: Reason.TIME_RANGE, 2: Reason.TIME_RANGE})
    clamped, why = converted([-1, LAST_S + 1, 5], pa.int64(), column(Kernel.EPOCH_CLAMP, 0, MS))
    assert (clamped, why) == ([0, LAST_S * 1000 + 999, 5000], {})
    nulls, why = converted(["-1", "NaN", "5"], pa.utf8(), column(Kernel.EPOCH_NULL, 0, MS, text=True))
    assert (nulls, why) == ([None, None, 5000], {})
