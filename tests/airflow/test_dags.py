"""The three ready DAGs run by Airflow, in this process, between PostgreSQL and GridDB."""

from __future__ import annotations

from tests.airflow.running import gridferry_dags_of, run
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.sensors import TABLE, add_sensors, assert_arrived, make_sensors

SYNCED = {**TABLE, "sync": {"mode": "watermark"}}


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
