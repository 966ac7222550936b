"""A hostile or broken server: what it says is bounded before memory is taken or time is spent for it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from tests.unit.griddb.net.memory import FakeClock, MemoryTransport, refused, reply, written

from gridferry.errors import GridDBError, NodeUnreachable, RemoteProtocolError, StatementError
from gridferry.griddb import GridDBAddress, Store
from gridferry.griddb.net import provider as provider_module
from gridferry.griddb.net.cluster import Cluster
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.net.provider import from_provider, parse_provider_list
from gridferry.griddb.wire.container_requests import FlushLog
from gridferry.griddb.wire.frame import MAGIC, Frame
from gridferry.griddb.wire.names import ContainerKey
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.replies import (
    ConnectReply,
    ErrorReply,
    LoginReply,
    PartitionAddress,
    read_container_names,
    write_container_names,
)
from gridferry.griddb.wire.statement import MAX_ERROR_BYTES, MAX_HELLO_BYTES, MAX_PARTITIONS, Statement

ADDRESS = GridDBAddress("c", members=(("h", 1),))


def _head(size: int) -> bytes:
    return struct.pack("<i4siiI", MAGIC, bytes(4), 0, -1, size)


@pytest.mark.parametrize("step", [Statement.CONNECT, Statement.LOGIN])
def test_no_large_answer_before_the_login_has_ended(step: Statement) -> None:
    def answer(frame: Frame) -> list[bytes]:
        if frame.statement == step:
            return [_head(MAX_HELLO_BYTES + 1)]
        return [reply(frame, written(ConnectReply()))]

    cluster = Cluster(ADDRESS, connector=lambda *_: MemoryTransport(answer))
    with pytest.raises(RemoteProtocolError, match="is the limit"):
        cluster.topology()


def test_large_answers_after_the_login() -> None:
    size = MAX_HELLO_BYTES + 100

    def answer(frame: Frame) -> list[bytes]:
        bodies = {Statement.CONNECT: written(ConnectReply()), Statement.LOGIN: written(LoginReply())}
        return [reply(frame, bodies.get(Statement(frame.statement), bytes(size)))]

    connection = Connection(MemoryTransport(answer))
    connection.open(ADDRESS, "h")
    connection.login(ADDRESS, b"c" * 16)
    assert connection.ask(FlushLog(0)).remaining == size


@pytest.mark.parametrize("count", [MAX_PARTITIONS + 1, (1 << 31) - 1, -1, 0])
def test_a_number_of_partitions_that_cannot_be(count: int) -> None:
    def answer(frame: Frame) -> list[bytes]:
        out = Writer()
        out.i32(count)
        for part in (b"\0", b"\0", b"\1\0", bytes(8)):
            out.raw(part)
        bodies = {Statement.CONNECT: written(ConnectReply()), Statement.LOGIN: written(LoginReply())}
        return [reply(frame, bodies.get(Statement(frame.statement), out.getvalue()))]

    with pytest.raises(RemoteProtocolError, match="partitions"):
        Cluster(ADDRESS, connector=lambda *_: MemoryTransport(answer)).topology()


def _names(count: int, total: int) -> bytes:
    out = Writer()
    write_container_names(out, total, [ContainerKey(f"c{n}") for n in range(count)])
    return out.getvalue()


def test_more_names_than_were_asked_for() -> None:
    with pytest.raises(RemoteProtocolError, match="asked for"):
        read_container_names(Reader(_names(4, 4)), most=3)


def test_pages_of_names_without_end() -> None:
    """Each page is full, and the node says all the time that there is no more than that."""
    pages = 0

    def answer(frame: Frame) -> list[bytes]:
        nonlocal pages
        one = PartitionAddress(1, master_asked=True, is_master=True, master=("127.0.0.1", 1))
        owner = PartitionAddress(1, owners=(("127.0.0.1", 1),))
        if frame.statement == Statement.CONNECT:
            return [reply(frame, written(ConnectReply()))]
        if frame.statement == Statement.LOGIN:
            return [reply(frame, written(LoginReply()))]
        if frame.statement == Statement.GET_PARTITION_ADDRESS:
            return [reply(frame, written(owner if pages or frame.body.nbytes < 5 else one))]
        pages += 1
        return [reply(frame, _names(10_000, 10_000))]

    store = Store(Cluster(ADDRESS, connector=lambda *_: MemoryTransport(answer)))
    with pytest.raises(RemoteProtocolError, match="more containers than it says"):
        store.container_names()
    assert pages <= 3


def test_an_error_of_megabytes_is_shown_cut() -> None:
    long = "x" * 900_000
    connection = Connection(MemoryTransport(lambda frame: [refused(frame, 1000, message=long)]))
    with pytest.raises(StatementError) as caught:
        connection.ask(FlushLog(0), asked=f"the query {long}")
    assert len(caught.value.message) < 5_000
    assert "900,000 characters" in caught.value.message


def test_an_error_longer_than_any() -> None:
    with pytest.raises(RemoteProtocolError, match="is the limit"):
        ErrorReply.read(Reader(bytes(MAX_ERROR_BYTES + 1)))


def test_an_error_whose_text_was_cut_inside_a_character() -> None:
    out = Writer()
    ErrorReply(1007, "column name (_)", "NAME").write(out)
    body = out.getvalue().replace(b"(_)", b"(\xe6)")
    assert ErrorReply.read(Reader(body)).message == "column name (\ufffd)"


@contextmanager
def _dripping(first: bytes, drop: bytes, *, every_s: float) -> Iterator[int]:
    """A server that sends something, and then a little of the same for ever."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                accepted, _ = listener.accept()
                with accepted:
                    accepted.recv(1000)
                    accepted.sendall(first)
                    while not ended.wait(every_s):
                        accepted.sendall(drop)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            with suppress(OSError):
                # On a busy machine a client gives up before it connects: nobody would end the wait for it.
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_the_dripping_server_ends_though_nobody_came() -> None:
    before = threading.active_count()
    with _dripping(b"", b"x", every_s=0.02):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"H"),
    ],
    ids=["body", "header", "headers", "status"],
)
def test_a_provider_that_drips(first: bytes, drop: bytes) -> None:
    with _dripping(first, drop, every_s=0.02) as port, pytest.raises(NodeUnreachable, match="did not answer"):
        from_provider(f"http://127.0.0.1:{port}/list", timeout_s=0.5)


def test_a_handshake_that_drips() -> None:
    with _dripping(b"\x16\x03\x03\x40\x00", b"\0", every_s=0.02) as port, pytest.raises(NodeUnreachable):
        from_provider(f"https://127.0.0.1:{port}/list", timeout_s=0.5)


def test_a_list_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RemoteProtocolError, match="nodes"):
        parse_provider_list([{"transaction": {"address": "h", "port": 1}}] * (provider_module.MOST_NODES + 1))


def test_the_public_addresses_of_a_list() -> None:
    document = [{"transaction": {"address": "in", "port": 1}, "transactionPublic": {"address": "out", "port": 2}}]
    assert parse_provider_list(document, service=provider_module.PUBLIC_SERVICE) == (("out", 2),)
    with pytest.raises(RemoteProtocolError, match="transactionPublic"):
        parse_provider_list([{"transaction": {"address": "in", "port": 1}}], service=provider_module.PUBLIC_SERVICE)


def test_many_nodes_that_do_not_answer_take_no_longer_than_one_search() -> None:
    time, asked = FakeClock(), 0

    def silent(host: str, port: int, timeout_s: float) -> MemoryTransport:
        nonlocal asked
        asked += 1
        time.time += timeout_s
        raise NodeUnreachable("nobody")

    many = GridDBAddress("c", members=tuple((f"h{n}", 1) for n in range(1000)))
    with pytest.raises(GridDBError):
        Cluster(many, connector=silent, clock=time.clock).topology()
    assert asked < 20
