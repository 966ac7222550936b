"""Which columns are tried as a key, in which order, and that what is advised is what the next plan takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridferry.model.key_advice import ColumnValues, KeyAdvice
from gridferry.model.profile import KeyProfile, TableProfile
from gridferry.model.table import Column, PgType, Table
from gridferry.plan.init_file import entry_lines, render_config
from gridferry.plan.key_advice import candidate_keys, eligible_columns, key_words
from gridferry.plan.plan import Severity, TablePlan
from gridferry.plan.planner import plan_table, wants_key_advice
from gridferry.plan.table_options import TableOptions, table_options
from gridferry.plan.yaml_text import parse_yaml

TYPES = {
    "int4": PgType("int4", "integer"),
    "int8": PgType("int8", "bigint"),
    "text": PgType("text", "text"),
    "timestamptz": PgType("timestamptz", "timestamp with time zone"),
    "float8": PgType("float8", "double precision"),
    "json": PgType("json", "json"),
    "citext": PgType("citext", "citext", builtin=False),
}


def table_of(**columns: str) -> Table:
    return Table("public", "t", "r", tuple(Column(name, TYPES[kind]) for name, kind in columns.items()))


READING = table_of(value="float8", note="text", ts="timestamptz", device="int4", seq="int8")
VALUES = {
    "value": ColumnValues(9_000),
    "note": ColumnValues(3, nulls=True),
    "ts": ColumnValues(2_000),
    "device": ColumnValues(7),
    "seq": ColumnValues(10_000),
}


def tried(table: Table = READING, values: Any = VALUES, rows: int = 10_000, **options: Any) -> list[tuple[str, ...]]:
    wishes = table_options(table="t", **options)
    columns = eligible_columns(table, wishes)
    return list(candidate_keys(table, columns, values, rows=rows, split_by=wishes.split_by))


def test_a_time_table_by_device_and_time_first_and_all_columns_last() -> None:
    found = tried()
    assert found[0] == ("device", "ts")
    assert found[1] == ("seq",)
    assert set(found[-1]) == {"device", "ts", "seq", "value"}
    assert all("note" not in names for names in found)  # it has NULL


def test_what_the_statistics_rule_out_is_not_counted() -> None:
    found = tried()
    assert ("device",) not in found
    assert ("ts",) not in found
    assert ("device",) in tried(values={})  # nothing is known


def test_a_split_table_by_the_time_within_one_value() -> None:
    assert tried(split_by="device")[0] == ("device", "ts")
    assert all(names[0] == "device" and len(names) > 1 for names in tried(split_by="device"))


def test_columns_that_no_key_can_have_are_not_tried() -> None:
    table = table_of(doc="json", mail="citext", id="int8", secret="text")
    assert tried(table, {}, exclude=["secret"]) == [("id",)]
    assert tried(table, {}, columns={"id": "double"}, exclude=["secret"]) == []
    assert tried(kind="timeseries", values={}) == [("ts",)]


def plan_with(options: TableOptions, key: KeyProfile | None = None, advice: KeyAdvice | None = None) -> TablePlan:
    return plan_table(READING, TableProfile(10, (), key=key, advice=advice), options)


def problems(plan: TablePlan) -> str:
    return "\n".join(f"{f.message} | {f.advice}" for f in plan.findings if f.severity is Severity.PROBLEM)


def test_a_look_is_asked_for_where_there_is_no_key_or_it_does_not_serve() -> None:
    none, wrong = table_options(table="t"), table_options(table="t", key="device")
    assert wants_key_advice(READING, none, TableProfile(10, ()))
    assert wants_key_advice(READING, wrong, TableProfile(10, (), key=KeyProfile(("device",), 3)))
    assert wants_key_advice(READING, wrong, TableProfile(10, (), key=KeyProfile(("device",), 0, nulls=1)))
    assert not wants_key_advice(READING, wrong, TableProfile(10, (), key=KeyProfile(("device",))))
    last = table_options(table="t", key="device", on_duplicate="last")
    assert not wants_key_advice(READING, last, TableProfile(10, (), key=KeyProfile(("device",), 3)))
    generated = table_options(table="t", key="generated")
    assert not wants_key_advice(READING, generated, TableProfile(10, (), key=KeyProfile(("device",), 3)))


@pytest.mark.parametrize(
    ("advice", "words"),
    [
        (KeyAdvice(("device", "ts"), 500, proven=True), "`key: [device, ts]`: no two of all 500 rows share it"),
        (KeyAdvice(("ts",), 20_000), "a sample of 20,000 share it: that is no proof; or `key: generated`"),
        (KeyAdvice(("ts",), 3, proven=True), "too few to tell; or `key: generated`"),
        (
            KeyAdvice((), 500, repeated=1),
            "`key: generated`: it makes a key of the row's values, and keeps every row; 1",
        ),
        (KeyAdvice(), "write `key: generated`"),
    ],
)
def test_what_was_found_is_the_advice_of_the_plan(advice: KeyAdvice, words: str) -> None:
    assert words in problems(plan_with(table_options(table="t"), advice=advice))
    wrong = plan_with(table_options(table="t", key="value"), KeyProfile(("value",), 3), advice)
    assert words.removeprefix("write ") in problems(wrong)
    null = plan_with(table_options(table="t", key="value"), KeyProfile(("value",), nulls=2), advice)
    assert words.removeprefix("write ") in problems(null)


WISHES: list[dict[str, Any]] = [
    {},
    {"split_by": "device"},
    {"kind": "collection"},
    {"key": "value"},
    {"sync": {"mode": "watermark", "column": "ts"}},
    {"split_by": "device", "sync": {"mode": "watermark", "column": "seq"}},
]
FOUND = st.lists(st.sampled_from(["ts", "device", "seq", "value"]), unique=True, max_size=3)


@given(st.sampled_from(WISHES), FOUND, st.integers(0, 1000), st.booleans())
def test_every_key_that_is_advised_is_one_that_the_next_plan_takes(
    wish: dict[str, Any], names: list[str], rows: int, proven: bool
) -> None:
    options = table_options(table="t", **wish)
    advice = KeyAdvice(tuple(names), rows, proven, repeated=0 if names else rows // 2)
    for written in key_words(advice, options).split("`")[1::2]:
        assert written.startswith("key: ")
        document = parse_yaml(written, name="advice")
        again = plan_with(table_options(**{"table": "t", **wish, **document}))
        assert not again.problems


def test_init_writes_a_proven_key_and_no_other() -> None:
    proven = entry_lines(READING, {}, advice=KeyAdvice(("device", "ts"), 500, proven=True))
    assert "    key: [device, ts]    # no two of all 500 rows share it, though no constraint says so" in proven
    for doubtful in (KeyAdvice(("device", "ts"), 20_000), KeyAdvice(("device", "ts"), 50, proven=True)):
        lines = entry_lines(READING, {}, advice=doubtful)
        assert any(line.startswith("    key: generated    #") for line in lines)
        assert any(line.startswith("    # key: [device, ts]    #") for line in lines)
    for nothing in (KeyAdvice((), 500, True, repeated=2), None):
        line = entry_lines(READING, {}, advice=nothing)[1]
        assert line.partition("#")[0].strip() == "key: generated"


def test_what_init_writes_is_a_config_whose_plan_has_no_problem() -> None:
    for advice in (None, KeyAdvice(("device", "ts"), 500, proven=True), KeyAdvice(("seq",), 30)):
        text = render_config([READING], advice={} if advice is None else {READING.qualified: advice})
        (entry,) = parse_yaml(text, name="init")["tables"]
        assert not plan_table(READING, TableProfile(30, ()), table_options(**entry)).problems
