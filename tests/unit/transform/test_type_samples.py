"""Every row of the type table against its edge values."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from tests.type_samples import ARROW_OF_SOURCE, SAMPLES, Sample

from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.griddb.schema import ColumnSpec
from gridferry.plan.mapping import EPOCHS, Use, choose_rule
from gridferry.plan.plan import ColumnPlan, Kernel, ReadAs
from gridferry.plan.type_rules import TYPE_RULES
from gridferry.transform.kernels import KERNELS
from gridferry.transform.refusals import Reason


def _plan(sample: Sample) -> ColumnPlan:
    rule = choose_rule(TYPE_RULES, sample.pg_type, wish=sample.wish, in_key=sample.in_key, truncate=sample.truncate)
    assert rule is not None
    return ColumnPlan(
        source="c",
        pg_type=sample.sql,
        target=ColumnSpec("c", rule.target),
        read_as=rule.read_as,
        kernel=rule.kernel,
        verdict=rule.verdict,
        rule=rule.rule,
        scale=sample.pg_type.scale if rule.kernel is Kernel.DECIMAL_DOUBLE else None,
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_edge_values(sample: Sample) -> None:
    plan = _plan(sample)
    assert plan.target.type is sample.target
    source_type = pa.utf8() if plan.read_as is ReadAs.TEXT else ARROW_OF_SOURCE[sample.pg_type.name]
    values = [None, *(edge.read for edge in sample.edges)]
    array = pa.array(values, source_type) if not pa.types.is_temporal(source_type) else _times(values, source_type)
    converted, refusals = KERNELS[plan.kernel](array, plan)
    assert converted.type == ARROW_TYPES[sample.target]
    why = {int(row): refusal.reason for refusal in refusals for row in refusal.rows}
    assert 0 not in why, "NULL is no kernel's business"
    assert not converted[0].is_valid
    plain = _plain(converted)
    for position, edge in enumerate(sample.edges, start=1):
        if isinstance(edge.stored, Reason):
            assert why.get(position) is edge.stored, edge.literal[:50]
        else:
            assert position not in why, edge.literal[:50]
            assert _equal(plain[position], edge.stored), edge.literal[:50]


def test_every_rule_has_samples() -> None:
    covered = {
        id(choose_rule(TYPE_RULES, s.pg_type, wish=s.wish, in_key=s.in_key, truncate=s.truncate)) for s in SAMPLES
    }
    # Rules that the data or other words of the config choose have tests of their own.
    own = {Use.SUITED, Use.SCALED, Use.NULL, Use.CLAMP, *EPOCHS}
    assert [(r.types, r.target) for r in TYPE_RULES if id(r) not in covered and r.use not in own] == []


def _times(values: list[object], kind: pa.DataType) -> pa.Array:
    storage = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    return pa.array(values, storage).view(kind)


def _plain(array: pa.Array) -> list[object]:
    return array.view(pa.int64()).to_pylist() if pa.types.is_timestamp(array.type) else array.to_pylist()


def _equal(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        same = left == right and math.copysign(1, left) == math.copysign(1, right)
        return same or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and left == right
