#!/usr/bin/env python3
"""Run a program of the stack with Airflow's settings: `environment.py airflow scheduler`.

Passwords come as plain variables, as they are in `.env`. What Airflow wants of them are URLs and JSON, in which a
password like `p@ss:/%#"'$ w` has to be written otherwise; pasted into them by compose it would break them, or mean
something else. So they are made here, by the libraries' own rules. Needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from urllib.parse import quote

DATABASE = "airflow"


class Missing(Exception):
    """A variable that is not set."""


def settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Airflow's variables that hold a password. Raises: Missing."""
    metadata = (
        f"{_quoted(variables, 'AIRFLOW_DB_USER')}:{_quoted(variables, 'AIRFLOW_DB_PASSWORD')}"
        f"@{_value(variables, 'AIRFLOW_DB_HOST')}:{variables.get('AIRFLOW_DB_PORT', '5432')}/{DATABASE}"
    )
    redis = f"{_value(variables, 'REDIS_HOST')}:{variables.get('REDIS_PORT', '6379')}/0"
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{metadata}",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{metadata}",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://:{_quoted(variables, 'REDIS_PASSWORD')}@{redis}",
        **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(found) for name, found in connections(variables).items()},
    }


def connections(variables: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """The connections of the DAGs, by id. Raises: Missing."""
    host, cluster = _value(variables, "GRIDDB_HOST"), _value(variables, "GRIDDB_CLUSTER")
    login = {"login": variables.get("GRIDDB_USER", "admin"), "password": _value(variables, "GRIDDB_PASSWORD")}
    database = variables.get("GRIDDB_DATABASE", "public")
    sql = quote(f"{host}:{variables.get('GRIDDB_SQL_PORT', '20001')}", safe="")
    return {
        "postgres_default": {
            "conn_type": "postgres",
            "host": _value(variables, "SOURCE_HOST"),
            "port": int(variables.get("SOURCE_PORT", "5432")),
            "login": _value(variables, "SOURCE_USER"),
            "password": _value(variables, "SOURCE_PASSWORD"),
            "schema": _value(variables, "SOURCE_DATABASE"),
        },
        "griddb_default": {
            "conn_type": "griddb",
            "host": host,
            "port": int(variables.get("GRIDDB_PORT", "10001")),
            "schema": cluster,
            "extra": {"database": database, "sslmode": variables.get("GRIDDB_SSLMODE", "auto")},
            **login,
        },
        # GridDB's own JDBC driver. Its jar is on CLASSPATH, so that no connection may name one to load.
        "griddb_sql": {
            "conn_type": "jdbc",
            "host": f"jdbc:gs:///{quote(cluster, safe='')}/{quote(database, safe='')}?notificationMember={sql}",
            "extra": {"driver_class": "com.toshiba.mwcloud.gs.sql.Driver"},
            **login,
        },
    }


def main(arguments: list[str]) -> int:
    """Become the program. Returns only if that fails."""
    if not arguments:
        print("usage: environment.py PROGRAM [ARGUMENT ...]", file=sys.stderr)
        return 2
    try:
        os.environ.update(settings(os.environ))
    except Missing as missing:
        print(f"error: {missing} is not set: see deploy/.env.example", file=sys.stderr)
        return 2
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - what it was asked to run, no shell
    except OSError as error:
        print(f"error: {arguments[0]}: {error.strerror}", file=sys.stderr)
        return 127


def _value(variables: Mapping[str, str], name: str) -> str:
    found = variables.get(name, "")
    if not found:
        raise Missing(name)
    return found


def _quoted(variables: Mapping[str, str], name: str) -> str:
    return quote(_value(variables, name), safe="")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
