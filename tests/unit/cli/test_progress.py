from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from tests.unit.cli.fakes import table_plan

from gridferry.cli.output import Output
from gridferry.cli.progress import LineListener, follow_load
from gridferry.engine.events import ChunkDone, LoadsStarted, LoadStarted, RowsPut, TableLoad
from gridferry.model.outcomes import LoadOutcome


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def heard() -> tuple[LineListener, Clock, io.StringIO]:
    output, clock = Output(), Clock()
    stream = io.StringIO()
    output.err = Console(file=stream, width=160, highlight=False)
    return LineListener(output, clock=clock), clock, stream


def started(*, rows: int = 1_000_000, chunks: int = 8, done_chunks: int = 0, done_rows: int = 0) -> LoadStarted:
    return LoadStarted("t", table_plan(), rows, chunks, 2, done_chunks=done_chunks, done_rows=done_rows)


def test_a_line_comes_every_few_seconds_only(heard: tuple[LineListener, Clock, io.StringIO]) -> None:
    listener, clock, stream = heard
    listener(started())
    for _ in range(12):
        clock.now += 1
        listener(RowsPut("t", 10_000, 1))
    assert stream.getvalue().splitlines() == [
        "t: 1,000,000 rows in 8 chunks, 2 workers",
        "t: 50,000 of 1,000,000 rows, 10,000 rows/s, about 1 min 35 s left",
        "t: 100,000 of 1,000,000 rows, 10,000 rows/s, about 1 min 30 s left",
    ]


def test_a_line_comes_at_each_quarter_of_the_chunks(heard: tuple[LineListener, Clock, io.StringIO]) -> None:
    listener, clock, stream = heard
    listener(started())
    for number in range(8):
        clock.now += 2
        listener(RowsPut("t", 125_000, 1))
        clock.now -= 1
        listener(ChunkDone("t", number, 125_000, 0))
    lines = stream.getvalue().splitlines()[1:]
    assert len(lines) == 4
    assert lines[-1].startswith("t: 1,000,000 of 1,000,000 rows")


def test_a_resume_counts_from_what_was_done_and_its_speed_does_not(
    heard: tuple[LineListener, Clock, io.StringIO],
) -> None:
    listener, clock, stream = heard
    listener(started(done_chunks=4, done_rows=500_000))
    clock.now += 5
    listener(RowsPut("t", 50_000, 1))
    assert stream.getvalue().splitlines() == [
        "t: 1,000,000 rows in 8 chunks, 2 workers; 4 chunks (500,000 rows) done before",
        "t: 550,000 of 1,000,000 rows, 10,000 rows/s, about 45 s left",
    ]


def test_events_of_a_table_that_did_not_start_are_let_pass(heard: tuple[LineListener, Clock, io.StringIO]) -> None:
    listener, _, stream = heard
    listener(RowsPut("other", 1, 1))
    listener(ChunkDone("other", 1, 1, 0))
    assert stream.getvalue() == ""


@pytest.mark.parametrize("width", [80, 120])
def test_bars_stay_on_one_line(width: int) -> None:
    output, stream = Output(), io.StringIO()
    output.err = Console(file=stream, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    name = "a_schema_of_some_length.a_table_with_a_very_long_name"
    with follow_load(output) as listener:
        listener(LoadStarted(name, table_plan(), 405_184, 5, 2))
        listener(RowsPut(name, 201_180, 1))
        listener(RowsPut("other", 1, 1))
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n").splitlines()
    assert any("201,180/405,184" in line and "rows/s" in line for line in drawn)
    assert max(map(len, drawn)) <= width
    assert all("a_schema" in line for line in drawn if line)  # nothing was wrapped


def test_the_bar_of_a_resume_begins_where_it_stopped() -> None:
    output, stream = Output(), io.StringIO()
    output.err = Console(file=stream, width=100, force_terminal=True, color_system=None)
    with follow_load(output) as listener:
        listener(started(done_chunks=4, done_rows=500_000))
    assert "500,000/1,000,000" in stream.getvalue()


def test_many_tables_have_one_line_now_and_then(heard: tuple[LineListener, Clock, io.StringIO]) -> None:
    listener, clock, stream = heard
    listener(LoadsStarted(40, rows=400_000, octets=40_000_000))
    for number in range(40):
        name = f"t{number}"
        clock.now += 0.25
        listener(LoadStarted(name, replace(table_plan(), rows=10_000, size_bytes=1_000_000), 10_000, 1, 2))
        listener(RowsPut(name, 10_000, 1))
        listener(TableLoad(name, LoadOutcome.LOADED, rows=10_000, seconds=0.2))
    assert stream.getvalue().splitlines() == [
        "40 tables: 400,000 rows, 40 MB in PostgreSQL",
        "19 of 40 tables, 190,000 of 400,000 rows, 38,000 rows/s, about 5.5 s left",
        "39 of 40 tables, 390,000 of 400,000 rows, 39,000 rows/s",
    ]


def test_many_tables_have_one_bar_and_the_large_ones_theirs() -> None:
    output, stream = Output(), io.StringIO()
    output.err = Console(file=stream, width=80, force_terminal=True, color_system=None, legacy_windows=False)
    with follow_load(output) as listener:
        listener(LoadsStarted(40, rows=1_000_000, octets=1_000_000))
        listener(LoadStarted("public.small", table_plan(), 10, 1, 2))
        listener(LoadStarted("public.large", table_plan(), 405_184, 5, 2))
        listener(RowsPut("public.large", 201_180, 1))
        listener(TableLoad("public.small", LoadOutcome.LOADED))
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n").splitlines()
    assert any("1 of 40 tables" in line and "201,180/1,000,000" in line for line in drawn)
    assert any("public.large" in line for line in drawn)
    assert not any("public.small" in line for line in drawn)
    assert max(map(len, drawn)) <= 80
