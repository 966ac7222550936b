"""Kernels against plain Python: any value, in whole batches and in slices of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs
from gridferry.transform.kernels import KERNELS
from gridferry.transform.refusals import SENTENCES, Reason

LAST_US = 253402300799999999
INT64 = st.integers(-(2**63), 2**63 - 1)
Outcome = object | Reason


def _column(kernel: Kernel, target: GridType, scale: int | None = None) -> ColumnPlan:
    spec = ColumnSpec("c", target)
    return ColumnPlan("c", "any", spec, ReadAs.PLAIN, kernel, Fidelity.EXACT, "", scale)


def _check(array: pa.Array, values: Sequence[object], column: ColumnPlan, expected: Callable[[Any], Outcome]) -> None:
    converted, refusals = KERNELS[column.kernel](array, column)
    assert converted.type == column.target.arrow_type
    assert len(converted) == len(values)
    why: dict[int, Reason] = {}
    for refusal in refusals:
        for row in refusal.rows.tolist():
            assert row not in why, "one reason a value"
            why[row] = refusal.reason
    plain = converted.view(pa.int64()) if pa.types.is_timestamp(converted.type) else converted
    for row, value in enumerate(values):
        wanted = None if value is None else expected(value)
        if isinstance(wanted, Reason):
            assert why.get(row) is wanted, value
        else:
            assert row not in why, value
            got = plain[row].as_py()
            assert got == wanted or (got != got and wanted != wanted), value


def _both(values: list[Any], kind: pa.DataType, view: pa.DataType | None = None) -> list[tuple[pa.Array, list[Any]]]:
    """The array, and a slice with an offset."""
    array = pa.array(values, kind)
    array = array.view(view) if view is not None else array
    return [(array, values), (array.slice(1, max(len(values) - 2, 0)), values[1 : max(len(values) - 1, 1)])]


_TIMES = st.lists(
    st.none()
    | st.sampled_from([0, -1, LAST_US, LAST_US + 1, -(2**63), 2**63 - 1, -9222425352054775809, 999, 1000])
    | st.integers(0, LAST_US)
    | INT64,
    max_size=20,
)


@given(_TIMES, st.booleans())
def test_time_us(values: list[int | None], zoned: bool) -> None:
    view = pa.timestamp("us", tz="UTC") if zoned else pa.timestamp("us")
    for array, part in _both(list(values), pa.int64(), view):
        column = _column(Kernel.TIME_US, GridType.TIMESTAMP_US)
        _check(array, part, column, lambda v: v if 0 <= v <= LAST_US else Reason.TIME_RANGE)


@given(_TIMES)
def test_time_ms(values: list[int | None]) -> None:
    def exact(value: int) -> Outcome:
        if not 0 <= value <= LAST_US:
            return Reason.TIME_RANGE
        return Reason.FINE_TIME if value % 1000 else value // 1000

    for array, part in _both(list(values), pa.int64(), pa.timestamp("us")):
        _check(array, part, _column(Kernel.TIME_MS, GridType.TIMESTAMP_MS), exact)
        cut = _column(Kernel.TIME_MS_TRUNCATE, GridType.TIMESTAMP_MS)
        _check(array, part, cut, lambda v: v // 1000 if 0 <= v <= LAST_US else Reason.TIME_RANGE)


@given(st.lists(st.none() | st.sampled_from([0, -1, 2932896, 2932897]) | st.integers(-(2**31), 2**31 - 1), max_size=20))
def test_date_ms(values: list[int | None]) -> None:
    for array, part in _both(list(values), pa.int32(), pa.date32()):
        column = _column(Kernel.DATE_MS, GridType.TIMESTAMP_MS)
        _check(array, part, column, lambda v: v * 86400000 if 0 <= v <= 2932896 else Reason.TIME_RANGE)


@pytest.mark.parametrize(
    ("source", "target", "bits"),
    [
        (pa.int16(), GridType.BYTE, 8),
        (pa.int16(), GridType.INTEGER, 32),
        (pa.int32(), GridType.SHORT, 16),
        (pa.int64(), GridType.INTEGER, 32),
        (pa.int64(), GridType.BYTE, 8),
    ],
)
@given(data=st.data())
def test_whole_numbers(source: pa.DataType, target: GridType, bits: int, data: st.DataObject) -> None:
    width, limit = source.bit_width, 2 ** (bits - 1)
    numbers = st.integers(-(2 ** (width - 1)), 2 ** (width - 1) - 1) | st.integers(-130, 130)
    values = data.draw(st.lists(st.none() | numbers, max_size=20))
    for array, part in _both(values, source):
        column = _column(Kernel.NUMBER, target)
        _check(array, part, column, lambda v: v if -limit <= v < limit else Reason.RANGE)


@given(st.lists(st.none() | st.floats(), max_size=20))
def test_doubles_to_floats(values: list[float | None]) -> None:
    def nearest(value: float) -> Outcome:
        single = pa.array([value], pa.float64()).cast(pa.float32(), safe=False)[0].as_py()
        return Reason.RANGE if abs(single) == float("inf") != abs(value) else single

    _check(pa.array(values, pa.float64()), values, _column(Kernel.NUMBER_LOSSY, GridType.FLOAT), nearest)


@given(st.lists(st.none() | INT64, max_size=20))
def test_longs_to_doubles(values: list[int | None]) -> None:
    _check(pa.array(values, pa.int64()), values, _column(Kernel.NUMBER_LOSSY, GridType.DOUBLE), float)


@given(st.lists(st.none() | st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: f"{d:f}"), max_size=20))
def test_any_decimal_to_the_nearest_double(values: list[str | None]) -> None:
    def nearest(text: str) -> Outcome:
        return Reason.RANGE if abs(float(text)) == float("inf") else float(text)

    column = _column(Kernel.DECIMAL_DOUBLE_LOSSY, GridType.DOUBLE)
    _check(pa.array(values, pa.utf8()), values, column, nearest)


def _numerics(scale: int) -> st.SearchStrategy[str]:
    return st.decimals(allow_nan=False, allow_infinity=False, places=scale, min_value=-(10**25), max_value=10**25).map(
        lambda d: f"{d:f}"
    )


_NUMERIC_TEXTS = st.lists(
    st.none()
    | st.sampled_from(["NaN", "Infinity", "-Infinity", "9223372036854775808", "-9223372036854775808", "0.0", "-0.1"])
    | _numerics(0)
    | _numerics(3)
    | INT64.map(str),
    max_size=20,
)


@given(_NUMERIC_TEXTS)
def test_decimals_to_longs(values: list[str | None]) -> None:
    def whole(text: str) -> Outcome:
        number = Decimal(text)
        if not number.is_finite():
            return Reason.NOT_A_NUMBER
        if not -(2**63) <= int(number) < 2**63:
            return Reason.RANGE
        return int(number) if number == int(number) else Reason.FRACTION

    for array, part in _both(list(values), pa.utf8()):
        _check(array, part, _column(Kernel.DECIMAL_LONG, GridType.LONG), whole)


@given(st.data(), st.integers(0, 22))
def test_every_decimal_of_fifteen_digits_comes_back(data: st.DataObject, scale: int) -> None:
    numbers = st.integers(-(10**15) + 1, 10**15 - 1)
    texts = data.draw(st.lists(numbers.map(lambda n: f"{Decimal(n).scaleb(-scale):f}"), max_size=20))
    column = _column(Kernel.DECIMAL_DOUBLE, GridType.DOUBLE, scale)
    converted, refusals = KERNELS[Kernel.DECIMAL_DOUBLE](pa.array(texts, pa.utf8()), column)
    assert refusals == ()
    for text, double in zip(texts, converted.to_pylist(), strict=True):
        assert Decimal(f"{double:.{scale}f}") == Decimal(text)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("0.123", Reason.DIGITS),
        ("99999999999999.99", Reason.DIGITS),
        ("Infinity", Reason.NOT_A_NUMBER),
        ("1" + "0" * 400, Reason.NOT_A_NUMBER),
        ("1.5", 1.5),
        ("NaN", float("nan")),
    ],
)
def test_decimals_that_a_double_does_not_keep(text: str, outcome: Outcome) -> None:
    values = [None, "0.10", text]
    column = _column(Kernel.DECIMAL_DOUBLE, GridType.DOUBLE, 2)
    _check(pa.array(values, pa.utf8()), values, column, lambda v: outcome if v == text else float(v))


@given(st.lists(st.none() | st.text(max_size=5) | st.sampled_from(["x" * 31744, "x" * 31745, "ä" * 15873]), max_size=8))
def test_text(values: list[str | None]) -> None:
    for array, part in _both(list(values), pa.utf8()):
        column = _column(Kernel.TEXT, GridType.STRING)
        _check(array, part, column, lambda v: v if len(v.encode()) <= 31744 else Reason.LENGTH)
        _check(array, part, _column(Kernel.TEXT_BLOB, GridType.BLOB), lambda v: v.encode())


@given(st.lists(st.none() | st.binary(max_size=6), max_size=20))
def test_text_that_is_not_utf8(values: list[bytes | None]) -> None:
    def decoded(octets: bytes) -> Outcome:
        try:
            return octets.decode()
        except UnicodeDecodeError:
            return Reason.ENCODING

    octets = pa.array(values, pa.binary())
    array = pa.Array.from_buffers(pa.utf8(), len(octets), octets.buffers(), octets.null_count)
    _check(array, values, _column(Kernel.TEXT, GridType.STRING), decoded)


def test_every_kernel_and_every_reason_is_there() -> None:
    assert set(KERNELS) == set(Kernel)
    assert set(SENTENCES) == set(Reason)
