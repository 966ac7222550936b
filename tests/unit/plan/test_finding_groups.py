"""Findings that say the same of many tables are one: names and numbers do not tell them apart, words do."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.cli.fakes import table_plan
from tests.unit.plan.tables import primary, sensor, sensor_facts

from gridferry.plan.containers import with_clashes
from gridferry.plan.finding_groups import grouped
from gridferry.plan.plan import Finding, Plan, Severity, TablePlan, UnreadTable
from gridferry.plan.planner import plan_table, plan_tables
from gridferry.plan.table_options import table_options


def problem(subject: str, message: str, advice: str = "") -> Finding:
    return Finding(Severity.PROBLEM, subject, message, advice)


def named(name: str, *findings: Finding) -> TablePlan:
    return replace(table_plan(*findings), table=name)


def test_the_same_of_many_tables_is_one_group_and_the_largest_is_first() -> None:
    plan = Plan(
        (
            named("a", problem("public.a", 'public.b uses the container "b" too', "give one another name")),
            named("b", problem("ts", "values of ts before 1970, in 1 row; a key must be stored exactly", "correct ts")),
            named(
                "c",
                problem("at", "values of at before 1970, in 2,100 rows; a key must be stored exactly", "correct at"),
            ),
            named("d", problem("key", "no usable key"), Finding(Severity.RISK, "d", "no usable key")),
        ),
        unread=(
            UnreadTable("s.e", problem("e", "the role r may not read the table s.e", "GRANT SELECT ON s.e TO r")),
            UnreadTable("s.f", problem("f", "the role r may not read the table s.f", "GRANT SELECT ON s.f TO r")),
            UnreadTable("s.g", problem("g", "the role r may not read the table s.g", "GRANT SELECT ON s.g TO r")),
        ),
    )
    groups = grouped(plan, Severity.PROBLEM)
    assert [group.tables for group in groups] == [
        ("s.e", "s.f", "s.g"), ("public.b", "public.c"), ("public.a",), ("public.d",)
    ]  # fmt: skip
    assert groups[0].first.advice == "GRANT SELECT ON s.e TO r"
    assert [group.tables for group in grouped(plan, Severity.RISK)] == [("public.d",)]
    assert sum(group.findings for group in groups) == len(plan.problems)


def test_other_words_are_another_kind() -> None:
    plan = Plan(
        (
            named(
                "a",
                problem("pos", "there is no rule for the type point"),
                problem("x", "there is no rule for the type point"),
            ),
            named("b", problem("tags", "there is no rule for the type text[]")),
        )
    )
    groups = grouped(plan, Severity.PROBLEM)
    assert [(group.tables, group.findings) for group in groups] == [(("public.a",), 2), (("public.b",), 1)]


def test_columns_of_a_pattern_that_some_tables_lack_are_told_with_the_tables() -> None:
    options = [table_options(table=name, key="ts", order_by="no_such") for name in ("device", "other")]
    tables = [sensor(keys=primary("ts")), sensor(name="other", keys=primary("ts"))]
    plan = plan_tables([(t, sensor_facts(), o, None) for t, o in zip(tables, options, strict=True)])
    (group,) = grouped(plan, Severity.PROBLEM)
    assert group.tables == ("public.device", "public.other")
    assert "`order_by` names the column no_such, which is not in the table" in group.first.message


def test_the_way_out_of_a_clash_between_schemas_works_as_it_stands() -> None:
    tables = [sensor(name="ops_x", keys=primary("ts")), sensor(schema="ops", name="x", keys=primary("ts"))]
    plans = with_clashes([plan_table(t, sensor_facts(), table_options(table=t.qualified)) for t in tables])
    (clash,) = plans[1].problems
    assert 'public.ops_x uses the container "ops_x" too' in clash.message
    assert '`container: "{schema}_{table}"`' in clash.advice
    mended = [table_options(table=t.qualified, container="{schema}_{table}") for t in tables]
    plans = with_clashes([plan_table(t, sensor_facts(), o) for t, o in zip(tables, mended, strict=True)])
    assert [plan.containers[0].name for plan in plans] == ["public_ops_x", "ops_x"]
    assert not plans[1].problems
