"""Where a cluster is and who we are there: `griddb://user@host:port,host:port/cluster/database?sslmode=prefer`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, unquote

from gridferry.errors import ConfigError

DEFAULT_PORT = 10001
PUBLIC = "public"
_NAME = re.compile(r"[^@:,/?#]+")
_HOST = re.compile(r"(?:\[(?P<inner>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<name>[^\s\[\]:@/?#]+))(?::(?P<port>[0-9]{1,5}))?")
_FORM = "griddb://user@host:port[,host:port]/cluster[/database][?sslmode=..&provider=..&multicast=..]"


class SslMode(str, Enum):
    """Whether TLS is used after the first exchange, when the server offers it."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY = "verify"


@dataclass(frozen=True)
class GridDBAddress:
    """A cluster's address. One of `members`, `provider` (a URL) and `multicast` (group, port) says how to find it."""

    cluster: str
    user: str = "admin"
    password: str = field(default="", repr=False)
    members: tuple[tuple[str, int], ...] = ()
    provider: str = field(default="", repr=False)  # it may hold a password of its own
    multicast: tuple[str, int] | None = None
    database: str = PUBLIC
    sslmode: SslMode = SslMode.PREFER
    ca_file: str = ""

    def __str__(self) -> str:
        """The address without its password."""
        hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.members)
        if self.provider:
            hosts = "provider"
        elif self.multicast:
            hosts = f"multicast {self.multicast[0]}:{self.multicast[1]}"
        return f"griddb://{self.user}@{hosts}/{self.cluster}/{self.database}"


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
        if name == "sslmode":
            if value not in [m.value for m in SslMode]:
                raise ConfigError(
                    f"sslmode{shown(value)} is unknown: disable, prefer, require or verify",
                    next_step=f"write it as {_FORM}",
                )
            found[name] = SslMode(value)
        elif name == "multicast":
            found[name] = _host(value, what="multicast", default_port=31999)
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
