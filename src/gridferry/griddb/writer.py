"""Bulk puts: batches cut into runs by container, grouped by partition, sent ahead of their answers.

Only upserts by row key: after any error the whole of what was not yet drained can be put again without harm.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from typing_extensions import Self

from gridferry.errors import LocalProtocolError, SchemaChanged, StatementError
from gridferry.griddb.handle import Handle
from gridferry.griddb.net.cluster import NODE_TROUBLE, Cluster, Node
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.runs import cut_runs
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.container_requests import FlushLog
from gridferry.griddb.wire.encode import EncodedRows, encode_rows
from gridferry.griddb.wire.multi_requests import MultiPut, PutEntry
from gridferry.griddb.wire.requests import Request
from gridferry.griddb.wire.row_requests import PutRows, Transaction

MESSAGE_BYTES = 4 << 20
WINDOW_BYTES = 16 << 20
ENTRIES_A_MESSAGE = 4096
_SCHEMA_INVALID = 60015


class BulkWriter:
    """Puts rows into many containers. For one thread; `drain` or leaving the context waits for every answer.

    `rows` and `octets` count what was acknowledged. After an error it is unusable: make a new one.
    """

    def __init__(
        self, cluster: Cluster, *, window_bytes: int = WINDOW_BYTES, message_bytes: int = MESSAGE_BYTES
    ) -> None:
        self.rows = 0
        self.octets = 0
        self._cluster = cluster
        self._window_bytes = window_bytes
        self._message_bytes = message_bytes
        self._held = ExitStack()
        self._connections: dict[Node, Connection] = {}
        self._sent: deque[tuple[Connection, int, int, int]] = deque()
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
                node = self._send(partition, message, asked=asked, count=count, size=size)
                self._touched[node, partition] = owned[members[0]]

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
            tx = Transaction(handle.version, client=self._cluster.client)
            return PutRows(handle.container_id, tx, _count(rows, group), rows.image(group[0]))
        entries = [PutEntry(handles[r].container_id, 0, _count(rows, [r]), rows.image(r)) for r in group]
        return MultiPut((schema,), entries, self._cluster.client)

    def _send(
        self, partition: int, message: Request, *, asked: str, node: Node | None = None, count: int = 0, size: int = 0
    ) -> Node:
        """Send to `node`, or to the partition's owner; returns the node."""
        while self._sent and self._in_flight + size > self._window_bytes:
            self._gather()
        try:
            node = node or self._cluster.owner(partition)
            connection = self._connection(node)
            number = connection.send(message, partition=partition, asked=asked)
        except BaseException as error:
            self._fail(error)
            raise
        self._sent.append((connection, number, count, size))
        self._in_flight += size
        return node

    def _gather(self) -> None:
        connection, number, count, size = self._sent.popleft()
        try:
            connection.receive(number)
        except BaseException as error:
            self._fail(error)
            raise _without_version(error) from error
        self._in_flight -= size
        self.rows += count
        self.octets += size

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
        raise LocalProtocolError("bulk puts need a row key: without one a repeated put would double its rows")
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
    """A multi-put tells the server no schema version; a schema that is old is told by another number."""
    if not isinstance(error, StatementError) or error.code != _SCHEMA_INVALID:
        return error
    changed = SchemaChanged(error.message, code=error.code, name=error.name, parameters=error.parameters)
    changed.node = error.node
    return changed
