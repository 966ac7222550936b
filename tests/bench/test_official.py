"""`make bench-official` at a tiny size, and what it says when something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench.official import Figure, table
from bench.official_rows import SENSOR, sensor_batch, sensor_batches
from tests.oracle.jars import find_java

ROOT = Path(__file__).parents[2]


def _official(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GRIDFERRY_TEST_")}
    command = [sys.executable, "-m", "bench.official", *arguments]
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**clean, "PYTHONPATH": path, **environment},
        timeout=300,
        check=False,
    )


def test_without_a_server_it_says_so_and_ends_well() -> None:
    done = _official()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "bench-official: nothing measured; no server: set GRIDFERRY_TEST_GRIDDB=host:port/cluster\n"


def test_without_a_jar_it_says_so_and_ends_well(tmp_path: Path) -> None:
    if shutil.which("javac") is None:
        pytest.skip("no javac on PATH: another thing would be missing first")
    done = _official(GRIDFERRY_TEST_GRIDDB="127.0.0.1:1/none", GRIDFERRY_TEST_JARS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"no GridDB client: GRIDFERRY_TEST_JARS={tmp_path} holds no jar" in done.stdout


def test_batches_are_the_rows_in_order() -> None:
    batches = list(sensor_batches(25, 10))
    assert [len(b) for b in batches] == [10, 10, 5]
    assert all(b.schema == SENSOR.arrow_schema for b in batches)
    assert sensor_batch(20, 5).equals(batches[2])


def test_the_table_says_how_often_ours_is_theirs() -> None:
    lines = table([Figure("ours", 1000, 3000), Figure("theirs", 500, 1000)])
    assert lines[1].split() == ["ours", "1,000", "1.0x", "3,000", "1.0x"]
    assert lines[2].split() == ["theirs", "500", "2.0x", "1,000", "3.0x"]


@pytest.mark.oracle
def test_a_tiny_run_names_both_clients() -> None:
    named = {k: v for k, v in os.environ.items() if k.startswith("GRIDFERRY_TEST_")}
    if "GRIDFERRY_TEST_GRIDDB" not in named:
        pytest.skip("GRIDFERRY_TEST_GRIDDB=host:port/cluster is not set")
    if not find_java().classpath:
        pytest.skip(find_java().why)
    done = _official("--rows", "500", "--batch-rows", "200", **named)
    assert done.returncode == 0, done.stderr
    assert "gridferry (Arrow)" in done.stdout
    assert "GridDB Java" in done.stdout
