"""The three ready DAGs run by Airflow, in this process, between PostgreSQL and GridDB."""

from __future__ import annotations

from typing import Any

from tests.airflow.running import gridferry_dags_of, run
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.sensors import TABLE, add_sensors, assert_arrived, make_sensors

from gridferry.airflow import gridferry_dags

SYNCED = {**TABLE, "sync": {"mode": "watermark"}}


class Run:
    """As much of a task's run as `prepare` asks for: how many tasks of a name it has."""

    dag_id, run_id = "griddb_postgres_migration_initial", "manual"

    @staticmethod
    def get_ti_count(**asked: Any) -> int:
        assert asked == {"dag_id": Run.dag_id, "task_ids": ["load"], "run_ids": ["manual"]}
        return 5


def test_a_run_that_was_cleared_keeps_its_number_of_tasks(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry.of(TABLE).load()
    prepare = gridferry_dags({"tables": [TABLE]})[Run.dag_id].get_task("prepare")
    assert prepare.execute({"ti": Run()}) == [{"parts": []}] * 5


def test_initial_then_continuous_then_parity(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    dags = gridferry_dags_of([SYNCED])
    states = run(dags["migration_initial"])
    assert states == {"prepare": ["success"], "load": ["success"] * 6, "finish": ["success"]}
    ferry = ferry.of(SYNCED)
    assert_arrived(ferry, postgres)
    add_sensors(postgres, 5000, 5200)
    add_sensors(postgres, 5200, 5300, device="new device")
    assert run(dags["migration_continuous"]) == {"wait_for_load": ["success"], "sync": ["success"]}
    assert_arrived(ferry, postgres)
    add_sensors(postgres, 6000, 6100)
    assert all(states == ["success"] for states in run(dags["parity"]).values())
    assert_arrived(ferry, postgres)
