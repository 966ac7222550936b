"""Two runs of the benchmark set against each other. The documents are made up: nothing is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bench.__main__ as program
import pytest
from bench.compare import NotComparable, compare, read
from bench.figures import Figure, Results

from bench import compare as comparing

SLOW = Figure("load, embedded", "load 1,000 rows", 1000.0, "rows/s")
MEMORY = Figure("memory", "1 worker", 100.0, "MB", 256.0)
RATIO = Figure("load, embedded", "load / ceiling", 0.9, "", 0.9, more_is_better=True)


def document(*figures: Figure, **facts: Any) -> dict[str, Any]:
    results = Results(list(figures), seconds={"load": 1.0, "memory": 2.0})
    machine = {"model": "a", "usable": 2, "load_average": [0.1, 0.1, 0.1], **facts.pop("machine", {})}
    known = {"taken_at": "2026-01-01", "commit": "abc", "versions": {"python": "3.12"}, "size": "tiny"}
    made: dict[str, Any] = json.loads(json.dumps(results.document({**known, "machine": machine, **facts})))
    return made


def but(figure: Figure, value: float) -> Figure:
    return Figure(**{**figure.__dict__, "value": value})


def test_the_document_says_unit_and_direction_of_each_figure() -> None:
    units = [(f["unit"], f["better"]) for f in document(SLOW, MEMORY, RATIO)["figures"]]
    assert units == [("rows/s", "more"), ("MB", "less"), ("ratio", "more")]


@pytest.mark.parametrize(
    ("figure", "value", "gain", "verdict"),
    [
        (SLOW, 2000.0, 2.0, "better"),
        (SLOW, 500.0, 0.5, "worse"),
        (SLOW, 1200.0, 1.2, "same"),
        (SLOW, 801.0, 0.801, "same"),
        (SLOW, 799.0, 0.799, "worse"),
        (MEMORY, 200.0, 0.5, "worse"),
        (MEMORY, 50.0, 2.0, "better"),
        (RATIO, 0.45, 0.5, "worse"),
    ],
)
def test_a_gain_is_how_many_times_as_good(figure: Figure, value: float, gain: float, verdict: str) -> None:
    (change,) = compare([document(figure)], document(but(figure, value)), band=0.25).changes
    assert change.gain == pytest.approx(gain)
    assert change.verdict == verdict


def test_several_old_runs_say_what_the_noise_is() -> None:
    olds = [document(but(SLOW, value)) for value in (1000.0, 1600.0, 1100.0)]
    (change,) = compare(olds, document(but(SLOW, 700.0)), band=0.25).changes
    assert change.old == 1100.0
    assert change.band == pytest.approx(0.6)
    assert change.verdict == "same"
    # What they agree on is still given the band that was asked for.
    (change,) = compare([document(SLOW), document(SLOW)], document(but(SLOW, 900.0)), band=0.25).changes
    assert (change.band, change.verdict) == (0.25, "same")


def test_on_another_machine_only_ratios_are_compared() -> None:
    found = compare([document(SLOW, RATIO)], document(SLOW, RATIO, machine={"model": "b"}))
    assert [change.name for change in found.changes] == [RATIO.name]
    assert "the runs are of different machines: only their ratios are compared" in found.warnings
    with pytest.raises(NotComparable, match="no figure in common"):
        compare([document(SLOW)], document(SLOW, machine={"usable": 64}))


def test_what_only_one_run_has_is_named() -> None:
    found = compare([document(SLOW, MEMORY)], document(SLOW, RATIO))
    assert found.only_old == ("memory: 1 worker",)
    assert found.only_new == ("load, embedded: load / ceiling",)


def test_a_clock_that_did_not_move_has_no_ratio() -> None:
    found = compare([document(SLOW, but(MEMORY, 0.0))], document(SLOW, MEMORY))
    assert [change.name for change in found.changes] == [SLOW.name]


def test_runs_of_different_sizes_are_refused() -> None:
    with pytest.raises(NotComparable, match="different sizes: full, tiny"):
        compare([document(SLOW)], document(SLOW, size="full"))


def test_what_to_know_when_reading_it_is_said() -> None:
    old = document(SLOW, machine={"load_average": [1.9, 0, 0]}, versions={"python": "3.11"})
    new = document(SLOW)
    new["failed"] = ["fleet: 5 rows came back of 6"]
    warnings = compare([old, document(SLOW, commit="def")], new).warnings
    assert warnings == (
        "the machine was busy before the run of 2026-01-01: load average 1.9 on 2 processors",
        "the old runs are of different commits: what they differ by is not only noise",
        "other versions: python 3.11 -> 3.12",
        "failed in the new run: fleet: 5 rows came back of 6",
    )


def test_a_file_of_before_directions_were_said_is_read() -> None:
    old = document(SLOW)
    for figure in old["figures"]:
        del figure["better"]
    (change,) = compare([old], document(but(SLOW, 2000.0))).changes
    assert change.verdict == "better"
    (change,) = compare([document(SLOW)], {**old, "figures": [{**old["figures"][0], "value": 2000.0}]}).changes
    assert change.verdict == "better"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(document(SLOW, MEMORY)))
    new.write_text(json.dumps(document(but(SLOW, 500.0), MEMORY)))
    return str(old), str(new)


def test_a_worse_figure_fails_only_where_that_is_asked_for(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = files
    comparing.main(["--old", old, "--new", new])
    said = capsys.readouterr().out
    assert "0 better, 1 worse, 1 same; abc -> abc" in said
    assert "The noise is assumed." in said
    assert "±25%" in said
    # Half the speed is as much again of time: worse by 100 %.
    comparing.main(["--old", old, "--new", new, "--fail-over", "100"])
    comparing.main(["--old", new, "--new", old, "--fail-over", "0"])
    with pytest.raises(SystemExit) as ended:
        comparing.main(["--old", old, "--new", new, "--fail-over", "99"])
    assert ended.value.code == 1
    assert "worse by more than 99 %: load, embedded: load 1,000 rows" in capsys.readouterr().out


def test_noise_alone_never_fails(files: tuple[str, str]) -> None:
    old, new = files
    comparing.main(["--old", old, "--new", new, "--band", "150", "--fail-over", "10"])


def test_a_wrong_file_ends_with_2(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, words in (("{", "is no JSON"), ("{}", "is not what"), ("[]", "is not what"), (None, "cannot be read")):
        path = tmp_path / "wrong.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with pytest.raises(SystemExit) as ended:
            comparing.main(["--old", str(path), "--new", files[1]])
        assert ended.value.code == 2
        assert words in " ".join(capsys.readouterr().out.split())


def test_without_a_new_file_the_same_is_measured_now(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def measure(arguments: list[str]) -> None:
        asked.append(arguments)
        made = document(SLOW, MEMORY)
        made["failed"] = ["load: 5 rows came back of 6"]
        Path(arguments[-1]).write_text(json.dumps(made))
        raise SystemExit(1)

    monkeypatch.setattr(program, "main", measure)
    monkeypatch.chdir(tmp_path)
    comparing.main(["--old", files[0]])
    assert asked == [["--tiny", "--only", "load", "--only", "memory", "--json", "bench-new.json"]]
    said = capsys.readouterr().out
    assert "0 better, 0 worse, 2 same" in said
    assert "failed in the new run: load: 5 rows came back of 6" in said
    assert read(tmp_path / "bench-new.json")["size"] == "tiny"
