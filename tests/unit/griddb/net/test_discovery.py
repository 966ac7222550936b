"""Ways to the first node: a provider on loopback, well and badly behaved, and multicast datagrams."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import hypothesis
import pytest
from hypothesis import strategies as st

from gridferry.errors import ConfigError, NodeUnreachable, RemoteProtocolError
from gridferry.griddb import GridDBAddress
from gridferry.griddb.net.discovery import candidates, from_multicast, parse_notification
from gridferry.griddb.net.provider import from_provider
from gridferry.griddb.wire.frame import MAGIC

Serve = Callable[..., str]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts an HTTP server on loopback that gives one answer, and tells its URL."""
    monkeypatch.setenv("no_proxy", "*")
    servers: list[tuple[HTTPServer, threading.Thread]] = []

    def serve(body: bytes, *, status: int = 200, length: int | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/list"

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


LIST = b"""[{"transaction": {"address": "10.0.0.1", "port": 10001}},
            {"transaction": {"address": "::1", "port": 5}, "sql": {}}]"""


def test_a_list_of_nodes(provider: Serve) -> None:
    address = GridDBAddress("c", provider=provider(LIST))
    assert candidates(address) == (("10.0.0.1", 10001), ("::1", 5))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"\xff\xfe\xfd",
        b'{"transaction": {"address": "h", "port": 1}}',
        b"17",
        b"null",
        b'[{"sql": {}}]',
        b'[{"transaction": 1}]',
        b'[{"transaction": {"address": "h"}}]',
        b'[{"transaction": {"address": "h", "port": "x"}}]',
        b'[{"transaction": {"address": "h", "port": 0}}]',
        b'[{"transaction": {"address": "h", "port": 65536}}]',
        b'[{"transaction": {"address": "", "port": 1}}]',
        b"[" * 200_000,
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_no_list(provider: Serve, body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="provider"):
        from_provider(provider(body))


def test_an_empty_list(provider: Serve) -> None:
    with pytest.raises(NodeUnreachable, match="names no node"):
        from_provider(provider(b"[]"))


def test_an_error_page(provider: Serve) -> None:
    with pytest.raises(NodeUnreachable, match="404"):
        from_provider(provider(b"not here", status=404))


def test_an_answer_that_ends_too_early(provider: Serve) -> None:
    with pytest.raises((NodeUnreachable, RemoteProtocolError), match="provider"):
        from_provider(provider(LIST[:20], length=1000))


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(NodeUnreachable, match="did not answer") as caught:
        from_provider("http://127.0.0.1:1/")
    assert "provider" in caught.value.next_step


def test_no_http_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(1000)
                accepted.sendall(b"\x78\x24\xe0\x03 this is another protocol\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(NodeUnreachable, match="did not answer"):
            from_provider(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()


@pytest.mark.parametrize("url", ["file:///etc/hosts", "ftp://h/x", "h/x", ""])
def test_only_http(url: str) -> None:
    with pytest.raises(ConfigError, match="http"):
        from_provider(url)


def test_a_url_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="is not a URL"):
        from_provider("http://bad host/")


def test_a_fixed_list() -> None:
    assert candidates(GridDBAddress("c", members=(("a", 1), ("b", 2)))) == (("a", 1), ("b", 2))


def _datagram(
    *, magic: int = MAGIC, statement: int = 5000, size: int = 17, address: bytes = bytes([10, 0, 0, 9])
) -> bytes:
    head = struct.pack("<i4siiIi", magic, bytes(4), 0, -1, size, statement)
    return head + struct.pack("<4siiB", address, 10001, 128, 0)


def test_a_notification() -> None:
    assert len(_datagram()) == 37
    assert parse_notification(_datagram()) == ("10.0.0.9", 10001)
    assert parse_notification(_datagram() + b"later versions") == ("10.0.0.9", 10001)


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 36, b"x" * 100, _datagram()[:36], _datagram(magic=1), _datagram(statement=100), _datagram(size=16)],
)
def test_other_datagrams(data: bytes) -> None:
    assert parse_notification(data) is None


@hypothesis.given(st.binary(max_size=60))
def test_any_datagram(data: bytes) -> None:
    assert parse_notification(data) is None or len(data) >= 37


def test_a_group_where_nobody_speaks() -> None:
    with pytest.raises(NodeUnreachable, match=r"239\.255\.77\.1:31998"):
        from_multicast("239.255.77.1", 31998, timeout_s=0.02)


@pytest.mark.parametrize("group", ["10.0.0.1", "no address"])
def test_what_is_no_group(group: str) -> None:
    with pytest.raises(NodeUnreachable):
        from_multicast(group, 31998, timeout_s=0.02)


@pytest.mark.parametrize("secret", ["00?0 0", "a?b\tc", "x/\x7fy z"])
def test_a_provider_with_a_space_in_it_is_refused_without_a_piece_of_its_password(secret: str) -> None:
    with pytest.raises(ConfigError, match="is not a URL") as refused:
        from_provider(f"http://ann:{secret}@127.0.0.1:1/nodes", timeout_s=1.0)
    said = f"{refused.value} {refused.value.next_step}"
    assert not any(piece in said for piece in secret.replace("?", " ").split() if len(piece) > 1)
    assert refused.value.__cause__ is None
