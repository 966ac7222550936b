"""What a crash may take, and what it may not; a disk that refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.faults import Faults
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.row_statements import put_rows
from gridferry.errors import ConfigError
from gridferry.griddb.schema import ContainerSchema

Make = Callable[..., Any]


@pytest.fixture
def schema(schemas: dict[str, ContainerSchema]) -> ContainerSchema:
    return schemas["series"]


def test_a_crash_takes_what_was_not_flushed_and_no_more(
    tmp_path: Path, schema: ContainerSchema, batch: Make, ask: Make
) -> None:
    database = Database(tmp_path, flush_interval_s=None)
    container = put_container(database, "a", schema, partition=0)
    put_rows(database, container, batch(schema, (1, 1.0, "")))
    database.flush()
    put_rows(database, container, batch(schema, (2, 1.0, "")))
    put_container(database, "b", schema, partition=0)
    database.kill()
    database = Database(tmp_path, flush_interval_s=None)
    (container,) = database.catalog.containers
    assert ask(container, "select count(*)", db=database)[1] == 1
    put_rows(database, container, batch(schema, (1, 5.0, "")))
    assert ask(container, "select *", db=database) == [(1, 5.0, "")]
    database.close()


def test_row_ids_go_on_after_a_restart(tmp_path: Path, schemas: dict[str, ContainerSchema], batch: Make) -> None:
    schema = schemas["keyless"]
    for _ in range(2):
        database = Database(tmp_path, flush_interval_s=None)
        container = put_container(database, "a", schema, partition=0)
        put_rows(database, container, batch(schema, (1,), (2,)))
        database.close()
    database = Database(tmp_path, flush_interval_s=None)
    assert database.catalog.containers[0].next_row_id == 4
    database.close()


def test_the_timer_makes_writes_durable(tmp_path: Path, schema: ContainerSchema, batch: Make, ask: Make) -> None:
    database = Database(tmp_path, flush_interval_s=0.01)
    container = put_container(database, "a", schema, partition=0)
    written = threading.Event()
    mark = database.rows.written

    def note() -> None:
        # The timer may be at work on the new container still: only the rows count.
        with_rows = database.rows.waiting_rows > 0
        mark()
        if with_rows:
            written.set()

    database.rows.written = note  # type: ignore[method-assign]
    put_rows(database, container, batch(schema, (1, 1.0, "")))
    assert written.wait(10)
    database.kill()
    database = Database(tmp_path, flush_interval_s=None)
    assert ask(database.catalog.containers[0], "select count(*)", db=database)[1] == 1
    database.close()


def test_what_was_read_but_not_flushed_can_be_made_to_vanish(
    tmp_path: Path, schema: ContainerSchema, batch: Make, ask: Make
) -> None:
    database = Database(tmp_path, faults=Faults(lose_unflushed=True))
    container = put_container(database, "a", schema, partition=0)
    put_rows(database, container, batch(schema, (1, 1.0, "")))
    database.flush()
    put_rows(database, container, batch(schema, (2, 1.0, "")))
    assert ask(container, "select count(*)", db=database)[1] == 2
    database.kill()
    database = Database(tmp_path, faults=Faults(lose_unflushed=True))
    container = database.catalog.containers[0]
    assert ask(container, "select count(*)", db=database)[1] == 1
    put_rows(database, container, batch(schema, (3, 1.0, "")))
    database.close()
    database = Database(tmp_path, flush_interval_s=None)
    assert ask(database.catalog.containers[0], "select count(*)", db=database)[1] == 2
    database.close()


def test_a_full_disk_loses_nothing(tmp_path: Path, schema: ContainerSchema, batch: Make, ask: Make) -> None:
    faults = Faults()
    database = Database(tmp_path, faults=faults, flush_interval_s=None)
    container = put_container(database, "a", schema, partition=0)
    put_rows(database, container, batch(schema, (1, 1.0, "")))
    faults.disk_full = True
    for statement in (database.flush, lambda: ask(container, "select *", db=database)):
        with pytest.raises(Refusal, match="no space left") as refused:
            statement()
        assert refused.value.code is Code.CM_IO_ERROR
    faults.disk_full = False
    put_rows(database, container, batch(schema, (1, 2.0, ""), (2, 2.0, "")))
    database.flush()
    database.kill()
    database = Database(tmp_path, flush_interval_s=None)
    assert ask(database.catalog.containers[0], "select *", db=database) == [(1, 2.0, ""), (2, 2.0, "")]
    database.close()


def test_a_write_that_fails_half_way_is_done_again(
    db: Database, schemas: dict[str, ContainerSchema], batch: Make, ask: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyless = put_container(db, "keyless", schemas["keyless"], partition=0)
    series = put_container(db, "series", schemas["series"], partition=0)
    put_rows(db, keyless, batch(schemas["keyless"], (1,)))
    put_rows(db, series, batch(schemas["series"], (1, 1.0, "")))
    with monkeypatch.context() as patch:
        patch.setattr(db.catalog, "save", lambda duck: duck.run("SELECT * FROM nothing_of_that_name"))
        with pytest.raises(Refusal):
            db.flush()
    put_rows(db, keyless, batch(schemas["keyless"], (2,)))
    assert ask(keyless, "select *") == [(1,), (2,)]
    assert ask(series, "select *") == [(1, 1.0, "")]


def test_puts_can_be_refused(db: Database, schema: ContainerSchema, batch: Make) -> None:
    container = put_container(db, "a", schema, partition=0)
    db.faults.refuse_puts = Code.TXN_STATEMENT_TIMEOUT
    with pytest.raises(Refusal) as refused:
        put_rows(db, container, batch(schema, (1, 1.0, "")))
    assert refused.value.code == 10014


def test_a_folder_serves_one_server(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be opened"):
        Database(tmp_path / "file")
    (tmp_path / "gridferry.duckdb").write_text("this is no database")
    with pytest.raises(ConfigError, match="cannot be opened"):
        Database(tmp_path)


CHILD = """
import signal, sys
from pathlib import Path
import pyarrow as pa
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.refusal import Refusal
from gridferry.embedded.row_statements import put_rows
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

path, limit = Path(sys.argv[1]), int(sys.argv[2])
schema = ContainerSchema(
    ContainerKind.TIME_SERIES, (ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False), ColumnSpec("b", GridType.BLOB))
)
database = Database(path, flush_interval_s=None)
container = put_container(database, "a", schema, partition=0)
database.flush()
if limit:
    import resource
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
import os
for step in range(400):
    times = pa.array([step]).cast(pa.timestamp("ms", "UTC"))
    rows = pa.RecordBatch.from_arrays([times, pa.array([os.urandom(50_000)])], schema=schema.arrow_schema)
    try:
        put_rows(database, container, rows)
        database.flush()
    except Refusal as refusal:
        print("refused", refusal.code.value, flush=True)
        break
    print(step, flush=True)
sys.stdin.read()
"""


def _child(path: Path, limit: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(limit)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def _lines(child: subprocess.Popen[str]) -> list[str]:
    assert child.stdin is not None
    assert child.stdout is not None
    lines = child.stdout.read().split("\n")
    child.stdin.close()
    child.stdout.close()
    child.wait()
    return [line for line in lines if line]


@pytest.mark.slow
def test_killed_between_flushes(tmp_path: Path, ask: Make) -> None:
    child = _child(tmp_path, 0)
    assert child.stdout is not None
    for _ in range(20):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    last = max([19, *(int(line) for line in _lines(child))])
    database = Database(tmp_path, flush_interval_s=None)
    count = ask(database.catalog.containers[0], "select count(*)", db=database)[1]
    # One more may have reached the disk without having been reported.
    assert count in (last + 1, last + 2)
    database.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
@pytest.mark.slow
def test_a_file_that_cannot_grow_is_a_refusal(tmp_path: Path, ask: Make) -> None:
    child = _child(tmp_path, 4_000_000)
    assert child.stdin is not None
    child.stdin.close()
    assert child.stdout is not None
    *done, refused = [line for line in child.stdout.read().split("\n") if line]
    child.stdout.close()
    child.wait()
    assert refused == f"refused {int(Code.CM_IO_ERROR)}"
    database = Database(tmp_path, flush_interval_s=None)
    count = ask(database.catalog.containers[0], "select count(*)", db=database)[1]
    assert count >= len(done) > 0
    database.close()
