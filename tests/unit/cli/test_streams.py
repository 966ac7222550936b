"""The standard streams as a shell may give them to the program: closed, or on a full disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
GRIDFERRY = [sys.executable, "-m", "gridferry.cli.main"]

pytestmark = pytest.mark.slow  # each starts the program

full = pytest.mark.skipif(not FULL.is_char_device(), reason="this system has no device that is always full")


def run(*arguments: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    """The program, its streams directed as the shell's words say."""
    command = ["bash", "-c", f'"$@" {shell}', "bash", *GRIDFERRY, *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "GRIDFERRY_DEBUG"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("shell", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_failure(shell: str) -> None:
    done = run("version", "--json", shell=shell)
    assert (done.returncode, done.stderr) == (0, "")
    if ">&-" not in shell.replace("2>&-", ""):
        assert "gridferry" in json.loads(done.stdout)


@pytest.mark.parametrize("shell", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_with_a_closed_stream_a_failure_keeps_its_code(shell: str) -> None:
    done = run("status", "--config", "none.yaml", shell=shell)  # a short name, that no line breaks
    assert done.returncode == 2
    if "2>&-" not in shell:
        assert "none.yaml" in done.stderr


@full
@pytest.mark.parametrize("words", [["version"], ["version", "--json"], ["--version"], ["--help"]])
def test_a_result_that_stdout_does_not_take_is_a_failure(words: list[str]) -> None:
    done = run(*words, shell=f"> {FULL}")
    assert done.returncode == 3
    assert "error: stdout cannot be written: No space left on device" in done.stderr
    assert "Next: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@full
def test_an_error_that_stdout_does_not_take_is_told_on_stderr(tmp_path: Path) -> None:
    done = run("status", "--json", "--config", str(tmp_path / "none.yaml"), shell=f"> {FULL}")
    assert done.returncode == 3
    assert "error: stdout cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


@full
def test_a_full_stderr_changes_no_exit_code(tmp_path: Path) -> None:
    assert run("version", shell=f"2> {FULL}").returncode == 0
    assert run("status", "--config", str(tmp_path / "none.yaml"), shell=f"2> {FULL}").returncode == 2
