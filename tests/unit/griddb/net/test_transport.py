"""Sockets: TLS after the first message, IPv6, and the errors of the system mapped to ours."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.griddb.net.memory import reply, request_of, written

from gridferry.engine.retry import is_transient
from gridferry.errors import (
    AuthenticationFailed,
    ConnectionLost,
    GridDBError,
    NodeUnreachable,
    RemoteProtocolError,
)
from gridferry.griddb import GridDBAddress, SslMode, Timing
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.net.provider import from_provider
from gridferry.griddb.net.transport import SocketTransport
from gridferry.griddb.wire.container_requests import FlushLog
from gridferry.griddb.wire.frame import Frame, FrameReader, Role
from gridferry.griddb.wire.replies import ConnectReply, LoginReply
from gridferry.griddb.wire.requests import Connect
from gridferry.griddb.wire.statement import Statement

TIMING = Timing(connect_s=10.0, answer_s=10.0)


@dataclass(frozen=True)
class Certificate:
    """A certificate for `localhost` that signs itself."""

    path: Path
    key: Path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    found = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(found.key), "-out", str(found.path)),
        ],
        check=True,
        capture_output=True,
    )
    return found


@dataclass
class FakeNode:
    """One connection of a node: CONNECT, TLS if `tls` is given and the client wants it, then `LOGIN` and the rest."""

    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    secure: bool = False
    address_size: int = 4
    heard: list[int] | None = None

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.listener = socket.create_server((self.host, 0), family=family)
        self.port = self.listener.getsockname()[1]
        self.heard = []
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        with contextlib.ExitStack() as held:
            held.callback(connection.close)
            # The client may hang up on us: for our certificate, or for speaking no TLS. That is told on its side.
            held.enter_context(contextlib.suppress(OSError, RemoteProtocolError))
            self._talk(connection, held)

    def _talk(self, connection: socket.socket, held: contextlib.ExitStack) -> None:
        frames = FrameReader(Role.SERVER, address_size=self.address_size)
        while True:
            frame = frames.next_frame()
            if frame is None:
                data = connection.recv(65536)
                if not data:
                    return
                frames.receive(data)
                continue
            assert self.heard is not None
            self.heard.append(frame.statement)
            if frame.statement == Statement.DISCONNECT:
                return
            connection.sendall(self._answer(frame))
            if frame.statement == Statement.CONNECT and self.tls is not None and _wants_tls(frame):
                connection = self.tls.wrap_socket(connection, server_side=True)
                held.callback(connection.close)

    def _answer(self, frame: Frame) -> bytes:
        bodies = {
            Statement.CONNECT: written(ConnectReply(secure=self.secure)),
            Statement.LOGIN: written(LoginReply(database_id=3)),
        }
        return reply(frame, bodies.get(Statement(frame.statement), b"x"), address_size=self.address_size)

    def stop(self) -> None:
        self.listener.close()
        self.thread.join()


def _wants_tls(frame: Frame) -> bool:
    hello = request_of(frame)
    assert isinstance(hello, Connect)
    return hello.secure


@pytest.fixture
def node() -> Iterator[Callable[..., FakeNode]]:
    made: list[FakeNode] = []

    def make(**options: object) -> FakeNode:
        made.append(FakeNode(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for found in made:
        # A node that nobody called still waits for a connection.
        with contextlib.suppress(OSError):
            socket.create_connection((found.host, found.port), timeout=1).close()
        found.stop()


def _tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)
    return context


def _talk(host: str, port: int, address: GridDBAddress) -> tuple[int, bool]:
    """Open, log in and ask something; returns the database id and whether TLS was used."""
    transport = SocketTransport(host, port, timeout_s=10.0)
    connection = Connection(transport, TIMING)
    try:
        connection.open(address, host)
        database_id = connection.login(address, bytes(16))
        assert connection.ask(FlushLog(0), asked="a flush").u8() == ord("x")
        assert not connection.stale()
        return database_id, isinstance(transport._socket, ssl.SSLSocket)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("mode", "used"),
    [
        (SslMode.AUTO, True),
        (SslMode.DISABLE, False),
        (SslMode.PREFER, True),
        (SslMode.REQUIRE, True),
        (SslMode.VERIFY, True),
    ],
)
def test_tls_where_it_is_offered(
    certificate: Certificate, node: Callable[..., FakeNode], mode: SslMode, used: bool
) -> None:
    found = node(tls=_tls(certificate), secure=True)
    ca_file = str(certificate.path) if mode is SslMode.VERIFY else ""
    address = GridDBAddress("c", sslmode=mode, ca_file=ca_file)
    assert _talk("localhost", found.port, address) == (3, used)


def test_a_certificate_that_nobody_vouches_for(certificate: Certificate, node: Callable[..., FakeNode]) -> None:
    found = node(tls=_tls(certificate), secure=True)
    with pytest.raises(AuthenticationFailed, match="not trusted") as caught:
        _talk("localhost", found.port, GridDBAddress("c", sslmode=SslMode.VERIFY))
    assert "ca_file" in caught.value.next_step


def test_a_provider_whose_certificate_nobody_vouches_for(certificate: Certificate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shake_hands() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                _tls(certificate).wrap_socket(client, server_side=True)

        thread = threading.Thread(target=shake_hands)
        thread.start()
        with pytest.raises(AuthenticationFailed, match="the certificate of the GridDB provider is not trusted"):
            from_provider(f"https://localhost:{listener.getsockname()[1]}/list")
        thread.join()


def test_a_certificate_of_another_host(certificate: Certificate, node: Callable[..., FakeNode]) -> None:
    found = node(tls=_tls(certificate), secure=True)
    with pytest.raises(AuthenticationFailed, match="not trusted"):
        _talk("127.0.0.1", found.port, GridDBAddress("c", sslmode=SslMode.VERIFY, ca_file=str(certificate.path)))


def test_a_node_that_offers_tls_and_then_speaks_none(node: Callable[..., FakeNode]) -> None:
    found = node(secure=True)
    with pytest.raises(GridDBError, match="TLS with"):
        _talk("localhost", found.port, GridDBAddress("c", sslmode=SslMode.PREFER))


def test_tls_that_is_required_and_not_offered(node: Callable[..., FakeNode]) -> None:
    found = node()
    with pytest.raises(RemoteProtocolError, match="offers no TLS"):
        _talk("localhost", found.port, GridDBAddress("c", sslmode=SslMode.REQUIRE))


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
def test_frames_over_ipv6_have_longer_heads(node: Callable[..., FakeNode]) -> None:
    found = node(host="::1", address_size=16)
    assert _talk("::1", found.port, GridDBAddress("c")) == (3, False)


def test_goodbye_reaches_the_node(node: Callable[..., FakeNode]) -> None:
    found = node()
    _talk("127.0.0.1", found.port, GridDBAddress("c"))
    found.stop()
    assert found.heard is not None
    assert found.heard[-1] == Statement.DISCONNECT


def test_a_node_that_ends_the_connection_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system then says of the socket that it is not connected, where it is asked for the other end."""

    class Gone(socket.socket):
        def getpeername(self) -> Any:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    made = Gone(socket.AF_INET, socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: made)
    with pytest.raises(NodeUnreachable, match="ended the connection at once") as caught:
        SocketTransport("127.0.0.1", 10001, timeout_s=1.0)
    assert is_transient(caught.value)
    assert made.fileno() == -1


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 1), ("a..b", 1), ("x" * 300, 1), ("127.0.0.1", 70000), ("nobody.invalid", 1)]
)
def test_nobody_there(host: str, port: int) -> None:
    with pytest.raises(NodeUnreachable) as caught:
        SocketTransport(host, port, timeout_s=5.0)
    assert f"{host}:{port}" in str(caught.value)
    assert caught.value.next_step


def test_receive_waits_only_as_long_as_told(node: Callable[..., FakeNode]) -> None:
    transport = SocketTransport("127.0.0.1", node().port, timeout_s=5.0)
    try:
        assert transport.receive(10, 0.0) is None
        assert transport.receive(10, 0.01) is None
    finally:
        transport.close()
        transport.close()


def test_the_end_and_a_closed_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = SocketTransport("127.0.0.1", listener.getsockname()[1], timeout_s=5.0)
        listener.accept()[0].close()
        with pytest.raises(ConnectionLost, match="closed the connection"):
            transport.receive(10, 5.0)
        transport.close()
        with pytest.raises(ConnectionLost):
            transport.send(b"x")
        with pytest.raises(ConnectionLost):
            transport.receive(10, 1.0)
