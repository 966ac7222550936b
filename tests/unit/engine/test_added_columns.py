"""Columns that change at the source while it is followed: added ones, and what becomes of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.engine.test_fold import PLAN, column

from gridferry.engine.sync.columns import extended_plan, fitted_plan, unknown_columns
from gridferry.errors import DataError
from gridferry.griddb.schema import GridType
from gridferry.griddb.wire.statement import MAX_COLUMNS
from gridferry.model.table import Column, PgType, Table, TypeKind
from gridferry.plan.plan import Kernel, TablePlan
from gridferry.plan.table_options import table_options

TYPES = {
    "k": PgType("int4", "integer"),
    "a": PgType("varchar", "character varying(20)", length=20),
    "b": PgType("int8", "bigint"),
    "d": PgType("text", "text"),
}
PLANNED = replace(
    PLAN,
    columns=tuple(replace(c, pg_type=TYPES[c.source].formatted, number=i) for i, c in enumerate(PLAN.columns, start=1)),
)
NUMBERS = {"d": 4, **{c.source: c.number for c in PLANNED.columns}}
OPTIONS = table_options(table="t")
NEW = PgType("text", "text", TypeKind.BASE)


def fitted(types: dict[str, PgType], *, numbers: dict[str, int] = NUMBERS, fresh: tuple[str, ...] = ()) -> TablePlan:
    columns = [Column(name, kind, number=numbers.get(name, 0)) for name, kind in types.items()]
    return fitted_plan(PLANNED, OPTIONS, columns, fresh=fresh).plan


def extended(*names: str, plan: TablePlan = PLANNED) -> TablePlan:
    table = Table("public", "t", "r", tuple(Column(name, NEW, nullable=False) for name in names))
    return extended_plan(plan, OPTIONS, table, names=names, types=dict.fromkeys(names, "text"))


def test_what_the_plan_does_not_know_was_added() -> None:
    assert fitted({**TYPES, "e": NEW}, numbers={**NUMBERS, "e": 9}) == PLANNED
    assert unknown_columns(PLANNED, OPTIONS, [*TYPES, "e", "c"]) == ["e", "c"]


def test_columns_that_the_options_leave_out_or_order_by_were_not_added() -> None:
    options = table_options(table="t", exclude=["e"])
    plan = replace(PLANNED, order_by=("f",))
    assert unknown_columns(plan, options, ["k", "d", "e", "f", "g"]) == ["g"]


def without(name: str) -> dict[str, PgType]:
    return {each: kind for each, kind in TYPES.items() if each != name}


def test_a_dropped_column_is_gone_and_one_that_is_needed_may_not_go() -> None:
    plan = fitted(without("b"))
    assert [c.source for c in plan.columns if c.gone] == ["b"]
    with pytest.raises(DataError, match="column a was dropped, and a of the containers takes no NULL"):
        fitted(without("a"))
    with pytest.raises(DataError, match="column k was dropped, and the row key"):
        fitted(without("k"))
    with pytest.raises(DataError, match="column d was dropped or renamed, and the config names it"):
        fitted(without("d"))


def test_a_column_that_a_description_from_before_cannot_have_may_be_missing() -> None:
    assert fitted(without("b"), fresh=("b",)) == PLANNED


def test_a_column_is_known_by_its_number_under_another_name() -> None:
    plan = fitted({**without("a"), "z": TYPES["a"]}, numbers={**NUMBERS, "z": NUMBERS["a"]})
    renamed = next(c for c in plan.columns if c.source == "z")
    assert (renamed.target.name, renamed.loaded_as) == ("a", "a")


def test_a_column_that_nobody_can_tell_apart_from_a_dropped_one_stops() -> None:
    with pytest.raises(DataError, match="b was dropped or renamed, and the table was changed again"):
        fitted({**without("b"), "z": NEW})


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
