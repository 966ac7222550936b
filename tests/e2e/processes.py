"""`gridferry sync` as a scheduler runs it: in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.ferry import Ferry

_ROOT = Path(__file__).parents[2]


@contextmanager
def running(ferry: Ferry, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command, in `folder` with its config; killed in the end if it still runs."""
    (folder / "gridferry.yaml").write_text(ferry.text)
    environment = {**os.environ, **ferry.env, "PYTHONPATH": str(_ROOT / "src"), "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, "-m", "gridferry.cli.main", *arguments]
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], *, code: int = 0) -> tuple[str, str]:
    """What it said on stdout and stderr until it ended with `code`. Where it hangs, it tells where."""
    try:
        out, errors = process.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, errors = process.communicate()
    assert process.returncode == code, (process.returncode, out, errors)
    assert "Traceback" not in errors
    return out, errors


def first_line(process: subprocess.Popen[str]) -> str:
    """The next line on stderr."""
    assert process.stderr is not None
    return process.stderr.readline()


def line_with(process: subprocess.Popen[str], *words: str) -> str:
    """The next line on stderr with all of `words` in it; lines before it are gone. Where none comes, it fails."""
    assert process.stderr is not None
    passed = []
    late = threading.Timer(60.0, process.kill)
    late.start()
    try:
        for line in process.stderr:
            if all(word in line for word in words):
                return line
            passed.append(line)
    finally:
        late.cancel()
    raise AssertionError((words, passed))
