"""An Airflow of our own in a folder: its processes, on 127.0.0.1 only; by default SQLite and LocalExecutor."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from gridferry.airflow.child_processes import ChildProcesses
from gridferry.errors import ConfigError, FerryError
from gridferry.local.interrupts import held

USER = "airflow"
PASSWORD = "airflow"  # noqa: S105 - printed: a login for a server that only this machine can reach, and not for long
START_LIMIT_S = 180.0
STOP_LIMIT_S = 20.0
_LOG_LINES = 5
# `-s`: without a server for logs, which would listen on every address; the pages read the same folder.
PROCESSES: dict[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "-s"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "-s"),
}


class LocalAirflow:
    """Airflow's processes. A context; they are all gone when it ends.

    Args: folder: for everything it writes; dags: its DAG files; connections: documents by id; parallelism: tasks at
        the same time; port: of its pages, 0 takes a free one; settings: variables that win over ours; processes:
        Airflow's commands, by name.
    Raises on start: FerryError with the end of a log if it does not come up.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dags: Path,
        connections: Mapping[str, Mapping[str, Any]],
        parallelism: int = 4,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        processes: Mapping[str, tuple[str, ...]] = PROCESSES,
    ) -> None:
        self.folder = folder
        self.home = folder / "airflow"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._connections = connections
        self._commands = processes
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
            **_settings(self.home, self.url, self.port, dags=dags, parallelism=parallelism),
            **(settings or {}),
            # Processes find us and nothing else in this checkout.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }

    @property
    def pids(self) -> dict[str, int]:
        """The processes that were started, by what they are."""
        return {name: process.pid for name, process in self._processes.items()}

    def start(self) -> Self:
        """Make the database, start everything, and return once the pages answer."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
        self._once("db", "migrate")
        self._import_connections()
        for name, arguments in self._commands.items():
            with (self.home / f"{name}.log").open("wb") as log, held():
                self._processes[name] = subprocess.Popen(  # noqa: S603 - Airflow, no shell
                    [sys.executable, "-m", "airflow", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self.environment,
                    start_new_session=True,  # Ctrl-C reaches us, and we stop them in order
                )
        self._await_health()
        return self

    def stop(self) -> None:
        """Stop everything, in order; at once what takes too long. A second call does nothing."""
        processes, self._processes = self._processes, {}
        children = ChildProcesses(process.pid for process in processes.values())
        children.look()
        for process in processes.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_LIMIT_S
        for process in processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        children.end()
        for process in processes.values():
            process.wait()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ask(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """One request to its REST interface, as a document. Raises: urllib.error.HTTPError for a refusal."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def log_in(self) -> str:
        """A token for `ask`."""
        return str(self.ask("POST", "/auth/token", {"username": USER, "password": PASSWORD})["access_token"])

    def require_alive(self) -> None:
        """Raises: FerryError if one of the processes has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise FerryError(
                    f"Airflow's {name} ended: {self._log_tail(name)}", next_step="see whether the port is free"
                )

    def _import_connections(self) -> None:
        path = self.home / "connections.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(self._connections))
        try:
            self._once("connections", "import", str(path))
        finally:
            path.unlink()

    def _once(self, *arguments: str) -> None:
        """A command of Airflow's that ends by itself."""
        done = subprocess.run(  # noqa: S603 - Airflow, no shell
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            said = " | ".join(done.stdout.decode(errors="replace").splitlines()[-_LOG_LINES:])
            raise ConfigError(f"`airflow {arguments[0]} {arguments[1]}` failed: {said}")

    def _await_health(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            self.require_alive()
            try:
                parts = self.ask("GET", "/api/v2/monitor/health")
                if all((parts.get(name) or {}).get("status") == "healthy" for name in ("scheduler", "dag_processor")):
                    return
            except (urllib.error.URLError, OSError, ValueError):
                parts = "no answer"
            if time.monotonic() > deadline:
                raise FerryError(f"Airflow did not come up in {START_LIMIT_S:g} s: {parts}")
            time.sleep(0.5)

    def _log_tail(self, name: str) -> str:
        lines = (self.home / f"{name}.log").read_text(errors="replace").splitlines()
        return " | ".join(lines[-_LOG_LINES:]) or "it wrote nothing"


def free_port(wanted: int = 0) -> int:
    """`wanted` if nobody listens there, else any free port."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise ConfigError("there is no free port on 127.0.0.1")


def _settings(home: Path, url: str, port: int, *, dags: Path, parallelism: int) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": _fernet_key(),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        # All processes have to sign with one key; without it each makes its own, and tasks are turned away.
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONDONTWRITEBYTECODE": "",
    }


def _fernet_key() -> str:
    """32 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
