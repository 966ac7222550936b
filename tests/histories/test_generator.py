"""A history is data that only its seed decides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.histories.generator import make_history
from tests.histories.steps import Check, Run, Say

SEEDS = range(60)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_seed_gives_the_same_history_in_another_process(seed: int) -> None:
    program = f"from tests.histories.generator import make_history; print(make_history({seed}))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {program}"]
    told = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, check=True, text=True, env={"PYTHONHASHSEED": "7"}
    )
    assert told.stdout == f"{make_history(seed)}\n"


def test_seeds_differ() -> None:
    assert len({str(make_history(seed)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("mode", ["cdc", "watermark"])
def test_a_history_is_loaded_and_ends_with_a_check_and_nobody_in_a_transaction(mode: str) -> None:
    for seed in SEEDS:
        history = make_history(seed, mode=mode)
        assert any(isinstance(step, Run) and step.verb == "load" and step.fault is None for step in history.steps)
        assert isinstance(history.steps[-1], Check)
        open_writers: set[int] = set()
        for step in history.steps:
            said = [step] if isinstance(step, Say) else step.meanwhile if isinstance(step, Run) else []
            for say in said:
                if say.kind == "begin":
                    open_writers.add(say.writer)
                elif say.kind in ("commit", "abort", "prepare"):
                    open_writers.discard(say.writer)
            if "source" in step.kind or (isinstance(step, Run) and step.fault and step.fault.name == "crash source"):
                open_writers.clear()
        assert not open_writers


def test_mode_watermark_only_adds_rows() -> None:
    kinds = {step.kind for s in SEEDS for step in make_history(s, mode="watermark").steps if isinstance(step, Say)}
    assert not kinds & {"update", "delete", "key change", "truncate", "column added"}


def test_without_faults_there_are_none() -> None:
    for seed in SEEDS:
        steps = make_history(seed, faults=False).steps
        assert not any(isinstance(step, Run) and step.fault is not None for step in steps)
        assert not any("crash" in step.kind or step.kind == "end follow: kill" for step in steps)
