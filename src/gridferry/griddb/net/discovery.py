"""Ways to the first node: a fixed list, a provider's URL, or multicast. Source: protocol page, section 3.2."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import struct
import time
import urllib.request

from gridferry.errors import ConfigError, NodeUnreachable, RemoteProtocolError
from gridferry.griddb.address import GridDBAddress
from gridferry.griddb.wire.frame import MAGIC

_NOTIFICATION = 5000
_MAX_LIST_BYTES = 1 << 20


def candidates(address: GridDBAddress, *, timeout_s: float = 10.0) -> tuple[tuple[str, int], ...]:
    """Nodes to ask for the master. Raises: NodeUnreachable, ConfigError, RemoteProtocolError."""
    if address.provider:
        return from_provider(address.provider, timeout_s=timeout_s)
    if address.multicast is not None:
        return (from_multicast(*address.multicast, timeout_s=timeout_s),)
    return address.members


def from_provider(url: str, *, timeout_s: float = 10.0) -> tuple[tuple[str, int], ...]:
    """The nodes that a provider's JSON list names."""
    if not url.startswith(("http://", "https://")):
        raise ConfigError("the provider of a GridDB address must be an http or https URL")
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310 - the scheme was checked
            document = json.loads(answer.read(_MAX_LIST_BYTES))
    except (OSError, http.client.HTTPException) as error:
        raise NodeUnreachable(
            f"the GridDB provider did not answer: {error}", next_step="check provider=.. in the target address"
        ) from error
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"the GridDB provider's answer is not JSON: {error}") from error
    return parse_provider_list(document)


def parse_provider_list(document: object) -> tuple[tuple[str, int], ...]:
    """The transaction services in a provider's document. Raises: RemoteProtocolError."""
    try:
        nodes = tuple(
            (str(node["transaction"]["address"]), int(node["transaction"]["port"]))
            for node in document  # type: ignore[attr-defined]
        )
    except (TypeError, KeyError, ValueError) as error:
        raise RemoteProtocolError(
            'the GridDB provider\'s list is not of the form [{"transaction": {"address": .., "port": ..}}, ..]'
        ) from error
    if any(not host or not 0 < port < 65536 for host, port in nodes):
        raise RemoteProtocolError("the GridDB provider's list names a node without a host or with an impossible port")
    if not nodes:
        raise NodeUnreachable("the GridDB provider names no node")
    return nodes


def from_multicast(group: str, port: int, *, timeout_s: float = 15.0) -> tuple[str, int]:
    """The master that announces itself to a multicast group. Raises: NodeUnreachable."""
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            receiver.bind((group, port))
            membership = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton("0.0.0.0"))  # noqa: S104
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            while (left := deadline - time.monotonic()) > 0:
                receiver.settimeout(left)
                found = parse_notification(receiver.recv(65536))
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


def parse_notification(data: bytes) -> tuple[str, int] | None:
    """The master's address in a multicast datagram, or None for anything else."""
    if len(data) < 37:
        return None
    magic, _, _, _, size, statement = struct.unpack_from("<i4siiIi", data)
    if magic != MAGIC or statement != _NOTIFICATION or size < 17:
        return None
    (port,) = struct.unpack_from("<i", data, 28)
    return str(ipaddress.ip_address(data[24:28])), port
