"""Connections by their ids, asked of Airflow: one that is missing is reported in one line, and not asked for again."""

from __future__ import annotations

import json
from contextlib import suppress

from gridferry.airflow.compat import AirflowNotFoundException, BaseHook, Connection, has_secrets_backend
from gridferry.errors import ConfigError, FerryError, Transient


class ConnectionNotGiven(Transient, FerryError):
    """A connection was not found, and a secrets backend that did not answer may be why."""


def named_connection(conn_id: str) -> Connection:
    """The connection of this id, in a task. Raises: ConfigError for one that is missing; ConnectionNotGiven."""
    try:
        found: Connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise _missing(conn_id) from None
    # Has what is secret in its extra masked in logs. It tells the supervisor, so a trigger's thread must not do it: the
    # whole triggerer of Airflow 3.1 ends with "Response read out of order".
    with suppress(ValueError):  # one that cannot be read is reported where it is used
        json.loads(found.extra or "{}")
        _ = found.extra_dejson
    return found


async def named_connection_in_trigger(conn_id: str) -> Connection:
    """The same, in a trigger."""
    try:
        found: Connection = await Connection.async_get(conn_id)
    except AirflowNotFoundException:
        raise _missing(conn_id) from None
    return found


def _missing(conn_id: str) -> FerryError:
    """Airflow keeps the failure of a secrets backend to itself, and says of both cases that there is none."""
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    if has_secrets_backend():
        return ConnectionNotGiven(
            f"Airflow found no connection {conn_id}: it is missing, or the secrets backend did not answer",
            next_step=f"see whether the backend answers and holds it, or set {variable}",
        )
    return ConfigError(
        f"Airflow has no connection {conn_id}", next_step=f"add it under Admin, Connections, or set {variable}"
    )
