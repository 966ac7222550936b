"""A database of a cluster: open, create, list and drop containers; many of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType

import numpy as np
import pyarrow as pa
from typing_extensions import Self

from gridferry.griddb.address import GridDBAddress, parse_address
from gridferry.griddb.container import Container
from gridferry.griddb.handle import Handle, fetch_handles, made_handle, put_container
from gridferry.griddb.net.cluster import Cluster, Connector, connect_socket
from gridferry.griddb.net.connection import Timing
from gridferry.griddb.pipeline import Ask, ask_all
from gridferry.griddb.query import whole_result
from gridferry.griddb.results import QueryResult
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.multi_requests import MultiQuery
from gridferry.griddb.wire.replies import read_container_names, read_databases
from gridferry.griddb.wire.requests import (
    DropContainer,
    DropDatabase,
    FlushLog,
    GetDatabases,
    GetPartitionContainerNames,
    PutDatabase,
)
from gridferry.griddb.wire.row_replies import read_multi_query
from gridferry.griddb.wire.row_requests import QueryTql, Transaction
from gridferry.griddb.wire.statement import Option
from gridferry.griddb.writer import MESSAGE_BYTES, WINDOW_BYTES, BulkWriter

_NAMES_FEATURE = 2
_QUERIES_A_REQUEST = 2000
_NAMES_A_PAGE = 10_000


class Store:
    """A connected database. Safe for use by several threads; a context that closes its connections."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.cluster.address}>"

    def close(self) -> None:
        """Close the connections."""
        self.cluster.close()

    def create_container(self, name: str, schema: ContainerSchema, *, modify: bool = False) -> Container:
        """Create a container, or open it if it exists with this schema; with `modify` alter it to this schema.

        Raises: SchemaConflict if it exists with another schema; StatementError for an illegal name or schema.
        """
        return self.create_containers([name], schema, modify=modify)[0]

    def create_containers(
        self, names: Sequence[str], schema: ContainerSchema, *, modify: bool = False
    ) -> list[Container]:
        """Create many containers of one schema, all requests under way at once; in the order of `names`."""
        asks = [put_container(self.cluster, name, schema, modify=modify) for name in names]
        bodies = ask_all(self.cluster, asks)
        return [
            Container(self.cluster, made_handle(self.cluster, name, schema, body))
            for name, body in zip(names, bodies, strict=True)
        ]

    def open_container(self, name: str) -> Container | None:
        """A container that exists, or None."""
        return self.open_containers([name])[name]

    def open_containers(self, names: Sequence[str]) -> dict[str, Container | None]:
        """Many containers by the names asked for, one request a partition; None for those that do not exist."""
        handles = fetch_handles(self.cluster, names)
        return {name: None if handle is None else Container(self.cluster, handle) for name, handle in handles.items()}

    def container_names(self) -> list[str]:
        """The names of all containers of the database, sorted. Asks every partition."""
        found: list[str] = []
        partitions = list(range(self.cluster.topology().partition_count))
        start = 0
        while partitions:
            message = GetPartitionContainerNames(
                start, _NAMES_A_PAGE, options={Option.ACCEPTABLE_FEATURE_VERSION: _NAMES_FEATURE}
            )
            bodies = ask_all(
                self.cluster, [Ask(p, message, f"the container names of partition {p}") for p in partitions]
            )
            pages = [read_container_names(body) for body in bodies]
            found += [key.name for _, keys in pages for key in keys]
            start += _NAMES_A_PAGE
            partitions = [p for p, (_, keys) in zip(partitions, pages, strict=True) if len(keys) == _NAMES_A_PAGE]
        return sorted(found)

    def drop_container(self, name: str) -> None:
        """Drop a container; one that does not exist is dropped too."""
        self.drop_containers([name])

    def drop_containers(self, names: Iterable[str]) -> None:
        """Drop many containers, all requests under way at once."""
        asks = [
            Ask(self.cluster.partition(name), DropContainer(self.cluster.key(name)), f'to drop container "{name}"')
            for name in names
        ]
        ask_all(self.cluster, asks)

    def multi_put(self, puts: Sequence[tuple[Container, pa.RecordBatch]]) -> None:
        """Upsert a batch into each of many containers: one message a partition and schema, as far as they fit.

        Not atomic: after an error some are stored; the same call can be made again.
        """
        by_schema: dict[ContainerSchema, list[tuple[Handle, pa.RecordBatch]]] = {}
        for container, batch in puts:
            by_schema.setdefault(container.schema, []).append((container.handle, batch))

        def attempt() -> None:
            with self.writer() as writer:
                for schema, members in by_schema.items():
                    table = pa.Table.from_batches([b.cast(schema.arrow_schema) for _, b in members])
                    whole = table.combine_chunks().to_batches(max_chunksize=None)
                    if whole:
                        runs = np.cumsum([0] + [len(b) for _, b in members])
                        writer.put(schema, whole[0], [h for h, _ in members], runs)

        self.cluster.retry(attempt)

    def multi_query(self, queries: Sequence[tuple[Container | Handle, str]]) -> list[QueryResult]:
        """One query on each of many containers: one message a partition; results in the order asked, unpaged."""
        handles = [c.handle if isinstance(c, Container) else c for c, _ in queries]
        by_partition: dict[int, list[int]] = {}
        for index, handle in enumerate(handles):
            by_partition.setdefault(handle.partition, []).append(index)
        groups = [
            (partition, members[start : start + _QUERIES_A_REQUEST])
            for partition, members in by_partition.items()
            for start in range(0, len(members), _QUERIES_A_REQUEST)
        ]
        client = self.cluster.client
        asks = []
        for partition, members in groups:
            messages = [
                QueryTql(handles[i].container_id, Transaction(handles[i].version, client=client), queries[i][1])
                for i in members
            ]
            asks.append(
                Ask(partition, MultiQuery(messages, client), f"{len(members)} queries in partition {partition}")
            )
        found: list[QueryResult | None] = [None] * len(queries)
        for (_, members), body in zip(groups, ask_all(self.cluster, asks), strict=True):
            for index, reply in zip(members, read_multi_query(body), strict=True):
                found[index] = whole_result(handles[index].schema, reply)
        return [result for result in found if result is not None]

    def counts(self, containers: Sequence[Container | Handle]) -> list[int]:
        """COUNT(*) of many containers, in their order."""
        results = self.multi_query([(container, "select count(*)") for container in containers])
        return [int(result.value or 0) for result in results]

    def writer(self, *, window_bytes: int = WINDOW_BYTES, message_bytes: int = MESSAGE_BYTES) -> BulkWriter:
        """A bulk writer with connections of its own."""
        return BulkWriter(self.cluster, window_bytes=window_bytes, message_bytes=message_bytes)

    def flush(self, containers: Iterable[Container]) -> int:
        """Bring every partition of these containers to disk; returns how many there were."""
        touched = {c.handle.partition: c.handle for c in containers}
        ask_all(self.cluster, [Ask(p, FlushLog(h.container_id), f"to flush partition {p}") for p, h in touched.items()])
        return len(touched)

    def databases(self) -> list[str]:
        """The databases that the user can see."""
        return read_databases(ask_all(self.cluster, [Ask(0, GetDatabases(), "the databases")])[0])

    def create_database(self, name: str) -> None:
        """Create a database."""
        ask_all(self.cluster, [Ask(0, PutDatabase(name), f'to create database "{name}"')], repeat=False)

    def drop_database(self, name: str) -> None:
        """Drop the database that this store is connected to. Raises: StatementError for another one."""
        ask_all(self.cluster, [Ask(0, DropDatabase(name), f'to drop database "{name}"')], repeat=False)


def connect(
    target: str | GridDBAddress,
    *,
    password: str | None = None,
    timing: Timing | None = None,
    connector: Connector = connect_socket,
) -> Store:
    """Connect to a database, e.g. `connect("griddb://admin@127.0.0.1:10001/myCluster/public", password="admin")`.

    Raises: ConfigError, NodeUnreachable, AuthenticationFailed, WrongNode. Nothing is retried here: a wrong address
    should be told at once.
    """
    address = parse_address(target, password=password) if isinstance(target, str) else target
    cluster = Cluster(address, timing=timing, connector=connector)
    cluster.topology()
    return Store(cluster)
