"""What the config may say of one column, and the type that follows from it and from the data."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.plan.tables import BIGINT, TEXT, TS, primary

from gridferry.errors import ConfigError
from gridferry.model.profile import ColumnProfile, TableProfile
from gridferry.model.table import Column, PgType, Table
from gridferry.plan.plan import Fidelity, Kernel, Severity, TablePlan
from gridferry.plan.planner import plan_table
from gridferry.plan.stored import require_agrees
from gridferry.plan.table_options import table_options

NUMERIC, DATE = PgType("numeric", "numeric"), PgType("date", "date")
FITS = {"minimum": 1, "maximum": 2, "undoubled": 0, "nan": 0, "infinite": 0, "max_scale": 2}
LONG_DIGITS = {**FITS, "undoubled": 3}
FAR = {"minimum": -1, "maximum": 0, "outside": 4, "infinite": 1}


def planned(kind: PgType, wish: object, facts: dict[str, int], **more: Any) -> TablePlan:
    """The plan of a column `v`; its stored form agrees with config and catalog."""
    table = Table("public", "t", "r", (Column("id", BIGINT, nullable=False), Column("v", kind)), primary("id"))
    options = table_options(table="t", **({} if wish is None else {"columns": {"v": wish}}), **more)
    plan = plan_table(table, TableProfile(9, (ColumnProfile("v", nulls=0, **facts),)), options)
    if not plan.problems:
        require_agrees(plan, options, table, left="")
    return plan


@pytest.mark.parametrize(
    ("kind", "wish", "facts", "label", "kernel"),
    [
        (NUMERIC, None, FITS, "DOUBLE", Kernel.DECIMAL_DOUBLE_CHECKED),
        (NUMERIC, None, LONG_DIGITS, "STRING", Kernel.TEXT),
        (NUMERIC, None, {}, "STRING", Kernel.TEXT),  # a column without a value
        (NUMERIC, "double", FITS, "DOUBLE", Kernel.DECIMAL_DOUBLE_CHECKED),
        (NUMERIC, "double", LONG_DIGITS, "DOUBLE", Kernel.DECIMAL_DOUBLE_LOSSY),
        (NUMERIC, {"type": "double", "exact": False}, FITS, "DOUBLE", Kernel.DECIMAL_DOUBLE_LOSSY),
        (NUMERIC, {"type": "double", "exact": True}, FITS, "DOUBLE", Kernel.DECIMAL_DOUBLE_CHECKED),
        (NUMERIC, {"type": "long", "scale": 2}, FITS, "LONG", Kernel.DECIMAL_SCALED),
        (TS, {"out_of_range": "null"}, FAR, "TIMESTAMP(6)", Kernel.TIME_US_NULL),
        (TS, {"out_of_range": None}, FAR, "TIMESTAMP(6)", Kernel.TIME_US_NULL),
        (TS, {"out_of_range": "clamp", "type": "timestamp(3)"}, FAR, "TIMESTAMP(3)", Kernel.TIME_MS_CLAMP),
        (DATE, {"out_of_range": "clamp"}, FAR, "TIMESTAMP(3)", Kernel.DATE_MS_CLAMP),
        (DATE, {"out_of_range": "string"}, FAR, "STRING", Kernel.TEXT),
        (DATE, {"out_of_range": "string"}, {"minimum": 0, "maximum": 0}, "TIMESTAMP(3)", Kernel.DATE_MS),
        (TEXT, {"out_of_range": "clamp"}, {"max_bytes": 40000}, "STRING", Kernel.TEXT_CLAMP),
        (TEXT, {"out_of_range": "blob"}, {"max_bytes": 40000}, "BLOB", Kernel.TEXT_BLOB),
    ],
)
def test_the_type_that_is_chosen(kind: PgType, wish: object, facts: dict[str, int], label: str, kernel: Kernel) -> None:
    plan = planned(kind, wish, facts)
    assert plan.problems == ()
    column = plan.columns[1]
    assert (column.target.label, column.kernel) == (label, kernel)
    lossy = column.verdict is Fidelity.LOSSY
    assert lossy == (kernel.value.endswith(("lossy", "null", "clamp")))
    assert lossy == any("loses information" in f.message for f in plan.findings if f.severity is Severity.RISK)


@pytest.mark.parametrize(
    ("kind", "wish", "facts", "words"),
    [
        (NUMERIC, {"type": "double", "exact": True}, LONG_DIGITS, "with more digits than a DOUBLE keeps, in 3 rows"),
        (TS, {"out_of_range": "error"}, {**FAR, "infinite": 0}, "before 1970 or after 9999, in 4 rows"),
        (BIGINT, {"out_of_range": "clamp"}, {}, "`out_of_range: clamp` is not possible for bigint"),
    ],
)
def test_what_stops_the_load(kind: PgType, wish: object, facts: dict[str, int], words: str) -> None:
    (problem,) = planned(kind, wish, facts).problems
    assert words in problem.message


def test_a_column_alone_may_have_its_rows_put_aside() -> None:
    plan = planned(DATE, {"out_of_range": "quarantine"}, {**FAR, "infinite": 0})
    assert plan.problems == ()
    assert [plan.puts_aside(name) for name in ("id", "v")] == [False, True]
    (risk,) = [f for f in plan.findings if f.subject == "v"]
    assert "before 1970 or after 9999, in 4 rows; such a row goes to the quarantine" in risk.message


def test_no_value_of_a_row_key_is_changed() -> None:
    table = Table("public", "t", "r", (Column("at", TS, nullable=False),), primary("at"))
    plan = plan_table(table, TableProfile(0, ()), table_options(table="t", columns={"at": {"out_of_range": "clamp"}}))
    assert "is not possible" in plan.problems[0].message


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"exact": True}, "exact needs `type: double`"),
        ({"type": "double", "scale": 2}, "scale needs `type: long`"),
        ({"type": "long", "scale": 19}, "scale is 1 to 18"),
        ({"type": "long", "scale": "2"}, "scale is a whole number"),
        ({"type": "long", "out_of_range": "string"}, "leave one out"),
        ({"out_of_range": "drop"}, "out_of_range is error, null, clamp, quarantine, or a type"),
        ({"kind": "long"}, "does not know kind; allowed: type, exact, scale, from, out_of_range"),
        ({}, "is empty"),
    ],
)
def test_mistakes_are_named(wish: object, words: str) -> None:
    with pytest.raises(ConfigError, match='column "v"') as caught:
        table_options(table="t", columns={"v": wish})
    assert words in str(caught.value)
