"""Temporary files of tests lie in memory where there is room: making and dropping a database costs a tenth there.

A fresh PostgreSQL database is 300 files, and most tests have one; on a disk that is a quarter of the CPU of all tests.
TMPDIR, where it is set, is taken as it is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

IN_MEMORY = Path("/dev/shm")
# A run with three workers takes less than a third of it.
NEEDED_BYTES = 3 << 30


def choose_folder(environment: dict[str, str], memory: Path = IN_MEMORY) -> str | None:
    """The folder for temporary files, or None for the usual one."""
    if environment.get("TMPDIR"):
        return None
    try:
        room = shutil.disk_usage(memory).free
    except OSError:
        return None
    return str(memory) if room >= NEEDED_BYTES and os.access(memory, os.W_OK) else None


def use_memory() -> None:
    """Let this process, and those that it starts, have their temporary files in memory if that can be."""
    chosen = choose_folder(dict(os.environ))
    if chosen is not None:
        os.environ["TMPDIR"] = tempfile.tempdir = chosen
