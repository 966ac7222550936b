"""A table with 10,000 devices: as many containers, and still a DAG run that Airflow can carry."""

from __future__ import annotations

import json
from collections import Counter

from tests.airflow.running import gridferry_dags_of
from tests.airflow.test_assets import events
from tests.conftest import Database
from tests.e2e.ferry import Ferry

from gridferry.model.verification import Verdict

DEVICES, ROWS = 10_000, 30_000
TABLE = {"table": "reading", "split_by": "device", "key": "ts"}
# Of one task's XCom; what Airflow's pages and its database take without effort.
MOST_OCTETS = 16_384


def test_ten_thousand_devices(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE reading (ts timestamp NOT NULL, device text NOT NULL, n bigint)")
    # One device after the other, so that every bucket has rows of as many devices as it can.
    postgres.run(
        "INSERT INTO reading SELECT timestamp '2020-07-12' + i * interval '1 second', 'device ' || i % "
        f"{DEVICES}, i FROM generate_series(1, {ROWS}) AS i"
    )
    postgres.run("ALTER TABLE reading ADD PRIMARY KEY (device, ts)")
    postgres.run("ANALYZE reading")
    dag = gridferry_dags_of([TABLE], rows_per_bucket=5_000, rows_per_chunk=2_500)["migration_initial"]
    instances = dag.test().get_task_instances()
    assert {str(instance.state) for instance in instances} == {"success"}
    tasks = Counter(instance.task_id for instance in instances)
    assert tasks.keys() == {"prepare", "load", "finish"}
    assert 4 <= tasks["load"] <= 8
    returned = {
        (instance.task_id, instance.map_index): instance.xcom_pull(
            task_ids=instance.task_id, map_indexes=instance.map_index
        )
        for instance in instances
    }
    assert all(returned.values())
    assert max(len(json.dumps(value)) for value in returned.values()) < MOST_OCTETS
    # A row is read by its bucket, all but those that were on their way when the load was prepared.
    read = sum(value["rows"] for (task, _), value in returned.items() if task == "load")
    assert 0.9 * ROWS <= read <= ROWS
    (finished,) = returned["finish", -1]
    assert (finished["rows"], finished["containers"]) == (ROWS, DEVICES)
    told = events()
    assert told["gridferry://griddb_default/public.reading"][-1]["containers"] == DEVICES
    assert not [uri for uri in told if f"/{ferry.database}/" in uri]
    # Rows and bounds of every container; values are compared elsewhere, where there are fewer of them.
    with ferry.of(TABLE).migration() as migration:
        report = migration.verifications.verify(quick=True)
    assert (report.verdict, report.tables[0].containers_total) == (Verdict.EQUAL, DEVICES)
