"""A plan as a document: read back whole, or refused."""

from __future__ import annotations

import pytest
from tests.unit.plan.tables import sensor, sensor_facts

from gridferry.errors import CheckpointError
from gridferry.plan.plan import Plan, ReadAs, SourceColumn
from gridferry.plan.planner import plan_table
from gridferry.plan.table_options import table_options


def _plan(**options: object) -> Plan:
    wishes = table_options(**{"table": "device", "split_by": "device", "key": "ts", **options})
    return Plan((plan_table(sensor(), sensor_facts(), wishes),), source="h/db", target="g/c")


def test_a_plan_survives_its_document() -> None:
    plan = _plan(sync={"mode": "watermark"}, containers={"a": "x"}, order_by=["co"], where="co > 1")
    assert Plan.from_json(plan.to_json()) == plan


def test_another_version_and_a_broken_document_are_refused() -> None:
    document = _plan().to_json()
    with pytest.raises(CheckpointError, match="this plan has version 99"):
        Plan.from_json({**document, "version": 99})
    with pytest.raises(CheckpointError, match="not readable"):
        Plan.from_json({**document, "tables": [{}]})


def test_source_columns_hold_each_column_once() -> None:
    plan = _plan(order_by=["ts", "device", "temp"], exclude=["temp"]).tables[0]
    assert plan.source_columns == (
        SourceColumn("ts", ReadAs.PLAIN),
        SourceColumn("co", ReadAs.PLAIN),
        SourceColumn("light", ReadAs.PLAIN),
        SourceColumn("device", ReadAs.TEXT),
        SourceColumn("temp", ReadAs.PLAIN),
    )
