"""Waiting in the triggerer: what a trigger waits for, what it keeps, and tasks that wake for what there is to do."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Connection
from tests.airflow.running import bag_of, run, write_dags
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.sensors import TABLE, add_sensors, assert_arrived, make_sensors

from gridferry.airflow.connection_lookup import named_connection
from gridferry.airflow.settings import Settings
from gridferry.airflow.triggers import Bounds, StateTrigger, judge
from gridferry.engine.standing import SyncStatus, TableStatus
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.plan.sync_options import SyncMode

SYNCED = {**TABLE, "sync": {"mode": "watermark"}}
CONFIG = {"tables": [SYNCED]}


def status(state: LoadState = LoadState.LOADED, **sync: Any) -> TableStatus:
    return TableStatus("t", state, sync=SyncStatus(SyncMode.WATERMARK, SyncState.IDLE, **sync) if sync else None)


@pytest.mark.parametrize(
    ("found", "kind", "bounds", "ready"),
    [
        (status(LoadState.LOADING), "loaded", Bounds(), False),
        (status(LoadState.LOADED), "loaded", Bounds(), True),
        (status(), "work", Bounds(), False),
        (status(lag_rows=0), "work", Bounds(), False),
        (status(lag_rows=1), "work", Bounds(), True),
        (status(lag_bytes=56), "work", Bounds(), False),
        (status(lag_bytes=200), "work", Bounds(), True),
        (status(), "lag", Bounds(10), False),
        (status(lag_rows=0, lag_seconds=1e6), "lag", Bounds(10), True),
        (status(lag_rows=5, lag_seconds=9), "lag", Bounds(10), True),
        (status(lag_rows=5, lag_seconds=11), "lag", Bounds(10), False),
        (status(lag_rows=5, lag_seconds=11), "lag", Bounds(lag_rows=5), True),
        (status(lag_rows=6, lag_seconds=1), "lag", Bounds(10, 5), False),
        (status(lag_bytes=9000, lag_seconds=None), "lag", Bounds(10), False),
    ],
)
def test_what_is_waited_for(found: TableStatus, kind: str, bounds: Bounds, ready: bool) -> None:
    assert judge([found], kind, bounds) is ready
    assert judge([found, status(lag_rows=0, lag_seconds=0.0)], kind, bounds) is ready


def trigger(**options: Any) -> StateTrigger:
    return StateTrigger(**{"config": CONFIG, "tables": ["sensor"], "kind": "loaded", "poll_s": 0.1, **options})


def first_event(waiting: StateTrigger) -> Any:
    async def first() -> Any:
        async for event in waiting.run():
            return event.payload
        return None

    return asyncio.run(asyncio.wait_for(first(), 60))


def test_a_trigger_is_kept_as_plain_json_and_comes_back_the_same() -> None:
    path, arguments = trigger(kind="lag", lag_s=3.0, until="2030-01-01T00:00:00+00:00").serialize()
    assert path == "gridferry.airflow.triggers.StateTrigger"
    again = StateTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def test_it_fires_once_the_table_is_loaded(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres, rows=100)

    async def wait() -> Any:
        task: asyncio.Task[Any] = asyncio.create_task(anext(trigger().run()))  # type: ignore[arg-type]
        done, _ = await asyncio.wait([task], timeout=1.0)
        assert not done
        await asyncio.to_thread(ferry.of(SYNCED).load)
        return (await asyncio.wait_for(task, 60)).payload

    assert asyncio.run(wait()) == {"ready": True, "carried": {}}


def test_it_needs_no_file_where_it_runs(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    make_sensors(postgres, rows=100)
    config = tmp_path / "gridferry.yaml"
    config.write_text(json.dumps(CONFIG))
    made = StateTrigger.of(Settings(str(config)), ["sensor"], kind="loaded", poll_s=0.1)
    config.unlink()
    ferry.of(SYNCED).load()
    assert first_event(made) == {"ready": True, "carried": {}}


@pytest.mark.parametrize(
    "document",
    [
        {**CONFIG, "source": "postgresql://u:TopSecret@h/d"},
        {"tables": [{**SYNCED, "containers": {str(number): f"device{number}" for number in range(10_000)}}]},
    ],
    ids=["password", "large"],
)
def test_a_trigger_is_not_given_what_airflow_should_not_keep(tmp_path: Path, document: dict[str, Any]) -> None:
    config = tmp_path / "gridferry.yaml"
    config.write_text(json.dumps(document))
    _, arguments = StateTrigger.of(Settings(str(config)), ["sensor"], kind="loaded", poll_s=0.1).serialize()
    assert arguments["config"] == str(config)


def test_it_talks_to_airflow_from_its_own_thread_alone(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sensors(postgres, rows=10)
    ferry.of(SYNCED).load()
    threads = []
    read = Connection.extra_dejson.fget

    def watched(connection: Connection) -> Any:
        threads.append(threading.current_thread())  # it tells Airflow's supervisor what to mask
        return read(connection)

    monkeypatch.setattr(Connection, "extra_dejson", property(watched))
    assert first_event(trigger()) == {"ready": True, "carried": {}}
    assert set(threads) <= {threading.main_thread()}
    named_connection("griddb_default")
    assert threads  # in a task it is masked


def test_it_waits_for_a_server_that_is_away_and_gives_up_at_its_time(
    ferry: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"conn_type": "griddb", "host": "127.0.0.1", "port": 1, "password": "x", "schema": "c"}
    monkeypatch.setenv("AIRFLOW_CONN_GRIDDB_DEFAULT", json.dumps(document))
    until = datetime.now(timezone.utc) + timedelta(seconds=1)
    assert first_event(trigger(until=until.isoformat(), carried={"kept": 1})) == {
        "ready": False,
        "carried": {"kept": 1},
    }


def test_it_tells_what_will_not_pass(ferry: Ferry) -> None:
    payload = first_event(trigger(config={"tables": [{"table": "sensor", "kee": 1}]}))
    assert "kee" in payload["error"]
    assert "\n" not in payload["error"]


def test_a_sensor_and_a_follow_that_defer(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of(SYNCED)
    ferry.load()
    add_sensors(postgres, 5000, 5100)
    path = write_dags(
        "# airflow dag\nimport json\nfrom airflow.sdk import DAG\n"
        "from gridferry.airflow import GridFerryFollowOperator, GridFerryLagSensor\n"
        f"config = json.loads({json.dumps(CONFIG)!r})\n"
        "with DAG('following', schedule=None):\n"
        "    follow = GridFerryFollowOperator(task_id='follow', config=config, for_s=4, poll_s=0.5)\n"
        "    follow >> GridFerryLagSensor(task_id='lag', config=config, lag_rows=0, poke_interval=0.5)\n"
    )
    dag: DAG = bag_of(path).dags["following"]
    assert run(dag) == {"follow": ["success"], "lag": ["success"]}
    assert_arrived(ferry, postgres)
