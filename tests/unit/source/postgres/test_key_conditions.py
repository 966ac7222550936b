"""Row keys of the target as conditions on the source: with an index where that can be, by text where it must."""

from __future__ import annotations

import pyarrow as pa

from gridferry.griddb.schema import ColumnSpec, ContainerKind, GridType
from gridferry.plan.plan import ColumnPlan, Kernel, ReadAs, TablePlan, Verdict
from gridferry.source.postgres.key_conditions import FEW_KEYS, KeyForm


def key_column(name: str, pg_type: str, kind: GridType, kernel: Kernel) -> ColumnPlan:
    spec = ColumnSpec(name, kind, nullable=False)
    return ColumnPlan(name, pg_type, spec, ReadAs.PLAIN, kernel, Verdict.EXACT, "")


def plan_of(*columns: ColumnPlan, split_by: str | None = None) -> TablePlan:
    names = tuple(c.source for c in columns)
    kind = ContainerKind.COLLECTION
    return TablePlan("s", "t", columns, kind, len(columns), names, (), split_by=split_by)


UUID = key_column("id", "uuid", GridType.STRING, Kernel.TEXT)
NUMBER = key_column("n", "numeric(5,0)", GridType.LONG, Kernel.DECIMAL_LONG)
CUT = key_column("ts", "timestamp with time zone", GridType.TIMESTAMP_MS, Kernel.TIME_MS_TRUNCATE)
PADDED = key_column("c", "character(4)", GridType.STRING, Kernel.TEXT)


def test_a_key_is_compared_in_a_type_that_an_index_serves_and_no_number_overflows() -> None:
    keys = pa.record_batch([["it's"], pa.array([10**12])], names=["id", "n"])
    form = KeyForm(plan_of(UUID, NUMBER, split_by="dev"))
    assert form.condition("a", keys) == (
        """("dev" = 'a' AND (("id" = 'it''s'::uuid AND "n" = '1000000000000'::bigint)))"""
    )
    assert form.condition(None, keys).startswith('("dev" IS NULL AND ')


def test_what_may_be_no_value_of_the_type_is_compared_by_text() -> None:
    form = KeyForm(plan_of(UUID, split_by="dev"), indexed=False)
    condition = form.condition("a", pa.record_batch([["no uuid"]], names=["id"]))
    assert condition == """("dev"::text = 'a' AND (("id"::text = 'no uuid'::text)))"""


def test_a_padded_text_keeps_its_own_comparison() -> None:
    condition = KeyForm(plan_of(PADDED)).condition(None, pa.record_batch([["ab  "]], names=["c"]))
    assert condition == """((("c" = 'ab  '::bpchar)))"""


def test_a_time_that_was_cut_is_found_within_its_millisecond() -> None:
    keys = pa.record_batch([pa.array([1500], pa.timestamp("ms"))], names=["ts"])
    condition = KeyForm(plan_of(CUT)).condition(None, keys)
    assert "date_trunc('milliseconds', \"ts\") = '1970-01-01 00:00:01.500'::timestamp" in condition
    assert "\"ts\" < '1970-01-01 00:00:01.500'::timestamp + interval '1 millisecond'" in condition


def test_many_keys_are_joined_not_listed() -> None:
    keys = pa.record_batch([pa.array(range(FEW_KEYS + 1))], names=["n"])
    condition = KeyForm(plan_of(NUMBER)).condition(None, keys)
    assert condition.startswith("(EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest('{0,1,")
    assert condition.endswith('::text[]::bigint[])) AS k ("gridferry key 0") WHERE "n" = "gridferry key 0"))')
