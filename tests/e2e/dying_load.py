"""Loads and syncs in processes of their own that kill themselves at the n-th call of a function.

Run as a program it reads the names of jobs, one a line, runs each in a child of its own (forked, because the imports
take longer than the loads) and writes the child's wait status. A job is a JSON file: config, env, options, verb (of
`VERBS`, load unless it is named), point, moment (before | after), call, and `reads`, a file that gets
the number of each chunk as it is read. Without a point the job runs to its end. What a child has to say goes to
`errors`, another file.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.planted import repair_one

from gridferry.checkpoint.catalog import Catalog
from gridferry.checkpoint.cursors import CursorStore
from gridferry.checkpoint.documents import DocumentStore
from gridferry.checkpoint.journal import Journal
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.lease_group import LeaseGroup
from gridferry.checkpoint.origins import OriginStore
from gridferry.checkpoint.positions import PositionStore
from gridferry.checkpoint.quarantine import Quarantine
from gridferry.checkpoint.repairs import RepairStore
from gridferry.checkpoint.runs import RunStore
from gridferry.checkpoint.standings import StandingStore
from gridferry.engine.load.replacing import Replacing
from gridferry.engine.load.table_load import TableLoader
from gridferry.engine.migration import Migration
from gridferry.griddb import BulkWriter, Store
from gridferry.plan.config import parse_config
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.log.stream import ChangeStream
from gridferry.source.postgres.rows.reader import Reader
from gridferry.without_pandas import leave_pandas_out

POINTS: dict[str, tuple[type, str]] = {
    "lease": (Lease, "_acquire"),
    "leases": (LeaseGroup, "_insert"),
    "begin run": (RunStore, "begin"),
    "resume run": (RunStore, "resume"),
    "document": (DocumentStore, "put"),
    "documents": (DocumentStore, "_write_waiting"),
    "give back": (LeaseGroup, "give_back"),
    "catalog add": (Catalog, "claim"),
    "catalog keeps": (Catalog, "keep_only"),
    "create containers": (Store, "create_each"),
    "drop containers": (Store, "drop_containers"),
    "put": (BulkWriter, "put"),
    "flush": (BulkWriter, "flush_log"),
    "hold": (Quarantine, "hold"),
    "release": (Quarantine, "release"),
    "checkpoint": (RunStore, "chunk_done"),
    "loaded": (RunStore, "loaded"),
    "begin sync": (PositionStore, "begin_all"),
    "delete": (BulkWriter, "delete"),
    "replan": (RunStore, "replan"),
    "position": (PositionStore, "save_all"),
    "confirm": (ChangeStream, "confirm"),
    "publish": (ChangeFeed, "publish"),
    "joined": (RunStore, "joined"),
    "with slot": (RunStore, "with_slot"),
    "without slot": (RunStore, "without_slot"),
    "standing": (StandingStore, "set"),
    "standing ends": (StandingStore, "forget"),
    "spare slot": (RunStore, "with_spare"),
    "slot made": (TableLoader, "_begin"),
    "clear": (Replacing, "clear"),
    "drop slot": (ChangeFeed, "drop"),
    "horizon": (ChangeFeed, "horizon"),
    "cursor": (CursorStore, "save"),
    "origin": (OriginStore, "save"),
    "begin repair": (RepairStore, "begin"),
    "journal": (Journal, "add"),
    "repair record": (RepairStore, "save"),
    "delete documents": (DocumentStore, "delete_scope"),
    "finish repair": (RepairStore, "finish"),
}

VERBS: dict[str, Callable[..., Any]] = {
    "load": lambda migration, **options: migration.loads.load(**options),
    "sync": lambda migration, **options: migration.syncs.sync(**options),
    "repair": repair_one,
    "take over": lambda migration, **options: migration.sources.take_over(**options),
    "undo": lambda migration, **options: migration.repairs.undo(**options),
    "resync": lambda migration, **options: migration.lives.resync(**options),
    "remove": lambda migration, **options: migration.lives.remove(**options),
    "forget": lambda migration, **options: migration.repairs.forget(**options),
}


def die_at(point: str, moment: str, call: int) -> None:
    """Let the process die before or after the `call`-th call of a point."""
    owner, name = POINTS[point]
    original: Callable[..., Any] = getattr(owner, name)
    calls = itertools.count(1)

    @functools.wraps(original)
    def dying(*args: Any, **options: Any) -> Any:
        mine = next(calls) == call
        if mine and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **options)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def note_reads(path: Path) -> None:
    """Write the number of each chunk that is read into a file."""
    original = Reader.read_chunk

    def noting(self: Reader, chunk: Any, plan: Any) -> Any:
        with path.open("a") as file:
            file.write(f"{chunk.number} {chunk.kind.value}\n")
        return original(self, chunk, plan)

    Reader.read_chunk = noting  # type: ignore[method-assign]


def main(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text())
    if job["point"]:
        die_at(job["point"], job["moment"], job["call"])
    note_reads(Path(job["reads"]))
    with Migration(parse_config(job["config"], env=job["env"])) as migration:
        VERBS[job.get("verb", "load")](migration, **job["options"])


def run_forked(job_file: str) -> int:
    """The wait status of a child that did the job."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        main(job_file)
    except BaseException:
        Path(json.loads(Path(job_file).read_text())["errors"]).write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    leave_pandas_out()
    for line in sys.stdin:
        print(run_forked(line.rstrip("\n")), flush=True)
