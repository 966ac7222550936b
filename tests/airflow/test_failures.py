"""Bad input: the task is red with one clear line, what may pass is tried again, and no secret is written anywhere."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.conftest import HOME, connections
from tests.airflow.running import bag_of, gridferry_dags_of, run, write_dags
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.sensors import TABLE, assert_arrived, make_sensors

from gridferry.airflow import GridFerrySyncOperator
from gridferry.airflow.compat import AirflowException, AirflowFailException
from gridferry.airflow.connection_lookup import ConnectionNotGiven, named_connection
from gridferry.airflow.failures import airflow_error, one_line, tells_airflow
from gridferry.airflow.triggers import StateTrigger
from gridferry.errors import ConfigError, LeaseHeld, NodeUnreachable, PlanError

RETRIED = {"retries": 1, "retry_delay": 0.0}
SECRETS = ("WrongSecret", "PostgresSecret")


@pytest.mark.parametrize(
    ("connection", "fields", "what", "next_step", "tries"),
    [
        ("GRIDDB", {"password": SECRETS[0]}, 'refused the login of "admin"', "check user, password", 1),
        ("GRIDDB", {"port": 1}, "no connection to the GridDB node 127.0.0.1:1: ", "check that the node runs", 2),
        ("GRIDDB", {"schema": "another"}, "another", "", 1),
        ("GRIDDB", {"conn_type": "http"}, "griddb_default cannot be used: it is of type http", "name another", 1),
        ("GRIDDB", None, "Airflow has no connection griddb_default", "AIRFLOW_CONN_GRIDDB_DEFAULT", 1),
        ("POSTGRES", None, "Airflow has no connection postgres_default", "AIRFLOW_CONN_POSTGRES_DEFAULT", 1),
        ("POSTGRES", {"schema": "no such database"}, 'database "no such database" does not exist', "correct", 1),
        ("POSTGRES", {"host": "127.0.0.1", "port": 1}, "no connection to PostgreSQL at 127.0.0.1:1/", "check host", 2),
    ],
    ids=[
        "password",
        "griddb down",
        "cluster",
        "type",
        "no griddb connection",
        "no postgres connection",
        "database",
        "postgres down",
    ],
)
def test_a_red_task_says_why_in_one_line(
    ferry: Ferry,
    postgres: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    connection: str,
    fields: dict[str, Any] | None,
    what: str,
    next_step: str,
    tries: int,
) -> None:
    make_sensors(postgres, rows=10)
    name = f"AIRFLOW_CONN_{connection}_DEFAULT"
    if fields is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, json.dumps({**connections(ferry)[name], **fields}))
    states = run(gridferry_dags_of([TABLE], default_args=RETRIED)["migration_initial"])
    assert states["prepare"] == ["failed"]
    assert states["finish"] == ["upstream_failed"]
    said = capsys.readouterr().out
    for line in assert_told(said, tries=tries):
        assert what in line
        assert f"; next: {next_step}" in line or next_step in line.partition("; next: ")[2]
    assert not any(secret in said for secret in SECRETS)


def assert_told(said: str, *, tries: int = 1) -> list[str]:
    """Each try told of one error in one line, without a chain of causes or frames of our layers. Returns the lines."""
    lines = [line for line in said.splitlines() if "Exception: " in line]
    assert len(lines) == said.count("Traceback") == said.count("[error ") == tries, said
    assert "During handling of the above exception" not in said
    assert "The above exception was the direct cause" not in said
    ours = [line for line in said.splitlines() if re.match(r' +File ".*/(gridferry|psycopg)/', line)]
    assert len(ours) == tries, ours
    assert all("/gridferry/airflow/failures.py" in line for line in ours), ours
    return lines


def test_a_difference_is_red_and_names_the_container(
    ferry: Ferry, postgres: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sensors(postgres)
    dags = gridferry_dags_of([TABLE])
    run(dags["migration_initial"])
    postgres.run("UPDATE sensor SET temp = 1e6 WHERE n = 7")
    capsys.readouterr()
    states = run(dags["parity"])
    assert (states["wait_for_load"], states["verify"]) == (["success"], ["failed"])
    assert "1 row differs, in 1 container: sensor_" in capsys.readouterr().out


def test_differences_are_repaired_where_that_is_asked_for(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(TABLE)
    ferry.load()
    postgres.run("UPDATE sensor SET temp = 1e6 WHERE n = 7")
    postgres.run("DELETE FROM sensor WHERE n = 8")
    path = write_dags(
        "# airflow dag\nimport json\nfrom airflow.sdk import DAG\n"
        "from gridferry.airflow import GridFerryVerifyOperator\n"
        f"config = json.loads({json.dumps({'tables': [TABLE]})!r})\n"
        "with DAG('repairing', schedule=None):\n"
        "    repair = GridFerryVerifyOperator(task_id='repair', config=config, repair=True)\n"
        "    repair >> GridFerryVerifyOperator(task_id='verify', config=config)\n"
    )
    assert run(bag_of(path).dags["repairing"]) == {"repair": ["success"], "verify": ["success"]}
    assert_arrived(ferry, postgres)


def test_a_repair_of_counts_alone_is_refused(ferry: Ferry, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_dags(
        "# airflow dag\nimport json\nfrom airflow.sdk import DAG\n"
        "from gridferry.airflow import GridFerryVerifyOperator\n"
        f"config = json.loads({json.dumps({'tables': [TABLE]})!r})\n"
        f"with DAG('hasty', schedule=None, default_args={RETRIED!r}):\n"
        "    GridFerryVerifyOperator(task_id='verify', config=config, quick=True, repair=True)\n"
    )
    assert run(bag_of(path).dags["hasty"]) == {"verify": ["failed"]}
    (line,) = assert_told(capsys.readouterr().out)
    assert "AirflowFailException: quick and repair do not go together; next: leave one out" in line


def test_a_plan_that_cannot_be_carried_out_is_told_whole(
    ferry: Ferry, postgres: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sensors(postgres, rows=100, bad_every=50)
    states = run(gridferry_dags_of([{**TABLE, "columns": {"note": "string"}}])["migration_initial"])
    assert (states["prepare"], states["load"]) == (["failed"], ["upstream_failed"])
    (line,) = assert_told(capsys.readouterr().out)
    assert "AirflowFailException: one problem stops the load; public.sensor: values of note longer than" in line


def test_a_table_that_is_not_there(ferry: Ferry, postgres: Database, capsys: pytest.CaptureFixture[str]) -> None:
    run(gridferry_dags_of([{**TABLE, "table": "nowhere"}], default_args=RETRIED)["migration_initial"])
    (line,) = assert_told(capsys.readouterr().out)
    assert "AirflowFailException: there is no table nowhere; nothing was read; next: correct the names" in line


def test_a_config_file_with_mistakes(ferry: Ferry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gridferry.yaml"
    config.write_text("tables:\n  - {table: sensor, kee: n}\n")
    path = write_dags(
        "# airflow dag\nfrom airflow.sdk import DAG\n"
        "from gridferry.airflow import GridFerryLoadedSensor, GridFerrySyncOperator\n"
        f"with DAG('mistaken', schedule=None, default_args={RETRIED!r}):\n"
        f"    GridFerrySyncOperator(task_id='sync', config={str(config)!r})\n"
        f"    GridFerryLoadedSensor(task_id='wait', config={str(config)!r})\n"
    )
    assert run(bag_of(path).dags["mistaken"]) == {"sync": ["failed"], "wait": ["failed"]}
    for line in assert_told(capsys.readouterr().out, tries=2):  # one of each task
        assert f"AirflowFailException: {config} has " in line
        assert "tables[0].kee: is not known here" in line
        assert "; next: correct the file" in line


def test_reading_a_dag_connects_to_nothing(ferry: Ferry, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a DAG file is read, and something is connected to")

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", refuse)
        for name in connections(ferry):
            patched.delenv(name)
        assert len(gridferry_dags_of([{**TABLE, "sync": {"mode": "watermark"}}])) == 3


def test_empty_work_is_a_success(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=0)
    dags = gridferry_dags_of([{**TABLE, "sync": {"mode": "watermark"}}])
    for dag in (*dags.values(), *dags.values()):
        assert all(set(states) == {"success"} for states in run(dag).values())


def test_no_secret_is_kept_by_airflow(
    ferry: Ferry, postgres: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "OnlyHereSecret"
    name = "AIRFLOW_CONN_POSTGRES_DEFAULT"
    monkeypatch.setenv(name, json.dumps({**connections(ferry)[name], "password": secret}))
    make_sensors(postgres)
    for dag in gridferry_dags_of([{**TABLE, "sync": {"mode": "watermark"}}]).values():
        run(dag)
    assert secret not in capsys.readouterr().out
    kept = [path for path in HOME.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == []
    assert any(b"migration_continuous" in path.read_bytes() for path in HOME.glob("airflow.db*"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LeaseHeld("another run works on it"), AirflowException),
        (NodeUnreachable("nobody there"), AirflowException),
        (ConfigError("no"), AirflowFailException),
        (PlanError("no", problems=("a", "b")), AirflowFailException),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Any, kind: type[Exception]) -> None:
    assert type(airflow_error(error)) is kind


def test_one_line_holds_everything() -> None:
    error = PlanError("two:\n  it\n  fails\n", problems=("a", "b"), state="nothing was changed", next_step="mend it")
    assert one_line(error) == "two: it; fails; a; b; nothing was changed; next: mend it"


class Task:
    """As much of a task as an error needs."""

    log = logging.getLogger("task")

    @tells_airflow
    def run(self, error: Exception) -> None:
        raise error


def test_a_mistake_in_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as found:
        Task().run(ZeroDivisionError("a mistake"))
    assert [frame.name for frame in found.traceback[-2:]] == ["told", "run"]


def test_what_was_behind_an_error_is_there_for_who_asks(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="task"), pytest.raises(AirflowFailException, match="no") as found:
        Task().run(ConfigError("no"))
    assert found.traceback[-1].name == "told"
    assert (found.value.__cause__, found.value.__suppress_context__) == (None, True)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ConfigError)


def test_a_missing_connection_is_asked_for_again_only_where_a_backend_may_be_down(
    airflow_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="Airflow has no connection nowhere"):
        named_connection("nowhere")
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "airflow.secrets.local_filesystem.LocalFilesystemBackend")
    with pytest.raises(ConnectionNotGiven, match="or the secrets backend did not answer") as found:
        named_connection("nowhere")
    assert type(airflow_error(found.value)) is AirflowException


def test_a_trigger_tells_of_a_missing_connection(airflow_home: Path) -> None:
    trigger = StateTrigger(config={"tables": [TABLE]}, tables=["sensor"], kind="loaded", poll_s=0.0)

    async def first() -> dict[str, Any]:
        async for event in trigger.run():
            return dict(event.payload)
        raise AssertionError("the trigger ended without an event")

    said = asyncio.run(first())
    assert (said["ready"], said["error"].partition(";")[0]) in [
        (False, f"Airflow has no connection {name}_default") for name in ("griddb", "postgres")
    ]


def test_a_sync_without_a_table_to_follow() -> None:
    with pytest.raises(AirflowFailException, match="no table in the config is to be followed"):
        GridFerrySyncOperator(task_id="sync", config={"tables": [{"table": "t"}]}).wanted  # noqa: B018


def test_config_that_went_away_after_the_dag_was_read(tmp_path: Path) -> None:
    task = GridFerrySyncOperator(task_id="sync", config=str(tmp_path / "gone.yaml"))
    with pytest.raises(AirflowFailException, match=r"gone\.yaml cannot be read"):
        task.execute({})
