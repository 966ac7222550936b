"""What a process has started, and what those have: found again, and ended, when their parents are gone.

Airflow gives each task a process group of its own, so that a group's end leaves tasks running; but a task stays in
the session of the process that it comes from. What opened another session is known as somebody's child.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from gridferry.errors import FerryError

_END_LIMIT_S = 10.0
_PAUSE_S = 0.02


class ChildProcesses:
    """The processes of some sessions, and their children. `look` as long as parents live: orphans have none."""

    def __init__(self, sessions: Iterable[int]) -> None:
        """Args: sessions: the ids of processes, each the leader of a session of its own."""
        self._sessions = frozenset(sessions)
        self._known: set[psutil.Process] = set()

    def look(self) -> set[psutil.Process]:
        """Remember what there is now. Returns everything known that still runs."""
        for pid in psutil.pids():
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getsid(pid) in self._sessions:
                    found = psutil.Process(pid)
                    self._known |= {found, *found.children(recursive=True)}
        self._known = {process for process in self._known if _runs(process)}
        return set(self._known)

    def end(self) -> None:
        """Kill all of it, also what is started meanwhile; return when it is gone.

        Raises: FerryError for what does not go.
        """
        deadline = time.monotonic() + _END_LIMIT_S
        while found := self.look():
            for process in found:
                with suppress(psutil.NoSuchProcess):
                    process.kill()  # not another one that has got the same number since
            if time.monotonic() > deadline:
                numbers = " ".join(str(process.pid) for process in found)
                raise FerryError(f"processes of Airflow cannot be ended: {numbers}", next_step=f"kill -9 {numbers}")
            time.sleep(_PAUSE_S)


def _runs(process: psutil.Process) -> bool:
    """Not one that has ended, and whose parent has not asked how."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
