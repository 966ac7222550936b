"""Ways to the first node: a fixed list, a provider's URL, or multicast. Source: docs/protocol.md, Finding a node."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time

from gridferry.errors import NodeUnreachable
from gridferry.griddb.address import DEFAULT_PORT, DEFAULT_SQL_PORT, GridDBAddress, Route
from gridferry.griddb.net.provider import (
    DEFAULT_SERVICE,
    PUBLIC_SERVICE,
    PUBLIC_SQL_SERVICE,
    SQL_SERVICE,
    from_provider,
)
from gridferry.griddb.wire.frame import MAGIC

_NOTIFICATION, _SQL_NOTIFICATION = 5000, 4000
SQL_MULTICAST_PORT = 41999


def candidates(address: GridDBAddress, *, timeout_s: float = 10.0) -> tuple[tuple[str, int], ...]:
    """Nodes to ask for the master. Raises: NodeUnreachable, ConfigError, RemoteProtocolError."""
    if address.provider:
        service = PUBLIC_SERVICE if address.route is Route.PUBLIC else DEFAULT_SERVICE
        return from_provider(address.provider, timeout_s=timeout_s, service=service, ca_file=address.ca_file)
    if address.multicast is not None:
        return (from_multicast(*address.multicast, timeout_s=timeout_s),)
    return address.members


def sql_candidates(address: GridDBAddress, *, timeout_s: float = 10.0) -> tuple[tuple[str, int], ...]:
    """Nodes of the SQL service to log in to: any one of an active cluster does.

    Where the address does not name them (`sql=`), a member at the default port of NoSQL is asked at that of SQL, and
    one at another port as it is. Raises: NodeUnreachable, ConfigError, RemoteProtocolError.
    """
    if address.sql:
        return address.sql
    if address.provider:
        service = PUBLIC_SQL_SERVICE if address.route is Route.PUBLIC else SQL_SERVICE
        return from_provider(address.provider, timeout_s=timeout_s, service=service, ca_file=address.ca_file)
    if address.multicast is not None:
        group = address.multicast[0]
        return (from_multicast(group, SQL_MULTICAST_PORT, timeout_s=timeout_s, announced=_SQL_NOTIFICATION),)
    return tuple((host, DEFAULT_SQL_PORT if port == DEFAULT_PORT else port) for host, port in address.members)


def from_multicast(
    group: str, port: int, *, timeout_s: float = 15.0, announced: int = _NOTIFICATION
) -> tuple[str, int]:
    """The node that announces itself to a multicast group: the master, for SQL any one. Raises: NodeUnreachable."""
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            receiver.bind((group, port))
            membership = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton("0.0.0.0"))  # noqa: S104
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            while (left := deadline - time.monotonic()) > 0:
                receiver.settimeout(left)
                found = parse_notification(receiver.recv(65536), announced=announced)
                if found is not None:
                    return found
        except TimeoutError:
            pass  # said below, as for a group that only carries other traffic
        except OSError as error:
            raise NodeUnreachable(f"multicast group {group}:{port} cannot be joined: {error}") from error
    raise NodeUnreachable(
        f"no GridDB master announced itself to {group}:{port} within {timeout_s:g} s",
        next_step="give the nodes as host:port instead, if multicast does not reach this machine",
    )


def parse_notification(data: bytes, *, announced: int = _NOTIFICATION) -> tuple[str, int] | None:
    """The node's address in a multicast datagram, or None for anything else."""
    if len(data) < 37:
        return None
    magic, _, _, _, size, statement = struct.unpack_from("<i4siiIi", data)
    if magic != MAGIC or statement != announced or size < 17:
        return None
    (port,) = struct.unpack_from("<i", data, 28)
    return str(ipaddress.ip_address(data[24:28])), port
