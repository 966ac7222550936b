"""A config of patterns in the ready DAGs: what they mean is found when a task runs, and a new table stops nothing."""

from __future__ import annotations

from tests.airflow.running import gridferry_dags_of, run
from tests.conftest import Database
from tests.e2e.ferry import Ferry

ENTRY = {"table": "public.*", "except": ["tmp_*"], "sync": {"mode": "watermark"}}


def test_the_three_dags_take_what_the_patterns_mean(ferry: Ferry, postgres: Database) -> None:
    for name in ("one", "two", "tmp_1"):
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY); INSERT INTO {name} SELECT generate_series(1, 5)")
    dags = gridferry_dags_of([ENTRY])
    assert list(dags) == ["migration_initial", "migration_continuous", "parity"]
    states = run(dags["migration_initial"])
    assert set(states) == {"prepare", "load", "finish"}
    assert {state for each in states.values() for state in each} == {"success"}
    assert sorted(ferry.names()) == ["one", "two"]
    postgres.run("INSERT INTO one VALUES (6); CREATE TABLE later (id int PRIMARY KEY)")
    assert {state for each in run(dags["migration_continuous"]).values() for state in each} == {"success"}
    assert len(ferry.rows("one")) == 6
    assert run(dags["parity"])["verify"] == ["failed"]
    run(dags["migration_initial"])
    assert run(dags["parity"])["verify"] == ["success"]
    assert sorted(ferry.names()) == ["later", "one", "two"]
