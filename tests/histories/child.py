"""Runs of gridferry in processes of their own, so that they can be killed, frozen and stood still at a point.

Run as a program it reads jobs, one a line of JSON, and forks a process for each: the imports take longer than a run. A
run connects to the socket that its job names and tells there, one JSON a line: `pid`; `at` when it stands still, until
`go` comes back; `done` with what was read and written; or `error` with its kind. `stop` ends a run without end.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - this and the two drivers are loaded before the forks, which is quicker
import functools
import gc
import itertools
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import adbc_driver_postgresql  # noqa: F401
import numpy.ma  # noqa: F401
from tests.e2e.dying_load import POINTS
from tests.histories.planted import plant

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.lease_group import LeaseGroup
from gridferry.engine.events import ChunkDone, Event
from gridferry.engine.migration import Migration
from gridferry.engine.retry import is_transient
from gridferry.engine.sync.cdc import run as cdc
from gridferry.errors import FerryError
from gridferry.plan.config import parse_config
from gridferry.source.postgres.log import stream as replication
from gridferry.source.postgres.session import snapshot
from gridferry.without_pandas import leave_pandas_out

Job = dict[str, Any]
DEAD_AFTER_S = 1.0
_NOW = "pg_catalog.clock_timestamp()"


class Line:
    """The run's end of its socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._file = self._socket.makefile("r")
        self._lock = threading.Lock()
        self._go = threading.Semaphore(0)
        self.stopped = threading.Event()
        threading.Thread(target=self._hear, daemon=True).start()

    def tell(self, **words: Any) -> None:
        """One line to the player."""
        with self._lock:
            self._socket.sendall(json.dumps(words).encode() + b"\n")

    def stand_still(self, point: str) -> None:
        """Until the player says go."""
        self.tell(at=point)
        self._go.acquire()

    def _hear(self) -> None:
        for word in self._file:
            if word.strip() == "go":
                self._go.release()
            else:
                self.stopped.set()
        os._exit(0)  # the player is gone


def stand_still_at(line: Line, *, point: str, moment: str, call: int) -> None:
    """Let the run stand still before or after the `call`-th call of a point."""
    owner, name = POINTS[point]
    original: Callable[..., Any] = getattr(owner, name)
    calls = itertools.count(1)

    @functools.wraps(original)
    def caught(*args: Any, **options: Any) -> Any:
        mine = next(calls) == call
        if mine and moment == "before":
            line.stand_still(point)
        result = original(*args, **options)
        if mine and moment == "after":
            line.stand_still(point)
        return result

    setattr(owner, name, caught)


def hasten(job: Job) -> None:
    """Small groups, and short waits where nothing but time is waited for."""
    replication.StreamOptions = functools.partial(  # type: ignore[misc,assignment]
        replication.StreamOptions, group_bytes=job["group_bytes"]
    )
    cdc._IDLE_SAVE_S = 0.05
    for kind in (Lease, LeaseGroup):  # both alike: who waits for a lease goes by its holder's beat, whichever has it
        defaults = kind.__init__.__kwdefaults__
        assert defaults is not None
        defaults.update(beat_s=0.25, dead_after_s=DEAD_AFTER_S)


def reroute(ports: dict[int, int]) -> None:
    """Connections to some ports go to others instead; a GridDB node tells its own, past any proxy."""
    original = socket.create_connection

    def connecting(address: tuple[str, int], *args: Any, **options: Any) -> socket.socket:
        return original((address[0], ports.get(address[1], address[1])), *args, **options)

    socket.create_connection = connecting  # type: ignore[assignment]


def set_back_own_clock() -> None:
    """This machine's clock shows yesterday."""

    def yesterday() -> str:
        return (datetime.now(timezone.utc) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    for name, module in list(sys.modules.items()):
        if name.startswith("gridferry.") and hasattr(module, "utc_now"):
            module.utc_now = yesterday  # type: ignore[attr-defined]


def set_back_source_clock() -> None:
    """The source's clock, as a snapshot tells it, is two hours back."""
    snapshot._TAKE = snapshot._TAKE.replace(_NOW, f"({_NOW} - interval '2 hours')")


def work(job: Job, line: Line) -> None:
    """Do the job, and tell how it went."""
    hasten(job)
    reroute({int(port): to for port, to in job["reroute"].items()})
    if job["bug"]:
        plant(job["bug"])
    if job["clock"] == "own":
        set_back_own_clock()
    if job["clock"] == "source":
        set_back_source_clock()
    if job["point"]:
        stand_still_at(line, point=job["point"], moment=job["moment"], call=job["call"])
    chunks = itertools.count(1)
    left = job["chunks"]

    def hear(event: Event) -> None:
        if isinstance(event, ChunkDone) and left is not None and next(chunks) >= left:
            line.stopped.set()

    options = dict(job["options"])
    if job["verb"] in ("sync", "follow"):
        options["until"] = line.stopped.is_set
    if left == 0:
        line.stopped.set()
    try:
        with Migration(parse_config(job["config"], env=job["env"]), listener=hear) as migration:
            verbs: dict[str, Callable[..., Any]] = {
                "load": migration.loads.load,
                "take over": lambda **given: migration.sources.take_over(**given),
            }
            done = verbs.get(job["verb"], migration.syncs.sync)(**options)
        sums = {n: sum(getattr(d, n, 0) for d in done) for n in ("read", "rows", "deleted")}
        line.tell(done=[d.outcome for d in done], **sums)
    except FerryError as error:
        line.tell(error=type(error).__name__, message=str(error), transient=is_transient(error))


def run(job: Job) -> None:
    """The whole life of a run's process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    line = Line(job["socket"])
    line.tell(pid=os.getpid())
    try:
        work(job, line)
    except BaseException:
        line.tell(error="not one of ours", message=traceback.format_exc(), transient=False)


def main() -> None:
    """Fork a process for each job."""
    leave_pandas_out()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead: a lease's holder is to be seen as gone
    for line in sys.stdin:
        if os.fork() == 0:
            sys.stdin = Path(os.devnull).open()  # noqa: SIM115 - for the rest of the process
            run(json.loads(line))
            os._exit(0)


if __name__ == "__main__":
    main()
