"""Logging in, databases, and what the server says to those who ask wrongly."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest
from tests.conformance.conftest import Place, Server
from tests.conformance.tables import batch, collection, keys, plain, rows_of

from gridferry.errors import AuthenticationFailed, ConfigError, NodeUnreachable, RemoteProtocolError, StatementError
from gridferry.griddb import Container, SslMode, Store, Timing, connect
from gridferry.griddb.pipeline import Ask, ask_all
from gridferry.griddb.wire.requests import Connect, GetPartitionAddress

KEYED = collection("k LONG!, s STRING")


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """A database of this test's own."""
    name = f"db{uuid.uuid4().hex[:10]}"
    with server.connect() as store:
        store.create_database(name)
    yield name
    with server.connect(database=name) as store:
        store.drop_containers(store.container_names())
        store.drop_database(name)


def test_a_wrong_password(server: Server) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        server.connect(change=lambda a: replace(a, password="not the password"))
    assert "10005" in str(caught.value)
    assert "not the password" not in str(caught.value)
    assert caught.value.next_step
    assert caught.value.exit_code == 2


def test_an_unknown_user(server: Server) -> None:
    with pytest.raises(AuthenticationFailed):
        server.connect(change=lambda a: replace(a, user="nobody"))


def test_a_wrong_cluster_name(server: Server) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        server.connect(change=lambda a: replace(a, cluster="elsewhere"))
    assert "10053" in str(caught.value)
    assert "cluster" in caught.value.next_step


def test_an_unknown_database(server: Server) -> None:
    with pytest.raises(AuthenticationFailed):
        server.connect(database="nowhere")


def test_tls_that_is_not_offered(server: Server) -> None:
    with server.connect(change=lambda a: replace(a, sslmode=SslMode.DISABLE)) as store:
        assert store.databases()
    for mode in (SslMode.REQUIRE, SslMode.VERIFY):
        with pytest.raises(RemoteProtocolError, match="TLS"):
            server.connect(change=lambda a, mode=mode: replace(a, sslmode=mode))  # type: ignore[misc]


def test_nobody_listens(server: Server) -> None:
    with pytest.raises(NodeUnreachable, match=r"127\.0\.0\.1:1"):
        server.connect(change=lambda a: replace(a, members=(("127.0.0.1", 1),)))


def test_one_member_of_several_answers(server: Server) -> None:
    with server.connect(change=lambda a: replace(a, members=(("127.0.0.1", 1), *a.members))) as store:
        assert store.databases()


def test_a_url_and_a_password(server: Server) -> None:
    host, port = server.address.members[0]
    url = f"griddb://{server.address.user}@{host}:{port}/{server.address.cluster}"
    with connect(url, password=server.address.password) as store:
        assert store.cluster.topology().partition_count > 0
        assert "password" not in repr(store.cluster.address)
    with pytest.raises(ConfigError):
        connect("postgres://h:1/c")


def test_public_is_a_database(store: Store) -> None:
    assert store.databases()[0] == "public"


def test_a_database_of_its_own(server: Server, place: Place, database: str) -> None:
    name = place.name()
    place.store.create_container(name, KEYED).put(batch(KEYED, [(1, "public")]))
    with server.connect(database=database) as store:
        assert database in store.databases()
        assert store.open_container(name) is None
        assert store.container_names() == []
        made = store.create_container(name, KEYED)
        made.put(batch(KEYED, [(1, "apart"), (2, "b")]))
        store.multi_put([(made, batch(KEYED, [(3, "c")]))])
        assert store.counts([made]) == [3]
        assert plain(KEYED, made.get(keys(KEYED, [(1,)]))) == [(1, "apart")]
        assert store.container_names() == [name]
        store.drop_container(name)
        assert store.open_container(name) is None
    found = place.store.open_container(name)
    assert found is not None
    assert rows_of(found.scan()) == [(1, "public")]


def test_a_database_that_is_there(server: Server, database: str) -> None:
    with server.connect() as store:
        store.create_database(database)
        assert store.databases().count(database) == 1


def test_a_database_is_dropped_from_inside(server: Server, database: str) -> None:
    with server.connect() as store, pytest.raises(StatementError) as caught:
        store.drop_database(database)
    assert caught.value.code == 10081


def test_heartbeats_are_answered_on_a_live_connection(store: Store) -> None:
    node = store.cluster.topology().master
    with store.cluster.connection(node) as connection:
        connection.ask(Connect(), asked="a heartbeat")
        connection.ask(GetPartitionAddress(), partition=3, asked="an owner")
        assert not connection.broken


def test_many_requests_are_answered_in_the_order_asked(store: Store) -> None:
    names = [f"nothing{i}" for i in range(1000)]
    assert store.open_containers(names) == dict.fromkeys(names)
    bodies = ask_all(store.cluster, [Ask(p % 100, GetPartitionAddress(), "an owner") for p in range(600)])
    assert len(bodies) == 600


def test_several_threads_share_a_store(place: Place) -> None:
    names = place.names(8)
    made = place.store.create_containers(names, KEYED)

    def work(container: Container) -> int:
        for start in range(0, 100, 10):
            container.put(batch(KEYED, [(k, container.name) for k in range(start, start + 10)]))
        assert {s for _, s in rows_of(container.query("select *", page_rows=7))} == {container.name}
        return container.count()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, made)) == [100] * 8


def test_several_threads_share_a_container(place: Place) -> None:
    made = place.make(KEYED)

    def work(number: int) -> None:
        for k in range(20):
            made.put(batch(KEYED, [(number * 100 + k, str(number))]))
            assert len(made.get(keys(KEYED, [(number * 100 + k,)]))) == 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert made.count() == 120


def test_a_closed_store_leaves_no_connection(server: Server, place: Place) -> None:
    store = server.connect(timing=Timing(failover_s=5))
    with store:
        names = place.names(4)
        made = store.create_containers(names, KEYED)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda c: c.put(batch(KEYED, [(1, "a")])), made))
        with store.writer() as writer:
            writer.put(KEYED, batch(KEYED, [(2, "b")]), [made[0].handle], [0, 1])
        with made[1].transaction() as tx:
            tx.put(batch(KEYED, [(2, "b")]))
        ours = {c.laddr.port for node in store.cluster._idle.values() for c in map(_socket, node)}
        assert ours
    assert not ours & {c.laddr.port for c in psutil.Process().net_connections("tcp") if c.status == "ESTABLISHED"}


class _Local:
    def __init__(self, port: int) -> None:
        self.laddr = self
        self.port = port


def _socket(connection: object) -> _Local:
    return _Local(connection._transport._socket.getsockname()[1])  # type: ignore[attr-defined]
