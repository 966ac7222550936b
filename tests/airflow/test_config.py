"""A config that is broken is one clear line where the DAG is read; a database that is down is not even looked at."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection
from tests.airflow.conftest import HOME
from tests.airflow.running import bag_of, write_dags

from gridferry.airflow import (
    GridFerryLagSensor,
    GridFerryLoadOperator,
    GridFerryPrepareLoadOperator,
    GridFerrySyncOperator,
    gridferry_dags,
)
from gridferry.airflow.compat import AirflowFailException
from gridferry.airflow.settings import Settings
from gridferry.errors import ConfigError

TABLES: dict[str, Any] = {"tables": [{"table": "sensor", "key": "ts", "sync": {"mode": "watermark"}}]}
EXAMPLES = Path(__file__).parents[2] / "examples" / "airflow"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_dags_are_read_without_error_or_warning(path: Path) -> None:
    bag = bag_of(path)
    assert not bag.import_errors
    assert not bag.captured_warnings
    assert bag.dags
    for dag in bag.dags.values():
        assert (dag.catchup, dag.max_active_runs) == (False, 1)
        assert dag.doc_md
        assert all(task.retries for task in dag.tasks)


def test_the_ready_dags_have_their_names_and_schedules() -> None:
    dags = gridferry_dags(str(EXAMPLES / "gridferry.yaml"))
    assert {dag_id: dag.schedule for dag_id, dag in dags.items()} == {
        "griddb_postgres_migration_initial": "@once",
        "griddb_postgres_migration_continuous": "0 * * * *",
        "griddb_postgres_parity": "@daily",
    }


def test_the_first_load_fills_the_assets_that_the_others_wait_for() -> None:
    initial, continuous, parity = gridferry_dags(str(EXAMPLES / "gridferry.yaml")).values()
    filled = {outlet.name for outlet in initial.get_task("finish").outlets}
    for dag in (continuous, parity):
        assert {inlet.name for inlet in dag.get_task("wait_for_load").inlets} <= filled


def test_what_the_dag_file_asks_of_a_dag_wins() -> None:
    asked: dict[str, Any] = {
        "tags": ["mine"],
        "start_date": datetime(2025, 1, 1, tzinfo=timezone.utc),
        "description": "ours",
        "doc_md": "more",
        "max_active_runs": 2,
        "catchup": True,
        "dagrun_timeout": timedelta(hours=1),
    }
    for dag in gridferry_dags(TABLES, **asked).values():
        assert {name: getattr(dag, name) for name in asked} == {**asked, "tags": {"mine"}}


@pytest.mark.parametrize(("name", "instead"), [("schedule", "continuous"), ("dag_id", "prefix")])
def test_what_three_dags_cannot_share(name: str, instead: str) -> None:
    unknown: dict[str, Any] = {name: "x"}
    with pytest.raises(ConfigError, match=f"`{name}` cannot be one for all") as caught:
        gridferry_dags(TABLES, **unknown)
    assert instead in str(caught.value)


def test_a_config_may_be_a_path_of_pathlib() -> None:
    path = EXAMPLES / "gridferry.yaml"
    assert list(gridferry_dags(path)) == list(gridferry_dags(str(path)))
    task = GridFerryLoadOperator(task_id="load", config=path)
    assert (task.config, task.wanted) == (str(path), ["public.device"])


@pytest.mark.parametrize("config", [None, [TABLES], 7])
def test_a_config_that_is_none(config: Any) -> None:
    with pytest.raises(ConfigError, match="neither a path nor a dict"):
        gridferry_dags(config)
    with pytest.raises(AirflowFailException, match="neither a path nor a dict"):
        GridFerryLoadOperator(task_id="load", config=config).execute({})


def test_many_tables_share_tasks() -> None:
    tables = [{"table": f"t{number}"} for number in range(100)]
    dags = gridferry_dags({"tables": tables})
    assert list(dags) == ["griddb_postgres_migration_initial", "griddb_postgres_parity"]
    finishes = [task for task in dags["griddb_postgres_migration_initial"].tasks if task.task_id.startswith("finish")]
    assert len(finishes) == 16
    assert sorted(table for task in finishes for table in task.tables) == sorted(t["table"] for t in tables)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("tables: [", "broken.yaml, line 1, column 10"),
        ("tables:\n  - {table: sensor, kee: ts, on_duplicate: never}", "on_duplicate.*kee.*did you mean key"),
        ("source: postgresql://u:TopSecret@h/d\ntables:\n  - {table: sensor, kee: ts}", "kee"),
        ("[]", "expected source, target and tables"),
    ],
)
def test_a_broken_config_is_one_line_of_an_import_error(text: str, what: str) -> None:
    path = HOME / "dags" / "broken.yaml"
    path.write_text(text)
    dag_file = write_dags(
        "# airflow dag\nfrom gridferry.airflow import gridferry_dags\nglobals().update(gridferry_dags('broken.yaml'))\n"
    )
    bag = bag_of(dag_file)
    dag_file.unlink()
    (error,) = bag.import_errors.values()
    last = error.strip().splitlines()[-1]
    assert last.startswith("gridferry.errors.ConfigError: ")
    assert re.search(what, last)
    assert "TopSecret" not in error


def test_a_missing_config_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read"):
        gridferry_dags("nowhere.yaml")


def test_a_password_in_an_inline_config_never_gets_into_a_rendered_field() -> None:
    for config in (
        {**TABLES, "source": "postgresql://u:TopSecret@h/d"},
        {**TABLES, "target": {"url": "griddb://u:TopSecret@h:1/c"}},
    ):
        with pytest.raises(ConfigError, match="holds a password") as caught:
            gridferry_dags(config)
        assert "TopSecret" not in str(caught.value)
        with pytest.raises(AirflowFailException, match="holds a password"):
            GridFerryLoadOperator(task_id="load", config=config)


@pytest.mark.parametrize(
    ("document", "given", "asked"),
    [
        ({}, {}, ("postgres_default", "griddb_default")),
        ({"source": {"airflow_conn_id": "a"}, "target": {"airflow_conn_id": "b"}}, {}, ("a", "b")),
        ({"source": {"airflow_conn_id": "a"}}, {"postgres_conn_id": "x", "griddb_conn_id": "y"}, ("x", "y")),
        ({"source": "host=h", "target": "griddb://h/c"}, {}, (None, None)),
    ],
)
def test_which_connections_stand_for_the_addresses(
    document: dict[str, Any], given: dict[str, str], asked: tuple[str | None, str | None]
) -> None:
    settings = Settings({**TABLES, **document}, **given)
    assert (settings.source_connection, settings.target_connection) == asked


def test_connections_and_addresses_of_the_file_meet_in_one_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDDB_PASSWORD", "pw")
    document = {**TABLES, "source": {"airflow_conn_id": "pg"}, "target": "griddb://me@h:1/c/d"}
    source = {"conn_type": "postgres", "host": "h", "login": "me", "password": "ä'\\ 😀"}
    config = Settings(document).resolve(lambda name: Connection.from_json(json.dumps(source), name))
    assert "😀" in config.source.dsn
    assert (config.target.user, config.target.password, config.target.database) == ("me", "pw", "d")
    assert [options.table for options in config.tables] == ["sensor"]


@pytest.mark.parametrize("tables", ["", [""], [], None])
def test_a_template_that_came_out_empty_names_no_table(tables: Any) -> None:
    config = {"tables": [*TABLES["tables"], {"table": "still"}]}
    assert GridFerryLoadOperator(task_id="load", config=config, tables=tables).wanted == ["sensor", "still"]
    assert GridFerrySyncOperator(task_id="sync", config=config, tables=tables).wanted == ["sensor"]


def test_what_operators_are_asked_wrongly() -> None:
    with pytest.raises(AirflowFailException, match="needs a bound"):
        GridFerryLagSensor(task_id="lag", config=TABLES)
    with pytest.raises(AirflowFailException, match="between 1 and 64"):
        GridFerryPrepareLoadOperator(task_id="prepare", config=TABLES, most_buckets=65)
    with pytest.raises(AirflowFailException, match="rows_per_bucket must be 1 or more"):
        GridFerryPrepareLoadOperator(task_id="prepare", config=TABLES, rows_per_bucket=0)
