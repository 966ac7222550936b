"""PgBouncer before a test's PostgreSQL, and an application that works through it without a pause."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psycopg
import pytest
from tests.conftest import Database

NO_PGBOUNCER = "there is no pgbouncer here (Debian's package of that name)"
_NAME = "pooled"  # what the pooler's clients call the database
_PLACES = ("/usr/sbin", "/usr/bin", "/usr/local/bin")


def program() -> str:
    """PgBouncer's program; the test is skipped where there is none."""
    found = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))
    if found is None:
        pytest.skip(NO_PGBOUNCER)
    return found


@dataclass(frozen=True)
class Pooler:
    """A running PgBouncer before one database."""

    port: int
    database: str

    def dsn(self, user: str = "postgres") -> str:
        return f"postgresql://{quote(user)}@127.0.0.1:{self.port}/{quote(self.database)}"


@contextmanager
def pgbouncer(database: Database, *, mode: str = "transaction", size: int = 2, **settings: str) -> Iterator[Pooler]:
    """A PgBouncer for one database, which passes each user on as who he is."""
    binary = program()
    folder = Path(tempfile.mkdtemp(prefix="gridferry-pgbouncer-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    users = folder / "users.txt"
    users.write_text("".join(f'"{name}" ""\n' for (name,) in database.run("SELECT rolname FROM pg_roles")))
    options = {
        "listen_addr": "127.0.0.1", "listen_port": str(port), "auth_type": "trust", "auth_file": str(users),
        "pool_mode": mode, "default_pool_size": str(size), "unix_socket_dir": "", **settings,
    }  # fmt: skip
    place = f"host={database.server.folder} port={database.server.port} dbname='{database.name}'"
    lines = ["[databases]", f"{_NAME} = {place}", "[pgbouncer]"]
    config = folder / "pgbouncer.ini"
    config.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in options.items())]) + "\n")
    folder.chmod(0o755)
    # As who runs the server: the folder of its socket is closed to others, and PgBouncer refuses to be root.
    user = Path(database.server.folder).stat().st_uid
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binary, str(config)],
            stdout=log,
            stderr=subprocess.STDOUT,
            user=user if os.getuid() == 0 else None,
            start_new_session=True,
        )
    try:
        _await(port, process, folder / "log")
        yield Pooler(port, _NAME)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


@dataclass
class Application:
    """Threads that write one short transaction after the other through an address, until the block ends."""

    dsn: str
    threads: int = 4
    done: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Application:
        self._stop = threading.Event()
        self._running = [threading.Thread(target=self._work, daemon=True) for _ in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join(60)

    def _work(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None) as connection:
            while not self._stop.is_set():
                try:
                    with connection.transaction():
                        connection.execute("INSERT INTO app (note) VALUES ('a')")
                        connection.execute("SELECT pg_sleep(0.002)")
                    self.done["rows"] += 1
                except psycopg.Error as error:
                    self.errors[str(error).splitlines()[0]] += 1
                    time.sleep(0.02)
