"""The servers that histories are played on, one set a process: a PostgreSQL of its own, a GridDB, runs of gridferry."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from tests.copies import keep_files, put_back
from tests.e2e.ferry import Ferry, Server, database_of, named_server
from tests.histories import child
from tests.histories.shapes import Shape

from gridferry.embedded.faults import Faults
from gridferry.embedded.server import serve
from gridferry.local.postgres import LocalPostgres

SETTINGS = {
    "synchronous_commit": "on",  # what was committed survives a crash: the histories end with all of it
    "logical_decoding_work_mem": "64kB",
    "fsync": "off",
    "min_wal_size": "32MB",  # it may be copied
    "max_wal_size": "128MB",
}
PATIENCE_S = 300.0  # a busy machine is slow at groups of one row; a run that hangs is found all the same
LOCK_TIMEOUT_S = 2.0  # a run that is frozen may hold a row of its lease
_ROOT = Path(__file__).parents[2]
_WRITER = "-c lock_timeout=5s -c statement_timeout=20s"


class Target:
    """The embedded server in a folder: a crash forgets whatever was not flushed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0
        self._lock = threading.Lock()
        self._left: int | None = None
        self._due = threading.Event()
        self._start()

    @property
    def server(self) -> Server:
        """Where it is."""
        return Server(f"127.0.0.1:{self.port}")

    def crash(self) -> None:
        """Crash, and come back at once."""
        self._server.kill()
        self._left = None
        self._start()

    @contextmanager
    def crashing_at(self, statement: int) -> Iterator[threading.Event]:
        """Crashes once instead of executing the n-th statement from now. Gives an event: it crashed."""
        crashed, ended = threading.Event(), threading.Event()

        def wait() -> None:
            self._due.wait()
            if not ended.is_set():
                self.crash()
                crashed.set()

        self._due.clear()
        self._left = statement
        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield crashed
        finally:
            self._left = None
            if not self._due.is_set():
                ended.set()
                self._due.set()
            thread.join()

    def stop(self) -> None:
        """Stop it for good."""
        self._server.stop()

    def _start(self) -> None:
        faults = Faults(lose_unflushed=True, on_statement=self._count)
        self._server = serve(
            port=self.port, path=self._folder, faults=faults, flush_interval_s=None, lock_timeout_s=LOCK_TIMEOUT_S
        )
        self.port = self._server.address[1]

    def _count(self, statement: int) -> None:
        with self._lock:
            if self._left is None:
                return
            self._left -= 1
            due = self._left <= 0
        if due:
            self._due.set()
            raise ConnectionResetError("the server crashes now")


@dataclass
class Running:
    """A run of gridferry, seen from outside."""

    line: socket.socket
    pid: int = 0
    said: list[dict[str, Any]] = field(default_factory=list)
    _rest: bytes = b""

    def hear(self, timeout_s: float = PATIENCE_S) -> dict[str, Any] | None:
        """What the run tells next; None when its process has ended. Raises: TimeoutError."""
        until = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            self.line.settimeout(max(0.001, until - time.monotonic()))
            try:
                data = self.line.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                self._bury()
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        word: dict[str, Any] = json.loads(line)
        self.said.append(word)
        return word

    def has_spoken(self, timeout_s: float) -> bool:
        """Whether `hear` has something to give, or has it before so much time has passed."""
        return bool(self._rest) or bool(select.select([self.line], [], [], timeout_s)[0])

    def say(self, word: str) -> None:
        """Tell the run something; one that has ended does not hear it."""
        try:
            self.line.sendall(f"{word}\n".encode())
        except OSError:
            self._bury()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def kill(self) -> None:
        """End it with SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self._bury()

    def close(self) -> None:
        """End it if it has not, and forget it."""
        self.kill()
        self.line.close()

    def _bury(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.001)
        raise TimeoutError(f"process {self.pid} does not end")


class World:
    """All that a process needs to play histories. A context."""

    def __init__(self, *, real: bool = False) -> None:
        self.real = real
        self._folder = tempfile.TemporaryDirectory(prefix="gridferry-histories-")
        folder = Path(self._folder.name)
        self.source = LocalPostgres(version=18, settings=SETTINGS).start()
        self.target: Target | None = None
        self._targets = folder / "griddb"
        self._copy = folder / "copy"
        self._path = str(folder / "line")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen(8)
        self._listener.settimeout(PATIENCE_S)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])}
        self._runs = subprocess.Popen(
            [sys.executable, child.__file__], env=environment, stdin=subprocess.PIPE, text=True
        )
        self.running: list[Running] = []

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_runs()
        assert self._runs.stdin is not None
        self._runs.stdin.close()
        self._runs.wait()
        self._listener.close()
        self.source.remove()
        self._folder.cleanup()

    @contextmanager
    def ferry(self, name: str, shapes: Sequence[Shape]) -> Iterator[Ferry]:
        """An empty source with these tables, and an empty target; `name` is that of a database on a real GridDB."""
        self.clean_source()
        with self.connect() as session:
            for shape in shapes:
                for statement in shape.statements:
                    session.execute(statement)
        with self._emptied_target(name) as (server, database):
            try:
                yield Ferry(self.source.tcp_dsn(), server, database).of(*(shape.options for shape in shapes))
            finally:
                self.end_runs()

    @contextmanager
    def _emptied_target(self, name: str) -> Iterator[tuple[Server, str]]:
        if self.real:
            with database_of(named_server(), name) as server:
                yield server, name
            return
        self.target = Target(self._targets)
        try:
            yield self.target.server, "public"
        finally:
            self.target.stop()
            shutil.rmtree(self._targets)

    def connect(self) -> psycopg.Connection[Any]:
        """A session of the application, autocommit."""
        return psycopg.connect(self.source.dsn(), autocommit=True, options=_WRITER)

    def start_run(self, job: dict[str, Any]) -> Running:
        """Begin a run; it is told to be `child.Job`."""
        assert self._runs.stdin is not None
        self._runs.stdin.write(json.dumps({**job, "socket": self._path}) + "\n")
        self._runs.stdin.flush()
        line, _ = self._listener.accept()
        running = Running(line)
        self.running.append(running)
        first = running.hear()
        assert first is not None, "a run ended before it began"
        running.pid = first["pid"]
        return running

    def end_runs(self) -> None:
        """Kill what still runs."""
        for each in self.running:
            each.close()
        self.running.clear()

    def crash_source(self) -> None:
        """PostgreSQL is killed, and started again: it recovers from its log."""
        self.source.kill()
        self.source.start()

    def copy_source(self) -> None:
        """Copy PostgreSQL's files while it is stopped. There is one copy, the last."""
        self.source.stop()
        shutil.rmtree(self._copy, ignore_errors=True)
        keep_files(self.source, self._copy)
        self.source.start()

    def move_source(self) -> tuple[int, str]:
        """Let the copy take PostgreSQL's place. Returns the transaction id and the position that had been reached."""
        with self.connect() as session:
            ((xid, lsn),) = session.execute("SELECT txid_current(), pg_current_wal_insert_lsn()::text").fetchall()
        self.source.stop()
        put_back(self.source, self._copy)
        self.source.start()
        return xid, lsn

    def pass_on(self, xid: int, lsn: str) -> None:
        """Let PostgreSQL pass a transaction id and a position by itself."""
        with self.connect() as session:
            session.execute(f"DO $$ BEGIN WHILE txid_current() <= {xid} LOOP COMMIT; END LOOP; END $$")
            passed = f"SELECT pg_current_wal_flush_lsn() > '{lsn}'::pg_lsn"
            while not session.execute(passed).fetchall()[0][0]:
                session.execute("SELECT pg_switch_wal()")
                session.execute("SELECT pg_logical_emit_message(true, 'moved', '')")

    def clean_source(self) -> None:
        """Nothing of an earlier history is left."""
        with self.connect() as session:
            session.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND backend_type IN ('client backend', 'walsender')"
            )
            for (gid,) in session.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
                session.execute(f"ROLLBACK PREPARED '{gid}'")
            session.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
            for (name,) in session.execute("SELECT quote_ident(pubname) FROM pg_publication").fetchall():
                session.execute(f"DROP PUBLICATION {name}")
            session.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
