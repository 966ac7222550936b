"""Every import from Airflow whose place depends on its version. Airflow 3.1 and newer."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetAlias,
    BaseHook,
    BaseOperator,
    BaseOperatorLink,
    BaseSensorOperator,
    Connection,
    Context,
)
from airflow.triggers.base import BaseTrigger, TriggerEvent

try:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException
except ImportError:  # Airflow 3.1
    from airflow.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

try:
    from airflow.sdk.plugins_manager import AirflowPlugin
except ImportError:  # Airflow 3.1
    from airflow.plugins_manager import AirflowPlugin

_CONNECTION_VARIABLE = "AIRFLOW_CONN_"

__all__ = [
    "DAG",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowPlugin",
    "Asset",
    "AssetAlias",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "BaseTrigger",
    "Connection",
    "Context",
    "TriggerEvent",
    "connection_ids",
    "has_secrets_backend",
    "is_a_teams",
    "may_read_connection",
    "stored_connection",
    "user_of_page",
]


def has_secrets_backend() -> bool:
    """Whether connections may come from elsewhere than Airflow's database and the environment."""
    from airflow.configuration import conf

    places = (("secrets", "backend"), ("workers", "secrets_backend"))
    return any(conf.get(section, key, fallback="") for section, key in places)


# What follows is for Airflow's API server alone, and imports what only that has.


def user_of_page() -> Any:
    """What a route of a plugin depends on to have a user: logged in, and allowed to see plugins; else 401 or 403."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import get_user, requires_access_view
    from fastapi import Depends

    allowed = requires_access_view(AccessView.PLUGINS)

    def user(found: Any = Depends(get_user), _: None = Depends(allowed)) -> Any:  # noqa: B008
        return found

    return user


def may_read_connection(conn_id: str, user: Any) -> bool:
    """Whether Airflow lets a user read a connection, as its auth manager says."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails

    team = _team_of(conn_id)
    details = ConnectionDetails(conn_id=conn_id, team_name=team) if team else ConnectionDetails(conn_id=conn_id)
    return bool(get_auth_manager().is_authorized_connection(method="GET", details=details, user=user))


def is_a_teams(conn_id: str) -> bool:
    """Whether a connection belongs to a team; never where Airflow has no teams."""
    return _team_of(conn_id) is not None


def _team_of(conn_id: str) -> str | None:
    from airflow.configuration import conf
    from airflow.models.connection import Connection as StoredConnection

    if not conf.getboolean("core", "multi_team", fallback=False):
        return None
    found: str | None = StoredConnection.get_team_name(conn_id)
    return found


def stored_connection(conn_id: str) -> Any:
    """A connection from any secrets backend, the environment or the database; None where none has it, or gives it."""
    from airflow.exceptions import AirflowNotFoundException
    from airflow.models.connection import Connection as StoredConnection

    try:
        return StoredConnection.get_connection_from_secrets(conn_id)
    except (AirflowNotFoundException, PermissionError):
        return None


def connection_ids(conn_type: str) -> set[str]:
    """The connections of a type that can be listed: those of the database and of the environment."""
    from airflow.models.connection import Connection as StoredConnection
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        stored = session.scalars(select(StoredConnection.conn_id).where(StoredConnection.conn_type == conn_type))
        found = {str(name) for name in stored}
    # Asked alone: a backend that is slow or away would be waited for once for each of these variables.
    environment = EnvironmentVariablesBackend()
    for variable in os.environ:
        if variable.startswith(_CONNECTION_VARIABLE):
            name = variable[len(_CONNECTION_VARIABLE) :].lower()
            try:
                connection = environment.get_connection(name)
            except (AirflowException, AttributeError, TypeError, ValueError):
                continue  # no connection is written there; whoever uses it is warned
            if connection is not None and connection.conn_type == conn_type:
                found.add(name)
    return found
