"""What is not in GridDB: a verification fails for it, loads and syncs tell it and succeed, unless they are to fail."""

from __future__ import annotations

import json

import pytest
from tests.airflow.running import bag_of, run, write_dags
from tests.conftest import Database
from tests.e2e.ferry import Ferry

CONTRACT = {"table": "contract", "on_bad_row": "quarantine", "exclude": ["tags"]}
STORED = "1 of 2 rows stored, 1 in quarantine"


@pytest.fixture
def contracts(ferry: Ferry, postgres: Database) -> Ferry:
    postgres.run("CREATE TABLE contract (id int PRIMARY KEY, ends timestamptz, tags text[])")
    postgres.run("INSERT INTO contract VALUES (1, '2030-01-01'), (2, 'infinity')")
    return ferry.of(CONTRACT)


def states_of(name: str, tasks: str) -> dict[str, list[str]]:
    path = write_dags(
        "# airflow dag\nimport json\nfrom airflow.sdk import DAG\n"
        "from gridferry.airflow import GridFerryLoadOperator, GridFerryVerifyOperator\n"
        f"config = json.loads({json.dumps({'tables': [CONTRACT]})!r})\n"
        f"with DAG({name!r}, schedule=None, default_args={{'retries': 0}}):\n    {tasks}\n"
    )
    return run(bag_of(path).dags[name])


def test_a_verification_fails_for_rows_in_quarantine_and_a_load_tells_them(
    contracts: Ferry, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = (
        "GridFerryLoadOperator(task_id='load', config=config) >> GridFerryVerifyOperator(task_id='verify',"
        " config=config)"
    )
    assert states_of("partly", tasks) == {"load": ["success"], "verify": ["failed"]}
    said = capsys.readouterr().out
    assert "1 row in quarantine, not stored" in said
    assert "1 of 3 columns is not in GridDB: tags text[] (excluded, no reason given)" in said
    assert f"AirflowFailException: Not all rows are stored: {STORED}" in said
    assert "all values of 2 of 3 columns are equal" in said


def test_what_is_accepted_fails_nothing_and_what_is_not_fails_a_load(
    contracts: Ferry, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = "GridFerryLoadOperator(task_id='load', config=config, accept_quarantined=False)"
    assert states_of("strict", strict) == {"load": ["failed"]}
    assert "1 row of public.contract in quarantine, not stored" in capsys.readouterr().out
    lenient = "GridFerryVerifyOperator(task_id='verify', config=config, accept_quarantined=True)"
    assert states_of("lenient", lenient) == {"verify": ["success"]}
    assert STORED in capsys.readouterr().out
