"""An Airflow that runs, and ways to look at it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psutil
from tests.airflow.conftest import connections
from tests.conftest import Database
from tests.e2e.ferry import Ferry

from gridferry.airflow.local_airflow import LocalAirflow

PATIENCE_S = 180.0


@dataclass
class Running:
    """Airflow under way, the databases that its DAGs work on, and ways to look at it."""

    airflow: LocalAirflow
    database: Database
    ferry: Ferry
    token: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return self.airflow.ask(method, f"/api/v2{path}", body, token=self.token)

    def unpause(self, dag: str) -> None:
        self.ask("PATCH", f"/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str) -> str:
        return str(self.ask("POST", f"/dags/{dag}/dagRuns", {"logical_date": None})["dag_run_id"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", f"/dags/{dag}/dagRuns?order_by=-run_after")["dag_runs"]
        return found

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances")[
            "task_instances"
        ]
        return found

    def tries(self, dag: str, run: str, task: str, map_index: int) -> list[dict[str, Any]]:
        """The attempts at one mapped task, the last one too."""
        path = f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances/{task}/{map_index}/tries"
        found: list[dict[str, Any]] = self.ask("GET", path)["task_instances"]
        return found

    def returned(self, dag: str, run: str, task: str, map_index: int) -> Any:
        """What one mapped task returned."""
        path = f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances/{task}/xcomEntries/return_value"
        return self.ask("GET", f"{path}?map_index={map_index}&deserialize=true")["value"]

    def log(self, dag: str, run: str, task: str, *, attempt: int = 1) -> str:
        path = f"/dags/{dag}/dagRuns/{quote(run, safe='')}/taskInstances/{task}/logs/{attempt}"
        return json.dumps(self.ask("GET", path))

    def finished(self, dag: str, run: str = "") -> dict[str, Any]:
        """The run once it has ended; the newest one without a name."""

        def ended() -> dict[str, Any] | None:
            runs = [each for each in self.runs(dag) if not run or each["dag_run_id"] == run]
            return runs[0] if runs and runs[0]["state"] in ("success", "failed") else None

        return wait(ended, f"the end of {dag}")


def wait(look: Callable[[], Any], what: str, *, pause_s: float = 0.3) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(pause_s)
    return found


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; not one that has ended, and that nobody asked how."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def connections_of(ferry: Ferry) -> dict[str, dict[str, Any]]:
    """Both connections, by id."""
    return {key.removeprefix("AIRFLOW_CONN_").lower(): value for key, value in connections(ferry).items()}
