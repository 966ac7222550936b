"""`make bench` at a tiny size, so that it never rots: every part gives its figures. Nothing is asserted about speed."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bench.__main__ as program
import pytest
from bench.figures import WIDTH, Figure, Results, RunFailed
from bench.processes import cpu_seconds, facts, own_peak_mb
from rich.console import Console

from gridferry.engine.workers import default_workers


@pytest.fixture(scope="module")
def results() -> Results:
    pytest.importorskip("duckdb", reason="the embedded server needs the extra gridferry[embedded]")
    return program.run(program.SIZES["tiny"], parts=list(program.PARTS), targets=["embedded"], say=lambda _: None)


def test_every_part_gives_figures(results: Results) -> None:
    assert results.failed == []
    assert set(results.seconds) == set(program.PARTS)
    parts = {figure.part.partition(",")[0] for figure in results.figures}
    assert parts == set(program.PARTS)


def test_every_figure_is_a_positive_number(results: Results) -> None:
    odd = [f for f in results.figures if not math.isfinite(f.value) or f.value <= 0]
    # The servers' CPU clocks count in hundredths of a second: at this size they may not have moved.
    assert [f for f in odd if not f.name.startswith("CPU of")] == []


def test_no_figure_has_the_name_of_another(results: Results) -> None:
    names = [(figure.part, figure.name) for figure in results.figures]
    assert len(set(names)) == len(names)


def test_the_load_is_set_against_the_lower_ceiling(results: Results) -> None:
    read = results.value("ceilings", f"read sensor rows, {default_workers()} readers")
    put = results.value("ceilings, embedded", "put sensor rows, 2 connections")
    load = results.value("load, embedded", "load 3,000 sensor rows, after the plan")
    assert read is not None
    assert put is not None
    assert load is not None
    assert results.value("load, embedded", "sensor rows: load / lower ceiling") == pytest.approx(load / min(read, put))


def test_the_table_fits_and_the_document_is_json(results: Results) -> None:
    page = io.StringIO()
    Console(width=WIDTH, file=page).print(results.table())
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not [line for line in lines if "…" in line]
    document = json.loads(json.dumps(results.document(facts())))
    assert len(document["figures"]) == len(results.figures)
    assert {"commit", "machine", "versions", "taken_at", "notes", "failed", "seconds"} <= set(document)
    assert len(document["machine"]["load_average"]) == 3


@pytest.mark.parametrize(
    ("value", "aim", "more_is_better", "met"),
    [(1, None, False, None), (1, 2, False, True), (3, 2, False, False), (1, 2, True, False), (2, 2, True, True)],
)
def test_an_aim_is_met_from_its_side(value: float, aim: float | None, more_is_better: bool, met: bool | None) -> None:
    assert Figure("p", "n", value, "s", aim, more_is_better=more_is_better).met is met


def test_a_part_that_fails_leaves_the_others_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Any) -> None:
        raise RunFailed("5 rows came back of 6")

    def fine(run: program.Bench) -> None:
        run.results.add([Figure("codec", "a", 1.0, "us")])

    @contextmanager
    def nothing(*_: object) -> Iterator[tuple[None, tuple[()]]]:
        yield None, ()

    monkeypatch.setattr(program, "PARTS", {"load": broken, "codec": fine})
    monkeypatch.setattr(program, "servers", nothing)
    written = tmp_path / "figures.json"
    with pytest.raises(SystemExit) as ended:
        program.main(["--tiny", "--json", str(written)])
    assert ended.value.code == 1
    assert "failed: load: 5 rows came back of 6" in capsys.readouterr().out
    document = json.loads(written.read_text())
    assert document["failed"] == ["load: 5 rows came back of 6"]
    assert [figure["name"] for figure in document["figures"]] == ["a"]


def test_a_process_that_is_not_there_has_no_cpu_time() -> None:
    assert cpu_seconds(None) is None
    assert cpu_seconds(2**22 + 7) is None


def test_peak_memory_grows_with_what_is_held() -> None:
    before = own_peak_mb()
    held = bytearray(64 << 20)
    held[:: 1 << 12] = b"x" * (len(held) >> 12)
    assert own_peak_mb() >= before
    assert own_peak_mb() > 64
