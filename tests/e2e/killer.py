"""Loads, syncs and repairs in processes of their own, which `dying_load` lets kill themselves at a chosen step."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import dying_load
from tests.e2e.ferry import Ferry

_ROOT = Path(__file__).parents[2]
_jobs = itertools.count(1)


@dataclass(frozen=True)
class Killer:
    """Runs jobs one after the other, each in a child of `process`."""

    process: subprocess.Popen[str]
    folder: Path

    def run(self, ferry: Ferry, verb: str, **job: Any) -> int:
        """The exit status of a job; see `run_noting`."""
        return self.run_noting(ferry, verb, **job)[0]

    def run_noting(
        self, ferry: Ferry, verb: str, *, point: str = "", moment: str = "before", call: int = 1, **options: Any
    ) -> tuple[int, list[str]]:
        """A job's exit status, and the chunks that it began to read. Without a `point` it runs to its end."""
        number = next(_jobs)
        reads, errors, file = (self.folder / f"{what} {number}" for what in ("reads", "errors", "job"))
        reads.touch()
        errors.touch()
        job = {"config": ferry.text, "env": ferry.env, "verb": verb, "options": options}
        place = {"point": point, "moment": moment, "call": call, "reads": str(reads), "errors": str(errors)}
        file.write_text(json.dumps({**job, **place}))
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{file}\n")
        self.process.stdin.flush()
        status = os.waitstatus_to_exitcode(int(self.process.stdout.readline()))
        assert status in (0, -signal.SIGKILL), errors.read_text()
        return status, reads.read_text().splitlines()


@contextmanager
def killer_in(folder: Path) -> Iterator[Killer]:
    """A killer for as long as the block lasts; its files lie in `folder`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])}
    command = [sys.executable, dying_load.__file__]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Killer(process, folder)
