"""A decimal becomes a double only where it is read back to the same number."""

from __future__ import annotations

import decimal
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs
from gridferry.transform.kernels import decimal_double_checked
from gridferry.transform.refusals import Reason

PLAN = ColumnPlan(
    "v", "numeric", ColumnSpec("v", GridType.DOUBLE), ReadAs.TEXT, Kernel.DECIMAL_DOUBLE_CHECKED, Fidelity.WIDENED, ""
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0.0), ("-1.50", -1.5), ("123456789012345", 123456789012345.0), ("9007199254740993", None),
        ("9007199254740992", 9007199254740992.0), ("0.100000000000000000", 0.1), ("100.00000000", 100.0),
        ("0.1000000000000000055511151231257827", None), ("1" + "0" * 50, 1e50), ("1" + "0" * 400, None),
        ("0." + "0" * 400 + "1", None), ("Infinity", float("inf")), ("123456.12345678", 123456.12345678),
        ("-123456.1234567891234", None), (None, None),
    ],
)  # fmt: skip
def test_numbers_that_come_back_and_those_that_do_not(text: str | None, number: float | None) -> None:
    doubles, refusals = decimal_double_checked(pa.array(["1", text], pa.utf8()), PLAN)
    if text is None or number is not None:
        assert (doubles.to_pylist(), refusals) == ([1.0, number], ())
    else:
        ((only),) = refusals
        assert (only.reason, only.rows.tolist()) == (Reason.DIGITS, [1])


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_none_is_refused_that_comes_back_and_none_stored_that_does_not(value: Decimal) -> None:
    with decimal.localcontext(decimal.Context(prec=1500)):
        text = format(value, "f")
    doubles, refusals = decimal_double_checked(pa.array([text]), PLAN)
    same = Decimal(repr(doubles[0].as_py())) == value
    assert same is not bool(refusals)
