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

from gridferry.errors import LocalProtocolError
from gridferry.griddb.handle import Handle
from gridferry.griddb.net.cluster import NODE_TROUBLE, Cluster, Node
from gridferry.griddb.net.connection import Connection
from gridferry.griddb.pipeline import Ask, ask_all
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.encode import EncodedRows, encode_rows
from gridferry.griddb.wire.multi_requests import MultiPut, PutEntry
from gridferry.griddb.wire.requests import FlushLog, Request
from gridferry.griddb.wire.row_requests import PutRows, Transaction

MESSAGE_BYTES = 4 << 20
WINDOW_BYTES = 16 << 20
ENTRIES_A_MESSAGE = 4096


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
        self._touched: dict[int, Handle] = {}

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
        bounds = np.asarray(runs, np.int64)
        if schema.key_length == 0:
            raise LocalProtocolError("bulk puts need a row key: without one a repeated put would double its rows")
        cuts, owners = self._cut(bounds, batch)
        rows = encode_rows(schema, batch, cuts)
        by_partition: dict[int, list[int]] = defaultdict(list)
        for run, owner in enumerate(owners):
            by_partition[handles[owner].partition].append(run)
        for partition, members in by_partition.items():
            self._touched[partition] = handles[owners[members[0]]]
            for message, count, size in self._messages(schema, rows, members, [handles[o] for o in owners]):
                self._send(partition, message, count, size)

    def drain(self) -> None:
        """Wait until everything put so far was acknowledged. Raises: refusals; node trouble."""
        while self._sent:
            self._gather()

    def flush_log(self) -> int:
        """Wait for all answers, bring every partition touched to disk, and return how many there were."""
        self.drain()
        asks = [Ask(p, FlushLog(handle.container_id), f"to flush partition {p}") for p, handle in self._touched.items()]
        ask_all(self._cluster, asks)
        self._touched.clear()
        return len(asks)

    def _cut(self, bounds: NDArray[np.int64], batch: pa.RecordBatch) -> tuple[NDArray[np.int64], list[int]]:
        """Runs no longer than a message takes, and the container each belongs to."""
        if len(batch) == 0:
            return np.zeros(1, np.int64), []
        longest = max(1, int(self._message_bytes * len(batch) / max(1, batch.nbytes)))
        cuts, owners = [0], []
        for owner, (first, last) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
            for start in range(first, last, longest):
                cuts.append(min(start + longest, last))
                owners.append(owner)
        return np.asarray(cuts, np.int64), owners

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

    def _send(self, partition: int, message: Request, count: int, size: int) -> None:
        while self._sent and self._in_flight + size > self._window_bytes:
            self._gather()
        try:
            connection = self._connection(self._cluster.owner(partition))
            asked = f"to put {count} rows into partition {partition}"
            number = connection.send(message, partition=partition, asked=asked)
        except NODE_TROUBLE:
            self._cluster.forget()
            raise
        self._sent.append((connection, number, count, size))
        self._in_flight += size

    def _gather(self) -> None:
        connection, number, count, size = self._sent.popleft()
        try:
            connection.receive(number)
        except NODE_TROUBLE:
            self._cluster.forget()
            raise
        self._in_flight -= size
        self.rows += count
        self.octets += size

    def _connection(self, node: Node) -> Connection:
        if node not in self._connections:
            self._connections[node] = self._held.enter_context(self._cluster.connection(node))
        return self._connections[node]


def _count(rows: EncodedRows, group: Sequence[int]) -> int:
    return sum(int(rows.runs[run + 1] - rows.runs[run]) for run in group)
