"""A stored plan against the config and the catalog: what reaches SQL, TQL or a container's name is never taken over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gridferry.errors import CheckpointError
from gridferry.griddb.schema import ContainerKind, GridType
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.model.profile import SplitValue, TableProfile
from gridferry.model.table import Column, PgType, Relation, Table, UniqueKey
from gridferry.model.watermark import Cursor, GrowingColumn, Growth, Mark, Step
from gridferry.plan.plan import ContainerPlan, Kernel, OnDuplicate, ReadAs, TablePlan
from gridferry.plan.planner import plan_table
from gridferry.plan.stored import require_agrees, require_chunks, require_values
from gridferry.plan.table_options import TableOptions, table_options

TABLE = Table(
    "public",
    "reading",
    "r",
    (
        Column("device", PgType("text", "text"), nullable=False),
        Column("ts", PgType("timestamptz", "timestamp with time zone"), nullable=False),
        Column("value", PgType("float8", "double precision")),
        Column("price", PgType("numeric", "numeric(10,2)", precision=10, scale=2)),
        Column("secret", PgType("text", "text")),
    ),
    keys=(UniqueKey("reading_pkey", ("device", "ts"), primary=True),),
    relations=(Relation("public", "reading", 10, 100),),
)
OPTIONS = table_options(
    table="public.reading",
    split_by="device",
    where="value > 0",
    exclude=["secret"],
    rename={"value": "v"},
    containers={"a": "alpha"},
    order_by=["value"],
    on_duplicate="last",
)
PLAN = plan_table(TABLE, TableProfile(2, (), split=(SplitValue("a", 1), SplitValue("b", 1))), OPTIONS)


def _column(of: str, **change: Any) -> TablePlan:
    columns = tuple(replace(c, **change) if c.source == of else c for c in PLAN.columns)
    return replace(PLAN, columns=columns)


def _target(source: str, **change: Any) -> TablePlan:
    found = next(c for c in PLAN.columns if c.source == source)
    return _column(source, target=replace(found.target, **change))


def test_what_was_planned_agrees_and_todays_answers_to_bad_rows_count() -> None:
    assert require_agrees(PLAN, OPTIONS, TABLE, left="x") == PLAN
    found = require_agrees(replace(PLAN, on_duplicate=OnDuplicate.FIRST), OPTIONS, left="x")
    assert found.on_duplicate is OnDuplicate.LAST


def test_names_of_containers_are_the_configs_whatever_was_stored() -> None:
    grown = OPTIONS.model_copy(update={"containers": {"a": "alpha", "B": "second_b"}})
    assert require_agrees(PLAN, grown, TABLE, left="x").aliases == {"a": "alpha", "B": "second_b"}
    assert require_agrees(replace(PLAN, aliases={"z": "somebody_elses"}), OPTIONS, TABLE, left="x") == PLAN
    with pytest.raises(CheckpointError, match="other names of containers"):
        require_agrees(PLAN, OPTIONS.model_copy(update={"containers": {"a": "beta"}}), TABLE, left="x")


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (replace(PLAN, where="true) OR (true"), "another `where`"),
        (replace(PLAN, where=""), "another `where`"),
        (replace(PLAN, schema="pg_catalog"), "another `schema`"),
        (replace(PLAN, table="canary"), "another `table`"),
        (replace(PLAN, split_by="secret"), "another `split_by`"),
        (replace(PLAN, split_by=None), "another `split_by`"),
        (replace(PLAN, order_by=("secret",)), "another `order_by`"),
        (
            replace(PLAN, containers=(ContainerPlan("somebody_elses", "a"),), aliases={"a": "somebody_elses"}),
            "other names",
        ),
        (replace(PLAN, naming="somebody_elses"), "another `container`"),
        (replace(PLAN, containers=(ContainerPlan("somebody_elses", "b"),)), "other names of containers"),
        (replace(PLAN, key=("value",)), "another row key"),
        (replace(PLAN, key_length=0), "another row key"),
        (replace(PLAN, key_length=99), "another row key"),
        (replace(PLAN, columns=()), "another row key"),
        (replace(PLAN, columns=(*PLAN.columns, PLAN.columns[-1])), "other columns"),
        (_column("value", source="secret"), "a column secret, which is excluded,"),
        (_column("value", source="ctid"), "another name for the column ctid"),
        (_target("value", name='v" from canary --'), "other columns"),
        (_target("price", name="v2"), "another name for the column price"),
        (_target("price", array=True), "an array"),
        (replace(PLAN, kind=ContainerKind.TIME_SERIES, key_length=2), "another"),
    ],
)
def test_what_differs_is_named(plan: TablePlan, says: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        require_agrees(plan, OPTIONS, left="nothing was changed")
    assert f"the stored plan of {plan.schema}.{plan.table} has {says}" in str(caught.value)
    assert caught.value.state == "nothing was changed"
    assert "--replace" in caught.value.next_step


@pytest.mark.parametrize(
    "plan",
    [
        _column("value", kernel=Kernel.TEXT),
        _column("value", read_as=ReadAs.TEXT),
        _column("price", scale=9),
        _target("price", type=GridType.STRING),
        _column("ts", kernel=Kernel.TEXT),
    ],
)
def test_what_the_catalog_says_otherwise_is_named(plan: TablePlan) -> None:
    with pytest.raises(CheckpointError, match="another conversion of the column"):
        require_agrees(plan, OPTIONS, TABLE, left="x")


@pytest.mark.parametrize("name", ["reading", "ctid", "xmin", "tableoid"])
def test_a_name_that_is_no_column_is_refused_and_one_that_is_gone_is_told_by_others(name: str) -> None:
    def plan(source: str) -> TablePlan:
        column = PLAN.columns[-1]
        added = replace(column, source=source, target=replace(column.target, name=source))
        return replace(PLAN, columns=(*PLAN.columns, added))

    with pytest.raises(CheckpointError, match=f"another column {name}"):
        require_agrees(plan(name), OPTIONS, TABLE, left="x")
    assert require_agrees(plan("dropped"), OPTIONS, TABLE, left="x")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": "truncate"},
        {"key": ["ts"]},
        {"key": "ts", "precision": "keep"},
        {"split_by": "device"},
        {"split_by": "device", "precision": "truncate"},
        {"split_by": "device", "keep_split_column": True},
        {"split_by": "device", "container": "d_{device}"},
        {"columns": {"price": "string", "value": "float", "device": "string"}},
        {"columns": {"ts": "timestamp(3)"}},
        {"rename": {"ts": "at", "value": "v"}},
        {"exclude": ["secret", "price"]},
    ],
)
def test_every_plan_that_is_made_agrees_with_what_it_was_made_of(options: dict[str, Any]) -> None:
    wish: TableOptions = table_options(table="reading", **options)
    plan = plan_table(TABLE, TableProfile(1, (), split=(SplitValue("a", 1), SplitValue(None, 1))), wish)
    assert require_agrees(plan, wish, TABLE, left="x") == plan


def test_chunks_are_cut_by_columns_of_the_table() -> None:
    chunk = Chunk(0, ChunkKind.KEYS, "public", "reading", column="device", high="b")
    require_chunks((chunk,), TABLE, left="x")
    with pytest.raises(CheckpointError, match=r"chunk 0 of public\.reading"):
        require_chunks((replace(chunk, column="reading"),), TABLE, left="x")


@pytest.mark.parametrize(
    ("growth", "value", "fits"),
    [
        (Growth.TIME, "2024-05-01 00:00:00.999999+00", True),
        (Growth.TIME, "2024-05-01", True),
        (Growth.TIME, "infinity", True),
        (Growth.TIME, "0044-03-15 00:00:00 BC", True),
        (Growth.TIME, "now", False),
        (Growth.TIME, "5", False),
        (Growth.NUMBER, "-17.50", True),
        (Growth.NUMBER, "NaN", True),
        (Growth.NUMBER, "2024-05-01", False),
        (Growth.NUMBER, "1e9", False),
    ],
)
def test_a_cursors_values_are_of_the_columns_type(growth: Growth, value: str, fits: bool) -> None:
    column = GrowingColumn("ts", "timestamptz" if growth is Growth.TIME else "numeric", growth, 1)
    for cursor in (
        Cursor("ts", (Step(1),), 1, floor=value),
        Cursor("ts", (Step(1),), 1, position=value),
        Cursor("ts", (Step(1), Step(1, value)), 1),
        Cursor("ts", (Step(1),), 1, marks=(Mark(1, value),)),
    ):
        if fits:
            require_values(cursor, column, table="public.reading", left="x")
        else:
            with pytest.raises(CheckpointError, match="a value that is none of ts's type"):
                require_values(cursor, column, table="public.reading", left="x")
