from __future__ import annotations

import pytest
from tests.unit.plan.tables import BIGINT, DOUBLE, TS, primary, sensor

from gridferry.model.table import Column
from gridferry.model.watermark import GrowingColumn, Growth
from gridferry.plan.keys import choose_key
from gridferry.plan.plan import Severity
from gridferry.plan.table_options import table_options
from gridferry.plan.watermark import growing_column, watermark_findings

NUMBERED = {"columns": (Column("id", BIGINT, nullable=False), Column("at", TS), Column("v", DOUBLE))}


def chosen(table: object = None, **options: object) -> GrowingColumn | None:
    found = table or sensor()
    wished = table_options(**{"table": "device", "sync": {"mode": "watermark"}, **options})
    return growing_column(found, wished, choose_key(found, wished))  # type: ignore[arg-type]


def test_the_key_s_only_time_grows() -> None:
    assert chosen(key="ts") == GrowingColumn("ts", "timestamp", Growth.TIME, 900_000, nullable=False)
    assert chosen(sensor(indexed=frozenset({"ts"})), key=["device", "ts"]) == GrowingColumn(
        "ts", "timestamp", Growth.TIME, 900_000, nullable=False, indexed=True
    )


def test_a_key_of_one_number_grows() -> None:
    table = sensor(keys=primary("id"), **NUMBERED)
    assert chosen(table) == GrowingColumn("id", "int8", Growth.NUMBER, 10_000, nullable=False)


def test_the_config_s_word_counts() -> None:
    table = sensor(keys=primary("id"), **NUMBERED)
    sync = {"mode": "watermark", "column": "at", "lookback": "2h", "lookback_values": 5}
    assert chosen(table, sync=sync) == GrowingColumn("at", "timestamp", Growth.TIME, 7_200_000)


@pytest.mark.parametrize(
    ("key", "column", "said"),
    [
        ("co", None, "does not know which column grows"),
        ("ts", "light", "light is a boolean"),
        ("ts", "temp", "temp is a double precision"),
    ],
)
def test_what_does_not_grow(key: str, column: str | None, said: str) -> None:
    sync = {"mode": "watermark", **({"column": column} if column else {})}
    assert chosen(key=key, sync=sync) is None
    options = table_options(table="device", key=key, sync=sync)
    problems = [
        f.message
        for f in watermark_findings(sensor(), options, choose_key(sensor(), options))
        if f.severity is Severity.PROBLEM
    ]
    assert len(problems) == 1
    if "boolean" not in said:
        assert said in problems[0]


def test_a_view_says_that_its_rows_tell_no_transaction() -> None:
    view = sensor(relkind="v", elsewhere="it is a view")
    options = table_options(table="device", key="ts", sync={"mode": "watermark"})
    messages = [f.message for f in watermark_findings(view, options, choose_key(view, options))]
    assert any("do not say which transaction" in m for m in messages)
    assert any("updates and deletes" in m for m in messages)
