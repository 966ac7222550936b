"""What the demo runs on: a temporary folder, and the GridDB emulator as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from gridferry.errors import GridDBError
from gridferry.local.interrupts import held, undisturbed

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
PASSWORD = "admin"  # noqa: S105 - GridDB's own default, on a server that lives for a minute on 127.0.0.1


def make_folder() -> Path:
    """A new temporary folder that PostgreSQL's account can pass through: as root the server runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="gridferry-demo-"))
    folder.chmod(0o755)
    return folder


def remove_folder(folder: Path) -> None:
    """Remove the folder and what is left in it."""
    shutil.rmtree(folder)


class LocalGridDB:
    """`gridferry serve` in a process of its own, on a free port, its data in memory.

    Raises on start: GridDBError with the end of its log if it does not come up.
    """

    def __init__(self, folder: Path) -> None:
        self.target = ""
        self.log_path = folder / "griddb.log"
        self._process: subprocess.Popen[str] | None = None

    @property
    def password(self) -> str:
        """What to log in with."""
        return PASSWORD

    @property
    def pid(self) -> int:
        """The process id; 0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> LocalGridDB:
        """Start it; it listens when this returns, and `target` is its address."""
        command = [sys.executable, "-m", "gridferry.cli.main", "serve", "--json", "--port", "0"]
        with self.log_path.open("w") as log, held():
            self._process = subprocess.Popen(  # noqa: S603 - ourselves, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "GRIDDB_PASSWORD": PASSWORD},
                start_new_session=True,  # Ctrl-C reaches the demo, which then stops the server in order
            )
        said = self._first_words(self._process)
        if "target" not in said:
            self.stop()
            raise GridDBError(
                f"the GridDB emulator did not start: {said.get('error', {}).get('message') or self._log_tail()}",
                next_step="`gridferry serve` shows more",
            )
        self.target = str(said["target"])
        return self

    def stop(self) -> None:
        """Stop it, in order; at once if it takes too long. A second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def leave_running(self) -> None:
        """Let it live on after this process."""
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
            self._process.returncode = 0  # not ours any more: no warning that it still runs

    def __enter__(self) -> LocalGridDB:
        try:
            return self.start()
        except BaseException:
            with undisturbed():
                self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _first_words(self, process: subprocess.Popen[str]) -> dict[str, dict[str, str]]:
        """The document that it prints when it listens; empty if it ended before, or took too long."""
        timer = threading.Timer(START_LIMIT_S, process.kill)
        timer.start()
        lines: list[str] = []
        try:
            for line in process.stdout or ():
                lines.append(line)
                if line.startswith("}"):
                    break
        finally:
            timer.cancel()
        try:
            document: dict[str, dict[str, str]] = json.loads("".join(lines))
        except ValueError:
            return {}
        return document

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:]) or "it wrote nothing"
