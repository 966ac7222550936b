from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer
from typer.testing import Result

from gridferry import __version__
from gridferry.cli.main import app

Run = Callable[..., Result]
NARROW = 78  # what is written to on a terminal of 80 columns
HEAVY = ("pyarrow", "duckdb", "adbc_driver_manager", "psycopg", "pydantic", "numpy", "sqlglot")


def leaf_commands() -> list[list[str]]:
    root = typer.main.get_command(app)
    found = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found += [[name, sub] for sub in inner] if inner else [[name]]
    return found


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from gridferry.cli.main import app;"
        "result = CliRunner().invoke(app, ['--help']); assert result.exit_code == 0 and 'load' in result.stdout;"
        f"print(*(m for m in {HEAVY} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_reads_loads_no_pandas() -> None:
    pytest.importorskip("pandas", reason="what is not installed cannot be loaded")
    code = (
        "import sys; import gridferry.engine.migration, gridferry.source.postgres.session.arrow_answers;"
        "print(*(m for m in ('pandas', 'pyarrow.dataset') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_command_that_makes_arrays_loads_no_pandas() -> None:
    pytest.importorskip("pandas", reason="what is not installed cannot be loaded")
    code = (
        "import contextlib, sys; from gridferry.cli.main import main; sys.argv = ['gridferry', 'version']\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "import pyarrow; print(pyarrow.array([1]).to_pylist(), 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[1] False"


def test_the_version_is_told_in_three_ways(run: Run) -> None:
    assert run("--version").stdout == f"gridferry {__version__}\n"
    assert run("version").stdout == f"gridferry {__version__}\n"
    assert json.loads(run("version", "--json").stdout)["gridferry"] == __version__


@pytest.mark.parametrize("command", leaf_commands(), ids=" ".join)
def test_every_command_has_help_and_the_shared_options(run: Run, command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    for option in ("--json", "--quiet", "--verbose"):
        assert option in result.stdout


@pytest.mark.parametrize("command", leaf_commands(), ids=" ".join)
def test_every_command_says_in_one_line_what_it_changes(run: Run, command: list[str]) -> None:
    text = run(*command, "--help").stdout
    (line,) = [line for line in text.splitlines() if line.lstrip().startswith("Changes")]
    assert re.fullmatch(r"  Changes( nothing|: [^.]+)\.", line)
    assert len(line) <= NARROW
    paragraph = next(part for part in text.split("\n\n") if line in part)
    assert paragraph == line, "it is one line, and nothing else stands beside it"


def test_the_list_of_commands_cuts_no_sentence(run: Run) -> None:
    commands = run("--help").stdout.split("Commands:")[1].split("Exit codes:")[0].splitlines()
    assert len(commands) > 20
    assert [line for line in commands if "..." in line or len(line) > NARROW] == []


def test_all_commands_are_there() -> None:
    names = (
        "init plan load sync verify repair undo repairs forget report status containers cutover drop-slot show tql sql"
    )
    names += " serve demo version pause resume resync remove"
    expected = [[name] for name in names.split()] + [["quarantine", "list"], ["quarantine", "replay"]]
    assert sorted(leaf_commands()) == sorted(expected)


@pytest.mark.parametrize(
    "arguments",
    [["lod"], ["load", "--wrkers", "2"], ["load", "--workers", "0"], ["load", "--rows-per-chunk", "x"], ["show"]],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_an_empty_stdout(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error" in result.stderr


def test_no_command_shows_the_help(run: Run) -> None:
    result = run()
    assert result.exit_code == 2
    assert "Commands" in result.stdout + result.stderr


@pytest.mark.parametrize("arguments", [["version"], ["version", "--json"]], ids=" ".join)
@pytest.mark.slow
def test_a_reader_that_went_away_is_no_difference_found(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "gridferry.cli.main", *arguments]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
