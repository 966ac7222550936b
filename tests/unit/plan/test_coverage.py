"""Which columns of the source a plan covers: each counted once, each that is missing named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.plan.tables import DOUBLE, TEXT, TS, primary, sensor, sensor_facts

from gridferry.errors import ConfigError
from gridferry.model.coverage import Coverage, LeftOut, Why
from gridferry.model.table import Column, PgType, Table
from gridferry.plan.coverage import coverage_of
from gridferry.plan.drift import fingerprint
from gridferry.plan.plan import Fidelity, Severity, TablePlan, table_from_json, table_to_json
from gridferry.plan.planner import plan_table, profile_request
from gridferry.plan.table_options import TableOptions, table_options

COLUMNS = (
    Column("ts", TS, nullable=False),
    Column("device", TEXT, nullable=False),
    Column("temp", DOUBLE),
    Column("tags", PgType("_text", "text[]")),
    Column("shape", PgType("point", "point")),
)
TABLE = sensor(columns=COLUMNS, keys=primary("ts", "device"))
OPTIONS = {"table": "device", "split_by": "device", "key": "ts"}
TAGS = LeftOut("tags", "text[]")


def planned(options: TableOptions, table: Table = TABLE) -> TablePlan:
    return plan_table(table, sensor_facts(), options)


def options(**changes: object) -> TableOptions:
    return table_options(**{**OPTIONS, "exclude": ["tags", "shape"], **changes})


def test_what_the_config_leaves_out_is_kept_with_the_plan() -> None:
    plan = planned(options(exclude={"tags": "not  needed", "shape": "old"}))
    assert plan.left_out == (replace(TAGS, reason="not needed"), LeftOut("shape", "point", reason="old"))
    assert table_from_json(table_to_json(plan)) == plan
    # The split column is in the names of the containers: it is not lost.
    assert coverage_of(plan) == Coverage(5, 3, left_out=plan.left_out)
    assert coverage_of(plan).compared == 3


def test_a_reason_that_is_given_after_the_load_counts_and_is_no_other_load() -> None:
    plan = planned(options())
    assert coverage_of(plan).unconfirmed == plan.left_out
    reasons = options(exclude={"shape": "old", "tags": "not needed"})
    assert coverage_of(plan, options=reasons).unconfirmed == ()
    assert fingerprint(reasons) == fingerprint(options()) != fingerprint(options(exclude=["tags"]))


def test_columns_that_came_and_went_since() -> None:
    plan = planned(options())
    now = replace(TABLE, columns=(*(c for c in COLUMNS if c.name not in ("shape", "temp")), Column("humidity", DOUBLE)))
    covered = coverage_of(plan, table=now)
    assert covered.left_out == (TAGS, LeftOut("humidity", "double precision", Why.ADDED))
    assert (covered.columns, covered.exact) == (4, 2)
    later = options(exclude={"humidity": "never asked for", "tags": "t", "shape": "s"})
    assert coverage_of(plan, table=now, options=later).unconfirmed == ()


def test_loss_is_counted_by_source_column_and_a_time_in_two_columns_once() -> None:
    plan = planned(options())
    time, *others = plan.columns
    beside = replace(time, target=replace(time.target, name="ts_us"))
    twice = replace(plan, columns=(replace(time, verdict=Fidelity.WIDENED), beside, *others))
    assert coverage_of(twice).columns == 5
    lossy = replace(plan, columns=tuple(replace(c, verdict=Fidelity.LOSSY) for c in plan.columns))
    assert coverage_of(lossy).lossy == ("ts", "temp")
    cut = replace(plan, columns=(replace(time, verdict=Fidelity.LOSSY), beside, *others))
    assert coverage_of(cut).lossy == ()  # every digit is in the column beside it


def test_the_plan_tells_of_a_loss_as_a_risk_until_there_is_a_reason() -> None:
    (risk,) = [f for f in planned(options()).findings if f.severity is Severity.RISK]
    assert "2 of 5 columns are left out" in risk.message
    assert "tags text[]" in risk.message
    assert "`exclude: {tags: REASON, shape: REASON}`" in risk.advice
    told = planned(options(exclude={"tags": "not needed", "shape": "old"}))
    (risk,) = [f for f in told.findings if f.severity is Severity.RISK]
    assert "excluded: not needed" in risk.message
    assert risk.advice == ""


@pytest.mark.parametrize("exclude", [{"tags": ""}, {"tags": "  "}, {"tags": None}, {"tags": False}, {}, {"": "x"}])
def test_a_reason_that_says_nothing_is_a_mistake(exclude: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="exclude"):
        options(exclude=exclude)


def test_a_condition_is_part_of_what_is_covered() -> None:
    plan = planned(options(where="temp > 0"))
    assert coverage_of(plan).where == "temp > 0"
    assert any("only rows that meet `where`" in f.message for f in plan.findings)


def test_a_column_that_the_role_may_not_read_is_a_problem_unless_it_is_left_out() -> None:
    hidden = replace(TABLE, columns=tuple(replace(c, readable=c.name not in ("temp", "device")) for c in COLUMNS))
    wishes = options()
    request = profile_request(hidden, wishes)
    assert (request.split_by, request.key) == (None, None)  # what cannot be read is not asked for
    assert "temp" not in {column.name for column in request.columns}
    problems = [f for f in planned(wishes, hidden).findings if f.severity is Severity.PROBLEM]
    assert {f.subject for f in problems} == {"temp", "device"}
    assert 'GRANT SELECT ("temp") ON "public"."device"' in "".join(f.advice for f in problems)
    without = table_options(
        table="device", key="ts", exclude=dict.fromkeys(("temp", "device", "tags", "shape"), "private")
    )
    assert not planned(without, hidden).problems
