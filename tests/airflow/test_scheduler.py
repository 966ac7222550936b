"""A real Airflow as `make airflow` runs it: processes, scheduler, LocalExecutor, REST. One story, told once."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
import yaml
from tests.airflow.live import Running, connections_of, is_alive, wait
from tests.conftest import database_on
from tests.e2e.ferry import Ferry, Server, database_of

from gridferry.airflow import local_airflow
from gridferry.airflow.local_airflow import LocalAirflow
from gridferry.demo.sample import copy_csv_into, write_readings_csv
from gridferry.local.postgres import LocalPostgres

EXAMPLES = Path(__file__).parents[2] / "examples" / "airflow"
ROWS = 405_184
DAG_FILE = """# airflow dag
from gridferry.airflow import gridferry_dags

globals().update(
    gridferry_dags(
        "gridferry.yaml",
        rows_per_bucket=110_000,
        rows_per_chunk=4_000,
        default_args={"retries": 3, "retry_delay": 1.0, "retry_exponential_backoff": False},
    )
)
"""


@pytest.fixture(scope="module")
def running(
    postgres_server: LocalPostgres, griddb: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("airflow")
    dags = folder / "dags"
    dags.mkdir()
    config = yaml.safe_load((EXAMPLES / "gridferry.yaml").read_text())
    (dags / "gridferry.yaml").write_text(yaml.safe_dump(config))
    (dags / "migration.py").write_text(DAG_FILE)
    name = f"airflow_{uuid.uuid4().hex[:10]}"
    with ExitStack() as stack:
        databases = database_on(postgres_server)
        database = next(databases)
        stack.callback(databases.close)
        stack.enter_context(database_of(griddb, name))
        readings = folder / "readings.csv"
        write_readings_csv(readings)
        assert copy_csv_into(database.connection, readings) == ROWS
        database.run("ANALYZE device")
        ferry = Ferry(database.dsn, griddb, name).of({**config["tables"][0]})
        airflow = stack.enter_context(LocalAirflow(folder, dags=dags, connections=connections_of(ferry)))
        yield Running(airflow, database, ferry, airflow.log_in())


# A task that is deaf to the signal that asks it to end, with a process of its own in another session.
ENDLESS = """# airflow dag
import os, signal, subprocess, time
from pathlib import Path
from airflow.sdk import dag, task

@dag(schedule=None)
def endless():
    @task
    def wait_for_ever():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "3600"], start_new_session=True)
        Path(os.environ["AIRFLOW_HOME"], "pids").write_text(f"{os.getpid()} {child.pid} ")
        time.sleep(3600)
    wait_for_ever()

endless()
"""


def is_of(process: psutil.Process, home: Path) -> bool:
    """Whether this folder is its AIRFLOW_HOME. Tasks do not show theirs."""
    with suppress(psutil.Error):
        return process.environ().get("AIRFLOW_HOME") == str(home) and is_alive(process)
    return False


def bucket_holders(ferry: Ferry) -> list[int]:
    """The processes that hold a bucket now."""
    with ferry.store() as store:
        if store.open_container("gridferry_state") is None:
            return []
    held = [row for row in ferry.rows("gridferry_state") if row["item"].startswith("part:")]
    return [json.loads(row["body"])["pid"] for row in held]


def test_a_migration_under_a_real_scheduler(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    initial, continuous, parity = (
        f"griddb_postgres_{name}" for name in ("migration_initial", "migration_continuous", "parity")
    )
    began = time.monotonic()
    said = []

    def took(what: str) -> None:
        said.append(f"{time.monotonic() - began:6.1f} s  {what}")

    wait(lambda: len(running.ask("GET", "/dags")["dags"]) == 3, "three DAGs")
    assert running.ask("GET", "/importErrors")["import_errors"] == []

    # The continuous one is turned on first: it waits for the first load.
    running.unpause(continuous)
    running.unpause(initial)
    victim = wait(lambda: bucket_holders(running.ferry), "a bucket under way", pause_s=0.05)[0]
    os.kill(victim, signal.SIGKILL)
    took("a bucket's process was killed")
    first = running.finished(initial)
    took(f"{initial}: {first['state']}")
    assert first["state"] == "success"
    loads = [task for task in running.tasks(initial, first["dag_run_id"]) if task["task_id"] == "load"]
    assert len(loads) == 4
    assert max(task["try_number"] for task in loads) >= 2
    assert {task["rendered_map_index"] for task in loads} == {f"public.device {n}/4" for n in range(1, 5)}
    assert running.ferry.equal()

    waited = running.finished(continuous)
    took(f"{continuous}, which waited for it: {waited['state']}")
    assert waited["state"] == "success"

    running.database.run(
        "INSERT INTO device SELECT now()::timestamp + i * interval '1 second', 'new device', 1, 2, true, 3, false, 4, 5"
        " FROM generate_series(1, 1000) AS i"
    )
    assert not running.ferry.equal()
    second = running.finished(continuous, running.trigger(continuous))
    took(f"{continuous} after an insert: {second['state']}")
    assert second["state"] == "success"
    assert running.ferry.equal()

    running.unpause(parity)
    proven = running.finished(parity)
    took(f"{parity}: {proven['state']}")
    assert proven["state"] == "success"

    running.database.run("DELETE FROM device WHERE ctid = (SELECT min(ctid) FROM device)")
    broken = running.finished(parity, running.trigger(parity))
    took(f"{parity} after a delete, which mode watermark does not see: {broken['state']}")
    assert broken["state"] == "failed"
    tasks = {task["task_id"]: task for task in running.tasks(parity, broken["dag_run_id"])}
    assert (tasks["verify"]["state"], tasks["verify"]["try_number"]) == ("failed", 1)
    assert "1 row differs, in 1 container: device" in running.log(parity, broken["dag_run_id"], "verify")

    # Every task of the first load again: nothing is done twice.
    running.ask(
        "POST", f"/dags/{initial}/clearTaskInstances", {"dry_run": False, "only_failed": False,
                                                        "dag_run_id": first["dag_run_id"]}
    )  # fmt: skip
    wait(lambda: running.finished(initial)["state"] == "success", "the cleared run")
    took(f"{initial}, cleared and run again")

    events = running.ask("GET", "/assets/events?limit=100")["asset_events"]
    assert {event["extra"]["rows"] for event in events if event["name"] == "griddb_default/public.device"} >= {
        ROWS,
        ROWS + 1000,
    }
    with capsys.disabled():
        print("\n" + "\n".join(said))


def test_the_test_button(running: Running) -> None:
    connection = {**connections_of(running.ferry)["griddb_default"], "connection_id": "griddb_default"}
    connection["extra"] = json.dumps(connection["extra"])
    good = running.ask("POST", "/connections/test", connection)
    assert good["status"], good
    assert "partitions" in good["message"]
    bad = running.ask("POST", "/connections/test", {**connection, "password": "WrongSecret"})
    assert not bad["status"]
    assert "\n" not in bad["message"]
    assert "WrongSecret" not in bad["message"]


def test_nothing_is_left_behind_and_no_secret_is_written(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    # The folder of its DAGs is beside its own.
    (running.airflow.folder / "dags" / "endless.py").write_text(ENDLESS)
    pids = running.airflow.home / "pids"
    wait(lambda: len(running.ask("GET", "/dags")["dags"]) == 4, "the DAG that does not end")
    running.unpause("endless")
    running.trigger("endless")
    wait(lambda: pids.exists() and pids.read_text().endswith(" "), "its task")
    began = [psutil.Process(pid) for pid in (*running.airflow.pids.values(), *map(int, pids.read_text().split()))]
    assert [process for process in began if not is_alive(process)] == []
    monkeypatch.setattr(local_airflow, "STOP_LIMIT_S", 5.0)
    running.airflow.stop()
    assert [process for process in began if is_alive(process)] == []
    assert [process for process in psutil.process_iter() if is_of(process, running.airflow.home)] == []
    logs = list((running.airflow.home / "logs").rglob("*.log")) + list(running.airflow.home.glob("*.log"))
    assert len(logs) > 10
    assert not [path for path in logs if b"PostgresSecret" in path.read_bytes()]
