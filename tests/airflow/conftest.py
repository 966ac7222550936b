"""A real Airflow in a folder of its own, PostgreSQL from the wheel, and a GridDB server.

Airflow reads its environment when it is imported, so all of it is set before that.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOME = Path(tempfile.mkdtemp(prefix="gridferry-airflow-"))
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(HOME / "dags"),
    AIRFLOW__CORE__TEST_CONNECTION="Enabled",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME}/airflow.db",
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(HOME / "logs"),
    AIRFLOW__SCHEDULER__ENABLE_TRACEMALLOC="False",
    # A variable of the config files; its database is each test's own.
    _AIRFLOW_SKIP_DB_TESTS="false",
)

import psycopg  # noqa: E402
import pytest  # noqa: E402
from tests.conftest import Database  # noqa: E402
from tests.e2e.conftest import griddb, stand_in  # noqa: E402, F401
from tests.e2e.ferry import Ferry, Server, database_of  # noqa: E402


def pytest_report_header() -> str:
    import airflow

    return f"airflow {airflow.__version__} in {HOME}; python {sys.version.split()[0]}"


@pytest.fixture(scope="session", autouse=True)
def airflow_home() -> Iterator[Path]:
    """Airflow's database, made once."""
    from airflow.utils.db import initdb

    (HOME / "dags").mkdir(exist_ok=True)
    initdb()
    yield HOME
    shutil.rmtree(HOME)


@pytest.fixture
def ferry(postgres: Database, griddb: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ferry]:  # noqa: F811
    """A fresh database at both ends, and Airflow's connections to them."""
    name = f"airflow_{uuid.uuid4().hex[:10]}"
    with database_of(griddb, name):
        ferry = Ferry(postgres.dsn, griddb, name)
        for variable, document in connections(ferry).items():
            monkeypatch.setenv(variable, json.dumps(document))
        yield ferry


def connections(ferry: Ferry) -> dict[str, dict[str, Any]]:
    """Both connections as variables of the environment."""
    found = psycopg.conninfo.conninfo_to_dict(ferry.dsn)
    host, _, port = ferry.server.address.rpartition(":")
    return {
        "AIRFLOW_CONN_POSTGRES_DEFAULT": {
            "conn_type": "postgres",
            "host": found["host"],
            "port": int(str(found["port"])),
            "login": found["user"],
            "schema": found["dbname"],
            "password": "PostgresSecret",
            "extra": {"application_name": "test"},
        },
        "AIRFLOW_CONN_GRIDDB_DEFAULT": {
            "conn_type": "griddb",
            "host": host,
            "port": int(port),
            "login": ferry.server.user,
            "password": ferry.server.password,
            "schema": ferry.server.cluster,
            "extra": {"database": ferry.database},
        },
    }
