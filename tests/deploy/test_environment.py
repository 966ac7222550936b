"""What environment.py makes of plain variables: URLs and connections in which any password survives."""

from __future__ import annotations

import json
import os
import string
import subprocess
import sys
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deploy.stack import DEPLOY, NASTY, compose, program

environment = program("airflow/environment.py")
PROGRAM = DEPLOY / "airflow" / "environment.py"
VARIABLES = {
    "AIRFLOW_DB_HOST": "airflow-db",
    "AIRFLOW_DB_USER": "airflow",
    "AIRFLOW_DB_PASSWORD": NASTY,
    "REDIS_HOST": "redis",
    "REDIS_PASSWORD": NASTY,
    "SOURCE_HOST": "source",
    "SOURCE_USER": "sensors",
    "SOURCE_DATABASE": "sensors",
    "SOURCE_PASSWORD": NASTY,
    "GRIDDB_HOST": "griddb",
    "GRIDDB_CLUSTER": "myCluster",
    "GRIDDB_PASSWORD": NASTY,
}
# What an environment variable can hold.
passwords = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(passwords)
def test_any_password_survives(password: str) -> None:
    variables = {key: password if key.endswith("PASSWORD") else value for key, value in VARIABLES.items()}
    made = environment.settings(variables)
    for key in ("SQL_ALCHEMY_CONN", "RESULT_BACKEND", "BROKER_URL"):
        (url,) = (value for name, value in made.items() if name.endswith(key))
        found = urlsplit(url.removeprefix("db+"))
        assert unquote(found.password or "") == password
        assert found.hostname in {"airflow-db", "redis"}
    for key in ("POSTGRES_DEFAULT", "GRIDDB_DEFAULT", "GRIDDB_SQL"):
        assert json.loads(made[f"AIRFLOW_CONN_{key}"])["password"] == password


@given(st.text(string.punctuation, min_size=1))
def test_airflow_expands_nothing_in_a_url(password: str) -> None:
    """Airflow replaces `$NAME` and `~` in settings."""
    made = environment.settings({**VARIABLES, "AIRFLOW_DB_PASSWORD": "$HOME" + password})
    assert "$" not in made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def test_the_connections() -> None:
    found = environment.connections(VARIABLES)
    assert found["griddb_default"]["host"] == "griddb"
    assert found["griddb_default"]["schema"] == "myCluster"
    assert found["griddb_sql"]["host"] == "jdbc:gs:///myCluster/public?notificationMember=griddb%3A20001"


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_a_missing_variable_is_named(name: str) -> None:
    without = {key: value for key, value in VARIABLES.items() if key != name}
    done = run(without, "true")
    assert done.returncode == 2
    assert f"error: {name} is not set" in done.stderr
    assert NASTY not in done.stderr


def test_it_becomes_the_program() -> None:
    done = run(VARIABLES, sys.executable, "-c", "import os; print(os.environ['AIRFLOW_CONN_GRIDDB_DEFAULT'])")
    assert json.loads(done.stdout)["password"] == NASTY


def test_a_program_that_is_not_there() -> None:
    done = run(VARIABLES, "no-such-program")
    assert done.returncode == 127
    assert done.stderr == "error: no-such-program: No such file or directory\n"


def test_compose_gives_all_that_it_needs() -> None:
    assert set(VARIABLES) <= set(compose()["services"]["airflow-worker"]["environment"])


def run(variables: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run([sys.executable, PROGRAM, *command], env=clean, capture_output=True, text=True, check=False)
