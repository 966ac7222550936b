"""A row's key as people read it."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
from tests.source.conftest import make_plan

from gridferry.engine.rows.copier import row_key
from gridferry.source.postgres.sql.key_text import key_text

PLAN = replace(make_plan("t", "d ts k", key=("ts", "k")), split_by="d")


def test_the_split_column_stands_in_front_and_every_part_has_its_name() -> None:
    row = pa.record_batch(
        {"k": pa.array([7]), "ts": pa.array([1594512094385975], pa.timestamp("us")), "d": pa.array(["b8:27"])}
    )
    assert row_key(PLAN, row) == "d = b8:27, ts = 2020-07-12 00:01:34.385975, k = 7"


def test_null_infinity_and_octets_are_shown_too() -> None:
    row = pa.record_batch(
        {
            "d": pa.array([None], pa.utf8()),
            "ts": pa.array([-9222425352054775809], pa.timestamp("us")),
            "k": pa.array([b"\xff"]),
        }
    )
    shown = row_key(PLAN, row)
    assert shown.startswith("d = NULL, ts = infinity, k = ")
    assert len(shown) < 100


def test_a_text_of_a_key_is_one_that_postgresql_reads_or_none() -> None:
    infinity = -9222425352054775809
    assert key_text(pa.array([infinity], pa.timestamp("us"))) == "infinity"
    assert key_text(pa.array([infinity + 1], pa.timestamp("us", tz="UTC"))) == "-infinity"
    assert key_text(pa.array([infinity + 2], pa.timestamp("us"))) is None, "a year after 294246"
    assert key_text(pa.array([-2147472692], pa.date32())) == "infinity"
    assert key_text(pa.array([-735000], pa.date32())) == "0044-08-22 BC"
    assert key_text(pa.array([253402300800000000], pa.timestamp("us", tz="UTC"))) == "10000-01-01 00:00:00+00"
    assert key_text(pa.array([b"\xff"])) is None
    assert key_text(pa.array(["<value"])) == "<value"
    assert key_text(pa.array([True])) == "true"
    assert key_text(pa.array([1594512094385975], pa.timestamp("us", tz="UTC"))) == "2020-07-12 00:01:34.385975Z"


def test_a_split_column_that_is_part_of_the_key_is_shown_once() -> None:
    plan = replace(PLAN, key=("d", "k"))
    assert row_key(plan, pa.record_batch({"d": ["x"], "k": [1], "ts": [2]})) == "d = x, k = 1"
