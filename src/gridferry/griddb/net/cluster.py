"""Which node to ask: master, partition owners, one pool of connections a node, and failover.

Source of the retry rules: docs/protocol.md, Errors. What is done here repeats a call only while the *node* is the
problem (`Transient` node errors), or a lock of another client is; any other refusal goes to the caller.
"""

from __future__ import annotations

import itertools
import logging
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from gridferry.errors import (
    AnswerTimeout,
    ConnectionLost,
    GridDBError,
    LocalProtocolError,
    LockConflict,
    NodeUnreachable,
    RemoteProtocolError,
    WrongNode,
)
from gridferry.griddb.address import GridDBAddress, Route, SslMode
from gridferry.griddb.net.connection import SYSTEM_CLOCK, Clock, Connection, Timing
from gridferry.griddb.net.discovery import candidates
from gridferry.griddb.net.transport import SocketTransport, Transport
from gridferry.griddb.wire.names import ContainerKey, container_key, partition_of
from gridferry.griddb.wire.options import NO_OPTIONS, Options
from gridferry.griddb.wire.replies import PartitionAddress
from gridferry.griddb.wire.requests import GetPartitionAddress
from gridferry.griddb.wire.statement import Option

_log = logging.getLogger(__name__)

Node = tuple[str, int]
Connector = Callable[[str, int, float], Transport]
T = TypeVar("T")

NODE_TROUBLE = (ConnectionLost, NodeUnreachable, AnswerTimeout, WrongNode)
_PAUSE_S = 1.0


def connect_socket(host: str, port: int, timeout_s: float) -> Transport:
    """The usual way to a node: TCP."""
    return SocketTransport(host, port, timeout_s=timeout_s)


@dataclass(frozen=True)
class Topology:
    """What the master said: how containers are spread, and the id of the database logged in to."""

    master: Node
    partition_count: int
    hash_mode: int
    database_id: int


class Cluster:
    """A cluster seen by one client. Safe for use by several threads; each gets connections of its own."""

    def __init__(
        self,
        address: GridDBAddress,
        *,
        timing: Timing | None = None,
        connector: Connector = connect_socket,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.address = address
        self.timing = timing or Timing()
        self.client = uuid.uuid4().bytes
        self._session_ids = itertools.count(1)
        self._connector = connector
        self._clock = clock
        # Re-entrant: the end of an abandoned result may give its connection back wherever Python finds time for it.
        self._lock = threading.RLock()
        self._idle: dict[Node, list[Connection]] = defaultdict(list)
        self._topology: Topology | None = None
        self._owners: dict[int, Node] = {}
        self._closed = False
        self._waits_for_lock = False
        # Told once whenever a run begins to wait for what another client has locked.
        self.on_lock: Callable[[str], None] = lambda text: None
        self._route: Options = {Option.CONNECTION_ROUTE: 1} if address.route is Route.PUBLIC else NO_OPTIONS
        self._warned = False

    def new_session(self) -> int:
        """A session id that this client never used before.

        The server keeps what a session does by client and id alone: a second use at another partition, while the first
        is under way, is a system error (110031), at which the node shuts itself down (seen on 5.9.0).
        """
        return next(self._session_ids)

    def topology(self) -> Topology:
        """The cluster's layout, asked for once. Raises: what finding the master raises."""
        with self._lock:
            known = self._topology
        if known is not None:
            return known
        found = self._find_master()
        with self._lock:
            self._topology = found
        return found

    def key(self, name: str) -> ContainerKey:
        """A container's key in the database logged in to."""
        return container_key(name, self.topology().database_id)

    def partition(self, name: str) -> int:
        """The partition a container of that name lives in."""
        return self.place(name)[1]

    def place(self, name: str) -> tuple[ContainerKey, int]:
        """A container's key in the database logged in to, and the partition it lives in."""
        found = self.topology()
        key = container_key(name, found.database_id)
        return key, partition_of(key, found.partition_count, found.hash_mode)

    def owner(self, partition: int) -> Node:
        """The node that owns a partition. Raises: WrongNode if none does at the moment."""
        with self._lock:
            known = self._owners.get(partition)
        if known is not None:
            return known
        found = self.topology()
        with self.connection(found.master) as connection:
            message = GetPartitionAddress(options=self._route)
            body = connection.ask(message, partition=partition, asked=f"the owner of partition {partition}")
            answer = PartitionAddress.read(body, address_size=connection.address_size)
        if not answer.owners:
            raise WrongNode(
                f"partition {partition} of cluster {self.address.cluster} has no owner at the moment [145032]",
                next_step="wait until the cluster has settled; the same command can be run again",
            )
        with self._lock:
            self._owners[partition] = answer.owners[0]
        return answer.owners[0]

    @contextmanager
    def connection(self, node: Node) -> Iterator[Connection]:
        """A logged-in connection to a node, from the pool; a broken one is not put back."""
        connection = self._take(node)
        try:
            yield connection
        finally:
            self._give(node, connection)

    @contextmanager
    def at_partition(self, partition: int) -> Iterator[Connection]:
        """A connection to the owner of a partition. On node trouble what is cached about the cluster is dropped."""
        try:
            with self.connection(self.owner(partition)) as connection:
                yield connection
        except NODE_TROUBLE:
            self.forget()
            raise

    def run(self, partition: int, call: Callable[[Connection], T]) -> T:
        """`call` with a connection to a partition's owner, again while nodes are in trouble. It must be repeatable.

        Raises: the last trouble, once `failover_s` have passed; whatever else `call` raises, at once.
        """

        def attempt() -> T:
            with self.at_partition(partition) as connection:
                return call(connection)

        return self.retry(attempt)

    def retry(self, attempt: Callable[[], T]) -> T:
        """`attempt` again while nodes are in trouble: at once the first time, then every second.

        And while another client's lock is in the way, as `wait_for_locks`.
        """
        deadline = self._clock.now() + self.timing.failover_s
        tries = 0
        while True:
            try:
                return self.wait_for_locks(attempt)
            except NODE_TROUBLE as error:
                self.forget()
                tries += 1
                pause = _PAUSE_S if tries > 1 else 0.0
                if self._clock.now() + pause >= deadline or self._closed:
                    error.add_note(f"tried {tries} times in {self.timing.failover_s:g} s")
                    raise
                if pause:
                    self._clock.sleep(pause)

    def wait_for_locks(self, attempt: Callable[[], T]) -> T:
        """`attempt` again while a lock is in its way, until `timing.lock_s` have passed since the first time.

        Whom it waits for is reported to `on_lock`, once for all threads that wait. Raises: LockConflict in the end.
        """
        deadline: float | None = None
        while True:
            try:
                found = attempt()
            except LockConflict as error:
                now = self._clock.now()
                deadline = now + self.timing.lock_s if deadline is None else deadline
                if now >= deadline or self._closed:
                    self._waits_for_lock = False
                    raise
                self._tell_lock(error)
                self._clock.sleep(_PAUSE_S)
            else:
                if deadline is not None:
                    self._waits_for_lock = False
                return found

    def _tell_lock(self, error: LockConflict) -> None:
        with self._lock:
            told, self._waits_for_lock = self._waits_for_lock, True
        if not told:
            self.on_lock(f"{error.message}. {error.next_step}. It is waited for up to {self.timing.lock_s:g} s")

    def forget(self) -> None:
        """Drop what is cached: master, owners, idle connections."""
        with self._lock:
            idle, self._idle = self._idle, defaultdict(list)
            self._owners = {}
            self._topology = None
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def close(self) -> None:
        """Close every idle connection; those in use close when they come back."""
        with self._lock:
            self._closed = True
        self.forget()

    def _take(self, node: Node) -> Connection:
        while (waiting := self._waiting(node)) is not None:
            if not waiting.stale():
                return waiting
            waiting.close()
        return self._dial(node)[0]

    def _waiting(self, node: Node) -> Connection | None:
        with self._lock:
            if self._closed:
                raise LocalProtocolError("the store is closed: connect again")
            return self._idle[node].pop() if self._idle[node] else None

    def _give(self, node: Node, connection: Connection) -> None:
        with self._lock:
            kept = not (connection.broken or connection.outstanding or self._closed)
            if kept:
                self._idle[node].append(connection)
        if not kept:
            connection.close()

    def _dial(self, node: Node) -> tuple[Connection, int]:
        transport = self._connector(node[0], node[1], self.timing.connect_s)
        connection = Connection(transport, self.timing, clock=self._clock)
        try:
            connection.open(self.address, node[0])
            self._warn_of_clear_text(connection)
            return connection, connection.login(self.address, self.client)
        except BaseException:
            connection.broken = True
            connection.close()
            raise

    def _warn_of_clear_text(self, connection: Connection) -> None:
        exposed = self.address.sslmode is SslMode.PREFER and not (connection.secure or connection.local)
        if exposed and not self._warned:
            self._warned = True
            _log.warning(
                "the GridDB node %s offers no TLS: the login and all rows go over the network in clear. Use "
                "sslmode=require or verify; sslmode=disable says that this is meant",
                connection.node,
            )

    def _find_master(self) -> Topology:
        trouble: GridDBError | None = None
        # A list of many nodes that do not answer must not take the sum of their limits.
        deadline = self._clock.now() + self.timing.failover_s
        for node in candidates(self.address, timeout_s=self.timing.connect_s):
            if trouble is not None and self._clock.now() >= deadline:
                break
            try:
                return self._master_by(node)
            except NODE_TROUBLE as error:
                trouble = error
        raise trouble or NodeUnreachable("the GridDB address names no node")

    def _master_by(self, node: Node) -> Topology:
        connection, database_id = self._dial(node)
        try:
            body = connection.ask(GetPartitionAddress(master=True, options=self._route), asked="the cluster's master")
            answer = PartitionAddress.read(body, address_size=connection.address_size)
        finally:
            self._give(node, connection)
        if answer.partition_count <= 0:
            raise RemoteProtocolError(f"the node {connection.node} counts {answer.partition_count} partitions")
        master = node if answer.is_master else answer.master
        if master is None or master[1] <= 0:
            raise WrongNode(f"the node {connection.node} knows of no master at the moment")
        if master != node:
            connection, database_id = self._dial(master)
            self._give(master, connection)
        return Topology(master, answer.partition_count, answer.hash_mode, database_id)
