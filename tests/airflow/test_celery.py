"""One table loaded by two Celery workers, one of which is killed in the middle of a bucket."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.airflow.celery import WORKERS, CeleryAirflow, redis, redis_server
from tests.airflow.live import Running, connections_of, wait
from tests.conftest import Database, database_on
from tests.e2e.ferry import Ferry, Server, database_of

from gridferry.local.postgres import LocalPostgres

ROWS = 160_000
BUCKETS = 4
CHUNK = 500
DEVICES = 16
DAG = "griddb_postgres_migration_initial"
CONFIG = {"tables": [{"table": "public.reading", "split_by": "device", "key": "ts"}]}
DAG_FILE = f"""# airflow dag
from gridferry.airflow import gridferry_dags

globals().update(
    gridferry_dags(
        "gridferry.yaml",
        most_buckets={BUCKETS},
        rows_per_bucket={ROWS // BUCKETS},
        rows_per_chunk={CHUNK},
        default_args={{"retries": 3, "retry_delay": 1.0, "retry_exponential_backoff": False}},
    )
)
"""


@pytest.fixture
def running(postgres_server: LocalPostgres, griddb: Server, tmp_path: Path) -> Iterator[Running]:
    program = redis_server()
    if program is None:
        pytest.skip("no redis-server on PATH, and no wheel holds one for this machine: install Debian's redis-server")
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "gridferry.yaml").write_text(yaml.safe_dump(CONFIG))
    (dags / "migration.py").write_text(DAG_FILE)
    name = f"airflow_{uuid.uuid4().hex[:10]}"
    with ExitStack() as stack:
        databases = database_on(postgres_server)
        database = next(databases)
        stack.callback(databases.close)
        make_turns(database)
        stack.enter_context(database_of(griddb, name))
        ferry = Ferry(database.dsn, griddb, name).of(*CONFIG["tables"])
        postgres_server.create_database(name)
        stack.callback(postgres_server.drop_database, name)
        airflow = stack.enter_context(
            CeleryAirflow(
                tmp_path,
                dags=dags,
                connections=connections_of(ferry),
                metadata=postgres_server.tcp_dsn(name),
                broker=stack.enter_context(redis(program, tmp_path)),
            )
        )
        airflow.await_workers()
        yield Running(airflow, database, ferry, airflow.log_in())


def make_turns(database: Database) -> None:
    """A table in which devices take turns."""
    database.run("CREATE TABLE reading (ts timestamp NOT NULL, device text NOT NULL, n bigint, temp float8)")
    database.run(
        "INSERT INTO reading SELECT timestamp '2020-07-12' + i * interval '1 second', 'device ' || i % "
        f"{DEVICES}, i, sqrt(i) FROM generate_series(1, {ROWS}) AS i"
    )
    database.run("ALTER TABLE reading ADD PRIMARY KEY (device, ts)")
    database.run("VACUUM ANALYZE reading")


def state(ferry: Ferry) -> list[dict[str, Any]]:
    """The documents that gridferry wrote down."""
    with ferry.store() as store:
        if store.open_container("gridferry_state") is None:
            return []
    return [json.loads(row["body"]) for row in ferry.rows("gridferry_state")]


def chunks_done(ferry: Ferry, bucket: int) -> int:
    """How many chunks of a bucket are finished."""
    numbers = [body["number"] for body in state(ferry) if body.keys() >= {"number", "rows", "at"}]
    return sum(number % BUCKETS == bucket for number in numbers)


def chunks_planned(ferry: Ferry, bucket: int) -> int:
    """How many chunks a bucket has."""
    (run,) = [body for body in state(ferry) if "chunks" in body]
    return len(range(bucket, len(run["chunks"]), BUCKETS))


def in_hand(ferry: Ferry, airflow: CeleryAirflow) -> tuple[int, str, int] | None:
    """A bucket that some worker is in the middle of, which worker, and how many of its chunks are done."""
    with ferry.store() as store:
        if store.open_container("gridferry_state") is None:
            return None
    for row in ferry.rows("gridferry_state"):
        kind, _, part = row["item"].partition(":")
        if kind == "part":
            bucket = int(part.partition("/")[0])
            worker = airflow.worker_with(json.loads(row["body"])["pid"])
            done = chunks_done(ferry, bucket)
            if worker is not None and 0 < done < chunks_planned(ferry, bucket) // 2:
                return bucket, worker, done
    return None


def loads(running: Running, run: str) -> list[dict[str, Any]]:
    return [task for task in running.tasks(DAG, run) if task["task_id"] == "load"]


def test_a_worker_dies_in_mid_bucket_and_the_other_one_ends_the_load(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    airflow, ferry = running.airflow, running.ferry
    assert isinstance(airflow, CeleryAirflow)
    began = time.monotonic()
    said = []

    def took(what: str) -> None:
        said.append(f"{time.monotonic() - began:6.1f} s  {what}")

    wait(lambda: DAG in [dag["dag_id"] for dag in running.ask("GET", "/dags")["dags"]], "the DAG")
    running.unpause(DAG)
    run = str(wait(lambda: running.runs(DAG), "a run")[0]["dag_run_id"])

    bucket, victim, before = wait(lambda: in_hand(ferry, airflow), "a bucket under way", pause_s=0.0)
    killed = airflow.kill(victim)
    after, planned = chunks_done(ferry, bucket), chunks_planned(ferry, bucket)
    took(f"{victim} and its tasks were killed, {len(killed)} processes, with {after} of {planned} chunks done")
    assert before <= after < planned

    first = running.finished(DAG, run)
    took(f"{DAG}: {first['state']}")
    assert first["state"] == "success"
    tries = [airflow.worker_of(task["hostname"]) for task in running.tries(DAG, run, "load", bucket)]
    (other,) = set(WORKERS) - {victim}
    assert (tries[0], set(tries[1:])) == (victim, {other})
    assert {len(running.tries(DAG, run, "load", each)) for each in range(BUCKETS) if each != bucket} == {1}
    # The second try read what the first one had not done, and no more.
    assert 0 < running.returned(DAG, run, "load", bucket)["chunks"] <= planned - after
    assert len(loads(running, run)) == BUCKETS
    assert sum(len(ferry.rows(name)) for name in ferry.catalog("public.reading").values()) == ROWS
    assert ferry.equal()
    took("counted, and every value compared")
    with capsys.disabled():
        print("\n" + "\n".join(said))
