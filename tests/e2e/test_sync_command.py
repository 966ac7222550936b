"""The command as a scheduler runs it: in a process of its own, ended by a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.readings import add, load_readings, source, stands, sync

_ROOT = Path(__file__).parents[2]


def begin(ferry: Ferry, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "gridferry.yaml").write_text(ferry.text)
    environment = {**os.environ, **ferry.env, "PYTHONPATH": str(_ROOT / "src")}
    command = [sys.executable, "-m", "gridferry.cli.main", "sync", *arguments]
    return subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_follow_ends_in_order_at_a_signal(
    ferry: Ferry, postgres: Database, tmp_path: Path, number: signal.Signals
) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "1 hour", device="new")
    process = begin(ferry, tmp_path, "--follow", "--interval", "1h", "--json")
    assert process.stderr is not None
    assert "synced" in process.stderr.readline()
    process.send_signal(number)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    (table,) = json.loads(out)["tables"]
    assert (table["rows"], table["created"], table["outcome"]) == (1, ["reading_new"], "synced")
    assert stands(ferry) == source(postgres)
    assert sync(ferry).outcome == "nothing new"


def test_a_bounded_run_tells_what_it_did_and_ends(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "1 hour")
    process = begin(ferry, tmp_path)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "public.reading: synced, 1 row in 1 container" in out
    assert "gridferry status" in errors
