"""One transport and one conversation: requests out, answers in, matched by statement id.

Several requests may be outstanding. Answers for different partitions may come out of order
(docs/protocol.md, Pipelining).
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from gridferry.errors import AnswerTimeout, ConnectionLost, FerryError, RemoteProtocolError, StatementError
from gridferry.griddb.address import DEFAULT_PORT, DEFAULT_SQL_PORT, PUBLIC, GridDBAddress, Route, SslMode
from gridferry.griddb.net.limits import RESULT_TIMEOUT_S
from gridferry.griddb.net.refusals import refusal
from gridferry.griddb.net.security import AuthType, login_type, require_private, secret_of, tls_context
from gridferry.griddb.net.transport import Transport
from gridferry.griddb.wire.frame import Frame, FrameReader, Role, encode_request
from gridferry.griddb.wire.octets import Buffer, Reader, Writer
from gridferry.griddb.wire.replies import ConnectReply, LoginReply
from gridferry.griddb.wire.requests import (
    Connect,
    Disconnect,
    Login,
    Request,
)
from gridferry.griddb.wire.statement import (
    FEATURE_VERSION,
    MAX_HELLO_BYTES,
    MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    SQL_PROTOCOL_VERSION,
    Option,
    Statement,
    Status,
)

_READ_SIZE = 1 << 20
_SECURITY_REFUSED = 130003
_VERSION_REFUSED = 10054
_SPOKEN = re.compile(r"serverVersion=(-?\d+)")
_LARGEST_READ = 1 << 25  # a buffer of that size is made before it is filled
_MAX_CONNECT_ID = (1 << 31) - 1


class Service(Enum):
    """What a node is spoken to for: each of its services has a port, and a version of the protocol, of its own."""

    NOSQL = PROTOCOL_VERSION
    SQL = SQL_PROTOCOL_VERSION


_NAMES = {Service.NOSQL: "transaction service", Service.SQL: "SQL service"}
_PORTS = {Service.NOSQL: DEFAULT_PORT, Service.SQL: DEFAULT_SQL_PORT}


@dataclass(frozen=True)
class Timing:
    """Limits in seconds.

    `answer_s` bounds the wait for one answer, `login_s` that for each answer until the login has ended, `heartbeat_s`
    the silence before the node is asked whether it lives, `failover_s` the search for a node that can do what is asked,
    `lock_s` the wait for what another client has locked: longer than a transaction that a killed run left open.
    """

    connect_s: float = 10.0
    login_s: float = 60.0
    answer_s: float = 300.0
    heartbeat_s: float = 10.0
    failover_s: float = 120.0
    lock_s: float = 30.0


@dataclass(frozen=True)
class Clock:
    """Where the driver reads the time and waits. Tests have their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


SYSTEM_CLOCK = Clock()


class Connection:
    """A conversation with one node. Not for use by two threads at once.

    After ConnectionLost, AnswerTimeout or a protocol error it is `broken` and only good for `close`.
    """

    def __init__(
        self,
        transport: Transport,
        timing: Timing | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        service: Service = Service.NOSQL,
    ) -> None:
        self.node = transport.peer
        self._service = service
        self._other = Service.SQL if service is Service.NOSQL else Service.NOSQL
        self.broken = False
        self._transport = transport
        self._timing = timing or Timing()
        self._now = clock.now
        # Until the login: whoever has not shown who it is gets no memory to fill.
        self._frames = FrameReader(Role.CLIENT, max_body=MAX_HELLO_BYTES, address_size=transport.address_size)
        self._ids = itertools.count(1)
        self._waiting: dict[int, str] = {}
        self._arrived: dict[int, Frame] = {}
        self._heartbeats: set[int] = set()
        self._offered = 0  # the authentication type that the server named
        self.secure = False

    @property
    def outstanding(self) -> int:
        """Requests sent and not yet received."""
        return len(self._waiting)

    @property
    def address_size(self) -> int:
        """Bytes of an address on this connection: 4, or 16 for IPv6."""
        return self._transport.address_size

    @property
    def local(self) -> bool:
        """Whether the node is on this machine."""
        return self._transport.local

    def open(self, address: GridDBAddress, host: str) -> None:
        """Say hello, and start TLS where both sides want it.

        Raises: RemoteProtocolError, ConnectionLost; AuthenticationFailed where a login would go in clear unasked.
        """
        plain = address.sslmode in (SslMode.AUTO, SslMode.DISABLE, SslMode.PREFER)
        secure = address.sslmode is not SslMode.DISABLE
        hello = Connect(self._service.value, plain=plain, secure=secure)
        try:
            reply = ConnectReply.read(self.ask(hello, asked="the first message", timeout_s=self._timing.login_s))
        except StatementError as error:
            if error.code == _SECURITY_REFUSED:
                raise self._disagreement(address.sslmode) from error
            said = _SPOKEN.search(error.message) if error.code == _VERSION_REFUSED else None
            if said and said[1] == str(self._other.value):
                raise self._other_version(said[1]) from error
            raise
        if reply.version != self._service.value:
            raise self._other_version(str(reply.version))
        self._offered = reply.auth_type
        if secure and reply.secure:
            self._start_tls(address, host)
        elif not (plain and reply.plain):
            raise self._disagreement(address.sslmode)
        else:
            require_private(address, node=self.node, local=self.local)

    def _other_version(self, spoken: str) -> RemoteProtocolError:
        self.broken = True
        if spoken == str(self._other.value):
            return RemoteProtocolError(
                f"{self.node} is the port of the node's {_NAMES[self._other]}, not of its {_NAMES[self._service]}",
                next_step=f"give the port of the {_NAMES[self._service]}, {_PORTS[self._service]} unless the node's "
                "configuration says another",
            )
        return RemoteProtocolError(
            f"the node {self.node} speaks protocol version {spoken}, gridferry {self._service.value}",
            next_step="use GridDB 4.0.1 or newer",
        )

    def _start_tls(self, address: GridDBAddress, host: str) -> None:
        """From here on only what came through TLS counts: nothing that arrived before may wait to be read after it."""
        if self._arrived or not self._frames.clean:
            self.broken = True
            raise RemoteProtocolError(
                f"the node {self.node} sent something in clear behind its first answer, before TLS began: somebody in "
                "between may have added it",
                state="nothing of the login was sent",
                next_step="find out what is between gridferry and the node",
            )
        self._transport.start_tls(tls_context(address), host)
        self.secure = True

    def login(self, address: GridDBAddress, client: bytes) -> int:
        """Log in and return the database's id. Raises: AuthenticationFailed."""
        options: dict[Option, object] = {
            Option.ACCEPTABLE_FEATURE_VERSION: FEATURE_VERSION,
            Option.APPLICATION_NAME: "gridferry",
        }
        if self._service is Service.NOSQL:
            options[Option.TRANSACTION_TIMEOUT] = RESULT_TIMEOUT_S
            options[Option.CLIENT_ID] = (0, client)
        if address.database != PUBLIC:
            options[Option.DATABASE_NAME] = address.database
        if address.route is Route.PUBLIC:
            options[Option.CONNECTION_ROUTE] = 1
        how = login_type(address, self._offered, node=self.node, secure=self.secure, local=self.local)
        if how is not AuthType.INTERNAL:
            options[Option.AUTHENTICATION_TYPE] = how
        message = Login(user=address.user, digest=secret_of(address, how), cluster=address.cluster, options=options)
        asked = f'the login of "{address.user}"'
        reply = LoginReply.read(self.ask(message, asked=asked, timeout_s=self._timing.login_s))
        self._frames.allow(MAX_MESSAGE_BYTES)
        return reply.database_id

    def ask(
        self,
        message: Request,
        *,
        partition: int = 0,
        asked: str = "",
        timeout_s: float | None = None,
        number: int | None = None,
    ) -> Reader:
        """Send a request and wait for its answer's body. Raises: what `receive` raises."""
        sent = self.send(message, partition=partition, asked=asked, number=number)
        return self.receive(sent, timeout_s=timeout_s)

    def send(self, message: Request, *, partition: int = 0, asked: str = "", number: int | None = None) -> int:
        """Send a request and return its statement id, to `receive` later. Raises: ConnectionLost."""
        out = Writer()
        message.write(out)
        return self.send_body(message.statement, out, partition=partition, asked=asked, number=number)

    def send_body(
        self, statement: Statement, body: Writer, *, partition: int = 0, asked: str = "", number: int | None = None
    ) -> int:
        """Send a written body, under a statement id of the connection's or, in a session, of the caller's own.

        Raises: ConnectionLost.
        """
        self._refuse_if_broken()
        number = next(self._ids) if number is None else number
        parts = encode_request(
            statement, number, body.parts, partition=partition, address_size=self._transport.address_size
        )
        self._waiting[number] = asked or statement.name
        self._transmit(parts)
        return number

    def send_bodies(self, statement: Statement, bodies: Sequence[tuple[int, bytes]], *, asked: str) -> list[int]:
        """Send many small requests in one go, each a partition and a written body; their statement ids, in order.

        Raises: ConnectionLost.
        """
        self._refuse_if_broken()
        size = self._transport.address_size
        numbers = [next(self._ids) for _ in bodies]
        parts: list[Buffer] = []
        for number, (partition, body) in zip(numbers, bodies, strict=True):
            parts += encode_request(statement, number, (body,), partition=partition, address_size=size)
            self._waiting[number] = asked
        self._transmit(parts)
        return numbers

    def _transmit(self, parts: Sequence[Buffer]) -> None:
        try:
            self._transport.send(b"".join(parts))
        except BaseException:
            # Also for KeyboardInterrupt: half a message may have been sent.
            self.broken = True
            raise

    def receive(self, number: int, *, timeout_s: float | None = None) -> Reader:
        """The body of the answer to request `number`, in whatever order answers come.

        Raises: StatementError and its kin for a refusal; AnswerTimeout, ConnectionLost, RemoteProtocolError.
        """
        asked = self._waiting[number]
        try:
            frame = self._await(number, self._timing.answer_s if timeout_s is None else timeout_s)
        except BaseException as error:
            self.broken = True
            if isinstance(error, FerryError):
                error.add_note(f"while waiting for the answer to {asked}")
            raise
        del self._waiting[number]
        if frame.status != Status.SUCCESS:
            raise refusal(frame.status, frame.body, node=self.node, asked=asked)
        return Reader(frame.body)

    def arrived(self, number: int, *, timeout_s: float) -> bool:
        """Whether the answer to request `number` is there, waiting up to `timeout_s` for it.

        Raises: ConnectionLost, RemoteProtocolError.
        """
        try:
            return self._arrives(number, timeout_s)
        except BaseException:
            self.broken = True
            raise

    def tell(self, message: Request, *, partition: int = 0) -> None:
        """Send a request that has no answer. Raises: ConnectionLost."""
        self._refuse_if_broken()
        out = Writer()
        message.write(out)
        self._transmit(
            encode_request(
                message.statement, next(self._ids), out.parts, partition=partition, address_size=self.address_size
            )
        )

    def check_alive(self, *, timeout_s: float) -> None:
        """Wait until the node answers a heartbeat, and so has read all that was sent before it.

        Raises: AnswerTimeout, ConnectionLost, RemoteProtocolError.
        """
        self._refuse_if_broken()
        try:
            self._heartbeat()
            deadline = self._now() + timeout_s
            while self._heartbeats:
                if self._now() >= deadline:
                    raise AnswerTimeout(f"the node {self.node} does not answer heartbeats")
                self._read_some(deadline - self._now())
        except BaseException:
            self.broken = True
            raise

    def close(self) -> None:
        """Say goodbye if that is possible, and close."""
        if not self.broken and not self._waiting:
            try:
                self.send(Disconnect(), asked="goodbye")
            except ConnectionLost:
                self.broken = True
        self.broken = True
        self._transport.close()

    def _disagreement(self, mode: SslMode) -> RemoteProtocolError:
        self.broken = True
        if mode is SslMode.DISABLE:
            return RemoteProtocolError(
                f"the node {self.node} takes TLS only, and sslmode={mode.value} does without",
                next_step="use sslmode=require or verify",
            )
        return RemoteProtocolError(
            f"the node {self.node} offers no TLS, and sslmode={mode.value} asks for it",
            next_step="switch TLS on at the server, or use sslmode=prefer",
        )

    def stale(self) -> bool:
        """Whether the node closed an idle connection, or sent what nobody asked for. Does not wait."""
        try:
            return self.broken or self._transport.receive(1, 0.0) is not None
        except ConnectionLost:
            return True

    def _await(self, number: int, timeout_s: float) -> Frame:
        if not self._arrives(number, timeout_s):
            raise AnswerTimeout(
                f"the node {self.node} gave no answer within {timeout_s:g} s",
                next_step="check the node's load and log; the same command can be run again",
            )
        return self._arrived.pop(number)

    def _arrives(self, number: int, timeout_s: float) -> bool:
        start = self._now()
        quiet_since = start
        while number not in self._arrived:
            now = self._now()
            if now - start >= timeout_s:
                return False
            if now - quiet_since >= self._timing.heartbeat_s:
                self._heartbeat()
                quiet_since = now
            # A large answer may take longer than a heartbeat, whose answer then waits behind it: bytes are life too.
            if self._read_some(min(self._timing.heartbeat_s - (now - quiet_since), timeout_s - (now - start))):
                quiet_since = self._now()
        return True

    def _heartbeat(self) -> None:
        if len(self._heartbeats) >= 2:
            raise ConnectionLost(f"the node {self.node} does not answer heartbeats")
        # Not one that a session's statement waits under: its answer would be taken for the heartbeat's.
        number = next(n for n in map(_MAX_CONNECT_ID.__and__, self._ids) if n not in self._waiting)
        out = Writer()
        Connect(self._service.value).write(out)
        self._heartbeats.add(number)
        parts = encode_request(Statement.CONNECT, number, out.parts, address_size=self._transport.address_size)
        self._transport.send(b"".join(parts))

    def _read_some(self, timeout_s: float) -> bool:
        wanted = min(max(_READ_SIZE, self._frames.missing), _LARGEST_READ)
        data = self._transport.receive(wanted, timeout_s)
        if data is None:
            return False
        self._frames.receive(data)
        while (frame := self._frames.next_frame()) is not None:
            if frame.statement_id in self._heartbeats:
                self._heartbeats.discard(frame.statement_id)
            elif frame.statement_id in self._waiting:
                self._arrived[frame.statement_id] = frame
            else:
                raise RemoteProtocolError(f"the node {self.node} answered request {frame.statement_id}, never asked")
        return True

    def _refuse_if_broken(self) -> None:
        if self.broken:
            raise ConnectionLost(f"the connection to {self.node} is closed")
