"""What only the embedded server promises: its faults, its strictness on a socket, its ends and restarts."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from gridferry.embedded.faults import Faults
from gridferry.embedded.refusal import Code
from gridferry.embedded.server import Server, password_digest, serve
from gridferry.errors import (
    AuthenticationFailed,
    ConfigError,
    FerryError,
    GridDBError,
    StatementError,
)
from gridferry.griddb import Store, Timing, connect
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.container_requests import FlushLog, PutContainer
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.frame import Frame, FrameReader, Role, encode_request
from gridferry.griddb.wire.names import container_key
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.replies import ErrorReply
from gridferry.griddb.wire.requests import (
    Connect,
    GetPartitionAddress,
    Login,
    Request,
)
from gridferry.griddb.wire.row_replies import QueryReply
from gridferry.griddb.wire.row_requests import CloseSession, PutRows, QueryTql, Transaction
from gridferry.griddb.wire.statement import SessionMode, Statement, TransactionMode

SCHEMA = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False), ColumnSpec("s", GridType.STRING)),
)
QUICK = Timing(failover_s=0.0)


@pytest.fixture
def run() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(path: Path | None = None, **options: object) -> Server:
        server = serve(port=0, path=path, cluster="own", **options)  # type: ignore[arg-type]
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def store_of(server: Server, *, password: str = "admin", user: str = "admin") -> Store:
    host, port = server.address
    return connect(f"griddb://{user}@{host}:{port}/own", password=password, timing=QUICK)


def rows(*times: int) -> pa.RecordBatch:
    stamps = pa.array(times, pa.int64()).cast(pa.timestamp("ms", "UTC"))
    return pa.RecordBatch.from_arrays([stamps, pa.array(["x"] * len(times))], schema=SCHEMA.arrow_schema)


class Line:
    """A bare connection: frames as they are."""

    def __init__(self, server: Server) -> None:
        self.sock = socket.create_connection(server.address, timeout=30)
        self.frames = FrameReader(Role.CLIENT)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, message: Request, number: int = 1, partition: int = 0) -> None:
        self.sock.sendall(self.encoded(message, number, partition))

    def encoded(self, message: Request, number: int, partition: int = 0) -> bytes:
        out = Writer()
        message.write(out)
        return b"".join(encode_request(message.statement, number, out.parts, partition=partition))

    def receive(self) -> Frame | None:
        """The next frame; None when the server has closed."""
        while (frame := self.frames.next_frame()) is None:
            data = self.sock.recv(1 << 16)
            if not data:
                return None
            self.frames.receive(data)
        return frame

    def ask(self, message: Request, number: int = 1) -> Frame:
        self.send(message, number)
        answer = self.receive()
        assert answer is not None
        return answer

    def login(self) -> Line:
        answer = self.ask(Login(user="admin", digest=password_digest("admin"), cluster="own"))
        assert answer.status == 0
        return self


def test_requests_on_one_connection_may_be_sent_without_waiting(run: Callable[..., Server]) -> None:
    with Line(run()).login() as line:
        image = encode_rows(SCHEMA, rows(1, 2)).image()
        batch = [
            line.encoded(PutContainer(container_key("c"), SCHEMA), 1),
            *(line.encoded(PutRows(0, Transaction(0), 2, image), n) for n in range(2, 40)),
            line.encoded(QueryTql(0, Transaction(0), "select count(*)"), 40),
        ]
        line.sock.sendall(b"".join(batch))
        answers = [line.receive() for _ in range(40)]
        assert [a.statement_id for a in answers if a is not None] == list(range(1, 41))
        last = answers[-1]
        assert last is not None
        assert QueryReply.read(Reader(last.body)).aggregate.value == 2  # type: ignore[union-attr]


def test_bytes_one_by_one(run: Callable[..., Server]) -> None:
    with Line(run()) as line:
        for octet in line.encoded(Connect(), 7):
            line.sock.sendall(bytes([octet]))
        answer = line.receive()
        assert answer is not None
        assert (answer.statement_id, answer.status) == (7, 0)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\nxxxx", b"\0" * 64], ids=["http", "zeros"])
def test_another_protocol_is_hung_up_on(run: Callable[..., Server], data: bytes) -> None:
    server = run()
    with Line(server) as line:
        line.sock.sendall(data)
        assert line.receive() is None
    with store_of(server) as store:
        assert store.container_names() == []


def test_connections_beyond_the_open_files_wait(run: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """One after which no connection was taken any more, though the others had ended."""
    server = run()
    accept = socket.socket.accept
    refusals = iter([errno.EMFILE, errno.ECONNABORTED, errno.ENFILE])

    def full(self: socket.socket) -> tuple[socket.socket, object]:
        if number := next(refusals, 0):
            raise OSError(number, os.strerror(number))
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", full)
    for _ in range(3):
        with Line(server) as line:
            assert line.ask(Connect()).status == 0
    assert next(refusals, None) is None


@pytest.mark.parametrize("name", ["gridferry-work", "gridferry-read"])
def test_a_connection_that_gets_no_thread_is_closed(
    run: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    server = run()
    start = threading.Thread.start

    def none_left(self: threading.Thread) -> None:
        if self.name == name:
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with Line(server) as line:
            assert line.receive() is None
    with store_of(server) as store:
        assert store.container_names() == []


def test_half_a_message_and_gone(run: Callable[..., Server]) -> None:
    server = run()
    with Line(server).login() as line:
        whole = line.encoded(PutContainer(container_key("half"), SCHEMA), 2)
        line.sock.sendall(whole[:-3])
    with store_of(server) as store:
        assert store.container_names() == []


def test_a_connection_is_answered_while_it_waits_for_a_lock(run: Callable[..., Server]) -> None:
    server = run(lock_timeout_s=60.0)
    with Line(server).login() as holder, Line(server).login() as waiting:
        holder.ask(PutContainer(container_key("c"), SCHEMA))
        begin = Transaction(0, 1, bytes(16), SessionMode.CREATE, TransactionMode.BEGIN)
        image = encode_rows(SCHEMA, rows(1)).image()
        assert holder.ask(PutRows(0, begin, 1, image)).status == 0
        waiting.send(PutRows(0, Transaction(0), 1, image), 5)
        waiting.send(Connect(), 6)
        heartbeat = waiting.receive()
        assert heartbeat is not None
        assert (heartbeat.statement, heartbeat.statement_id) == (Statement.CONNECT, 6)
        holder.ask(CloseSession(0, 1, bytes(16)))
        put = waiting.receive()
        assert put is not None
        assert (put.statement_id, put.status) == (5, 0)


def test_stopping_does_not_wait_for_a_lock(run: Callable[..., Server]) -> None:
    server = run(lock_timeout_s=3600.0)
    with Line(server).login() as holder, Line(server).login() as waiting:
        holder.ask(PutContainer(container_key("c"), SCHEMA))
        begin = Transaction(0, 1, bytes(16), SessionMode.CREATE, TransactionMode.BEGIN)
        image = encode_rows(SCHEMA, rows(1)).image()
        holder.ask(PutRows(0, begin, 1, image))
        waiting.send(PutRows(0, Transaction(0), 1, image), 5)
        waiting.ask(Connect(), 6)
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        stopper.join(30)
        assert not stopper.is_alive()


def test_logins(run: Callable[..., Server]) -> None:
    server = run(users={"ann": password_digest("secret")})
    with store_of(server, user="ann", password="secret") as store:
        assert store.container_names() == []
    for user, password in (("ann", "wrong"), ("admin", "admin")):
        with pytest.raises(AuthenticationFailed):
            store_of(server, user=user, password=password).container_names()


def test_it_names_itself_as_master_and_owner(run: Callable[..., Server]) -> None:
    server = run()
    with Line(server) as line:
        for master in (True, False):
            answer = line.ask(GetPartitionAddress(master=master))
            assert server.address[1].to_bytes(4, "little") in bytes(answer.body)


def test_an_address_in_use(run: Callable[..., Server], tmp_path: Path) -> None:
    server = run()
    with pytest.raises(ConfigError, match="cannot listen"):
        serve(port=server.address[1], path=tmp_path)
    run(path=tmp_path).stop()


def test_what_was_flushed_outlives_a_crash(run: Callable[..., Server], tmp_path: Path) -> None:
    server = run(path=tmp_path, faults=Faults(lose_unflushed=True))
    with store_of(server) as store:
        made = store.create_container("c", SCHEMA)
        made.put(rows(1, 2, 3))
        made.flush()
        made.put(rows(4, 5))
        assert made.count() == 5
        server.kill()
    with store_of(run(path=tmp_path)) as store:
        found = store.open_container("c")
        assert found is not None
        assert found.count() == 3


def test_a_stopped_server_keeps_everything(run: Callable[..., Server], tmp_path: Path) -> None:
    server = run(path=tmp_path)
    with store_of(server) as store:
        store.create_container("c", SCHEMA).put(rows(1, 2, 3))
    server.stop()
    server.stop()
    with store_of(run(path=tmp_path)) as store:
        found = store.open_container("c")
        assert found is not None
        assert found.count() == 3


FAULTS = {
    "before the answer": Faults(close_at_statement=1, statement_type=Statement.PUT_MULTIPLE_ROWS),
    "in the answer": Faults(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_put_whose_answer_is_lost_can_be_sent_again(run: Callable[..., Server], fault: Faults) -> None:
    server = run(faults=fault)
    with Line(server).login() as line:
        line.ask(PutContainer(container_key("c"), SCHEMA))
        if fault.close_at_statement is None:
            fault.close_after_bytes = 10
        put = PutRows(0, Transaction(0), 2, encode_rows(SCHEMA, rows(1, 2)).image())
        line.send(put)
        assert line.receive() is None
    with Line(server).login() as line:
        assert line.ask(put).status == 0
        counted = line.ask(QueryTql(0, Transaction(0), "select count(*)"))
        assert QueryReply.read(Reader(counted.body)).aggregate.value == 2  # type: ignore[union-attr]


def test_an_answer_that_never_comes(run: Callable[..., Server]) -> None:
    server = run()
    with Line(server).login() as line:
        server.faults.stall = True
        line.send(FlushLog(0), 2)
        line.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.receive()


def test_refused_puts_and_a_full_disk(run: Callable[..., Server], tmp_path: Path) -> None:
    server = run(path=tmp_path)
    with store_of(server) as store:
        made = store.create_container("c", SCHEMA)
        server.faults.refuse_puts = Code.CM_NO_MEMORY
        with pytest.raises(StatementError) as refused:
            made.put(rows(1))
        assert refused.value.code == 1001
        server.faults.refuse_puts = None
        made.put(rows(1))
        server.faults.disk_full = True
        with pytest.raises(GridDBError, match="no space left"):
            made.flush()
        server.faults.disk_full = False
        made.flush()
        assert made.count() == 1


def test_a_killed_server_is_a_lost_connection(run: Callable[..., Server]) -> None:
    server = run()
    with Line(server).login() as line:
        server.kill()
        with suppress(ConnectionResetError):  # as good an end as an orderly one
            assert line.receive() is None
    with pytest.raises(FerryError):
        store_of(server).container_names()


def test_an_error_says_what_the_real_server_says(run: Callable[..., Server]) -> None:
    with Line(run()).login() as line:
        line.ask(PutContainer(container_key("c"), SCHEMA))
        answer = line.ask(QueryTql(0, Transaction(3), "select *"))
        error = ErrorReply.read(Reader(answer.body))
        assert (error.code, error.name) == (10017, "TXN_CONTAINER_SCHEMA_UNMATCH")
        assert error.message == "(containerId=0, expectedVer=3, actualVer=0)"
