"""In which order files of tests run: those that take longest begin first, or a run ends with one worker busy."""

from __future__ import annotations

# Measured as CPU and waiting; a folder stands for all of its files. What is not named comes last.
LONGEST = (
    "tests/histories/test_histories.py",
    "tests/histories/test_planted.py",
    "tests/bench/test_bench_runs.py",
    "tests/e2e/test_cdc_killed.py",
    "tests/e2e/test_cdc_shared_keys.py",
    "tests/e2e/test_advice.py",
    "tests/e2e",
    "tests/source",
)


def place(node: str) -> int:
    """The place of a test, by its node id, among those that run."""
    return next((number for number, start in enumerate(LONGEST) if node.startswith(start)), len(LONGEST))
