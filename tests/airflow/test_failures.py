"""Bad input: the task is red with one clear line, what may pass is tried again, and no secret is written anywhere."""

from __future__ import annotations

import json
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
from gridferry.airflow.failures import airflow_error, one_line
from gridferry.errors import ConfigError, LeaseHeld, NodeUnreachable, PlanError

SECRETS = ("WrongSecret", "PostgresSecret")


@pytest.mark.parametrize(
    ("connection", "fields", "line"),
    [
        ("GRIDDB", {"password": SECRETS[0]}, "refused"),
        ("GRIDDB", {"port": 1}, "127.0.0.1:1"),
        ("GRIDDB", {"schema": "another"}, "another"),
        ("GRIDDB", None, "griddb_default"),
        ("POSTGRES", {"schema": "no such database"}, "no such database"),
        ("POSTGRES", {"host": "127.0.0.1", "port": 1}, "127.0.0.1:1"),
    ],
    ids=["password", "griddb down", "cluster", "no connection", "database", "postgres down"],
)
def test_a_red_task_says_why_in_one_line(
    ferry: Ferry,
    postgres: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    connection: str,
    fields: dict[str, Any] | None,
    line: str,
) -> None:
    make_sensors(postgres, rows=10)
    name = f"AIRFLOW_CONN_{connection}_DEFAULT"
    if fields is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, json.dumps({**connections(ferry)[name], **fields}))
    states = run(gridferry_dags_of([TABLE])["migration_initial"])
    assert states["prepare"] == ["failed"]
    assert states["finish"] == ["upstream_failed"]
    said = capsys.readouterr().out
    errors = [text for text in said.splitlines() if "Exception: " in text]
    assert any(line in text for text in errors), errors
    assert "During handling of the above exception" not in said
    assert not any(secret in said for secret in SECRETS)


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


def test_a_plan_that_cannot_be_carried_out_is_told_whole(
    ferry: Ferry, postgres: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sensors(postgres, rows=100, bad_every=50)
    states = run(gridferry_dags_of([TABLE])["migration_initial"])
    assert (states["prepare"], states["load"]) == (["failed"], ["upstream_failed"])
    said = capsys.readouterr().out
    assert "AirflowFailException: one problem stops the load; public.sensor: values of note longer than" in said


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
    error = PlanError("it\n  fails", problems=("a", "b"), state="nothing was changed", next_step="mend it")
    assert one_line(error) == "it fails; a; b; nothing was changed; next: mend it"


def test_a_sync_without_a_table_to_follow() -> None:
    with pytest.raises(AirflowFailException, match="no table in the config is to be followed"):
        GridFerrySyncOperator(task_id="sync", config={"tables": [{"table": "t"}]}).wanted  # noqa: B018


def test_config_that_went_away_after_the_dag_was_read(tmp_path: Path) -> None:
    task = GridFerrySyncOperator(task_id="sync", config=str(tmp_path / "gone.yaml"))
    with pytest.raises(AirflowFailException, match=r"gone\.yaml cannot be read"), task.migration():
        pass
