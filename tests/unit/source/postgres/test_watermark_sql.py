from __future__ import annotations

from dataclasses import replace

from gridferry.model.watermark import Cursor, GrowingColumn, Growth, Step
from gridferry.source.postgres.rows.chunks import XID_MARGIN, XID_SPAN
from gridferry.source.postgres.rows.new_rows import new_rows

TS = GrowingColumn("ts", "timestamp", Growth.TIME, 900_000, nullable=False, indexed=True)
DONE = Cursor("ts", (Step(100),), 100)
YOUNG = "pg_catalog.age(xmin) <= pg_catalog.age('{}'::pg_catalog.xid)"


def text(cursor: Cursor, *, column: GrowingColumn = TS, floor: str | None = None, next_xid: int | None = 200) -> str:
    return new_rows(column, cursor, floor=floor, next_xid=next_xid).as_string(None)


def test_new_is_what_the_last_snapshot_had_not_settled() -> None:
    assert text(DONE) == YOUNG.format(100)


def test_the_floor_stands_in_front_for_an_index_to_serve() -> None:
    assert text(DONE, floor="2024-05-01 00:00:00.000001") == (
        '"ts" >= \'2024-05-01 00:00:00.000001\'::pg_catalog."timestamp" AND ' + YOUNG.format(100)
    )


def test_rows_without_a_value_lie_above_every_floor() -> None:
    nullable = replace(TS, nullable=True)
    assert text(DONE, column=nullable, floor="m").startswith(
        '("ts" >= \'m\'::pg_catalog."timestamp" OR "ts" IS NULL) AND '
    )


def test_an_interrupted_run_has_read_up_to_a_value() -> None:
    stopped = replace(DONE, steps=(Step(100), Step(150, "p")))
    assert text(stopped) == (
        YOUNG.format(100) + ' AND ("ts" >= \'p\'::pg_catalog."timestamp" OR ' + YOUNG.format(150) + ")"
    )


def test_below_the_cursor_s_floor_only_sweeps_count() -> None:
    window = replace(DONE, steps=(Step(180),), floor="f")
    assert text(window) == (
        '(("ts" >= \'f\'::pg_catalog."timestamp" AND ' + YOUNG.format(180) + ")"
        ' OR ("ts" < \'f\'::pg_catalog."timestamp" AND ' + YOUNG.format(100) + "))"
    )


def test_ids_beyond_32_bits_wrap_and_those_too_old_to_compare_are_not_compared() -> None:
    far = 2**33 + 7
    assert text(replace(DONE, steps=(Step(far),)), next_xid=far + 1) == YOUNG.format(7)
    assert text(replace(DONE, steps=(Step(far),)), next_xid=far + XID_SPAN - XID_MARGIN) == "TRUE"


def test_a_source_without_transaction_ids_has_the_floor_alone() -> None:
    assert text(DONE, next_xid=None) == "TRUE"
    assert text(DONE, floor="m", next_xid=None) == '"ts" >= \'m\'::pg_catalog."timestamp"'


def test_a_small_number_s_floor_may_lie_below_its_type() -> None:
    small = GrowingColumn("id", "int2", Growth.NUMBER, 10_000, nullable=False)
    assert text(DONE, column=small, floor="-9990", next_xid=None) == '"id" >= \'-9990\'::pg_catalog."int8"'
