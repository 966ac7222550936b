"""The progress of a load over several tables: its sums, and the time that is left, told by bytes."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.cli.fakes import table_plan

from gridferry.engine.events import LoadsStarted, LoadStarted, RowsPut, TableFailed, TableLoad
from gridferry.engine.load.progress import LoadProgress
from gridferry.errors import DataError
from gridferry.model.outcomes import LoadOutcome


def started(name: str, *, rows: int, octets: int) -> LoadStarted:
    return LoadStarted(name, replace(table_plan(), rows=rows, size_bytes=octets), rows, 1, 2)


def test_the_time_left_is_told_by_bytes() -> None:
    """A table of few large rows takes as long as one of many small ones."""
    progress = LoadProgress(LoadsStarted(2, rows=1100, octets=2_000_000), now=0.0)
    progress.hear(started("wide", rows=100, octets=1_000_000))
    progress.hear(started("long", rows=1000, octets=1_000_000))
    progress.hear(RowsPut("long", 1000, 5))
    assert progress.left_s(10.0) == 10.0
    progress.hear(TableLoad("long", LoadOutcome.LOADED))
    assert progress.line(10.0) == "1 of 2 tables, 1,000 of 1,100 rows, 100 rows/s, about 10 s left"


def test_what_was_stored_before_counts_for_the_rest_and_not_for_the_speed() -> None:
    progress = LoadProgress(LoadsStarted(1, rows=1000, octets=1000, done_rows=500, done_octets=500), now=0.0)
    progress.hear(started("t", rows=1000, octets=1000))
    progress.hear(RowsPut("t", 250, 5))
    assert (progress.rows, progress.speed(5.0), progress.left_s(5.0)) == (750, 50.0, 5.0)


def test_nothing_is_told_of_what_is_not_known_yet() -> None:
    progress = LoadProgress(LoadsStarted(2, rows=0), now=0.0)
    progress.hear(RowsPut("other", 5, 5))
    progress.hear(TableFailed("other", "load", DataError("x")))
    assert (progress.rows, progress.ended, progress.left_s(60.0)) == (0, 0, None)
    assert progress.line(0.5) == "0 of 2 tables, 0 of 0 rows"


def test_a_table_that_failed_is_done_with() -> None:
    progress = LoadProgress(LoadsStarted(2, rows=10, octets=10), now=0.0)
    progress.hear(started("t", rows=10, octets=10))
    for _ in range(2):
        progress.hear(TableFailed("t", "load", DataError("x")))
    assert progress.ended == 1
