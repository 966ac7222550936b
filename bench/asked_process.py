"""A part of the benchmark in a process of its own, whose memory and CPU are then its alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from bench.figures import RunFailed
from bench.processes import ROOT
from bench.servers import environment

_LIMIT_S = 1800


def ask(module: str, asked: Mapping[str, Any], *, doing: str) -> dict[str, Any]:
    """Run a module that reads one JSON document and prints another. Raises: RunFailed with what it said, if it failed.

    Args: doing: what it is to do, for the error.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RunFailed(f"{doing} failed: {done.stderr.strip()[-1500:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told
