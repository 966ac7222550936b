"""Bytes to and from one peer, each read with a limit of time."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from typing import Protocol

from gridferry.errors import AuthenticationFailed, ConnectionLost, NodeUnreachable


class Transport(Protocol):
    """One open byte stream."""

    peer: str
    address_size: int
    local: bool  # the peer is on this machine

    def send(self, data: bytes) -> None:
        """Send all of it. Raises: ConnectionLost."""

    def receive(self, size: int, timeout_s: float) -> bytes | None:
        """Up to `size` bytes; None when nothing came in time. Raises: ConnectionLost, also at the end of the stream."""

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Go on in TLS. Raises: ConnectionLost; AuthenticationFailed for a certificate that is not trusted."""

    def close(self) -> None:
        """Close; more than once does no harm."""


class SocketTransport:
    """A TCP connection. Raises: NodeUnreachable if it cannot be made within `timeout_s`."""

    def __init__(self, host: str, port: int, *, timeout_s: float, send_timeout_s: float = 300.0) -> None:
        self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._timeout_s = timeout_s
        self._send_timeout_s = send_timeout_s
        try:
            self._socket: socket.socket = socket.create_connection((host, port), timeout=timeout_s)
        except (OSError, UnicodeError, OverflowError) as error:
            # The last two: a name or a port that cannot be one, as a provider or a node may tell.
            raise NodeUnreachable(
                f"no connection to the GridDB node {self.peer}: {_reason(error)}",
                next_step="check that the node runs and that host and port are right (10001 is the usual port of the "
                "transaction service, 20001 that of SQL)",
            ) from error
        self.address_size = 16 if self._socket.family == socket.AF_INET6 else 4
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            address = self._socket.getpeername()[0]
        except OSError as error:  # the node ended the connection at once: it is starting, stopping or full
            self._socket.close()
            raise NodeUnreachable(
                f"the GridDB node {self.peer} ended the connection at once: {_reason(error)}",
                next_step="look whether the node is starting or stopping, and at its connectionLimit",
            ) from error
        self.local = ipaddress.ip_address(address.partition("%")[0]).is_loopback

    def send(self, data: bytes) -> None:
        """Send all of it. Raises: ConnectionLost."""
        try:
            self._socket.settimeout(self._send_timeout_s)
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionLost(f"the connection to {self.peer} broke while sending: {_reason(error)}") from error

    def receive(self, size: int, timeout_s: float) -> bytes | None:
        """Up to `size` bytes; None when nothing came in time. Raises: ConnectionLost, also at the end of the stream."""
        try:
            self._socket.settimeout(max(timeout_s, 0.0))
            data = self._socket.recv(size)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError as error:
            raise ConnectionLost(f"the connection to {self.peer} broke: {_reason(error)}") from error
        if not data:
            raise ConnectionLost(f"the node {self.peer} closed the connection")
        return data

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Go on in TLS. Raises: ConnectionLost; AuthenticationFailed for a certificate that is not trusted."""
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise AuthenticationFailed(
                f"the certificate of the GridDB node {self.peer} is not trusted: {error.verify_message}",
                next_step="name the file of its issuer as ca_file=.., and the node as its certificate does",
            ) from error
        except OSError as error:
            raise ConnectionLost(f"TLS with {self.peer} failed: {_reason(error)}") from error

    def close(self) -> None:
        """Close; more than once does no harm."""
        self._socket.close()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
