"""Values out of range made NULL or brought to the nearest end, and decimals with a scale."""

from __future__ import annotations

import pyarrow as pa
import pytest

from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs
from gridferry.transform.kernels import KERNELS
from gridferry.transform.refusals import Reason, Refusal

INFINITY, MINUS_INFINITY = -9222425352054775809, -9222425352054775808
LAST_US = 253402300799999999
TIMES = pa.array([0, -1, None, INFINITY, MINUS_INFINITY, LAST_US + 1, INFINITY - 5], pa.int64()).view(
    pa.timestamp("us")
)
DAYS = pa.array([0, -1, None, -2147472692, -2147472691, 2932897], pa.int32()).view(pa.date32())
TEXTS = pa.array(["a" * 31745, "ä" * 20000, None, "b"])


def converted(kernel: Kernel, array: pa.Array, target: GridType) -> tuple[list[object], tuple[Refusal, ...]]:
    plan = ColumnPlan("v", "x", ColumnSpec("v", target), ReadAs.PLAIN, kernel, Fidelity.LOSSY, "", scale=2)
    found, refusals = KERNELS[kernel](array.slice(0), plan)
    plain = found.view(pa.int64()) if pa.types.is_timestamp(found.type) else found
    return plain.to_pylist(), refusals


@pytest.mark.parametrize(
    ("kernel", "array", "target", "wanted"),
    [
        (Kernel.TIME_US_CLAMP, TIMES, GridType.TIMESTAMP_US, [0, 0, None, LAST_US, 0, LAST_US, LAST_US]),
        (Kernel.TIME_US_NULL, TIMES, GridType.TIMESTAMP_US, [0, None, None, None, None, None, None]),
        (Kernel.TIME_MS_NULL, TIMES, GridType.TIMESTAMP_MS, [0, None, None, None, None, None, None]),
        (Kernel.DATE_MS_CLAMP, DAYS, GridType.TIMESTAMP_MS, [0, 0, None, 253402214400000, 0, 253402214400000]),
        (Kernel.DATE_MS_NULL, DAYS, GridType.TIMESTAMP_MS, [0, None, None, None, None, None]),
        (Kernel.TEXT_CLAMP, TEXTS, GridType.STRING, ["a" * 31744, "ä" * 15872, None, "b"]),
        (Kernel.TEXT_NULL, TEXTS, GridType.STRING, [None, None, None, "b"]),
    ],
)
def test_nothing_is_refused(kernel: Kernel, array: pa.Array, target: GridType, wanted: list[object]) -> None:
    assert converted(kernel, array, target) == (wanted, ())


def test_finer_digits_are_refused_all_the_same() -> None:
    array = pa.array([1001, -1], pa.int64()).view(pa.timestamp("us"))
    for kernel in (Kernel.TIME_MS_NULL, Kernel.TIME_MS_CLAMP):
        ((only),) = converted(kernel, array, GridType.TIMESTAMP_MS)[1]
        assert (only.reason, only.rows.tolist()) == (Reason.FINE_TIME, [0])


def test_decimals_with_a_scale() -> None:
    good = {"9.99": 999, "-0.01": -1, "1.5000": 150, "7": 700, "0.00": 0, "92233720368547758.07": 2**63 - 1}
    assert converted(Kernel.DECIMAL_SCALED, pa.array([*good, None]), GridType.LONG) == ([*good.values(), None], ())
    bad = {
        "1.005": Reason.DIGITS, "NaN": Reason.NOT_A_NUMBER, "-Infinity": Reason.NOT_A_NUMBER, "1" * 60: Reason.RANGE,
        "92233720368547758.08": Reason.RANGE, "-92233720368547758.09": Reason.RANGE,
    }  # fmt: skip
    _, refusals = converted(Kernel.DECIMAL_SCALED, pa.array(["1", *bad]), GridType.LONG)
    found = {int(row): refusal.reason for refusal in refusals for row in refusal.rows}
    assert found == dict(enumerate(bad.values(), 1))
