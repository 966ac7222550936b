"""What is done once: secrets, the login, the sample. None of it replaces what is there."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from tests.conftest import Database
from tests.deploy.stack import DEPLOY, NASTY, SECRET, program

sample = program("airflow/sample.py")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("make-env", ".env.example"):
        shutil.copy(DEPLOY / name, tmp_path / name)
    return tmp_path


def test_make_env_fills_every_secret(folder: Path) -> None:
    done = subprocess.run([folder / "make-env"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder}/.env is written\n"
    lines = (folder / ".env").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    secrets = {name: value for name, value in found.items() if SECRET.search(name) and name != "AIRFLOW_UI_PASSWORD"}
    assert len(secrets) == len(set(secrets.values())) == 8
    assert all(len(value) >= 44 for value in secrets.values())
    assert len(base64.urlsafe_b64decode(secrets["AIRFLOW_FERNET_KEY"])) == 32
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert not list(folder.glob(".env.new*"))


def test_make_env_leaves_an_env_that_is_there(folder: Path) -> None:
    (folder / ".env").write_text("GRIDDB_PASSWORD=mine\n")
    done = subprocess.run([folder / "make-env"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is left as it is" in done.stderr
    assert (folder / ".env").read_text() == "GRIDDB_PASSWORD=mine\n"


def test_the_login_is_a_file_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "passwords.json"
    variables = {
        "AIRFLOW_UI_USER": "airflow",
        "AIRFLOW_UI_PASSWORD": NASTY,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(file),
    }
    command = [sys.executable, str(DEPLOY / "airflow" / "login.py")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert json.loads(file.read_text()) == {"airflow": NASTY}
    assert file.stat().st_mode & 0o777 == 0o600
    assert NASTY not in done.stdout
    without = {key: value for key, value in variables.items() if key != "AIRFLOW_UI_PASSWORD"}
    done = subprocess.run(command, env=without, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "AIRFLOW_UI_PASSWORD not set" in done.stderr


def test_the_sample_is_made_once(postgres: Database) -> None:
    with postgres.connect() as connection:
        assert sample.load_sample(connection, share=0.001) == "public.device was made with 405 rows"
    postgres.run("DELETE FROM device WHERE device LIKE 'b8%'")
    kept = postgres.run("SELECT count(*) FROM device")
    with postgres.connect() as connection:
        assert sample.load_sample(connection, share=0.001) == "public.device is there: it is left as it is"
    assert postgres.run("SELECT count(*) FROM device") == kept


def test_a_table_of_another_kind_is_left_as_it_is(postgres: Database) -> None:
    postgres.run("CREATE TABLE device (mine int)")
    with postgres.connect() as connection:
        assert "left as it is" in sample.load_sample(connection, share=0.001)
    assert postgres.run("SELECT count(*) FROM device") == [(0,)]


def test_two_at_once_make_one_sample(postgres: Database) -> None:
    def load(_: int) -> str:
        with postgres.connect() as connection:
            return str(sample.load_sample(connection, share=0.001))

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(load, range(2)))
    assert said == ["public.device is there: it is left as it is", "public.device was made with 405 rows"]
    assert postgres.run("SELECT count(*) FROM device") == [(405,)]


def test_the_sample_as_a_program(postgres: Database) -> None:
    found = psycopg.conninfo.conninfo_to_dict(postgres.dsn)
    variables = {
        "SOURCE_HOST": str(found["host"]),
        "SOURCE_PORT": str(found.get("port", 5432)),
        "SOURCE_USER": str(found["user"]),
        "SOURCE_PASSWORD": str(found.get("password") or "none"),
        "SOURCE_DATABASE": str(found["dbname"]),
        "SAMPLE_SHARE": "0.001",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(DEPLOY.parent / "src"),
    }
    command = [sys.executable, str(DEPLOY / "airflow" / "sample.py")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "public.device was made with 405 rows\n"), done.stderr
    done = subprocess.run(command, env={**variables, "SOURCE_PORT": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the sample was not loaded: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["SOURCE_HOST", "SOURCE_PASSWORD"])
def test_the_sample_says_what_is_missing(name: str) -> None:
    variables = dict.fromkeys(("SOURCE_HOST", "SOURCE_USER", "SOURCE_PASSWORD", "SOURCE_DATABASE"), "x")
    del variables[name]
    done = subprocess.run(
        [sys.executable, DEPLOY / "airflow" / "sample.py"],
        env={**variables, "PYTHONPATH": str(DEPLOY.parent / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, f"error: {name} is not set: see deploy/.env.example\n")


@pytest.mark.parametrize("password", [NASTY, "plain"])
def test_the_role_of_the_source_is_no_superuser(postgres: Database, tmp_path: Path, password: str) -> None:
    """roles.sh as PostgreSQL's image runs it, with psql's variables for name and password."""
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("no psql on PATH")
    found = psycopg.conninfo.conninfo_to_dict(postgres.dsn)
    variables = {
        "PATH": os.environ["PATH"],
        "PGHOST": str(found["host"]),
        "PGPORT": str(found.get("port", 5432)),
        "POSTGRES_USER": str(found["user"]),
        "POSTGRES_DB": str(found["dbname"]),
        "SOURCE_USER": 'sens"ors $x',
        "SOURCE_PASSWORD": password,
    }
    script = DEPLOY / "postgres" / "roles.sh"
    try:
        done = subprocess.run(["/bin/sh", script], env=variables, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        asked = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = "
        assert postgres.run(asked + "'sens\"ors $x'") == [(False, False, False, False, True)]
        with psycopg.connect(postgres.dsn, user=variables["SOURCE_USER"], password=password) as connection:
            assert sample.load_sample(connection, share=0.001) == "public.device was made with 405 rows"
    finally:
        postgres.run(f'ALTER DATABASE "{found["dbname"]}" OWNER TO CURRENT_USER')
        postgres.run('DROP OWNED BY "sens""ors $x"; DROP ROLE "sens""ors $x"')
