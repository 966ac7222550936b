"""One conversation, with a peer that answers late, in pieces, in another order, wrongly or never."""

from __future__ import annotations

import pytest
from tests.notes import notes
from tests.unit.griddb.net.memory import END, FakeClock, MemoryTransport, refused, reply, request_of, written

from gridferry.errors import (
    AnswerTimeout,
    AuthenticationFailed,
    ConfigError,
    ConnectionLost,
    RemoteProtocolError,
    StatementError,
)
from gridferry.griddb import GridDBAddress, SslMode, Timing
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.wire.container_requests import FlushLog
from gridferry.griddb.wire.frame import Frame
from gridferry.griddb.wire.replies import ConnectReply, LoginReply
from gridferry.griddb.wire.requests import GetDatabases, Login
from gridferry.griddb.wire.statement import Option, Statement, Status

ADDRESS = GridDBAddress("myCluster", user="me", password="secret words", members=(("h", 1),))
TIMING = Timing(answer_s=100.0, heartbeat_s=10.0)


class Peer:
    """Keeps requests until the test answers them; heartbeats are answered while `alive`."""

    def __init__(self, *, alive: bool = True) -> None:
        self.alive = alive
        self.frames: list[Frame] = []
        self.heartbeats = 0
        self.time = FakeClock()
        self.transport = MemoryTransport(self._hear, clock=self.time)
        self.connection = Connection(self.transport, TIMING, clock=self.time.clock)

    def _hear(self, frame: Frame) -> list[bytes]:
        if frame.statement == Statement.CONNECT:
            self.heartbeats += 1
            return [reply(frame, written(ConnectReply()))] if self.alive else []
        self.frames.append(frame)
        return []

    def say(self, *chunks: bytes) -> None:
        self.transport.inbox.extend(chunks)

    def ask(self, partition: int = 0) -> int:
        return self.connection.send(FlushLog(partition), partition=partition, asked=f"request {partition}")


def _answering(
    *answers: bytes, status: Status = Status.SUCCESS, address_size: int = 4
) -> tuple[Connection, MemoryTransport]:
    """A connection whose peer answers every request with the next body."""
    left = list(answers)
    time = FakeClock()
    transport = MemoryTransport(
        lambda frame: [reply(frame, left.pop(0), status=status, address_size=address_size)] if left else [],
        clock=time,
        address_size=address_size,
    )
    return Connection(transport, TIMING, clock=time.clock), transport


def test_answers_in_another_order() -> None:
    peer = Peer()
    numbers = [peer.ask(p) for p in range(4)]
    assert peer.connection.outstanding == 4
    for position in (2, 0, 3, 1):
        peer.say(reply(peer.frames[position], bytes([position])))
    for position in (3, 0, 1, 2):
        assert peer.connection.receive(numbers[position]).u8() == position
    assert peer.connection.outstanding == 0


def test_answers_byte_by_byte_and_all_in_one() -> None:
    peer = Peer()
    numbers = [peer.ask(p) for p in range(3)]
    whole = b"".join(reply(frame, b"abc") for frame in peer.frames)
    peer.say(*(whole[i : i + 1] for i in range(len(whole))))
    assert [bytes(peer.connection.receive(n).rest()) for n in numbers] == [b"abc"] * 3
    numbers = [peer.ask(p) for p in range(3)]
    peer.say(b"".join(reply(frame, b"def") for frame in peer.frames[3:]))
    assert [bytes(peer.connection.receive(n).rest()) for n in numbers] == [b"def"] * 3


def test_a_silent_node_is_asked_whether_it_lives() -> None:
    peer = Peer()
    number = peer.ask()
    with pytest.raises(AnswerTimeout, match="100 s") as caught:
        peer.connection.receive(number)
    assert peer.heartbeats == 9
    assert peer.time.time == pytest.approx(100.0)
    assert peer.connection.broken
    assert "request 0" in notes(caught.value)[0]


def test_two_heartbeats_without_an_answer_are_the_end() -> None:
    peer = Peer(alive=False)
    number = peer.ask()
    with pytest.raises(ConnectionLost, match="heartbeats"):
        peer.connection.receive(number)
    assert peer.heartbeats == 2
    assert peer.time.time == pytest.approx(30.0)
    assert peer.connection.broken


def test_a_node_that_wakes_up_after_one_heartbeat() -> None:
    peer = Peer(alive=False)
    number = peer.ask()
    seen: list[float] = []

    def late(size: int, timeout_s: float) -> bytes | None:
        peer.time.time += timeout_s
        seen.append(peer.time.time)
        return reply(peer.frames[0], b"!") if len(seen) == 3 else None

    peer.transport.receive = late  # type: ignore[method-assign]
    assert peer.connection.receive(number).u8() == ord("!")
    assert peer.heartbeats == 2


def test_a_heartbeat_takes_no_number_that_a_statement_waits_under() -> None:
    peer = Peer(alive=False)
    number = peer.connection.send(FlushLog(0), number=1)  # the number that the connection would give next
    answers = [reply(peer.frames[0], b"!")]

    def late(size: int, timeout_s: float) -> bytes | None:
        peer.time.time += timeout_s
        return answers.pop() if peer.heartbeats and answers else None

    peer.transport.receive = late  # type: ignore[method-assign]
    assert peer.connection.receive(number).u8() == ord("!")
    assert peer.heartbeats == 1


def test_a_large_answer_that_takes_its_time_is_no_silence() -> None:
    peer = Peer(alive=False)
    number = peer.ask()
    whole = reply(peer.frames[0], bytes(9000))
    chunks = [whole[i : i + 1000] for i in range(0, len(whole), 1000)]

    def slowly(size: int, timeout_s: float) -> bytes | None:
        peer.time.time += 9.0
        return chunks.pop(0)

    peer.transport.receive = slowly  # type: ignore[method-assign]
    assert peer.connection.receive(number).remaining == 9000
    assert peer.heartbeats == 0
    assert peer.time.time > 60


def test_a_time_limit_of_its_own() -> None:
    peer = Peer()
    with pytest.raises(AnswerTimeout, match="3 s"):
        peer.connection.receive(peer.ask(), timeout_s=3.0)
    assert peer.heartbeats == 0


def test_after_a_loss_nothing_more_is_sent() -> None:
    peer = Peer()
    number = peer.ask()
    peer.say(reply(peer.frames[0])[:20], END)
    with pytest.raises(ConnectionLost):
        peer.connection.receive(number)
    assert peer.connection.broken
    with pytest.raises(ConnectionLost, match="is closed"):
        peer.ask()
    assert len(peer.frames) == 1


def test_a_break_while_sending() -> None:
    peer = Peer()
    peer.transport.closed = True
    with pytest.raises(ConnectionLost):
        peer.ask()
    assert peer.connection.broken


def test_an_interrupt_leaves_the_connection_broken() -> None:
    peer = Peer()
    number = peer.ask()

    def interrupted(size: int, timeout_s: float) -> bytes | None:
        raise KeyboardInterrupt

    peer.transport.receive = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        peer.connection.receive(number)
    assert peer.connection.broken


def test_an_answer_that_nobody_asked_for() -> None:
    peer = Peer()
    number = peer.ask()
    stranger = Frame(Statement.FLUSH_LOG, 4711, memoryview(b""))
    peer.say(reply(stranger))
    with pytest.raises(RemoteProtocolError, match="4711, never asked"):
        peer.connection.receive(number)
    assert peer.connection.broken


def test_what_is_no_frame() -> None:
    peer = Peer()
    number = peer.ask()
    peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(RemoteProtocolError, match="magic"):
        peer.connection.receive(number)
    assert peer.connection.broken


def test_a_refusal_leaves_the_connection_usable() -> None:
    peer = Peer()
    first, second = peer.ask(), peer.ask(1)
    peer.say(refused(peer.frames[0], 60015, message="bad schema."), reply(peer.frames[1], b"x"))
    with pytest.raises(StatementError) as caught:
        peer.connection.receive(first)
    assert caught.value.code == 60015
    assert str(caught.value).startswith("GridDB node memory:1 refused request 0: bad schema [60015 CODE_60015]")
    assert not peer.connection.broken
    assert peer.connection.receive(second).u8() == ord("x")


def test_goodbye_is_said_once_and_only_if_nothing_is_open() -> None:
    peer = Peer()
    peer.connection.close()
    peer.connection.close()
    assert [f.statement for f in peer.frames] == [Statement.DISCONNECT]
    waiting = Peer()
    waiting.ask()
    waiting.connection.close()
    assert [f.statement for f in waiting.frames] == [Statement.FLUSH_LOG]
    assert waiting.transport.closed


def test_stale() -> None:
    peer = Peer()
    assert not peer.connection.stale()
    assert peer.time.time == 0.0
    peer.say(END)
    assert peer.connection.stale()
    talkative = Peer()
    talkative.say(b"x")
    assert talkative.connection.stale()


@pytest.mark.parametrize("mode", [SslMode.PREFER, SslMode.DISABLE])
def test_open_and_login(mode: SslMode) -> None:
    connection, transport = _answering(written(ConnectReply()), written(LoginReply(database_id=7)))
    address = GridDBAddress("c", user="me", password="secret words", database="d", sslmode=mode)
    connection.open(address, "host")
    assert connection.login(address, bytes(range(16))) == 7
    assert transport.tls is None
    login = request_of(transport.requests[1])
    assert isinstance(login, Login)
    assert (login.user, login.cluster, login.owner, len(login.digest)) == ("me", "c", True, 64)
    assert login.options[Option.DATABASE_NAME] == "d"
    assert b"secret words" not in bytes(transport.requests[1].body)


def test_public_is_not_named_in_a_login() -> None:
    connection, transport = _answering(written(LoginReply()))
    connection.login(ADDRESS, bytes(16))
    login = request_of(transport.requests[0])
    assert isinstance(login, Login)
    assert Option.DATABASE_NAME not in login.options


def test_a_login_mode_that_nobody_knows() -> None:
    connection, _ = _answering(written(LoginReply(auth_mode=2)))
    with pytest.raises(RemoteProtocolError, match="login mode 2"):
        connection.login(ADDRESS, bytes(16))


@pytest.mark.parametrize("version", [13, 14, 16])
def test_another_protocol_version(version: int) -> None:
    connection, _ = _answering(written(ConnectReply(version=version)))
    with pytest.raises(RemoteProtocolError, match=str(version)) as caught:
        connection.open(ADDRESS, "host")
    assert connection.broken
    assert caught.value.next_step


def test_a_server_that_refuses_our_version_says_so() -> None:
    transport = MemoryTransport(lambda frame: [refused(frame, 10054, message="serverVersion=14")])
    with pytest.raises(StatementError, match="serverVersion=14") as caught:
        Connection(transport, TIMING).open(ADDRESS, "host")
    assert "4.0.1" in caught.value.next_step


@pytest.mark.parametrize(
    ("mode", "plain", "secure", "tls"),
    [
        (SslMode.DISABLE, True, True, False),
        (SslMode.DISABLE, True, False, False),
        (SslMode.PREFER, True, False, False),
        (SslMode.PREFER, True, True, True),
        (SslMode.PREFER, False, True, True),
        (SslMode.REQUIRE, True, True, True),
        (SslMode.REQUIRE, False, True, True),
        (SslMode.VERIFY, False, True, True),
    ],
)
def test_tls_where_both_want_it(mode: SslMode, plain: bool, secure: bool, tls: bool) -> None:
    connection, transport = _answering(written(ConnectReply(plain=plain, secure=secure)))
    connection.open(GridDBAddress("c", sslmode=mode), "the-host")
    assert transport.tls == ("the-host" if tls else None)


@pytest.mark.parametrize(
    ("mode", "plain", "secure", "said"),
    [
        (SslMode.DISABLE, False, True, "takes TLS only"),
        (SslMode.REQUIRE, True, False, "offers no TLS"),
        (SslMode.VERIFY, True, False, "offers no TLS"),
    ],
)
def test_tls_where_one_does_not(mode: SslMode, plain: bool, secure: bool, said: str) -> None:
    connection, transport = _answering(written(ConnectReply(plain=plain, secure=secure)))
    with pytest.raises(RemoteProtocolError, match=said) as caught:
        connection.open(GridDBAddress("c", sslmode=mode), "host")
    assert caught.value.next_step
    assert connection.broken
    assert transport.tls is None


def test_a_server_that_refuses_tls_in_its_first_answer() -> None:
    transport = MemoryTransport(lambda frame: [refused(frame, 130003)])
    with pytest.raises(RemoteProtocolError, match="offers no TLS"):
        Connection(transport, TIMING).open(GridDBAddress("c", sslmode=SslMode.REQUIRE), "host")


def test_a_ca_file_that_is_not_there() -> None:
    connection, _ = _answering(written(ConnectReply(secure=True)))
    with pytest.raises(ConfigError, match="ca_file"):
        connection.open(GridDBAddress("c", sslmode=SslMode.VERIFY, ca_file="/no/such/file"), "host")


@pytest.mark.parametrize(("code", "status"), [(10005, Status.STATEMENT_ERROR), (10053, Status.DENY)])
def test_a_refused_login(code: int, status: Status) -> None:
    transport = MemoryTransport(lambda frame: [refused(frame, code, status=status)])
    with pytest.raises(AuthenticationFailed) as caught:
        Connection(transport, TIMING).login(ADDRESS, bytes(16))
    assert '"me"' in str(caught.value)
    assert "secret" not in f"{caught.value} {caught.value.next_step} {caught.value.__dict__}"


def test_addresses_of_sixteen_bytes() -> None:
    connection, transport = _answering(b"\0\0\0\0", address_size=16)
    assert connection.address_size == 16
    connection.ask(GetDatabases(), asked="the databases")
    assert len(transport.requests) == 1
