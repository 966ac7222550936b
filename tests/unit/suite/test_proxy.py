"""The proxy between a test's two ends: it passes everything on, and breaks exactly where its line says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.proxy import Switches, proxy_to


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends back what it gets, to any number of clients."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=send_back, args=(client,), daemon=True).start()

        def send_back(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                while data := client.recv(1 << 16):
                    client.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[:2]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def read_to_the_end(client: socket.socket, at_most: int) -> bytes:
    """What comes until the peer ends, or until so much is there."""
    client.settimeout(20)
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while len(data) < at_most and (more := client.recv(at_most - len(data))):
            data += more
    return data


def test_all_of_it_passes_in_pieces_of_any_size(echo: tuple[str, int]) -> None:
    sent = bytes(range(256)) * 40
    for piece in (7, 1 << 16):
        with proxy_to(echo, Switches(piece=piece)) as proxy, socket.create_connection(proxy.address) as client:
            client.sendall(sent)
            assert read_to_the_end(client, len(sent)) == sent


@pytest.mark.parametrize("switch", ["cut_up", "cut_down"])
def test_it_is_cut_after_so_many_bytes_and_once(echo: tuple[str, int], switch: str) -> None:
    switches = Switches()
    setattr(switches, switch, 5)
    with proxy_to(echo, switches) as proxy:
        with socket.create_connection(proxy.address) as client:
            client.sendall(b"abcdefgh")
            # What was cut on its way up may be lost on its way back, too.
            assert b"abcde".startswith(read_to_the_end(client, 100))
        with socket.create_connection(proxy.address) as client:
            client.sendall(b"again")
            assert read_to_the_end(client, 5) == b"again"
    assert switches.cuts == 1


@pytest.mark.parametrize("cuts_all", [True, False])
def test_a_cut_ends_the_other_connections_too_if_asked(echo: tuple[str, int], cuts_all: bool) -> None:
    switches = Switches()
    with (
        proxy_to(echo, switches, cuts_all=cuts_all) as proxy,
        socket.create_connection(proxy.address) as one,
        socket.create_connection(proxy.address) as other,
    ):
        for client in (one, other):
            client.sendall(b"here")
            assert read_to_the_end(client, 4) == b"here"
        switches.cut_up = 0
        one.sendall(b"gone")
        assert read_to_the_end(one, 4) == b""
        with contextlib.suppress(ConnectionError):
            other.sendall(b"more")
        assert read_to_the_end(other, 4) == (b"" if cuts_all else b"more")


def test_who_comes_while_it_refuses_is_hung_up_on(echo: tuple[str, int]) -> None:
    with proxy_to(echo, Switches()) as proxy:
        proxy.refuse = True
        with socket.create_connection(proxy.address) as client:
            assert read_to_the_end(client, 1) == b""
        proxy.refuse = False
        with socket.create_connection(proxy.address) as client:
            client.sendall(b"x")
            assert read_to_the_end(client, 1) == b"x"


def test_where_nobody_listens_it_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = listener.getsockname()[:2]
    with proxy_to(target, Switches()) as proxy, socket.create_connection(proxy.address) as client:
        assert read_to_the_end(client, 1) == b""
