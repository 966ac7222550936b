"""A source column of another type: followed where the containers hold every value as it is."""

from __future__ import annotations

import pytest

from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.model.table import PgType, TypeKind
from gridferry.plan.mapping import choose_rule
from gridferry.plan.plan import ColumnPlan, Kernel
from gridferry.plan.retyped import retyped
from gridferry.plan.type_rules import TYPE_RULES


def kind(name: str, formatted: str = "") -> PgType:
    return PgType(name, formatted or name)


INT2, INT4, INT8 = kind("int2", "smallint"), kind("int4", "integer"), kind("int8", "bigint")
TEXT = kind("text")
ENUM = PgType("mood", "mood", TypeKind.ENUM)


def numeric(precision: int, scale: int) -> PgType:
    return PgType("numeric", f"numeric({precision},{scale})", precision=precision, scale=scale)


def varchar(length: int) -> PgType:
    return PgType("varchar", f"character varying({length})", length=length)


def bpchar(length: int) -> PgType:
    return PgType("bpchar", f"character({length})", length=length)


def stamp(precision: int) -> PgType:
    return PgType("timestamp", f"timestamp({precision}) without time zone", precision=precision)


def planned(pg_type: PgType, wish: GridType | None = None) -> ColumnPlan:
    rule = choose_rule(TYPE_RULES, pg_type, wish=wish)
    assert rule is not None
    scale = pg_type.scale if rule.kernel is Kernel.DECIMAL_DOUBLE else None
    spec = ColumnSpec("c", rule.target)
    return ColumnPlan("c", pg_type.formatted, spec, rule.read_as, rule.kernel, rule.verdict, rule.rule, scale)


@pytest.mark.parametrize(
    ("before", "now", "kernel"),
    [
        (INT4, INT8, Kernel.NUMBER),
        (INT2, INT4, Kernel.NUMBER),
        (INT8, INT4, Kernel.NUMBER),
        (varchar(20), varchar(200), Kernel.TEXT),
        (varchar(20), TEXT, Kernel.TEXT),
        (numeric(10, 2), numeric(12, 4), Kernel.DECIMAL_DOUBLE),
        (numeric(10, 2), numeric(30, 2), Kernel.DECIMAL_DOUBLE),
        (numeric(10, 2), kind("numeric"), Kernel.DECIMAL_DOUBLE),
        (numeric(9, 0), numeric(30, 0), Kernel.DECIMAL_LONG),
        (numeric(30, 2), numeric(35, 2), Kernel.TEXT),
        (INT8, numeric(30, 0), Kernel.DECIMAL_LONG),
        (kind("uuid"), TEXT, Kernel.TEXT),
        (ENUM, PgType("mood_2", "mood_2", TypeKind.ENUM), Kernel.TEXT),
        (stamp(3), stamp(6), Kernel.TIME_US),
        (stamp(3), PgType("timestamp", "timestamp without time zone"), Kernel.TIME_US),
        (INT4, PgType("int4", "year", domain="year"), Kernel.SAME),
    ],
    ids=lambda value: value.formatted if isinstance(value, PgType) else "",
)
def test_a_type_whose_values_the_containers_hold_is_followed(before: PgType, now: PgType, kernel: Kernel) -> None:
    column = planned(before)
    changed = retyped(column, now)
    assert changed is not None
    assert (changed.kernel, changed.pg_type, changed.loaded_type) == (kernel, now.formatted, before.formatted)
    assert changed.target == column.target


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (INT4, kind("numeric")),
        (INT4, TEXT),
        (kind("float4", "real"), kind("float8", "double precision")),
        (numeric(10, 4), numeric(10, 2)),
        (numeric(30, 2), numeric(30, 4)),
        (kind("numeric"), numeric(30, 4)),
        (bpchar(5), bpchar(8)),
        (bpchar(5), TEXT),
        (varchar(5), bpchar(5)),
        (stamp(6), stamp(3)),
        (stamp(3), PgType("timestamptz", "timestamp with time zone")),
        (kind("date"), PgType("timestamp", "timestamp without time zone")),
        (TEXT, ENUM),
        (TEXT, kind("bytea")),
    ],
    ids=lambda value: value.formatted,
)
def test_a_type_that_changes_stored_values_or_does_not_fit_is_not_followed(before: PgType, now: PgType) -> None:
    assert retyped(planned(before), now) is None


def test_a_column_that_has_its_type_again_is_what_it_was() -> None:
    column = planned(varchar(20))
    there = retyped(column, TEXT)
    assert there is not None
    assert retyped(there, varchar(20)) == column


def test_a_wider_number_takes_its_place_exactly_where_the_containers_have_room() -> None:
    wide = retyped(planned(INT4, GridType.LONG), INT8)
    assert wide is not None
    assert (wide.kernel, wide.target.type) == (Kernel.SAME, GridType.LONG)
