"""What of a login goes over which connection: never in clear unasked, nothing from before TLS, LDAP only inside."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import pytest
from tests.unit.griddb.net.memory import MemoryTransport, reply, request_of, written

from gridferry.errors import AuthenticationFailed, ConfigError, RemoteProtocolError
from gridferry.griddb import Authentication, GridDBAddress, Route, SslMode, parse_address
from gridferry.griddb.net.cluster import Cluster
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.wire.frame import Frame
from gridferry.griddb.wire.replies import ConnectReply, LoginReply, PartitionAddress
from gridferry.griddb.wire.requests import GetPartitionAddress, Login
from gridferry.griddb.wire.statement import Option, Statement

SECRET = "a password of mine"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()


def _address(sslmode: SslMode = SslMode.AUTO, *, user: str = "reader", **options: Any) -> GridDBAddress:
    return GridDBAddress("c", user=user, password=SECRET, members=(("h", 1),), sslmode=sslmode, **options)


class Node:
    """A node that says what it offers, and hears how somebody logs in."""

    def __init__(self, *, secure: bool = False, auth_type: int = 0, local: bool = False, early: bytes = b"") -> None:
        self.hello = ConnectReply(secure=secure, auth_type=auth_type)
        self.early = early
        self.transport = MemoryTransport(self._answer, local=local)
        self.connection = Connection(self.transport)

    def _answer(self, frame: Frame) -> list[bytes]:
        if frame.statement == Statement.CONNECT:
            return [reply(frame, written(self.hello)) + self.early]
        if frame.statement == Statement.GET_PARTITION_ADDRESS:
            master = PartitionAddress(7, master_asked=True, is_master=True, master=("10.0.0.1", 1))
            return [reply(frame, written(master))]
        return [reply(frame, written(LoginReply(database_id=1)))]

    def log_in(self, address: GridDBAddress) -> Login:
        self.connection.open(address, "h")
        self.connection.login(address, b"c" * 16)
        sent = request_of(self.transport.requests[-1])
        assert isinstance(sent, Login)
        return sent


def test_a_login_in_clear_stays_on_this_machine_unless_it_was_asked_for() -> None:
    assert Node(local=True).log_in(_address()).digest == DIGEST
    node = Node()
    with pytest.raises(AuthenticationFailed, match="offers no TLS") as caught:
        node.log_in(_address())
    assert [frame.statement for frame in node.transport.requests] == [Statement.CONNECT]
    assert "sslmode=disable" in caught.value.next_step
    assert Node().log_in(_address(SslMode.DISABLE)).digest == DIGEST


def test_the_advice_for_a_node_without_tls_is_accepted() -> None:
    address = parse_address("griddb://reader@h/c?sslmode=disable", password=SECRET)
    assert Node().log_in(address).user == "reader"


def test_prefer_without_tls_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    nodes: list[Node] = []

    def connector(host: str, port: int, timeout_s: float) -> MemoryTransport:
        nodes.append(Node())
        return nodes[-1].transport

    cluster = Cluster(_address(SslMode.PREFER), connector=connector)
    with caplog.at_level(logging.WARNING):
        cluster.topology()
        cluster.forget()
        cluster.topology()
    assert [record.getMessage().count("in clear") for record in caplog.records] == [1]
    assert SECRET not in caplog.text
    assert DIGEST not in caplog.text


@pytest.mark.parametrize("mode", [SslMode.AUTO, SslMode.PREFER, SslMode.REQUIRE, SslMode.VERIFY])
@pytest.mark.parametrize("whole", [True, False], ids=["a whole answer", "a part of one"])
def test_nothing_that_came_in_clear_is_read_after_the_handshake(mode: SslMode, whole: bool) -> None:
    forged = reply(Frame(Statement.LOGIN, 2, memoryview(b"")), written(LoginReply(database_id=99)))
    node = Node(secure=True, early=forged if whole else forged[:7])
    with pytest.raises(RemoteProtocolError):
        node.log_in(_address(mode))
    assert node.transport.tls is None
    assert [frame.statement for frame in node.transport.requests] == [Statement.CONNECT]
    assert node.connection.broken


def test_an_ldap_login_sends_the_password_inside_tls() -> None:
    sent = Node(secure=True, auth_type=1).log_in(_address())
    assert (sent.digest, sent.options[Option.AUTHENTICATION_TYPE]) == (SECRET, 1)


@pytest.mark.parametrize("user", ["admin", "system", "gs#operator"])
def test_users_of_the_server_itself_never_send_their_password(user: str) -> None:
    sent = Node(secure=True, auth_type=1).log_in(_address(user=user))
    assert sent.digest == DIGEST
    assert Option.AUTHENTICATION_TYPE not in sent.options


@pytest.mark.parametrize("mode", [SslMode.DISABLE, SslMode.PREFER])
def test_a_server_cannot_ask_for_the_password_in_clear(mode: SslMode) -> None:
    node = Node(auth_type=1)
    with pytest.raises(AuthenticationFailed, match="sends the password itself"):
        node.log_in(_address(mode))
    assert all(SECRET.encode() not in bytes(frame.body) for frame in node.transport.requests)


def test_who_asks_for_ldap_in_clear_gets_it() -> None:
    assert Node(auth_type=1).log_in(_address(SslMode.DISABLE, authentication=Authentication.LDAP)).digest == SECRET


def test_internal_authentication_can_be_asked_for() -> None:
    sent = Node(secure=True, auth_type=1).log_in(_address(authentication=Authentication.INTERNAL))
    assert sent.digest == DIGEST


@pytest.mark.parametrize(("user", "offered"), [("reader", 0), ("admin", 1)])
def test_ldap_where_it_cannot_be(user: str, offered: int) -> None:
    with pytest.raises(AuthenticationFailed, match="authentication=ldap is not possible"):
        Node(secure=True, auth_type=offered).log_in(_address(user=user, authentication=Authentication.LDAP))


def test_an_unknown_authentication_type() -> None:
    with pytest.raises(AuthenticationFailed, match="type 7"):
        Node(secure=True, auth_type=7).log_in(_address())


def test_the_public_route_goes_into_login_and_look_ups() -> None:
    node = Node(secure=True)
    cluster = Cluster(_address(route=Route.PUBLIC), connector=lambda *_: node.transport)
    cluster.topology()
    asked: list[Any] = [request_of(frame) for frame in node.transport.requests if frame.statement != Statement.CONNECT]
    assert [type(each) for each in asked] == [Login, GetPartitionAddress]
    assert [each.options[Option.CONNECTION_ROUTE] for each in asked] == [1, 1]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("griddb://h/c?ca_file=/ca.pem", "ca_file has no effect"),
        ("griddb://h/c?sslmode=require&ca_file=/ca.pem", "ca_file has no effect"),
        ("griddb:///c?sslmode=verify&provider=http://p/list", "https"),
        ("griddb:///c?sslmode=verify&multicast=239.0.0.1:31999", "multicast"),
        ("griddb://h/c?route=private", "route"),
        ("griddb://h/c?authentication=kerberos", "authentication"),
    ],
)
def test_options_that_would_protect_less_than_they_say(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_address(url)
    assert caught.value.next_step


def test_options_of_a_cloud() -> None:
    url = "griddb://me@/c/db?provider=https://p/list&route=public&authentication=ldap&sslmode=verify"
    found = parse_address(url)
    assert (found.route, found.authentication, found.sslmode) == (Route.PUBLIC, Authentication.LDAP, SslMode.VERIFY)
