"""Addresses as GridDB's JDBC driver has them: `jdbc:gs://host:port/cluster/database?options`."""

from __future__ import annotations

import ipaddress
from urllib.parse import parse_qs, unquote

from gridferry.errors import ConfigError
from gridferry.griddb.address import PUBLIC, GridDBAddress, Route, SslMode

_FORM = "jdbc:gs://host:port/cluster/database, or jdbc:gs:///cluster/database?notificationMember=host:port,.."
_SSL = {"DISABLED": SslMode.DISABLE, "PREFERRED": SslMode.PREFER, "REQUIRED": SslMode.REQUIRE, "VERIFY": SslMode.VERIFY}
# They say how the other driver waits or what it is called, which is said to `connect` here.
_LEFT = {"loginTimeout", "applicationName", "timeZone", "storeMemoryAgingSwapRate", "notificationInterfaceAddress"}


def parse_jdbc(url: str, *, password: str | None = None) -> GridDBAddress:
    """The address that a URL of the JDBC driver names; its nodes are those of the SQL service.

    Raises: ConfigError, whose message does not repeat the URL: it may hold a password.
    """
    place, _, query = url.removeprefix("jdbc:gs:").partition("?")
    hosts, _, path = place.removeprefix("//").partition("/")
    names = [unquote(part) for part in path.split("/") if part]
    if not place.startswith("//") or not 1 <= len(names) <= 2:
        raise _wrong("it names no cluster, or more than a cluster and a database")
    options = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    user, secret = options.pop("user", "admin"), options.pop("password", "")
    members = options.pop("notificationMember", "")
    provider = options.pop("notificationProvider", "")
    sslmode = options.pop("sslMode", "")
    route = Route.PUBLIC if options.pop("connectionRoute", "") == "PUBLIC" else Route.DEFAULT
    unknown = sorted(set(options) - _LEFT)
    if unknown:
        raise _wrong(f"gridferry does not know its option {unknown[0]}")
    if sslmode and sslmode not in _SSL:
        raise _wrong(f"its sslMode is none of {', '.join(_SSL)}")
    if sum(map(bool, (hosts, members, provider))) != 1:
        raise _wrong("it must name its nodes in exactly one way")
    nodes = tuple(_node(each) for each in (members or hosts).split(",")) if members or hosts else ()
    multicast = nodes[0] if hosts and _is_multicast(nodes[0][0]) else None
    return GridDBAddress(
        cluster=names[0],
        user=user,
        password=secret if password is None else password,
        members=() if multicast else nodes,
        sql=() if multicast else nodes,
        provider=provider,
        multicast=multicast,
        database=names[1] if len(names) == 2 else PUBLIC,
        sslmode=_SSL.get(sslmode, SslMode.AUTO),
        route=route,
    )


def _node(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise _wrong("a node of it is not host:port")
    return host.strip("[]"), int(port)


def _is_multicast(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_multicast
    except ValueError:
        return False


def _wrong(why: str) -> ConfigError:
    return ConfigError(f"the JDBC address cannot be used: {why}", next_step=f"write it as {_FORM}")
