"""Bulk puts: batches cut into runs by container, grouped by partition, sent ahead of their answers.

Only upserts by row key: after any error the whole of what was not yet drained can be put again without harm.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from typing_extensions import Self

from gridferry.errors import LocalProtocolError, SchemaChanged, StatementError
from gridferry.griddb.handle import Handle
from gridferry.griddb.net.cluster import NODE_TROUBLE, Cluster, Node
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.net.limits import LOCK_WAIT_S
from gridferry.griddb.runs import cut_runs
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.container_requests import FlushLog
from gridferry.griddb.wire.encode import EncodedRows, encode_keys, encode_rows
from gridferry.griddb.wire.multi_requests import MultiPut, PutEntry
from gridferry.griddb.wire.requests import Request
from gridferry.griddb.wire.row_requests import DeleteRow, PutRows, Transaction, keyed_bodies
from gridferry.griddb.wire.statement import Option

MESSAGE_BYTES = 4 << 20
WINDOW_BYTES = 16 << 20
ENTRIES_A_MESSAGE = 4096
_SCHEMA_INVALID = 60015
_WAITING = {Option.TRANSACTION_TIMEOUT: LOCK_WAIT_S}

# A delete and its answer are small, but answers that nobody reads yet must fit between the two ends.
_DELETE_WEIGHT = 8192
_DELETES_AT_ONCE = 1024  # sent in one go


@dataclass(frozen=True)
class _Sent:
    """Statements on their way: `count` rows of `octets` bytes put, or one deleted by each; `weight` counts in the
    window.
    """

    connection: Connection
    numbers: Sequence[int]
    weight: int = 0
    count: int = 0
    octets: int = 0
    deletes: bool = False


class BulkWriter:
    """Puts rows into many containers. For one thread; `drain` or leaving the context waits for every answer.

    `rows` and `octets` count what was put and acknowledged, `deleted` the rows that deletes found. After an error it
    is unusable: make a new one. `before_send` is called right before each message, which an error of it leaves unsent.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        window_bytes: int = WINDOW_BYTES,
        message_bytes: int = MESSAGE_BYTES,
        before_send: Callable[[], None] = lambda: None,
    ) -> None:
        self.rows = 0
        self.octets = 0
        self.deleted = 0
        self._cluster = cluster
        self._window_bytes = window_bytes
        self._message_bytes = message_bytes
        self._before_send = before_send
        self._held = ExitStack()
        self._connections: dict[Node, Connection] = {}
        self._sent: deque[_Sent] = deque()
        self._in_flight = 0
        self._touched: dict[tuple[Node, int], Handle] = {}
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.drain()
        finally:
            self._held.close()
            self._connections.clear()

    def put(
        self,
        schema: ContainerSchema,
        batch: pa.RecordBatch,
        handles: Sequence[Handle],
        runs: Sequence[int] | NDArray[np.int64],
    ) -> None:
        """Send rows: those from `runs[i]` up to `runs[i + 1]` go into `handles[i]`.

        Args: batch (n,) as `schema.arrow_schema`; handles (m,), all of this schema; runs (m + 1,), from 0 to n.
        Raises: DataError, LocalProtocolError before anything is sent; earlier puts' refusals; node trouble.
        """
        self._refuse_if_failed()
        bounds = np.asarray(runs, np.int64)
        _check(schema, len(batch), handles, bounds)
        rows, owners = cut_runs(encode_rows(schema, batch), bounds, self._message_bytes)
        owned = [handles[owner] for owner in owners.tolist()]
        by_partition: dict[int, list[int]] = defaultdict(list)
        for run, handle in enumerate(owned):
            by_partition[handle.partition].append(run)
        for partition, members in by_partition.items():
            for message, count, size in self._messages(schema, rows, members, owned):
                asked = f"to put {count} rows into partition {partition}"
                node = self._send(partition, message, asked=asked, count=count, octets=size, weight=size)
                self._touched[node, partition] = owned[members[0]]

    def delete(
        self,
        schema: ContainerSchema,
        keys: pa.RecordBatch,
        handles: Sequence[Handle],
        runs: Sequence[int] | NDArray[np.int64],
    ) -> None:
        """Send deletes of rows by key, those from `runs[i]` up to `runs[i + 1]` in `handles[i]`; after earlier puts and
        before later ones of the same container.

        Args: keys: a batch of the row key's columns; the others as for `put`. Keys without a row are no error.
        Raises: as `put`.
        """
        self._refuse_if_failed()
        bounds = np.asarray(runs, np.int64)
        _check(schema, len(keys), handles, bounds)
        images = encode_keys(schema, keys)
        by_node: dict[Node, list[tuple[int, bytes]]] = defaultdict(list)
        for handle, first, last in zip(handles, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            if first == last:
                continue
            node = self._owner(handle.partition)
            tx = Transaction(handle.version, client=self._cluster.client, options=_WAITING)
            bodies = keyed_bodies(handle.container_id, tx, images[first:last])
            by_node[node] += [(handle.partition, body) for body in bodies]
            self._touched[node, handle.partition] = handle
        for node, bodies_of_node in by_node.items():
            for start in range(0, len(bodies_of_node), _DELETES_AT_ONCE):
                self._send_deletes(node, bodies_of_node[start : start + _DELETES_AT_ONCE])

    def drain(self) -> None:
        """Wait until everything put so far was acknowledged. Raises: refusals; node trouble."""
        self._refuse_if_failed()
        while self._sent:
            self._gather()

    def flush_log(self) -> int:
        """Wait for all answers, bring every partition touched to disk, and return how many there were.

        Over the connections that carried the puts, and never again over others: a node that crashed and came back
        has lost rows that it had acknowledged; it would flush without them, and say that all is well.
        Raises: node trouble; everything since the last flush must then be put again.
        """
        self.drain()
        for (node, partition), handle in self._touched.items():
            self._send(partition, FlushLog(handle.container_id), asked=f"to flush partition {partition}", node=node)
        flushed = len({partition for _, partition in self._touched})
        self.drain()
        self._touched.clear()
        return flushed

    def _messages(
        self, schema: ContainerSchema, rows: EncodedRows, members: Sequence[int], handles: Sequence[Handle]
    ) -> Iterator[tuple[Request, int, int]]:
        group: list[int] = []
        size = 0
        for run in members:
            need = rows.image_size(run)
            if group and (size + need > self._message_bytes or len(group) >= ENTRIES_A_MESSAGE):
                yield self._message(schema, rows, group, handles), _count(rows, group), size
                group, size = [], 0
            group.append(run)
            size += need
        if group:
            yield self._message(schema, rows, group, handles), _count(rows, group), size

    def _message(
        self, schema: ContainerSchema, rows: EncodedRows, group: Sequence[int], handles: Sequence[Handle]
    ) -> Request:
        if len(group) == 1:
            handle = handles[group[0]]
            tx = Transaction(handle.version, client=self._cluster.client, options=_WAITING)
            return PutRows(handle.container_id, tx, _count(rows, group), rows.image(group[0]))
        entries = [PutEntry(handles[r].container_id, 0, _count(rows, [r]), rows.image(r)) for r in group]
        return MultiPut((schema,), entries, self._cluster.client, _WAITING)

    def _send(
        self,
        partition: int,
        message: Request,
        *,
        asked: str,
        node: Node | None = None,
        weight: int = 0,
        count: int = 0,
        octets: int = 0,
    ) -> Node:
        """Send to `node`, or to the partition's owner; returns the node."""
        self._make_room(weight)
        with self._failing():
            node = node or self._cluster.owner(partition)
            connection = self._connection(node)
            self._before_send()
            number = connection.send(message, partition=partition, asked=asked)
        self._sent.append(_Sent(connection, (number,), weight, count, octets))
        self._in_flight += weight
        return node

    def _send_deletes(self, node: Node, bodies: Sequence[tuple[int, bytes]]) -> None:
        weight = len(bodies) * _DELETE_WEIGHT
        self._make_room(weight)
        with self._failing():
            connection = self._connection(node)
            self._before_send()
            numbers = connection.send_bodies(DeleteRow.statement, bodies, asked="to delete rows by key")
        self._sent.append(_Sent(connection, numbers, weight, deletes=True))
        self._in_flight += weight

    def _owner(self, partition: int) -> Node:
        with self._failing():
            return self._cluster.owner(partition)

    def _make_room(self, weight: int) -> None:
        while self._sent and self._in_flight + weight > self._window_bytes:
            self._gather()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._fail(error)
            raise

    def _gather(self) -> None:
        sent = self._sent.popleft()
        try:
            for number in sent.numbers:
                body = sent.connection.receive(number)
                if sent.deletes:
                    self.deleted += body.boolean()
        except BaseException as error:
            self._fail(error)
            raise _without_version(error) from error
        self._in_flight -= sent.weight
        self.rows += sent.count
        self.octets += sent.octets

    def _refuse_if_failed(self) -> None:
        if self._failed:
            raise LocalProtocolError(
                "the bulk writer failed before: make a new one, and put again what was not drained"
            )

    def _fail(self, error: BaseException) -> None:
        # Also for KeyboardInterrupt: what is under way is no longer known.
        self._failed = True
        if isinstance(error, NODE_TROUBLE):
            self._cluster.forget()

    def _connection(self, node: Node) -> Connection:
        if node not in self._connections:
            self._connections[node] = self._held.enter_context(self._cluster.connection(node))
        return self._connections[node]


def _count(rows: EncodedRows, group: Sequence[int]) -> int:
    return sum(int(rows.runs[run + 1] - rows.runs[run]) for run in group)


def _check(schema: ContainerSchema, count: int, handles: Sequence[Handle], bounds: NDArray[np.int64]) -> None:
    if schema.key_length == 0:
        raise LocalProtocolError("bulk puts and deletes need a row key: without one a put again would double its rows")
    if len(handles) != len(bounds) - 1:
        raise LocalProtocolError(f"{len(bounds) - 1} runs cannot go into {len(handles)} containers")
    if bounds[0] != 0 or bounds[-1] != count or bool((np.diff(bounds) < 0).any()):
        raise LocalProtocolError(f"the runs must rise from 0 to {count}, the rows of the batch")
    same = schema
    for handle in handles:
        if handle.schema is not same and handle.schema != schema:
            # The server would read the rows by its own schema, and store what it takes them for.
            raise LocalProtocolError(f'container "{handle.name}" has other columns than the batch')
        same = handle.schema


def _without_version(error: BaseException) -> BaseException:
    """A multi-put gives the server no schema version; a schema that is old is refused with another number."""
    if not isinstance(error, StatementError) or error.code != _SCHEMA_INVALID:
        return error
    changed = SchemaChanged(error.message, code=error.code, name=error.name, parameters=error.parameters)
    changed.node = error.node
    return changed
