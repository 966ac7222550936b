"""A database of a cluster: open, create, list and drop containers; many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from typing_extensions import Self

from gridferry.errors import LocalProtocolError, RemoteProtocolError, SchemaChanged, SchemaConflict
from gridferry.griddb.address import PUBLIC, GridDBAddress, parse_address
from gridferry.griddb.container import Container
from gridferry.griddb.handle import Handle, fetch_handles, made_handle, put_container, same_container
from gridferry.griddb.keyed import get_of_many
from gridferry.griddb.net.cluster import Cluster, Connector, connect_socket
from gridferry.griddb.net.connection import Timing
from gridferry.griddb.net.limits import LOCK_WAIT_S
from gridferry.griddb.pipeline import Ask, ask_all
from gridferry.griddb.query import whole_result
from gridferry.griddb.results import QueryResult
from gridferry.griddb.runs import joined
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.container_requests import DropContainer, FlushLog, GetPartitionContainerNames
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.plain_queries import PlainQueries
from gridferry.griddb.wire.replies import read_container_names, read_databases
from gridferry.griddb.wire.requests import DropDatabase, GetDatabases, PutDatabase
from gridferry.griddb.wire.row_replies import RowsPart, read_multi_query, read_multi_values, rows_of
from gridferry.griddb.wire.schema_image import SchemaMemory
from gridferry.griddb.wire.statement import Option
from gridferry.griddb.writer import MESSAGE_BYTES, WINDOW_BYTES, BulkWriter

_NAMES_FEATURE = 2
_QUERIES_A_REQUEST = 2000
_NAMES_A_PAGE = 10_000
_MOST_NAMES = 10_000_000  # of containers: a list of more would not fit into memory
GROUP_BYTES = 64 << 20  # of batches that a multi-put joins before it encodes them

T = TypeVar("T")


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
        """Open a container that exists with this schema, or create it; with `modify` alter it to this schema.

        Raises: SchemaConflict if it exists with another schema; StatementError for an illegal name or schema.
        """
        return self.create_containers([name], schema, modify=modify)[0]

    def create_containers(
        self, names: Sequence[str], schema: ContainerSchema, *, modify: bool = False
    ) -> list[Container]:
        """The containers of these names, created where they are missing; in the order of `names`.

        What is there is asked for first, with one request a partition. To create a container that exists already would
        wait for every transaction that is open on it, also for one of a client that was killed.
        Raises: as `create_container`.
        """
        made = self.create_each([(name, schema) for name in dict.fromkeys(names)], modify=modify)
        return [made[name] for name in names]

    def create_each(
        self, wanted: Sequence[tuple[str, ContainerSchema]], *, modify: bool = False
    ) -> dict[str, Container]:
        """The same for names that have a schema each; by name. Raises: as `create_container`."""
        schemas = dict(wanted)
        found: dict[str, Container] = {}
        for name, container in self.open_containers(list(schemas)).items():
            # One with other columns is left to the server, which says whether they are others.
            if container is not None and container.schema == schemas[name]:
                # Handles of one schema share one object: comparing 100,000 of them is then cheap.
                found[name] = Container(self.cluster, replace(container.handle, schema=schemas[name]))
        missing = {name: schema for name, schema in schemas.items() if name not in found}
        # All requests under way at once.
        asks = [put_container(self.cluster, name, schema, modify=modify) for name, schema in missing.items()]
        known = SchemaMemory()
        for (name, schema), body in zip(missing.items(), ask_all(self.cluster, asks), strict=True):
            found[name] = Container(self.cluster, made_handle(self.cluster, name, schema, body, known=known))
        return found

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
            pages = [read_container_names(body, most=_NAMES_A_PAGE) for body in bodies]
            found += [key.name for _, keys in pages for key in keys]
            if len(found) > _MOST_NAMES:
                raise RemoteProtocolError(f"the cluster lists more than {_MOST_NAMES:,} containers")
            start += _NAMES_A_PAGE
            if any(len(keys) == _NAMES_A_PAGE and total < start for total, keys in pages):
                raise RemoteProtocolError("a node lists more containers than it says that it has")
            partitions = [p for p, (_, keys) in zip(partitions, pages, strict=True) if len(keys) == _NAMES_A_PAGE]
        return sorted(found)

    def drop_container(self, name: str) -> None:
        """Drop a container; one that does not exist is dropped too."""
        self.drop_containers([name])

    def drop_containers(self, names: Iterable[str]) -> None:
        """Drop many containers, all requests under way at once."""
        asks = [
            Ask(
                self.cluster.partition(name),
                DropContainer(self.cluster.key(name), options={Option.TRANSACTION_TIMEOUT: LOCK_WAIT_S}),
                f'to drop container "{name}"',
            )
            for name in names
        ]
        ask_all(self.cluster, asks)

    def multi_put(self, puts: Sequence[tuple[Container, pa.RecordBatch]]) -> None:
        """Upsert a batch into each of many containers: one message a partition and schema, as far as they fit.

        Not atomic: after an error some are stored; the same call can be made again.
        Raises: LocalProtocolError for a batch that does not fit its container; what `Container.put` raises.
        """

        def attempt(handles: list[Handle]) -> None:
            by_schema: dict[ContainerSchema, list[tuple[Handle, pa.RecordBatch]]] = {}
            for handle, (_, batch) in zip(handles, puts, strict=True):
                by_schema.setdefault(handle.schema, []).append((handle, _fitted(handle, batch)))
            with self.writer() as writer:
                for schema, members in by_schema.items():
                    for group in _groups(members):
                        writer.put(schema, *_joined(schema, group))

        self._fresh([container for container, _ in puts], lambda h: self.cluster.retry(lambda: attempt(h)))

    def multi_query(self, queries: Sequence[tuple[Container | Handle, str]]) -> list[QueryResult]:
        """One query on each of many containers: one message a partition; results in the order asked, unpaged."""
        return self._fresh(
            [container for container, _ in queries],
            lambda handles: self._multi_query(handles, [tql for _, tql in queries]),
        )

    def multi_rows(
        self, queries: Sequence[tuple[Container | Handle, str]], schema: ContainerSchema
    ) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        """The rows that one `select *` finds in each of many containers of one schema, decoded all at once.

        Returns: the rows in the order asked, and (n,) how many each query found. Unpaged: for queries that find few.
        Raises: SchemaConflict for a container of another schema; what `multi_query` raises.
        """
        handles = [c.handle if isinstance(c, Container) else c for c, _ in queries]
        _need_schema(handles, schema)
        texts = [tql for _, tql in queries]
        replies = self._fresh(handles, lambda found: self._multi_ask(found, texts, read_multi_query))
        parts = [RowsPart(0, b"") if reply.rows is None else reply.rows for reply in replies]
        return rows_of(schema, joined(schema, parts)), np.array([part.count for part in parts], np.int64)

    def multi_get(
        self, asked: Sequence[tuple[Container | Handle, pa.RecordBatch]], schema: ContainerSchema
    ) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        """The rows that many containers of one schema have for some row keys each, many under way at once.

        Args: asked: batches of the row key's columns; a container may be named more than once.
        Returns: the rows, in no certain order, as `Container.get` finds them, and (rows,) which of `asked` found each.
        A container that does not exist has no rows.
        Raises: SchemaConflict for a container of another schema; LocalProtocolError for one without row key; as
        `Container.get`.
        """
        handles = [c.handle if isinstance(c, Container) else c for c, _ in asked]
        _need_schema(handles, schema)
        return get_of_many(self.cluster, handles, [keys for _, keys in asked], schema)

    def _multi_query(self, handles: list[Handle], queries: list[str]) -> list[QueryResult]:
        replies = self._multi_ask(handles, queries, read_multi_query)
        return [whole_result(handle.schema, reply) for handle, reply in zip(handles, replies, strict=True)]

    def multi_values(self, queries: Sequence[tuple[Container | Handle, str]]) -> list[int | float | bool | None]:
        """The value of one aggregation on each of many containers, in the order asked; None where there is none.

        As `multi_query`, and by far the cheapest way where there are very many.
        Raises: LocalProtocolError for a query that gives rows; what `multi_query` raises.
        """
        return self._fresh(
            [container for container, _ in queries],
            lambda handles: self._multi_ask(handles, [tql for _, tql in queries], read_multi_values),
        )

    def _multi_ask(self, handles: list[Handle], queries: list[str], read: Callable[[Reader], list[T]]) -> list[T]:
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
            asked = [(handles[i].container_id, handles[i].version, queries[i]) for i in members]
            message = PlainQueries(asked, client)
            asks.append(Ask(partition, message, f"{len(members)} queries in partition {partition}"))
        found: dict[int, T] = {}
        for (_, members), body in zip(groups, ask_all(self.cluster, asks), strict=True):
            found.update(zip(members, read(body), strict=True))
        return [found[index] for index in range(len(queries))]

    def _fresh(self, containers: Sequence[Container | Handle], attempt: Callable[[list[Handle]], T]) -> T:
        """Repeat once, with handles asked for again, if the server says that one is old but no column changed."""
        handles = [c.handle if isinstance(c, Container) else c for c in containers]
        try:
            return attempt(handles)
        except SchemaChanged as error:
            found = self.open_containers([h.name for h in handles])
            known = [None if (c := found[h.name]) is None else c.handle for h in handles]
            return attempt(same_container(handles, known, error))

    def counts(self, containers: Sequence[Container | Handle]) -> list[int]:
        """COUNT(*) of many containers, in their order."""
        values = self.multi_values([(container, "select count(*)") for container in containers])
        return [int(value or 0) for value in values]

    def writer(
        self,
        *,
        window_bytes: int = WINDOW_BYTES,
        message_bytes: int = MESSAGE_BYTES,
        before_send: Callable[[], None] = lambda: None,
    ) -> BulkWriter:
        """A bulk writer with connections of its own."""
        return BulkWriter(self.cluster, window_bytes=window_bytes, message_bytes=message_bytes, before_send=before_send)

    def flush(self, containers: Iterable[Container | Handle]) -> int:
        """Bring every partition of these containers to disk; returns how many there were."""
        handles = (c.handle if isinstance(c, Container) else c for c in containers)
        touched = {handle.partition: handle for handle in handles}
        ask_all(self.cluster, [Ask(p, FlushLog(h.container_id), f"to flush partition {p}") for p, h in touched.items()])
        return len(touched)

    def databases(self) -> list[str]:
        """The databases that the user can see, sorted; `public`, which the server does not list, first."""
        listed = read_databases(ask_all(self.cluster, [Ask(0, GetDatabases(), "the databases")])[0])
        return [PUBLIC, *sorted(name for name in listed if name != PUBLIC)]

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
    should be reported at once.
    """
    address = parse_address(target, password=password) if isinstance(target, str) else target
    cluster = Cluster(address, timing=timing, connector=connector)
    cluster.topology()
    return Store(cluster)


def _need_schema(handles: Sequence[Handle], schema: ContainerSchema) -> None:
    for handle in handles:
        if handle.schema != schema:
            raise SchemaConflict(f'container "{handle.name}" has other columns than the rest')


def _fitted(handle: Handle, batch: pa.RecordBatch) -> pa.RecordBatch:
    schema = handle.schema.arrow_schema
    if batch.schema.equals(schema):
        return batch
    try:
        return batch.cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise LocalProtocolError(f'the batch does not fit container "{handle.name}": {error}') from error


def _groups(members: Sequence[tuple[Handle, pa.RecordBatch]]) -> Iterator[list[tuple[Handle, pa.RecordBatch]]]:
    """The members in groups that Arrow can join: a column of one batch holds less than 2 GiB."""
    group: list[tuple[Handle, pa.RecordBatch]] = []
    size = 0
    for handle, batch in members:
        if group and size + batch.nbytes > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append((handle, batch))
        size += batch.nbytes
    if group:
        yield group


def _joined(
    schema: ContainerSchema, group: Sequence[tuple[Handle, pa.RecordBatch]]
) -> tuple[pa.RecordBatch, list[Handle], NDArray[np.int64]]:
    handles = [handle for handle, _ in group]
    runs = np.cumsum([0, *(len(batch) for _, batch in group)])
    if len(group) == 1:
        return group[0][1], handles, runs
    columns = [pa.concat_arrays([batch.column(i) for _, batch in group]) for i in range(len(schema.columns))]
    return pa.RecordBatch.from_arrays(columns, schema=schema.arrow_schema), handles, runs
