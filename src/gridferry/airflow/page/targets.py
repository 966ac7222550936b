"""Which targets there are: Airflow's connections of type griddb, looked up where the page is served."""

from __future__ import annotations

import re
from typing import Any

from gridferry.airflow import compat
from gridferry.airflow.connections import griddb_address
from gridferry.airflow.provider_info import CONNECTION_TYPE
from gridferry.airflow.settings import GRIDDB_DEFAULT
from gridferry.errors import ConfigError
from gridferry.griddb import GridDBAddress

_ID = re.compile(r"[\w#!().:/\\-]{1,250}")  # as Airflow allows it


class NoConnection(ConfigError):
    """There is no such connection. One of another type counts as none: nobody learns here what else there is."""


def connections_for(user: Any) -> tuple[str, ...]:
    """The connections that can be listed and that the user may see: of the database and of the environment, sorted.

    A secrets backend cannot be listed; a connection in one is found by its id.
    """
    known = compat.connection_ids(CONNECTION_TYPE)
    return tuple(sorted(name for name in known if compat.may_read_connection(name, user)))


def address_of(name: str) -> GridDBAddress:
    """The target that a connection names, from any backend. Raises: NoConnection, ConfigError."""
    found = compat.stored_connection(name) if _ID.fullmatch(name) else None
    if found is None or found.conn_type != CONNECTION_TYPE:
        raise NoConnection(
            f"There is no connection {name} of type {CONNECTION_TYPE}",
            next_step=f"choose another one, or add {GRIDDB_DEFAULT} under Admin, Connections",
        )
    return griddb_address(found)
