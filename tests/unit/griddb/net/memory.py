"""A network in memory: transports that split, hold back, cut and reorder answers, nodes that say what a test wants."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gridferry.errors import ConnectionLost, NodeUnreachable
from gridferry.griddb.net.connection import Clock
from gridferry.griddb.wire import multi_requests, row_requests  # noqa: F401 - they enter their requests into the table
from gridferry.griddb.wire.frame import Frame, FrameReader, Role, encode_reply
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.replies import ConnectReply, ErrorReply, LoginReply, PartitionAddress
from gridferry.griddb.wire.requests import REQUESTS, GetPartitionAddress, Request
from gridferry.griddb.wire.statement import Statement, Status

Address = tuple[str, int]
END = b""  # in an answer: the connection ends here


class FakeClock:
    """A clock that moves when somebody waits."""

    def __init__(self) -> None:
        self.time = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.time, sleep=self.sleep)


class MemoryTransport:
    """One end of a conversation; `answer` is the other. It gives the chunks of bytes to be read, END for the end."""

    def __init__(
        self,
        answer: Callable[[Frame], list[bytes]],
        *,
        clock: FakeClock | None = None,
        peer: str = "memory:1",
        address_size: int = 4,
        local: bool = True,
    ) -> None:
        self.peer = peer
        self.address_size = address_size
        self.local = local
        self.closed = False
        self.requests: list[Frame] = []
        self.inbox: deque[bytes] = deque()
        self.tls: str | None = None
        self._answer = answer
        self._clock = clock or FakeClock()
        self._frames = FrameReader(Role.SERVER, address_size=address_size)

    def send(self, data: bytes) -> None:
        if self.closed:
            raise ConnectionLost(f"the connection to {self.peer} broke while sending")
        self._frames.receive(data)
        while (frame := self._frames.next_frame()) is not None:
            self.requests.append(frame)
            self.inbox.extend(self._answer(frame))

    def receive(self, size: int, timeout_s: float) -> bytes | None:
        if not self.inbox:
            self._clock.time += timeout_s
            return None
        chunk = self.inbox.popleft()
        if chunk == END:
            raise ConnectionLost(f"the node {self.peer} closed the connection")
        if len(chunk) > size:
            self.inbox.appendleft(chunk[size:])
        return chunk[:size]

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        self.tls = host

    def close(self) -> None:
        self.closed = True


def reply(frame: Frame, body: bytes = b"", *, status: Status = Status.SUCCESS, address_size: int = 4) -> bytes:
    """The whole frame of an answer."""
    return b"".join(encode_reply(frame.statement, frame.statement_id, [body], status=status, address_size=address_size))


def written(message: object) -> bytes:
    """The body of a message."""
    out = Writer()
    message.write(out)  # type: ignore[attr-defined]
    return out.getvalue()


def refused(frame: Frame, code: int, *, status: Status = Status.STATEMENT_ERROR, message: str = "no") -> bytes:
    """A refusal."""
    return reply(frame, written(ErrorReply(code, message, f"CODE_{code}")), status=status)


def request_of(frame: Frame) -> Request:
    """What a frame asks."""
    return REQUESTS[frame.statement].read(Reader(frame.body))


@dataclass
class Network:
    """Nodes by address. `up` are those that can be reached; `dialled` says who was, in order."""

    clock: FakeClock = field(default_factory=FakeClock)
    nodes: dict[Address, Node] = field(default_factory=dict)
    down: set[Address] = field(default_factory=set)
    dialled: list[Address] = field(default_factory=list)
    transports: list[MemoryTransport] = field(default_factory=list)
    master: Address = ("10.0.0.1", 10001)
    owners: dict[int, Address] = field(default_factory=dict)

    def node(self, address: Address) -> Node:
        self.nodes[address] = Node(self, address)
        return self.nodes[address]

    def connect(self, host: str, port: int, timeout_s: float) -> MemoryTransport:
        self.dialled.append((host, port))
        if (host, port) in self.down or (host, port) not in self.nodes:
            raise NodeUnreachable(f"no connection to the GridDB node {host}:{port}")
        transport = MemoryTransport(self.nodes[host, port].answer, clock=self.clock, peer=f"{host}:{port}")
        self.transports.append(transport)
        return transport

    @property
    def open(self) -> int:
        """Connections that were made and not closed."""
        return sum(1 for transport in self.transports if not transport.closed)


@dataclass
class Node:
    """A node: it lets everybody in, tells who is master and who owns what, and answers the rest with nothing.

    `instead` gives other answers to statements, each list from the front; `asked` counts the statements.
    """

    network: Network
    address: Address
    instead: dict[Statement, list[Callable[[Frame], list[bytes]]]] = field(default_factory=dict)
    asked: list[Statement] = field(default_factory=list)

    def answer(self, frame: Frame) -> list[bytes]:
        statement = Statement(frame.statement)
        self.asked.append(statement)
        if self.instead.get(statement):
            return self.instead[statement].pop(0)(frame)
        if statement is Statement.CONNECT:
            return [reply(frame, written(ConnectReply()))]
        if statement is Statement.LOGIN:
            return [reply(frame, written(LoginReply()))]
        if statement is Statement.GET_PARTITION_ADDRESS:
            return [reply(frame, written(self._address(frame)))]
        return [] if statement is Statement.DISCONNECT else [reply(frame)]

    def _address(self, frame: Frame) -> PartitionAddress:
        asked = request_of(frame)
        assert isinstance(asked, GetPartitionAddress)
        if asked.master:
            master = self.network.master
            return PartitionAddress(8, master_asked=True, is_master=master == self.address, master=master)
        owner = self.network.owners.get(frame.partition)
        return PartitionAddress(8, owners=() if owner is None else (owner,))
