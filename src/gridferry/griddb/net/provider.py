"""A provider's list of nodes over HTTP, within one limit of time for all of it and one of size."""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from gridferry.errors import AuthenticationFailed, ConfigError, NodeUnreachable, RemoteProtocolError

MOST_BYTES = 1 << 20
MOST_NODES = 1000
DEFAULT_SERVICE, PUBLIC_SERVICE = "transaction", "transactionPublic"
SQL_SERVICE, PUBLIC_SQL_SERVICE = "sql", "sqlPublic"
_PORTS = {"http": 80, "https": 443}
_ACCEPT = {"Accept": "application/json", "User-Agent": "gridferry", "Connection": "close"}


def from_provider(
    url: str, *, timeout_s: float = 10.0, service: str = DEFAULT_SERVICE, ca_file: str = ""
) -> tuple[tuple[str, int], ...]:
    """The nodes that a provider's JSON list names, asked and answered within `timeout_s` seconds.

    Redirects are not followed: they would lead away from the host that was named.
    Args: service: which of a node's addresses; ca_file: who is trusted for https, the system's authorities without it.
    Raises: ConfigError, NodeUnreachable, RemoteProtocolError; AuthenticationFailed for a certificate without trust.
    """
    deadline = time.monotonic() + timeout_s
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # it may quote a piece of a password
        raise ConfigError("the provider of a GridDB address is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("the provider of a GridDB address must be an http or https URL")
    asked = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    port = port or _PORTS[parts.scheme]
    context = ssl.create_default_context(cafile=ca_file or None) if parts.scheme == "https" else None
    try:
        with _Connection(parts.hostname, port, deadline=deadline, context=context) as connection:
            connection.request("GET", asked, headers=_ACCEPT)
            answer = connection.getresponse()
            body = answer.read(MOST_BYTES + 1)
    except ssl.SSLCertVerificationError as error:
        raise AuthenticationFailed(
            f"the certificate of the GridDB provider is not trusted: {error.verify_message}",
            next_step="name the file of its issuer as ca_file=.., and the provider as its certificate does",
        ) from error
    except http.client.InvalidURL:  # what it quotes may be a piece of a password
        raise ConfigError(
            "the provider of a GridDB address is not a URL: it has a space or a control character in it",
            next_step="write such characters in percent form, a space as %20",
        ) from None
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise NodeUnreachable(
            f"the GridDB provider did not answer: {_reason(error, timeout_s)}",
            next_step="check provider=.. in the target address",
        ) from error
    if answer.status != http.client.OK:
        raise NodeUnreachable(
            f"the GridDB provider answered with HTTP status {answer.status}",
            next_step="check provider=.. in the target address",
        )
    if len(body) > MOST_BYTES:
        raise RemoteProtocolError(f"the GridDB provider's list is longer than {MOST_BYTES:,} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("the GridDB provider's answer is not JSON") from error
    return parse_provider_list(document, service=service)


def parse_provider_list(document: object, *, service: str = DEFAULT_SERVICE) -> tuple[tuple[str, int], ...]:
    """The addresses of one service in a provider's document. Raises: RemoteProtocolError, NodeUnreachable."""
    if not isinstance(document, list):
        raise _not_a_list(service)
    if len(document) > MOST_NODES:
        raise RemoteProtocolError(f"the GridDB provider names {len(document):,} nodes: {MOST_NODES:,} is the limit")
    try:
        nodes = tuple((str(node[service]["address"]), int(node[service]["port"])) for node in document)
    except (TypeError, KeyError, ValueError) as error:
        raise _not_a_list(service) from error
    if any(not host or not 0 < port < 65536 for host, port in nodes):
        raise RemoteProtocolError("the GridDB provider's list names a node without a host or with an impossible port")
    if not nodes:
        raise NodeUnreachable("the GridDB provider names no node")
    return nodes


def _not_a_list(service: str) -> RemoteProtocolError:
    form = f'[{{"{service}": {{"address": .., "port": ..}}}}, ..]'
    return RemoteProtocolError(f"the GridDB provider's list is not of the form {form}")


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"not within {timeout_s:g} s"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Connection(http.client.HTTPConnection):
    """An HTTP connection all of which, the handshake and each read of a byte included, ends at one deadline.

    A timeout of a socket begins again with each read: a server that sends a byte now and then would hold us for ever.
    """

    def __init__(self, host: str, port: int, *, deadline: float, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port)
        self._deadline = deadline
        self._context = context
        self._raw: socket.socket | None = None

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        if self._raw is not None:
            self._raw.close()

    def connect(self) -> None:
        """Make the connection, and speak TLS over it where there is a context."""
        raw = socket.create_connection((self.host, self.port), timeout=_left(self._deadline))
        if self._context is not None:
            raw.settimeout(_left(self._deadline))
            try:
                # The handshake's timeout is one for all of its reads.
                raw = self._context.wrap_socket(raw, server_hostname=self.host)
            except BaseException:
                raw.close()
                raise
        self._raw = raw
        self.sock = _Bounded(raw, self._deadline)


class _Bounded:
    """As much of a socket as http.client uses. Closing is left to the connection: an answer reads on behind it."""

    def __init__(self, inner: socket.socket, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._inner.settimeout(_left(self._deadline))
        self._inner.sendall(data)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reads(self._inner, self._deadline))

    def close(self) -> None:
        pass


class _Reads(io.RawIOBase):
    def __init__(self, inner: socket.socket, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._inner.settimeout(_left(self._deadline))
        return self._inner.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
