"""Columns that change at the source while it is followed: one that was added is taken over, other changes stop."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.engine.test_fold import PLAN, column

from gridferry.engine.sync.cdc.columns import added_names, extended_plan, unknown_columns
from gridferry.errors import DataError
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.statement import MAX_COLUMNS
from gridferry.model.change import ChangedColumn, ChangedRelation, ReplicaIdentity
from gridferry.model.table import Column, PgType, Table, TypeKind
from gridferry.plan.plan import Kernel, TablePlan
from gridferry.plan.table_options import table_options

TYPES = {"k": "integer", "a": "character varying(20)", "b": "bigint", "d": "text"}
PLANNED = replace(PLAN, columns=tuple(replace(c, pg_type=TYPES[c.source]) for c in PLAN.columns))
OPTIONS = table_options(table="t")
NEW = PgType("text", "text", TypeKind.BASE)


def described(*names: str) -> ChangedRelation:
    columns = tuple(ChangedColumn(name, 0, -1, name == "k") for name in names)
    return ChangedRelation(1, "public", "t", ReplicaIdentity.DEFAULT, columns)


def added(types: dict[str, str], *, plan: TablePlan = PLANNED, fresh: tuple[str, ...] = ()) -> list[str]:
    return added_names(plan, OPTIONS, described(*types), types=types, fresh=fresh)


def extended(*names: str, plan: TablePlan = PLANNED) -> TablePlan:
    table = Table("public", "t", "r", tuple(Column(name, NEW, nullable=False) for name in names))
    return extended_plan(plan, OPTIONS, table, names=names, types=dict.fromkeys(names, "text"))


def test_what_the_plan_does_not_know_was_added() -> None:
    assert added(TYPES) == []
    assert added({**TYPES, "e": "text", "c": "text"}) == ["e", "c"]


def test_columns_that_the_options_leave_out_or_order_by_were_not_added() -> None:
    options = table_options(table="t", exclude=["e"])
    plan = replace(PLANNED, order_by=("f",))
    assert unknown_columns(plan, options, ["k", "d", "e", "f", "g"]) == ["g"]


@pytest.mark.parametrize("gone", ["b", "d"])
def test_a_column_that_the_plan_needs_may_not_go(gone: str) -> None:
    with pytest.raises(DataError, match=f"column {gone} was dropped or renamed"):
        added({name: kind for name, kind in TYPES.items() if name != gone})


def test_a_column_that_a_description_from_before_cannot_have_may_be_missing() -> None:
    assert added({name: kind for name, kind in TYPES.items() if name != "b"}, fresh=("b",)) == []


def test_a_text_may_get_another_length_and_nothing_else_another_type() -> None:
    assert added({**TYPES, "a": "character varying(4000)"}) == []
    with pytest.raises(DataError, match="was character varying"):
        added({**TYPES, "a": "text"})
    with pytest.raises(DataError, match="was bigint and is now numeric"):
        added({**TYPES, "b": "numeric"})


def test_an_added_column_comes_last_and_takes_null() -> None:
    *before, last = extended("e").columns
    assert tuple(before) == PLANNED.columns
    assert (last.source, last.target.type, last.target.nullable) == ("e", GridType.STRING, True)


def test_a_name_that_differs_by_case_only_is_taken() -> None:
    with pytest.raises(DataError, match='the containers have a column "B" already'):
        extended("B")


def test_a_container_has_only_so_many_columns() -> None:
    columns = tuple(column(f"c{i}", GridType.LONG, Kernel.SAME) for i in range(MAX_COLUMNS - 1))
    full = extended("e", plan=replace(PLANNED, columns=columns))
    assert len(full.columns) == MAX_COLUMNS
    with pytest.raises(DataError, match=f"GridDB takes {MAX_COLUMNS} columns"):
        extended("f", plan=full)
