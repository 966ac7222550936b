"""`key: generated`: what the config takes, what the plan makes of it, and which later changes it cannot follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gridferry.errors import CheckpointError, ConfigError
from gridferry.griddb.schema import ContainerKind
from gridferry.model.profile import ColumnProfile, KeyProfile, TableProfile
from gridferry.model.publishing import ChangeAccess, Published, Publishing
from gridferry.model.table import Column, PgType, Table, UniqueKey
from gridferry.plan.coverage import coverage_of
from gridferry.plan.drift import fit
from gridferry.plan.generated_key import GENERATED_COLUMNS, hashed_columns
from gridferry.plan.plan import Kernel, Plan, Severity, TablePlan
from gridferry.plan.planner import plan_table, profile_request
from gridferry.plan.stored import require_agrees
from gridferry.plan.table_options import KeyWish, TableOptions, table_options

TEXT = PgType("text", "text")
AT, DEVICE, LEVEL = (
    Column("at", PgType("timestamptz", "timestamp with time zone"), number=1),
    Column("device", TEXT, number=2),
    Column("level", PgType("int4", "integer"), number=3),
)
TABLE = Table("public", "event_log", "r", (AT, DEVICE, LEVEL))
PROFILE = TableProfile(4, (ColumnProfile("at", 1),), key=KeyProfile(("at", "device", "level"), 2, ("x, y", "z")))


def options(**changes: Any) -> TableOptions:
    return table_options(**{"table": "event_log", "key": "generated", **changes})


def plan_of(table: Table = TABLE, access: ChangeAccess | None = None, **changes: Any) -> TablePlan:
    return plan_table(table, PROFILE, options(**changes), access)


def findings(plan: TablePlan, severity: Severity) -> str:
    return "\n".join(f"{f.message} | {f.advice}" for f in plan.findings if f.severity is severity)


def test_the_word_and_a_column_of_that_name_are_two_things() -> None:
    assert options().key is KeyWish.GENERATED
    assert options().key_columns == ()
    assert options(key=["generated"]).key == ("generated",)


@pytest.mark.parametrize("wish", ["none", None])
def test_no_row_key_at_all_is_refused_with_the_way_out(wish: Any) -> None:
    with pytest.raises(ConfigError, match="key: generated"):
        options(key=wish)
    assert options(key=["none"]).key == ("none",)


def test_a_collection_with_two_key_columns_before_those_of_the_table() -> None:
    plan = plan_of()
    assert not plan.problems
    assert (plan.kind, plan.key, plan.key_length) == (ContainerKind.COLLECTION, GENERATED_COLUMNS, 2)
    assert [c.target.name for c in plan.columns] == [*GENERATED_COLUMNS, "at", "device", "level"]
    assert (plan.numbered, plan.colliding) == (True, 2)
    assert "2 rows equal an earlier one in every column (for example x, y; z)" in findings(plan, Severity.INFO)
    assert Plan.from_json(Plan((plan,)).to_json()).tables == (plan,)


def test_the_hash_is_of_what_is_stored_and_of_what_splits_the_table() -> None:
    assert hashed_columns(plan_of()) == ("at", "device", "level")
    assert hashed_columns(plan_of(exclude=["level"])) == ("at", "device")
    assert hashed_columns(plan_of(split_by="device")) == ("at", "level", "device")
    request = profile_request(TABLE, options(split_by="device", exclude=["level"]))
    assert request.key is not None
    assert (request.key.columns, request.key.whole) == (("at", "device"), True)


def test_equal_rows_of_a_large_table_are_not_counted_before_the_load() -> None:
    large = replace(TABLE, row_estimate=5_000_000)
    assert profile_request(large, options()).key is None
    plan = plan_table(large, TableProfile(5_000_000, ()), options())
    assert (plan.problems, plan.colliding, plan.numbered) == ((), 0, True)


def test_its_columns_are_none_of_the_source() -> None:
    covered = coverage_of(plan_of(), table=TABLE)
    assert (covered.columns, covered.exact, covered.left_out) == (3, 3, ())
    assert coverage_of(plan_of()).columns == 3


@pytest.mark.parametrize(("name", "words"), [("generated", r"`key: \[generated\]`"), ("gridferry_hash", "view")])
def test_a_table_that_has_such_a_column_is_refused_by_its_name(name: str, words: str) -> None:
    plan = plan_of(replace(TABLE, columns=(*TABLE.columns, Column(name, TEXT))))
    (problem,) = plan.problems
    assert f"a column {name}" in problem.message
    assert words.replace("\\", "") in problem.advice


def test_a_key_that_the_table_has_is_not_left_aside_in_silence() -> None:
    plan = plan_of(replace(TABLE, keys=(UniqueKey("event_pkey", ("level",), primary=True),)))
    assert "the primary key (level) is not used" in findings(plan, Severity.RISK)


def test_a_time_series_cannot_have_one() -> None:
    assert any("TIME_SERIES" in p.message for p in plan_of(kind="timeseries").problems)


def publishing(*identity: str) -> ChangeAccess:
    return ChangeAccess(Publishing("public", "event_log", Published.ALL, identity))


def test_cdc_needs_the_whole_old_row_and_says_what_it_costs() -> None:
    plan = plan_of(sync={"mode": "cdc"}, access=publishing("at", "device", "level"))
    assert not plan.problems
    assert "reads the whole table" in findings(plan, Severity.RISK)
    (problem,) = plan_of(sync={"mode": "cdc"}, access=publishing("level")).problems
    assert "does not carry the old at, device" in problem.message
    assert "REPLICA IDENTITY FULL" in problem.advice


def test_watermark_needs_a_column_that_grows_and_does_not_advise_cdc() -> None:
    assert any("which column grows" in p.message for p in plan_of(sync={"mode": "watermark"}).problems)
    plan = plan_of(sync={"mode": "watermark", "column": "at"})
    assert not plan.problems
    assert "gridferry repair" in findings(plan, Severity.RISK)
    assert "mode: cdc" not in findings(plan, Severity.RISK)


def test_a_stored_plan_agrees_only_with_the_config_and_with_what_this_version_makes() -> None:
    plan = plan_of()
    assert require_agrees(plan, options(), TABLE, left="x") == plan
    keyed = plan_table(TABLE, PROFILE, options(key="level"))
    forged = replace(plan, columns=(replace(plan.columns[0], kernel=Kernel.TEXT), *plan.columns[1:]))
    for stored, wish in ((plan, options(key="level")), (keyed, options()), (forged, options())):
        with pytest.raises(CheckpointError):
            require_agrees(stored, wish, TABLE, left="x")


def test_a_renamed_column_keeps_its_place_in_the_hash() -> None:
    fitted = fit(plan_of(), options(), [AT, replace(DEVICE, name="unit"), LEVEL])
    assert fitted.misfit is None
    assert hashed_columns(fitted.plan) == ("at", "unit", "level")


@pytest.mark.parametrize("now", [[AT, DEVICE], [AT, DEVICE, replace(LEVEL, type=PgType("int8", "bigint"))]])
def test_a_column_that_goes_or_becomes_another_type_needs_a_new_load(now: list[Column]) -> None:
    misfit = fit(plan_of(), options(), now).misfit
    assert misfit is not None
    assert misfit.column == "level"
    assert "generated row key" in misfit.what
