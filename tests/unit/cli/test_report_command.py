"""`gridferry report`: where it writes, and what it says when it cannot."""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.fakes import FakeMigration
from tests.unit.report.samples import calm_table, report
from typer.testing import Result

from gridferry.cli import report_command
from gridferry.errors import ConnectionLost
from gridferry.report import gather
from gridferry.report.failures import untold

Run = Callable[..., Result]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, migration: FakeMigration) -> list[Any]:
    """What the facts were asked for with."""
    calls: list[Any] = []

    def facts(of: object, tables: object, *, ask_source: bool) -> Any:
        calls.append((of, tables, ask_source))
        note = "" if ask_source else "PostgreSQL was not asked, as wished: its side is left out."
        return report(calm_table(), source_note=note)

    monkeypatch.setattr(gather, "gather_facts", facts)
    return calls


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_name_the_page_stands_here_and_the_name_is_said(
    run: Run, asked: list[Any], migration: FakeMigration, here: Path
) -> None:
    result = run("report", "-t", "device")
    assert result.exit_code == 0, result.output
    assert "gridferry-report.html" in result.stdout
    assert "All 405,184 rows in 1 container are equal" in " ".join(result.stdout.split())
    assert (here / "gridferry-report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert asked == [(migration, ("device",), True)]


def test_the_facts_as_json(run: Run, asked: list[Any], here: Path) -> None:
    assert run("report", "--format", "json").exit_code == 0
    facts = json.loads((here / "gridferry-report.json").read_text())
    assert (facts["version"], facts["headline"]["tone"]) == (1, "equal")
    assert facts["tables"][0]["containers"][1]["target_rows"] == 1_001


def test_a_dash_is_stdout(run: Run, asked: list[Any], here: Path) -> None:
    assert json.loads(run("report", "--format", "json", "-o", "-").stdout)["gridferry"] == "0.1.0"
    assert run("report", "-o", "-").stdout.endswith("</html>\n")
    assert list(here.iterdir()) == []


def test_with_json_the_file_is_told_of(run: Run, asked: list[Any], here: Path) -> None:
    said = json.loads(run("report", "--json", "-o", "r.html").stdout)
    assert said["bytes"] == (here / "r.html").stat().st_size
    assert said["headline"]["tone"] == "equal"
    assert run("report", "--json", "-o", "-").exit_code == 2


def test_offline_asks_the_target_only_and_says_so(run: Run, asked: list[Any]) -> None:
    result = run("report", "--offline")
    assert asked[0][2] is False
    assert "PostgreSQL was not asked" in result.stderr


def test_a_table_that_failed_is_told_and_its_code_is_the_commands(
    run: Run, migration: FakeMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = untold("public.bad", ConnectionLost("it broke", next_step="look at the node"))
    facts = report(calm_table(), bad, exit_code=75)
    monkeypatch.setattr(gather, "gather_facts", lambda *_, **__: facts)
    for arguments in (["report"], ["report", "--format", "json", "-o", "-"]):
        result = run(*arguments)
        assert result.exit_code == 75
        assert "report is not whole: public.bad: it broke. Next: look at the node." in " ".join(result.stderr.split())
    said = json.loads(run("report", "--json").stdout)
    assert said["summary"] == {"failed": ["public.bad"], "exit_code": 75}


@pytest.mark.parametrize(
    ("target", "words"), [(".", "is a folder"), ("no/such/report.html", "there is no folder no/such")]
)
def test_a_place_where_nothing_can_stand_is_told_before_any_work(
    run: Run, asked: list[Any], target: str, words: str
) -> None:
    result = run("report", "-o", target)
    assert result.exit_code == 2
    assert words in result.stderr
    assert asked == []


def test_an_older_report_stays_until_the_new_one_is_whole(
    run: Run, asked: list[Any], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "r.html").write_text("older")

    @contextmanager
    def full(path: Path, **_: Any) -> Iterator[StringIO]:
        path.touch()
        yield StringIO()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_command, "private_text", full)
    result = run("report", "-o", "r.html")
    assert result.exit_code == 2
    assert "r.html cannot be written: No space left on device" in result.stderr
    assert (here / "r.html").read_text() == "older"
    assert [path.name for path in here.iterdir()] == ["r.html"]


@pytest.mark.parametrize("missing", ["jinja2", "pygal"])
def test_a_library_that_is_missing_is_named_with_its_extra(
    run: Run, asked: list[Any], here: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    really = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "gridferry.report.page":
            raise ModuleNotFoundError(f"No module named '{missing}'", name=missing)
        return really(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    result = run("report")
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert f"the page needs {missing}, which is not installed" in said
    assert "pip install 'gridferry[report]'" in said
    assert asked == []
    assert run("report", "--format", "json").exit_code == 0


def test_a_pipe_is_written_to_and_not_replaced(run: Run, asked: list[Any], here: Path) -> None:
    """As `-o /dev/stdout` and `-o /dev/null` are: an administrator's report replaced the device by a file."""
    os.mkfifo(here / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((here / "pipe").read_text)
        assert run("report", "-o", "pipe").exit_code == 0
        assert "<html" in read.result(timeout=60)
    assert (here / "pipe").is_fifo()
    assert [path.name for path in here.iterdir()] == ["pipe"]


def test_where_the_name_is_a_link_the_file_behind_it_is_replaced(run: Run, asked: list[Any], here: Path) -> None:
    (here / "real.html").write_text("older")
    (here / "link.html").symlink_to("real.html")
    assert run("report", "-o", "link.html").exit_code == 0
    assert (here / "link.html").is_symlink()
    assert "<html" in (here / "real.html").read_text()
