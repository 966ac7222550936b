"""A table cut by ranges of a key column: every value is in exactly one of them, on both sides alike."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.engine.test_fold import PLAN, column

from gridferry.engine.comparison.ranges import RowRange, narrowed, ranges, tql_range
from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.plan.plan import Kernel
from gridferry.source.postgres.rows.key_bounds import Measure

NUMBER = column("k", GridType.LONG, Kernel.SAME)
NOON_US = 1_710_417_600_123_456  # 2024-03-14T12:00:00.123456Z


def test_ranges_touch_and_the_outer_ones_are_open() -> None:
    cut = list(ranges(PLAN, NUMBER, Measure.NUMBER, [10, 20]))
    assert [(r.chunk.low, r.chunk.high) for r in cut] == [(None, "10"), ("10", "20"), ("20", None)]
    assert [r.condition for r in cut] == ['"k" < 10', '"k" >= 10 and "k" < 20', '"k" >= 20']
    assert {r.chunk.kind for r in cut} == {ChunkKind.KEYS}
    assert [r.chunk.number for r in cut] == [0, 1, 2]


def test_without_bounds_one_range_has_all_rows() -> None:
    (whole,) = ranges(PLAN, NUMBER, Measure.NUMBER, [])
    assert (whole.chunk.kind, whole.condition) == (ChunkKind.WHOLE, "")


def test_a_time_is_written_in_the_precision_of_the_target() -> None:
    us, ms = (ColumnSpec("t", kind) for kind in (GridType.TIMESTAMP_US, GridType.TIMESTAMP_MS))
    assert tql_range(us, NOON_US, None) == "\"t\" >= TIMESTAMP_US('2024-03-14T12:00:00.123456Z')"
    assert tql_range(ms, None, NOON_US) == '"t" < TO_TIMESTAMP_MS(1710417600123)'
    assert tql_range(ms, -1_500, None) == '"t" >= TO_TIMESTAMP_MS(-2)'  # down, also before 1970


def test_a_range_of_some_split_values_keeps_the_condition_of_the_plan() -> None:
    plan = replace(PLAN, where="b > 0 -- only these")
    chunk = Chunk(0, ChunkKind.WHOLE, "public", "t")
    assert narrowed(plan, RowRange(chunk)) is plan
    both = narrowed(plan, RowRange(chunk, where="d = 'x'")).where
    assert "d = 'x'" in both
    assert "d = 'x'" not in both.split("--")[-1].split("\n")[0]
