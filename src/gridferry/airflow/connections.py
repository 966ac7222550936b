"""Airflow's connections as addresses. Nothing here is logged, and no message repeats a field that may be secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from gridferry.airflow.provider_info import CONNECTION_TYPE
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.airflow.compat import Connection
    from gridferry.griddb.address import GridDBAddress
    from gridferry.plan.addresses import SourceAddress

_POSTGRES_TYPES = ("postgres", "postgresql")
_OPTIONS = ("sslmode", "provider", "multicast", "ca_file", "authentication", "route", "sql")
# What libpq knows and an Airflow connection of type postgres may have in its extra.
_LIBPQ = frozenset(
    {
        "application_name", "channel_binding", "connect_timeout", "gssencmode", "hostaddr", "keepalives",
        "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "load_balance_hosts", "options",
        "passfile", "require_auth", "service", "sslcert", "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslmode",
        "sslnegotiation", "sslpassword", "sslrootcert", "sslsni", "target_session_attrs", "tcp_user_timeout",
    }
)  # fmt: skip
_LOGS_IN_ELSEWHERE = ("iam", "azure_conn_id", "redshift")


def griddb_address(connection: Connection) -> GridDBAddress:
    """The cluster that a connection of type griddb names.

    Schema is the cluster, or cluster/database, so that gridferry's own address is a connection's URI as it is.
    Raises: ConfigError, which names the connection.
    """
    from gridferry.griddb.address import PUBLIC, parse_address

    name = connection.conn_id
    _require_type(connection, (CONNECTION_TYPE,))
    extra = _extra(connection)
    cluster, _, database = (connection.schema or "").strip("/").partition("/")
    cluster = str(extra.get("cluster") or cluster)
    database = str(database or extra.get("database") or PUBLIC)
    if not cluster:
        raise _wrong(name, "it names no cluster", "set its Cluster field")
    hosts = str(extra.get("members") or "")
    options = {key: str(extra[key]) for key in _OPTIONS if extra.get(key)}
    if not hosts and not {"provider", "multicast"} & set(options):
        hosts = _hosts(connection)
    if not connection.password:
        raise _wrong(name, "it has no password", "set its Password field (a new GridDB has admin/admin)")
    place = f"{quote(connection.login or 'admin', safe='')}@{hosts}"
    path = f"{quote(cluster, safe='')}/{quote(database, safe='')}"
    try:
        return parse_address(f"griddb://{place}/{path}?{urlencode(options)}", password=connection.password)
    except ConfigError as error:
        raise _wrong(name, error.message, "look at its fields: host and port, members, provider or multicast") from None


def postgres_address(connection: Connection) -> SourceAddress:
    """The database that a connection of type postgres names, with what libpq knows of its extra (sslmode, ...).

    Raises: ConfigError, which names the connection.
    """
    from psycopg import Error
    from psycopg.conninfo import make_conninfo

    from gridferry.plan.addresses import SourceAddress

    _require_type(connection, _POSTGRES_TYPES)
    extra = _extra(connection)
    for key in _LOGS_IN_ELSEWHERE:
        if extra.get(key):
            raise _wrong(
                connection.conn_id, f"its extra asks for {key}", "gridferry logs in by password or certificate"
            )
    fields: dict[str, Any] = {key: value for key, value in extra.items() if key in _LIBPQ and value not in (None, "")}
    fields |= {
        "host": connection.host or None,
        "port": connection.port or None,
        "user": connection.login or None,
        "password": connection.password or None,
        "dbname": connection.schema or None,
    }
    try:
        return SourceAddress(make_conninfo("", **fields))
    except Error:
        # Not chained: libpq's message may repeat a field.
        raise _wrong(connection.conn_id, "libpq cannot read it", "look at its fields and its extra") from None


def _hosts(connection: Connection) -> str:
    """`host:port`; a host field may hold several, each with its port."""
    host = (connection.host or "").removeprefix("griddb://")
    if not host:
        raise _wrong(connection.conn_id, "it names no node", "set Host and Port, or Members, Provider URL or Multicast")
    if not connection.port or "," in host:
        return host
    return f"[{host}]:{connection.port}" if ":" in host and not host.startswith("[") else f"{host}:{connection.port}"


def _extra(connection: Connection) -> dict[str, Any]:
    """The extra. Airflow itself takes one that it cannot read for an empty one."""
    try:
        found = json.loads(connection.extra or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _wrong(connection.conn_id, "its extra is not a JSON object", "write it as {...}")
    return found


def _require_type(connection: Connection, wanted: tuple[str, ...]) -> None:
    if connection.conn_type not in wanted:
        raise _wrong(connection.conn_id, f"it is of type {connection.conn_type}, not {wanted[0]}", "name another one")


def _wrong(name: str, what: str, next_step: str) -> ConfigError:
    return ConfigError(f"the Airflow connection {name} cannot be used: {what}", next_step=next_step)
