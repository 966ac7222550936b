"""What the config says of numbers that count time, and what the plan makes of it and advises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from tests.unit.plan.tables import BIGINT, TEXT, primary

from gridferry.errors import ConfigError
from gridferry.griddb.schema import ContainerKind
from gridferry.model.epoch import Epoch, Numbers
from gridferry.model.profile import ColumnProfile, Facts, TableProfile
from gridferry.model.table import Column, PgType, Table
from gridferry.model.watermark import Growth
from gridferry.plan.keys import choose_key
from gridferry.plan.plan import Kernel, TablePlan
from gridferry.plan.planner import plan_table, profile_request
from gridferry.plan.retyped import retyped
from gridferry.plan.stored import require_agrees
from gridferry.plan.table_options import table_options
from gridferry.plan.watermark import growing_column

INT, DOUBLE, NUMERIC = PgType("int4", "integer"), PgType("float8", "double precision"), PgType("numeric", "numeric")
CLOCK = 1_704_067_200
FITS = {"minimum": CLOCK, "maximum": CLOCK + 9, "outside": 0, "fine": 0, "nan": 0, "infinite": 0}


def clocks(kind: PgType = BIGINT, name: str = "ts") -> Table:
    columns = (Column("device", TEXT, nullable=False), Column(name, kind, nullable=False, number=2))
    return Table("public", "t", "r", columns, primary("device", name))


def planned(table: Table, facts: dict[str, Any], **options: Any) -> TablePlan:
    name = table.columns[1].name
    wishes = table_options(table="t", **options)
    plan = plan_table(table, TableProfile(9, (ColumnProfile(name, nulls=0, **facts),)), wishes)
    if not plan.problems:
        require_agrees(plan, wishes, table, left="")
    return plan


@pytest.mark.parametrize(
    ("kind", "wish", "label", "kernel", "series"),
    [
        (INT, {"type": "timestamp(3)", "from": "epoch_s"}, "TIMESTAMP(3)", Kernel.EPOCH, True),
        (BIGINT, {"type": "timestamp(6)", "from": "epoch_ns"}, "TIMESTAMP(6)", Kernel.EPOCH, False),
        (NUMERIC, {"type": "timestamp(3)", "from": "epoch_ms"}, "TIMESTAMP(3)", Kernel.EPOCH, True),
        (DOUBLE, {"type": "timestamp(3)", "from": "epoch_s"}, "TIMESTAMP(3)", Kernel.EPOCH_DOUBLE, True),
    ],
)
def test_a_key_of_numbers_is_a_key_of_times(
    kind: PgType, wish: dict[str, str], label: str, kernel: Kernel, series: bool
) -> None:
    plan = planned(clocks(kind), FITS, split_by="device", columns={"ts": wish})
    assert plan.problems == ()
    (column,) = plan.columns
    assert (column.target.label, column.kernel, column.verdict.value) == (label, kernel, "widened")
    assert plan.kind is (ContainerKind.TIME_SERIES if series else ContainerKind.COLLECTION)


def test_digits_are_cut_where_there_are_any_and_keys_that_meet_are_counted() -> None:
    cut = {"split_by": "device", "precision": "truncate"}
    options = {**cut, "columns": {"ts": {"type": "timestamp(3)", "from": "epoch_us"}}}
    table = clocks()
    request = profile_request(table, table_options(table="t", **options))
    assert request.key is not None
    assert (request.key.truncate, request.key.epoch) == ("ts", Epoch(6, 3, Numbers.WHOLE))
    assert planned(table, FITS, **options).columns[0].kernel is Kernel.EPOCH_TRUNCATE
    whole = {**cut, "columns": {"ts": {"type": "timestamp(3)", "from": "epoch_s"}}}
    assert planned(table, FITS, **whole).columns[0].kernel is Kernel.EPOCH
    request = profile_request(table, table_options(table="t", **whole))
    assert request.key is not None
    assert request.key.truncate is None


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({**FITS, "outside": 2}, "before 1970 or after 9999, in 2 rows"),
        ({**FITS, "fine": 1}, "with digits below the millisecond, in 1 row"),
        ({**FITS, "nan": 1}, "that are NaN, in 1 row"),
    ],
)
def test_what_has_no_place_is_named(facts: dict[str, Any], words: str) -> None:
    wish = {"ts": {"type": "timestamp(3)", "from": "epoch_us"}}
    (problem,) = planned(clocks(DOUBLE), facts, columns=wish).problems
    assert words in problem.message
    table = replace(clocks(DOUBLE), keys=())
    assert planned(table, facts, key="device", on_bad_row="quarantine", columns=wish).problems == ()


def test_a_number_alone_cannot_become_a_time_and_the_advice_says_what_is_missing() -> None:
    (problem,) = planned(clocks(), {}, columns={"ts": "timestamp(3)"}).problems
    advised = yaml.safe_load(problem.advice.split("`")[1])
    assert planned(clocks(), FITS, **advised).problems == ()
    (problem,) = planned(clocks(TEXT), {}, columns={"ts": {"type": "timestamp(3)", "from": "epoch_s"}}).problems
    assert "no number that counts time" in problem.message
    wish = {"type": "timestamp(3)", "from": "epoch_s", "out_of_range": "null"}
    (problem,) = planned(clocks(), {}, columns={"ts": wish}).problems
    assert "row key" in problem.message
    assert "out_of_range" in problem.advice


@pytest.mark.parametrize(
    ("kind", "name", "low", "more", "advised"),
    [
        (INT, "clock", CLOCK, {}, "{clock: {type: timestamp(3), from: epoch_s}}"),
        (BIGINT, "ts", CLOCK * 1000 + 7, {}, "{ts: {type: timestamp(3), from: epoch_ms}}"),
        (BIGINT, "event_time", CLOCK * 10**6, {}, "{event_time: {type: timestamp(6), from: epoch_us}}"),
        (BIGINT, "ts", CLOCK * 10**9, {}, "{ts: {type: timestamp(6), from: epoch_ns}}"),
        (BIGINT, "ts", CLOCK * 10**9, {"fine": 1}, ""),
        (DOUBLE, "last_updated_ts", CLOCK + 0.5, {}, "{last_updated_ts: {type: timestamp(6), from: epoch_s}}"),
        (DOUBLE, "last_updated_ts", CLOCK + 0.5, {"fine": 4}, ""),
        (BIGINT, "id", CLOCK, {}, ""),
        (BIGINT, "ts", 17, {}, ""),
    ],
)
def test_numbers_that_plainly_are_times_are_told_and_the_advice_is_taken(
    kind: PgType, name: str, low: float, more: dict[str, int], advised: str
) -> None:
    table = clocks(kind, name)
    asked = [c for c in profile_request(table, table_options(table="t")).columns if c.name == name]
    assert [c.facts for c in asked if advised] == [Facts.FLOAT if kind is DOUBLE else Facts.INTEGER][: bool(advised)]
    facts = {**FITS, "minimum": low, "maximum": low + 5, **more}
    found = [f.advice for f in planned(table, facts).findings if "look like times" in f.message]
    assert [advice.split("`")[1] for advice in found] == ([f"columns: {advised}"] if advised else [])
    for advice in found:
        assert planned(table, FITS, **yaml.safe_load(advice.split("`")[1])).problems == ()


def test_mode_watermark_follows_numbers_that_count_time() -> None:
    wish = {"ts": {"type": "timestamp(3)", "from": "epoch_ms"}}
    for kind in (BIGINT, DOUBLE):
        options = table_options(table="t", columns=wish, sync={"mode": "watermark"})
        column = growing_column(clocks(kind), options, choose_key(clocks(kind), options))
        assert column is not None
        assert (column.name, column.growth, column.lookback, column.unit) == ("ts", Growth.NUMBER, 900_000, 3)


def test_a_wider_type_of_the_source_is_followed() -> None:
    (column,) = planned(
        clocks(INT), FITS, split_by="device", columns={"ts": {"type": "timestamp(3)", "from": "epoch_s"}}
    ).columns
    for now in (BIGINT, NUMERIC):
        changed = retyped(column, now)
        assert changed is not None
        assert (changed.kernel, changed.scale) == (Kernel.EPOCH, 0)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"type": "long", "from": "epoch_s"}, "from needs `type: timestamp(3)` or `type: timestamp(6)`"),
        ({"type": "timestamp(3)", "from": "epoch_m"}, "from is epoch_s, epoch_ms, epoch_us, epoch_ns"),
    ],
)
def test_mistakes_are_named(wish: object, words: str) -> None:
    with pytest.raises(ConfigError, match='column "ts"') as caught:
        table_options(table="t", columns={"ts": wish})
    assert words in str(caught.value)
