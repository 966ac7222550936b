"""One open container: put, get, delete, query, indexes, columns. Arrow in, Arrow out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import pyarrow as pa

from gridferry.errors import LocalProtocolError, SchemaChanged, SessionLost
from gridferry.griddb.handle import Handle, fetch_handle, made_handle, put_container, same_container
from gridferry.griddb.keyed import get_by_key
from gridferry.griddb.net.cluster import Cluster
from gridferry.griddb.net.limits import LOCK_WAIT_S, TRANSACTION_TIMEOUT_S
from gridferry.griddb.net.refusals import row_mode
from gridferry.griddb.pipeline import Ask, ask_all
from gridferry.griddb.query import DEFAULT_PAGE_ROWS, run_query
from gridferry.griddb.results import QueryResult
from gridferry.griddb.runs import cut_runs
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema
from gridferry.griddb.transaction import ContainerTransaction
from gridferry.griddb.wire.container_requests import (
    CreateIndex,
    DropIndex,
    FlushLog,
    GetContainerProperties,
)
from gridferry.griddb.wire.encode import encode_keys, encode_rows
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.replies import read_properties
from gridferry.griddb.wire.row_requests import DeleteRow, PutRows, QueryHead, QueryRange, QueryTql, Transaction
from gridferry.griddb.wire.schema_image import IndexSpec
from gridferry.griddb.wire.statement import FEATURE_VERSION, NO_LIMIT, Option, Property, PutMode

T = TypeVar("T")
_COMPOSITE_INDEX_FEATURE = 3
PUT_BYTES = 64 << 20  # a message of a put; larger puts are sent as several


class Container:
    """An open container. Safe for use by several threads."""

    def __init__(self, cluster: Cluster, handle: Handle) -> None:
        self._cluster = cluster
        self._handle = handle

    def __repr__(self) -> str:
        return f"<Container {self.name} {self.schema.kind.name} in partition {self._handle.partition}>"

    @property
    def name(self) -> str:
        """The name as the server keeps it."""
        return self._handle.name

    @property
    def schema(self) -> ContainerSchema:
        """The schema, as it was when last asked for."""
        return self._handle.schema

    @property
    def handle(self) -> Handle:
        """Its place in the cluster."""
        return self._handle

    def refresh(self) -> None:
        """Ask for id and schema again. Raises: ContainerMissing."""
        self._handle = fetch_handle(self._cluster, self.name)

    def put(self, batch: pa.RecordBatch, *, mode: PutMode = PutMode.UPSERT) -> None:
        """Put rows; columns as `schema.arrow_schema`. More rows than a message takes are sent as several, in order.

        Not atomic: after an error the rows before the bad one may be stored. Upserts may be sent again, so they are,
        when a node is in trouble; inserts into a container without a row key are not.
        Raises: DataError, LocalProtocolError before anything is sent; RowExists, RowMissing by `mode`; StatementError.
        """
        options: dict[Option, object] = {} if mode is PutMode.UPSERT else {Option.PUT_MODE: int(mode)}
        # A put of several rows that is refused may have stored the first of them: a second insert would meet those.
        waits = mode is not PutMode.INSERT or len(batch) == 1
        if waits:
            options[Option.TRANSACTION_TIMEOUT] = LOCK_WAIT_S

        def attempt(handle: Handle) -> None:
            tx = Transaction(handle.version, client=self._cluster.client, options=options)
            repeatable = mode is PutMode.UPSERT and handle.schema.key_length > 0
            bounds = np.array([0, len(batch)], np.int64)
            rows, _ = cut_runs(encode_rows(handle.schema, batch), bounds, PUT_BYTES)
            for run, count in enumerate(np.diff(rows.runs).tolist()):
                message = PutRows(handle.container_id, tx, count, rows.image(run))
                ask = partial(self._ask, handle, message, f'to put {count} rows into "{handle.name}"')
                if waits and not repeatable:
                    self._cluster.wait_for_locks(partial(ask, repeat=False))
                else:
                    ask(repeat=repeatable)

        with row_mode(mode):
            self._fresh(attempt)

    def get(self, keys: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of these keys, in no certain order; a key without a row has none, a key asked twice has two.

        Args: keys: a batch of the row key's columns.
        Raises: ContainerMissing; SchemaConflict if the container's columns changed since it was opened.
        """
        self._needs_key()

        def attempt(handle: Handle) -> pa.RecordBatch:
            bounds = np.array([0, len(keys)], np.int64)
            return get_by_key(self._cluster, [handle], keys, bounds, gone_is_empty=False)[0]

        return self._fresh(attempt)

    def delete(self, keys: pa.RecordBatch) -> int:
        """Delete the rows of these keys and return how many there were. Keys without a row are no error."""
        self._needs_key()
        images = encode_keys(self.schema, keys)

        def attempt(handle: Handle) -> int:
            options = {Option.TRANSACTION_TIMEOUT: LOCK_WAIT_S}
            tx = Transaction(handle.version, client=self._cluster.client, options=options)
            asked = f'to delete a row of "{handle.name}"'
            asks = [Ask(handle.partition, DeleteRow(handle.container_id, tx, image), asked) for image in images]
            return sum(body.boolean() for body in ask_all(self._cluster, asks))

        return self._fresh(attempt)

    def query(self, tql: str, *, limit: int | None = None, page_rows: int = DEFAULT_PAGE_ROWS) -> QueryResult:
        """Run TQL: `select *` with conditions, or one aggregation. Raises: StatementError for wrong TQL."""
        head = QueryHead(limit=NO_LIMIT if limit is None else limit, fetch_size=page_rows)

        def attempt(handle: Handle) -> QueryResult:
            tx = Transaction(handle.version, client=self._cluster.client)
            return run_query(self._cluster, handle, QueryTql(handle.container_id, tx, tql, head))

        return self._fresh(attempt)

    def scan(self, *, page_rows: int = DEFAULT_PAGE_ROWS) -> QueryResult:
        """All rows: of a TIME_SERIES in key order, of a COLLECTION in the order of their first insertion."""
        return self.query("select *", page_rows=page_rows)

    def count(self) -> int:
        """The number of rows."""
        return int(self.query("select count(*)").value or 0)

    def range(
        self,
        start: int | None = None,
        end: int | None = None,
        *,
        descending: bool = False,
        page_rows: int = DEFAULT_PAGE_ROWS,
    ) -> QueryResult:
        """Rows of a TIME_SERIES from `start` to `end`, both included, in milliseconds since 1970."""
        if self.schema.kind is not ContainerKind.TIME_SERIES:
            raise LocalProtocolError(f'"{self.name}" is no TIME_SERIES: ask with query() instead')
        head = QueryHead(fetch_size=page_rows)
        low, high = (NO_LIMIT if bound is None else bound for bound in (start, end))

        def attempt(handle: Handle) -> QueryResult:
            tx = Transaction(handle.version, client=self._cluster.client)
            message = QueryRange(handle.container_id, tx, low, high, descending, head)
            return run_query(self._cluster, handle, message)

        return self._fresh(attempt)

    def flush(self) -> None:
        """Bring what was put into this container's partition to disk."""
        message = FlushLog(self._handle.container_id)
        self._ask(self._handle, message, f'to flush the partition of "{self.name}"')

    def add_columns(self, columns: Sequence[ColumnSpec]) -> None:
        """Add columns behind the others; rows that are there get NULL, or 0 or empty where NOT NULL.

        The columns are asked for first: what another client added stays. Raises: ContainerMissing, StatementError.
        """
        self.refresh()
        schema = ContainerSchema(self.schema.kind, (*self.schema.columns, *columns), self.schema.key_length)
        (body,) = ask_all(self._cluster, [put_container(self._cluster, self.name, schema, modify=True)])
        self._handle = made_handle(self._cluster, self.name, schema, body)

    def create_index(self, columns: Sequence[str], *, name: str = "") -> None:
        """Create an index over columns; an identical one that exists already is success."""
        index = IndexSpec(tuple(self.schema.names.index(self.schema.column(c).name) for c in columns), name=name)
        options: dict[Option, object] = {Option.CLIENT_ID: (self._cluster.new_session(), self._cluster.client)}
        if len(columns) > 1:
            options |= {Option.LEGACY_VERSION: 1, Option.FEATURE_VERSION: _COMPOSITE_INDEX_FEATURE}

        def attempt(handle: Handle) -> None:
            message = CreateIndex(handle.container_id, handle.version, index, options)
            self._ask(handle, message, f'to create an index on "{handle.name}"')

        self._fresh(attempt)

    def drop_index(self, columns: Sequence[str], *, name: str = "") -> None:
        """Drop the indexes over exactly these columns, of any name unless one is given."""
        index = IndexSpec(tuple(self.schema.names.index(self.schema.column(c).name) for c in columns), name=name)
        options: dict[Option, object] = {}
        if len(columns) > 1:
            options = {Option.LEGACY_VERSION: 1, Option.FEATURE_VERSION: _COMPOSITE_INDEX_FEATURE}

        def attempt(handle: Handle) -> None:
            message = DropIndex(handle.container_id, handle.version, index, options, any_name=not name, any_kind=True)
            self._ask(handle, message, f'to drop an index of "{handle.name}"')

        self._fresh(attempt)

    def indexes(self) -> tuple[IndexSpec, ...]:
        """The indexes, the row key's own left out or not as the server lists them."""
        message = GetContainerProperties(
            (self._cluster.key(self.name),),
            (Property.INDEX_DETAIL,),
            {Option.ACCEPTABLE_FEATURE_VERSION: FEATURE_VERSION},
        )
        (answer,) = read_properties(self._ask(self._handle, message, f'the indexes of "{self.name}"'))
        return answer.indexes or () if answer is not None else ()

    def transaction(self, *, timeout_s: int = TRANSACTION_TIMEOUT_S) -> ContainerTransaction:
        """A manual transaction on this container: `with container.transaction() as tx: ...`."""
        return ContainerTransaction(self._cluster, self._handle, timeout_s=timeout_s)

    def in_transaction(self, work: Callable[[ContainerTransaction], T]) -> T:
        """What `work` does in a transaction of its own, which is committed; again where a lock is in the way.

        And once more where the server ended the transaction, because it took too long: then nothing is stored of it.
        Raises: LockConflict after waiting as `Cluster.wait_for_locks` does; what `work` and the commit raise.
        """

        def attempt() -> T:
            with self.transaction() as tx:
                return work(tx)

        try:
            return self._cluster.wait_for_locks(attempt)
        except SessionLost:
            return self._cluster.wait_for_locks(attempt)

    def _needs_key(self) -> None:
        if self.schema.key_length == 0:
            raise LocalProtocolError(f'"{self.name}" has no row key')

    def _ask(self, handle: Handle, message: object, asked: str, *, repeat: bool = True) -> Reader:
        return ask_all(self._cluster, [Ask(handle.partition, message, asked)], repeat=repeat)[0]  # type: ignore[arg-type]

    def _fresh(self, attempt: Callable[[Handle], T]) -> T:
        """Repeat once if the schema version moved on but the schema stayed what it was.

        Each attempt works with one handle from beginning to end: another thread may refresh the container meanwhile.
        """
        handle = self._handle
        try:
            return attempt(handle)
        except SchemaChanged as error:
            self._handle = fetch_handle(self._cluster, handle.name)
            same_container([handle], [self._handle], error)
            return attempt(self._handle)
