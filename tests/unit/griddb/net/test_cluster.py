"""Which node is asked, what happens when it is gone, and where its connections go."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.notes import notes
from tests.unit.griddb.net.memory import END, Network, refused, reply, written

from gridferry.errors import (
    AuthenticationFailed,
    ConnectionLost,
    GridDBError,
    LocalProtocolError,
    NodeUnreachable,
    RemoteProtocolError,
    StatementError,
    WrongNode,
)
from gridferry.griddb import GridDBAddress, Store, Timing
from gridferry.griddb.net.cluster import Cluster
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.pipeline import WINDOW, WINDOW_BYTES, Ask, ask_all
from gridferry.griddb.wire.container_requests import FlushLog
from gridferry.griddb.wire.frame import Frame
from gridferry.griddb.wire.replies import PartitionAddress
from gridferry.griddb.wire.requests import GetDatabases, Request
from gridferry.griddb.wire.row_requests import PutRows, Transaction
from gridferry.griddb.wire.statement import Statement, Status

A = ("10.0.0.1", 10001)
B = ("10.0.0.2", 10001)
C = ("10.0.0.3", 10001)
TIMING = Timing(answer_s=5.0, heartbeat_s=10.0, failover_s=20.0)


@pytest.fixture
def network() -> Network:
    """Two nodes: A is the master and owns partition 1, B owns 2."""
    found = Network(master=A, owners={1: A, 2: B})
    found.node(A)
    found.node(B)
    return found


def _cluster(network: Network, *members: tuple[str, int]) -> Cluster:
    address = GridDBAddress("c", password="hidden", members=members or (A,))
    return Cluster(address, timing=TIMING, connector=network.connect, clock=network.clock.clock)


def _flush(connection: Connection) -> str:
    connection.ask(FlushLog(0), partition=0, asked="a flush")
    return connection.node


def test_the_owner_of_each_partition_is_asked(network: Network) -> None:
    cluster = _cluster(network)
    assert cluster.run(1, _flush) == "10.0.0.1:10001"
    assert cluster.run(2, _flush) == "10.0.0.2:10001"
    assert cluster.run(2, _flush) == "10.0.0.2:10001"
    assert network.dialled == [A, B]
    assert network.nodes[B].asked.count(Statement.LOGIN) == 1
    assert network.nodes[A].asked.count(Statement.GET_PARTITION_ADDRESS) == 3


def test_the_master_may_be_another_node(network: Network) -> None:
    network.master = B
    cluster = _cluster(network, A)
    assert cluster.topology().master == B
    cluster.owner(2)
    assert network.nodes[B].asked.count(Statement.GET_PARTITION_ADDRESS) == 1
    cluster.close()
    assert network.open == 0


def test_no_master_is_known(network: Network) -> None:
    network.master = ("0.0.0.0", 0)
    with pytest.raises(WrongNode, match="no master"):
        _cluster(network).topology()
    assert network.dialled == [A]


def test_the_next_member_is_tried(network: Network) -> None:
    network.down = {C}
    assert _cluster(network, C, A).topology().master == A
    assert network.dialled == [C, A]


def test_no_member_answers(network: Network) -> None:
    network.down = {A, B}
    with pytest.raises(NodeUnreachable, match=r"10\.0\.0\.2"):
        _cluster(network, A, B).topology()
    assert network.dialled == [A, B]


def test_a_refused_login_is_not_tried_elsewhere(network: Network) -> None:
    network.nodes[A].instead[Statement.LOGIN] = [lambda frame: [refused(frame, 10005)]]
    with pytest.raises(AuthenticationFailed):
        _cluster(network, A, B).topology()
    assert network.dialled == [A]
    assert network.open == 0


def test_a_failure_while_the_master_is_asked_for_leaves_no_connection(network: Network) -> None:
    network.nodes[A].instead[Statement.GET_PARTITION_ADDRESS] = [
        lambda frame: [refused(frame, 10008, status=Status.DENY)],
        lambda frame: [reply(frame, b"\1")],
        lambda frame: [reply(frame, written(PartitionAddress(0, master_asked=True, is_master=True)))],
        lambda frame: [END],
    ]
    for expected in (WrongNode, RemoteProtocolError, RemoteProtocolError, ConnectionLost):
        cluster = _cluster(network)
        with pytest.raises(expected):
            cluster.topology()
        cluster.close()
    assert network.open == 0


def _lose(count: int) -> Callable[[Connection], str]:
    left = [count]

    def call(connection: Connection) -> str:
        if left[0]:
            left[0] -= 1
            raise ConnectionLost("gone")
        return connection.node

    return call


def test_the_first_repeat_comes_at_once_then_every_second(network: Network) -> None:
    assert _cluster(network).run(1, _lose(1)) == "10.0.0.1:10001"
    assert network.clock.pauses == []
    assert _cluster(network).run(1, _lose(4)) == "10.0.0.1:10001"
    assert network.clock.pauses == [1.0, 1.0, 1.0]


def test_the_last_trouble_is_told_in_the_end(network: Network) -> None:
    with pytest.raises(ConnectionLost, match="gone") as caught:
        _cluster(network).run(1, _lose(1000))
    assert sum(network.clock.pauses) == pytest.approx(19.0)
    assert notes(caught.value)[-1] == "tried 21 times in 20 s"


@pytest.mark.parametrize("error", [StatementError("no"), AuthenticationFailed("no"), KeyboardInterrupt()])
def test_only_node_trouble_is_repeated(network: Network, error: BaseException) -> None:
    calls = []

    def call(connection: Connection) -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        _cluster(network).run(1, call)
    assert len(calls) == 1


def test_an_owner_that_moved(network: Network) -> None:
    cluster = _cluster(network)
    cluster.run(1, _flush)

    def moved(frame: Frame) -> list[bytes]:
        network.owners[1] = B
        return [refused(frame, 10010, status=Status.DENY)]

    network.nodes[A].instead[Statement.FLUSH_LOG] = [moved]
    assert cluster.run(1, _flush) == "10.0.0.2:10001"
    assert network.clock.pauses == []


def test_no_owner_at_the_moment(network: Network) -> None:
    cluster = _cluster(network)
    network.owners.clear()
    with pytest.raises(WrongNode, match=r"partition 1 of cluster c has no owner"):
        cluster.run(1, _flush)
    assert len(network.clock.pauses) == 19


def test_an_owner_that_comes_back(network: Network) -> None:
    cluster = _cluster(network)
    network.down = {B}
    pauses = network.clock.sleep

    def sleep(seconds: float) -> None:
        pauses(seconds)
        if len(network.clock.pauses) == 3:
            network.down = set()

    network.clock.sleep = sleep  # type: ignore[method-assign]
    again = Cluster(cluster.address, timing=TIMING, connector=network.connect, clock=network.clock.clock)
    assert again.run(2, _flush) == "10.0.0.2:10001"


def test_a_master_that_moved(network: Network) -> None:
    cluster = _cluster(network, A, B)
    cluster.run(1, _flush)
    network.down = {A}
    network.master = B
    network.owners[1] = B
    for transport in network.transports:
        transport.inbox.append(END)
    assert cluster.run(1, _flush) == "10.0.0.2:10001"


def test_a_broken_connection_is_not_used_again(network: Network) -> None:
    cluster = _cluster(network)
    with cluster.connection(A) as connection:
        connection.broken = True
    with cluster.connection(A) as other:
        assert other is not connection
    assert len(network.dialled) == 2
    assert network.open == 1


def test_a_connection_with_an_answer_outstanding_is_not_used_again(network: Network) -> None:
    cluster = _cluster(network)
    with cluster.connection(A) as connection:
        connection.send(FlushLog(0), asked="a flush")
    assert network.open == 0


def test_a_connection_that_the_node_closed_meanwhile_is_not_used_again(network: Network) -> None:
    cluster = _cluster(network)
    cluster.run(1, _flush)
    network.transports[0].inbox.append(END)
    calls = []
    cluster.run(1, lambda connection: calls.append(_flush(connection)))
    assert len(calls) == 1
    assert network.transports[0].closed
    assert network.open == 1


def test_each_user_at_a_time_has_a_connection_of_its_own(network: Network) -> None:
    cluster = _cluster(network)
    with cluster.connection(A) as first, cluster.connection(A) as second:
        assert first is not second
    with cluster.connection(A) as third:
        assert third in (first, second)
    cluster.close()
    assert network.open == 0


def test_a_connection_given_back_after_the_end_is_closed(network: Network) -> None:
    cluster = _cluster(network)
    with cluster.connection(A):
        cluster.close()
    assert network.open == 0
    with pytest.raises(LocalProtocolError, match="closed"), cluster.connection(A):
        pass
    with pytest.raises(LocalProtocolError, match="closed"):
        cluster.run(1, _flush)


def test_a_closed_cluster_is_not_searched_for_any_longer(network: Network) -> None:
    cluster = _cluster(network)

    def call(connection: Connection) -> None:
        cluster.close()
        raise ConnectionLost("gone")

    with pytest.raises(ConnectionLost):
        cluster.run(1, call)
    assert network.clock.pauses == []


def test_the_address_in_messages_has_no_password(network: Network) -> None:
    store = Store(_cluster(network))
    assert "hidden" not in f"{store!r} {store.cluster.address!r} {store.cluster.address}"


def _asks(count: int, *, size: int = 0) -> list[Ask]:
    def message() -> Request:
        return PutRows(0, Transaction(0), 1, bytes(size)) if size else FlushLog(0)

    return [Ask(1 + i % 2, message(), f"ask {i}") for i in range(count)]


def test_requests_go_ahead_of_their_answers_but_not_too_far(network: Network) -> None:
    ahead = []

    def later(frame: Frame) -> list[bytes]:
        ahead.append(network.transports[0].requests.__len__())
        return [reply(frame, frame.statement_id.to_bytes(8, "little"))]

    network.nodes[A].instead[Statement.FLUSH_LOG] = [later] * 600
    network.owners[2] = A
    bodies = ask_all(_cluster(network), _asks(600))
    numbers = [body.i64() for body in bodies]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 600
    assert len(ahead) == 600


@pytest.mark.parametrize(
    ("count", "size", "most"), [(600, 0, WINDOW), (40, 100_000, WINDOW_BYTES // 100_000), (3, WINDOW_BYTES * 2, 1)]
)
def test_as_much_as_a_window_is_unanswered(
    network: Network, monkeypatch: pytest.MonkeyPatch, count: int, size: int, most: int
) -> None:
    """The peer answers only when its answers are waited for; more unanswered requests than a window are a failure."""
    unanswered: list[Frame] = []
    seen = []

    def keep(frame: Frame) -> list[bytes]:
        unanswered.append(frame)
        seen.append(len(unanswered))
        return []

    network.owners[2] = A
    statement = Statement.PUT_MULTIPLE_ROWS if size else Statement.FLUSH_LOG
    network.nodes[A].instead[statement] = [keep] * count
    cluster = _cluster(network)
    cluster.owner(1), cluster.owner(2)
    transport = network.transports[0]
    receive = transport.receive

    def answer_one(limit: int, timeout_s: float) -> bytes | None:
        if unanswered and timeout_s > 0:
            transport.inbox.append(reply(unanswered.pop(0)))
        return receive(limit, timeout_s)

    monkeypatch.setattr(transport, "receive", answer_one)
    assert len(ask_all(cluster, _asks(count, size=size))) == count
    assert max(seen) == most


def test_all_are_asked_even_if_one_is_refused(network: Network) -> None:
    network.nodes[A].instead[Statement.FLUSH_LOG] = [lambda f: [reply(f)], lambda f: [refused(f, 10016)]]
    with pytest.raises(StatementError) as caught:
        ask_all(_cluster(network), _asks(20))
    assert caught.value.code == 10016
    asked = [n.asked.count(Statement.FLUSH_LOG) for n in network.nodes.values()]
    assert asked == [10, 10]
    assert len(network.dialled) == 2


def test_a_loss_in_the_middle_repeats_all_of_it(network: Network) -> None:
    network.nodes[B].instead[Statement.FLUSH_LOG] = [lambda f: [reply(f)], lambda f: [END]]
    assert len(ask_all(_cluster(network), _asks(10))) == 10
    assert network.nodes[A].asked.count(Statement.FLUSH_LOG) == 10
    assert network.clock.pauses == []


def test_a_loss_of_what_cannot_be_repeated(network: Network) -> None:
    network.nodes[A].instead[Statement.GET_DATABASES] = [lambda f: [END]]
    network.owners[0] = A
    with pytest.raises(ConnectionLost):
        ask_all(_cluster(network), [Ask(0, GetDatabases(), "the databases")], repeat=False)
    assert network.nodes[A].asked.count(Statement.GET_DATABASES) == 1


def test_errors_name_their_node(network: Network) -> None:
    network.nodes[A].instead[Statement.FLUSH_LOG] = [lambda f: [refused(f, 60015)]]
    with pytest.raises(GridDBError) as caught:
        _cluster(network).run(1, _flush)
    assert caught.value.node == "10.0.0.1:10001"
