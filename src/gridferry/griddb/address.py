"""Where a cluster is and who we are there: `griddb://user@host:port,host:port/cluster/database?sslmode=prefer`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, unquote

from gridferry.errors import ConfigError

DEFAULT_PORT = 10001
DEFAULT_SQL_PORT = 20001
PUBLIC = "public"
_NAME = re.compile(r"[^@:,/?#]+")
_HOST = re.compile(r"(?:\[(?P<inner>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<name>[^\s\[\]:@/?#]+))(?::(?P<port>[0-9]{1,5}))?")
_FORM = "griddb://user@host:port[,host:port]/cluster[/database][?sslmode=..&provider=..&multicast=..&route=..&sql=host:port]"


class SslMode(str, Enum):
    """Whether TLS is used after the first exchange, when the server offers it.

    AUTO, which holds where nothing is written: as PREFER, but no login in clear leaves this machine.
    """

    AUTO = "auto"
    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY = "verify"


class Authentication(str, Enum):
    """Who checks the password. AUTO: whom the server names; by LDAP only over TLS, as it sends the password itself."""

    AUTO = "auto"
    INTERNAL = "internal"
    LDAP = "ldap"


class Route(str, Enum):
    """Which of a cluster's addresses are used. PUBLIC: those for clients from outside (GridDB Cloud)."""

    DEFAULT = "default"
    PUBLIC = "public"


@dataclass(frozen=True)
class GridDBAddress:
    """A cluster's address. One of `members`, `provider` (a URL) and `multicast` (group, port) says how to find it.

    Raises: ConfigError for options of TLS that contradict each other, and so would protect less than they say.
    """

    cluster: str
    user: str = "admin"
    password: str = field(default="", repr=False)
    members: tuple[tuple[str, int], ...] = ()
    provider: str = field(default="", repr=False)  # it may hold a password of its own
    multicast: tuple[str, int] | None = None
    database: str = PUBLIC
    sslmode: SslMode = SslMode.AUTO
    ca_file: str = ""
    authentication: Authentication = Authentication.AUTO
    route: Route = Route.DEFAULT
    sql: tuple[tuple[str, int], ...] = ()  # of the SQL service, where it is not found by the others

    def __post_init__(self) -> None:
        verified = self.sslmode is SslMode.VERIFY
        if self.ca_file and not verified:
            raise ConfigError(
                f"ca_file has no effect with sslmode={self.sslmode.value}: no certificate is checked",
                next_step="write sslmode=verify, or leave ca_file out of the GridDB address",
            )
        if verified and self.multicast is not None:
            raise ConfigError(
                "multicast cannot go with sslmode=verify: anybody in the network can announce a node",
                next_step="give the nodes as host:port, or an https provider",
            )
        if verified and self.provider and not self.provider.startswith("https://"):
            raise ConfigError(
                "with sslmode=verify the provider must be an https URL: what it says decides where to log in",
                next_step="write provider=https://.., or give the nodes as host:port",
            )

    def __str__(self) -> str:
        """The address without its password."""
        hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.members)
        if self.provider:
            hosts = "provider"
        elif self.multicast:
            hosts = f"multicast {self.multicast[0]}:{self.multicast[1]}"
        return f"griddb://{self.user}@{hosts}/{self.cluster}/{self.database}"


_CHOICES: dict[str, type[Enum]] = {"sslmode": SslMode, "authentication": Authentication, "route": Route}


def parse_address(url: str, *, password: str | None = None) -> GridDBAddress:
    """The address that a URL names. A `password` given apart goes before one in the URL.

    Raises: ConfigError, whose message does not repeat the URL: it may hold a password.
    """
    # Not urlsplit(): it refuses an IPv6 member that is not the first one.
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.lower() != "griddb":
        raise ConfigError("the target is not a GridDB address", next_step=f"write it as {_FORM}")
    place, _, query = rest.partition("?")
    options = _options(query)
    netloc, *path = place.split("/")
    path = [unquote(part) for part in path]
    user_part, at, hosts = netloc.rpartition("@")
    user, _, inner = user_part.partition(":")
    if len(path) == 2 and not path[1]:
        path.pop()
    if len(path) not in (1, 2) or not all(_NAME.fullmatch(part) for part in path):
        raise ConfigError(
            "the GridDB address names no cluster, or more than a cluster and a database",
            next_step=f"write it as {_FORM}; in a password, / is written %2F and ? is written %3F",
        )
    address = GridDBAddress(
        cluster=path[0],
        user=unquote(user) if at and user else "admin",
        password=unquote(inner) if password is None else password,
        members=_members(hosts),
        database=path[1] if len(path) == 2 else PUBLIC,
        **options,
    )
    ways = [bool(address.members), bool(address.provider), address.multicast is not None]
    if sum(ways) != 1:
        raise ConfigError(
            "the GridDB address must name its nodes in exactly one way: host:port, provider= or multicast=",
            next_step=f"write it as {_FORM}",
        )
    return address


def with_password(address: GridDBAddress, password: str) -> GridDBAddress:
    """The same address with another password."""
    return replace(address, password=password)


def _options(query: str) -> dict[str, Any]:
    def shown(text: str) -> str:
        # With an @ behind the ?, that ? may stand in a password, and so may what follows.
        return "" if "@" in query else f' "{text}"'

    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _CHOICES:
            allowed = [each.value for each in _CHOICES[name]]
            if value not in allowed:
                raise ConfigError(
                    f"{name}{shown(value)} is unknown: {', '.join(allowed[:-1])} or {allowed[-1]}",
                    next_step=f"write it as {_FORM}",
                )
            found[name] = _CHOICES[name](value)
        elif name == "multicast":
            found[name] = _host(value, what="multicast", default_port=31999)
        elif name == "sql":
            found[name] = tuple(_host(each, what="sql", default_port=DEFAULT_SQL_PORT) for each in value.split(","))
        elif name in ("provider", "ca_file"):
            found[name] = value
        else:
            raise ConfigError(
                f"option{shown(name)} of the GridDB address is unknown",
                next_step=f"write it as {_FORM}; in a password, ? is written %3F",
            )
    return found


def _members(hosts: str) -> tuple[tuple[str, int], ...]:
    named = hosts.split(",") if hosts else []
    return tuple(_host(text, what=f"member {number}") for number, text in enumerate(named, start=1))


def _host(text: str, *, what: str, default_port: int = DEFAULT_PORT) -> tuple[str, int]:
    # The text itself is not repeated in messages: in a malformed address it may be a password.
    found = _HOST.fullmatch(text)
    port = int(found["port"] or default_port) if found else 0
    if found is None or not 0 < port < 65536:
        raise ConfigError(f"{what} of the GridDB address is not host:port", next_step=f"write it as {_FORM}")
    return found["inner"] or found["name"], port
