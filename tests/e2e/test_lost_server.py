"""The target goes away in the middle: acknowledged rows that were not flushed are lost, and yet nothing is (P1, P3)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, sync, without_slots
from tests.e2e.ferry import Ferry, Server
from tests.e2e.sensors import CHUNK, TABLE, assert_arrived, make_sensors
from tests.readings import make_numbered_readings

from gridferry.checkpoint.documents import DocumentStore
from gridferry.checkpoint.runs import RunStore
from gridferry.embedded.faults import Faults
from gridferry.embedded.server import serve
from gridferry.engine.events import Event, RowsPut
from gridferry.engine.retry import is_transient
from gridferry.errors import ConnectionLost, FerryError, LocalProtocolError
from gridferry.griddb import BulkWriter, ColumnSpec, Container, ContainerKind, ContainerSchema, GridType, connect

SCHEMA = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("k", GridType.LONG, nullable=False),))


class CrashingServer:
    """An embedded server in a folder that forgets, when it crashes, whatever was not flushed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0
        self.start()

    def start(self) -> None:
        faults = Faults(lose_unflushed=True)
        self._server = serve(port=self._port, path=self._folder, faults=faults, flush_interval_s=None)
        self._port = self._server.address[1]

    @property
    def server(self) -> Server:
        return Server(f"127.0.0.1:{self._port}")

    def crash(self) -> None:
        """Crash, and come back at once."""
        self._server.kill()
        self.start()

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def crashing(tmp_path: Path) -> Iterator[CrashingServer]:
    server = CrashingServer(tmp_path / "griddb")
    yield server
    server.stop()


@pytest.fixture
def crashing_ferry(postgres: Database, crashing: CrashingServer) -> Ferry:
    return Ferry(postgres.dsn, crashing.server, "public").of(TABLE)


def test_trap_16_a_flush_after_a_crash_is_no_flush_of_what_was_acknowledged_before(crashing: CrashingServer) -> None:
    with connect(crashing.server.url(), password="admin") as store:
        container = store.create_container("c", SCHEMA)
        container.flush()
        with suppress(LocalProtocolError), store.writer() as writer:
            writer.put(SCHEMA, pa.record_batch([[1, 2, 3]], schema=SCHEMA.arrow_schema), [container.handle], [0, 3])
            writer.drain()
            assert writer.rows == 3
            crashing.crash()
            with pytest.raises(ConnectionLost):
                writer.flush_log()
        assert container.count() == 0


def once_at(call: int, act: Callable[[], None]) -> Callable[[], None]:
    """A function that acts when it is called for the `call`-th time, whatever thread calls."""
    lock = threading.Lock()
    left = [call]

    def count() -> None:
        with lock:
            left[0] -= 1
            mine = left[0] == 0
        if mine:
            act()

    return count


@pytest.mark.parametrize("call", [1, 3, 8])
@pytest.mark.parametrize("step", ["put", "before the flush", "after the flush", "before the checkpoint"])
def test_trap_16_rows_acknowledged_but_lost_in_a_crash_are_put_again(
    crashing_ferry: Ferry, postgres: Database, crashing: CrashingServer, monkeypatch: pytest.MonkeyPatch,
    step: str, call: int,
) -> None:  # fmt: skip
    make_sensors(postgres)
    crash = once_at(call, crashing.crash)
    flush, checkpoint = BulkWriter.flush_log, RunStore.chunk_done

    def flushing(self: BulkWriter) -> int:
        if step == "before the flush":
            self.drain()
            crash()
        flushed = flush(self)
        if step == "after the flush":
            crash()
        return flushed

    def checking(self: RunStore, table: str, record: object) -> None:
        if step == "before the checkpoint":
            crash()
        checkpoint(self, table, record)  # type: ignore[arg-type]

    def hear(event: Event) -> None:
        if step == "put" and isinstance(event, RowsPut):
            crash()

    monkeypatch.setattr(BulkWriter, "flush_log", flushing)
    monkeypatch.setattr(RunStore, "chunk_done", checking)
    load_to_the_end(crashing_ferry, hear)
    assert_arrived(crashing_ferry, postgres)


_SERVER = """
import sys, threading
from pathlib import Path
from gridferry.embedded.server import serve
server = serve(port=int(sys.argv[1]), path=Path(sys.argv[2]))
print(server.address[1], flush=True)
threading.Event().wait()
"""


class ServerProcess:
    """The embedded server in a process of its own, with a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", _SERVER, str(self.port), str(self._folder)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def restart(self) -> None:
        self.kill()
        self.start()


@pytest.fixture
def server_process(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path / "griddb")
    yield process
    process.kill()


@pytest.mark.parametrize("call", [2, 6])
def test_a_server_process_killed_in_the_middle_and_started_again_ends_with_the_same_data(
    postgres: Database, server_process: ServerProcess, call: int
) -> None:
    make_sensors(postgres)
    ferry = Ferry(postgres.dsn, Server(f"127.0.0.1:{server_process.port}"), "public").of(TABLE)
    kill = once_at(call, server_process.restart)
    load_to_the_end(ferry, lambda event: kill() if isinstance(event, RowsPut) else None)
    assert_arrived(ferry, postgres)
    assert ferry.equal()


def load_to_the_end(ferry: Ferry, hear: Callable[[Event], None]) -> None:
    """Load as a scheduler would: again, for as long as the error says that it may help."""
    for _ in range(3):
        try:
            ferry.load(listener=hear, rows_per_chunk=CHUNK, workers=2)
        except FerryError as error:
            if not is_transient(error):
                raise
        else:
            return
    pytest.fail("three attempts were not enough")


@pytest.mark.parametrize("step", ["before the flush", "after the flush"])
def test_trap_16_deletes_of_a_stream_that_a_crash_forgot_are_sent_again(
    postgres: Database, crashing: CrashingServer, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    ferry = Ferry(postgres.dsn, crashing.server, "public").of(READING)
    make_numbered_readings(postgres)
    with without_slots(postgres):
        ferry.load()
        postgres.run("DELETE FROM reading WHERE k < 20; UPDATE reading SET n = 7 WHERE k = 30")
        crashes: list[str] = []

        def crash_now() -> None:
            crashing.crash()
            crashes.append(step)

        crash = once_at(1, crash_now)
        flush = BulkWriter.flush_log

        def flushing(self: BulkWriter) -> int:
            if step == "before the flush":
                self.drain()
                if self.deleted:
                    crash()
            done = flush(self)
            if step == "after the flush" and self.deleted:
                crash()
            return done

        monkeypatch.setattr(BulkWriter, "flush_log", flushing)
        sync(ferry)
        assert crashes == [step]
        assert_level(ferry, postgres)


@pytest.mark.parametrize("crash_after_create", [False, True])
def test_a_container_of_gridferrys_own_outlives_a_crash_right_after_it_was_made(
    crashing: CrashingServer, monkeypatch: pytest.MonkeyPatch, crash_after_create: bool
) -> None:
    with connect(crashing.server.url(), password="admin") as store:
        documents = DocumentStore(store)
        create, crashes = store.create_container, iter((True,) if crash_after_create else ())

        def created(name: str, schema: ContainerSchema) -> Container:
            made = create(name, schema)
            if next(crashes, False):
                crashing.crash()
            return made

        monkeypatch.setattr(store, "create_container", created)
        documents.container()
        crashing.crash()
        documents.put("scope", {"item": {"one": 1}})
        crashing.crash()
        assert documents.get("scope", "item") == {"one": 1}
