"""`gridferry_state`: JSON documents by scope and item, each on disk before the call that wrote it returns."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa

from gridferry.checkpoint.read_ahead import ReadAhead
from gridferry.errors import CheckpointError, ContainerMissing, RowExists, SchemaChanged
from gridferry.griddb import ColumnSpec, Container, ContainerKind, ContainerSchema, GridType, PutMode, Store

STATE_CONTAINER = "gridferry_state"
STATE_SCHEMA = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("scope", GridType.STRING, nullable=False),
        ColumnSpec("item", GridType.STRING, nullable=False),
        ColumnSpec("body", GridType.BLOB),
        ColumnSpec("updated_at", GridType.TIMESTAMP_US),
    ),
    key_length=2,
)

MOST_BYTES = 64 << 20  # of one document: the plan of a million containers is smaller

_BROKEN_STEP = "load the table again with --replace, or restore the container from a backup"

_KEYED = "migration:"  # before the key in the scopes of one migration's documents

Document = dict[str, Any]


class _Thread(threading.local):
    """What the thread has read ahead; None outside of `DocumentStore.read_ahead`. And what it has not written yet, in
    its order; None outside of `DocumentStore.together`.
    """

    ahead: ReadAhead | None = None
    waiting: list[pa.RecordBatch] | None = None


class DocumentStore:
    """The documents. Writing is put, then flush: what a call has written survives a crash of the server."""

    def __init__(self, store: Store, migration: Callable[[], str] | None = None) -> None:
        """Args: migration: gives the key of the migration whose documents these are; without it, those of all."""
        self._store = store
        self._migration = migration
        self._opened: Container | None = None
        self._reading = _Thread()

    @contextmanager
    def read_ahead(self, *prefixes: str, keys: Sequence[tuple[str, str]] = ()) -> Iterator[None]:
        """Inside the block, let documents be those that were there when it began, and what this thread writes in it;
        but for leases, which are always read when they are asked for. What is not readable is read when it is asked
        for, too. Other threads see nothing of it.

        Args: prefixes: of the scopes that are read as a whole; keys: scope and item of other documents. Without any
            of both all documents are meant; those that are not meant are read when they are asked for.
        """
        before, self._reading.ahead = self._reading.ahead, None
        ahead = ReadAhead(prefixes if prefixes or keys else ("",), frozenset(keys))
        for prefix in ahead.prefixes:
            for scope, item, body in self._rows_of(prefix):
                ahead.read(scope, item, _if_readable(body, scope, item))
        by_item: dict[str, list[str]] = {}
        for scope, item in keys:
            by_item.setdefault(item, []).append(scope)
        for item, scopes in by_item.items():
            for scope, body in self._bodies(scopes, item):
                ahead.read(scope, item, _if_readable(body, scope, item))
        self._reading.ahead = ahead
        try:
            yield
        finally:
            self._reading.ahead = before

    @contextmanager
    def together(self) -> Iterator[None]:
        """Inside the block, let documents that this thread puts wait, and bring them to disk at once at its end, in
        their order; none of them where the block fails. What is read inside, but for `read_ahead`, does not show them.
        """
        if self._reading.waiting is not None:
            yield
            return
        self._reading.waiting = []
        try:
            yield
            self._write_waiting()
        finally:
            self._reading.waiting = None

    def of(self, migration: Callable[[], str]) -> DocumentStore:
        """The documents of one migration, by its key. It is asked for when it is needed."""
        return DocumentStore(self._store, migration)

    def full(self, scope: str) -> str:
        """A scope as the container has it: led by the migration's key."""
        return scope if self._migration is None else f"{_KEYED}{self._migration()}/{scope}"

    def get(self, scope: str, item: str) -> Document | None:
        """One document, or None."""
        ahead = self._reading.ahead
        if ahead is not None and ahead.has(scope, item):
            return ahead.items(scope).get(item)
        container = self._existing()
        if container is None:
            return None
        rows = container.get(_keys([(self.full(scope), item)]))
        return read_document(rows.column("body")[0].as_py(), scope, item) if len(rows) else None

    def get_many(self, scope: str, items: Sequence[str]) -> dict[str, Document]:
        """Those of some documents that there are, by item."""
        ahead = self._reading.ahead
        if ahead is not None and all(ahead.has(scope, item) for item in items):
            known = ahead.items(scope)
            return {item: known[item] for item in items if item in known}
        container = self._existing()
        if container is None or not items:
            return {}
        rows = container.get(_keys([(self.full(scope), item) for item in items]))
        pairs = zip(rows.column("item").to_pylist(), rows.column("body").to_pylist(), strict=True)
        return {item: read_document(body, scope, item) for item, body in pairs}

    def get_each(self, scopes: Sequence[str], item: str, *, skip_broken: bool = False) -> dict[str, Document]:
        """The document `item` of those scopes that have it, by scope; asked for all at once.

        Args: skip_broken: leave out what is not readable, rather than raise CheckpointError.
        """
        ahead = self._reading.ahead
        if ahead is not None and all(ahead.has(scope, item) for scope in scopes):
            return {scope: ahead.items(scope)[item] for scope in scopes if item in ahead.items(scope)}
        found: dict[str, Document] = {}
        for scope, body in self._bodies(scopes, item):
            with suppress(CheckpointError) if skip_broken else nullcontext():
                found[scope] = read_document(body, scope, item)
        return found

    def _bodies(self, scopes: Sequence[str], item: str) -> Iterator[tuple[str, bytes | None]]:
        """The body of the document `item` of those scopes that have it, with its scope."""
        container = self._existing()
        if container is None or not scopes:
            return
        mine = self.full("")
        rows = container.get(_keys([(f"{mine}{scope}", item) for scope in scopes]))
        for full, body in zip(rows.column("scope").to_pylist(), rows.column("body").to_pylist(), strict=True):
            yield full.removeprefix(mine), body

    def items(self, scope: str) -> dict[str, Document]:
        """All documents of a scope, by item."""
        ahead = self._reading.ahead
        if ahead is not None and ahead.has(scope):
            return dict(ahead.items(scope))
        container = self._existing()
        if container is None:
            return {}
        found: dict[str, Document] = {}
        for batch in container.query(f"select * where scope = {tql_text(self.full(scope))}").batches():
            for item, body in zip(batch.column("item").to_pylist(), batch.column("body").to_pylist(), strict=True):
                found[item] = read_document(body, scope, item)
        return found

    def scopes(self, prefix: str, *, broken: list[str] | None = None) -> dict[str, dict[str, Document]]:
        """All documents of the scopes that begin with `prefix`, by scope and item.

        Args: broken: takes the scopes of documents that are not readable; without it one raises CheckpointError.
        """
        found: dict[str, dict[str, Document]] = {}
        for scope, item, body in self._rows_of(prefix):
            try:
                document = read_document(body, scope, item)
            except CheckpointError:
                if broken is None:
                    raise
                broken.append(scope)
                continue
            found.setdefault(scope, {})[item] = document
        return found

    def _rows_of(self, prefix: str) -> Iterator[tuple[str, str, bytes | None]]:
        """Scope, item and body of the documents whose scopes begin with `prefix`."""
        container = self._existing()
        if container is None:
            return
        key, wanted = self.full(""), self.full(prefix)
        for batch in container.query(scopes_like(wanted) if prefix else "select *").batches():
            columns = (batch.column(name).to_pylist() for name in ("scope", "item", "body"))
            for scope, item, body in zip(*columns, strict=True):
                if scope.startswith(wanted):
                    yield scope.removeprefix(key), item, body

    def put(self, scope: str, items: Mapping[str, Document]) -> None:
        """Write documents of one scope and bring them to disk."""
        self._to_disk(self._rows(scope, items))
        if self._reading.ahead is not None:
            self._reading.ahead.written(scope, items)

    def put_each(self, documents: Mapping[str, Document], item: str) -> None:
        """Write the document `item` of several scopes, and bring them to disk together."""
        if documents:
            rows = [self._rows(scope, {item: document}) for scope, document in documents.items()]
            self._to_disk(pa.Table.from_batches(rows).combine_chunks().to_batches()[0])
        if self._reading.ahead is not None:
            for scope, document in documents.items():
                self._reading.ahead.written(scope, {item: document})

    def insert_each(self, documents: Mapping[str, Document], item: str) -> bool:
        """Write the document `item` of several scopes, where none has it, and bring them to disk.

        False: one has it, of whoever was first; others may be written then.
        """
        if not documents:
            return True
        container = self.container()
        rows = [self._rows(scope, {item: document}) for scope, document in documents.items()]
        try:
            container.put(pa.Table.from_batches(rows).combine_chunks().to_batches()[0], mode=PutMode.INSERT)
        except RowExists:
            container.flush()  # others of them, or this very one by a request whose answer was lost, may be written
            return False
        container.flush()
        if self._reading.ahead is not None:
            for scope, document in documents.items():
                self._reading.ahead.written(scope, {item: document})
        return True

    def insert(self, scope: str, item: str, document: Document) -> bool:
        """Write a document where there is none, and bring it to disk. False: there is one, of whoever was first."""
        return self.insert_each({scope: document}, item)

    def _to_disk(self, rows: pa.RecordBatch) -> None:
        if self._reading.waiting is None:
            put_to_disk(self._store, self.container(), rows)
        else:
            self._reading.waiting.append(rows)

    def _write_waiting(self) -> None:
        if self._reading.waiting:
            rows = pa.Table.from_batches(self._reading.waiting).combine_chunks().to_batches()[0]
            put_to_disk(self._store, self.container(), rows)
            self._reading.waiting = []

    def _rows(self, scope: str, items: Mapping[str, Document]) -> pa.RecordBatch:
        bodies = [json.dumps(document, ensure_ascii=False).encode() for document in items.values()]
        now = datetime.now(timezone.utc)
        columns = [[self.full(scope)] * len(items), list(items), bodies, [now] * len(items)]
        return pa.record_batch(columns, schema=STATE_SCHEMA.arrow_schema)

    def delete(self, scope: str, items: Sequence[str]) -> None:
        """Delete documents of one scope and bring that to disk."""
        if self._reading.ahead is not None:
            self._reading.ahead.deleted(scope, items)
        container = self._existing()
        if container is not None and items:
            self._write_waiting()  # what is put before is not to come after
            container.delete(_keys([(self.full(scope), item) for item in items]))
            container.flush()

    def delete_scope(self, scope: str) -> None:
        """Delete all documents of one scope, also those that are not readable, and bring that to disk."""
        container = self._existing()
        if container is not None:
            batches = container.query(f"select * where scope = {tql_text(self.full(scope))}").batches()
            self.delete(scope, [item for batch in batches for item in batch.column("item").to_pylist()])

    def container(self) -> Container:
        """The container, made if it is not there."""
        if self._opened is None:
            self._opened = make_to_last(self._store, STATE_CONTAINER, STATE_SCHEMA)
        return self._opened

    def _existing(self) -> Container | None:
        if self._opened is None:
            self._opened = open_own(self._store, STATE_CONTAINER, STATE_SCHEMA)
        return self._opened


def make_to_last(store: Store, name: str, schema: ContainerSchema) -> Container:
    """One of gridferry's own containers, opened or made; it outlives a crash of the node from now on.

    A crash between making and flush takes it away, and the flush may still be answered with success by the node that
    came back. So it is looked for once more after the flush.
    """
    while True:
        made = store.create_container(name, schema)
        try:
            made.flush()
        except (ContainerMissing, SchemaChanged):
            continue
        found = store.open_container(name)
        if found is not None:
            return found


def open_own(store: Store, name: str, schema: ContainerSchema) -> Container | None:
    """One of gridferry's own containers if it is there. Raises: CheckpointError for another version's."""
    found = store.open_container(name)
    if found is not None and found.schema != schema:
        raise CheckpointError(
            f"the container {name} was made by another version of gridferry: it has the columns "
            f"{', '.join(found.schema.names)}",
            state="nothing was changed",
            next_step="use the gridferry that made it, or load into another database of GridDB",
        )
    return found


def put_to_disk(store: Store, container: Container, batch: pa.RecordBatch) -> None:
    """Put rows into one of gridferry's own containers; they are on the node's disk when this returns.

    Put and flush go over one connection, and are repeated together: a flush alone, after a node crashed and came
    back, would not bring back what it had acknowledged before.
    """

    def attempt() -> None:
        with store.writer() as writer:
            writer.put(container.schema, batch, [container.handle], [0, len(batch)])
            writer.flush_log()

    store.cluster.retry(attempt)


def tql_text(text: str) -> str:
    """A TQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def scopes_like(prefix: str) -> str:
    """The TQL for the documents of all scopes that begin with a text; a `_` or `%` in it may find others too."""
    return f"select * where scope like {tql_text(prefix + '%')}"


def rows_of(migration: str, table: str | None = None) -> str:
    """The TQL for one migration's rows in an own container, or for those of one table of it."""
    mine = f"select * where migration = {tql_text(migration)}"
    return mine if table is None else f"{mine} and source_table = {tql_text(table)}"


def utc_now() -> str:
    """The time as state documents have it: ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _keys(keys: Sequence[tuple[str, str]]) -> pa.RecordBatch:
    columns = [[scope for scope, _ in keys], [item for _, item in keys]]
    return pa.record_batch(columns, schema=STATE_SCHEMA.key_schema.arrow_schema)


def read_document(body: bytes | None, scope: str, item: str) -> Document:
    """The document in a stored body. Raises: CheckpointError if there is none, or it is larger or deeper than any."""
    if body is not None and len(body) > MOST_BYTES:
        raise CheckpointError(
            f"the state of {scope} ({item}) in {STATE_CONTAINER} has {len(body):,} bytes; gridferry writes no such",
            next_step=_BROKEN_STEP,
        )
    try:
        document = json.loads(body or b"", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"the state of {scope} ({item}) in {STATE_CONTAINER} is not readable",
            next_step=_BROKEN_STEP,
        ) from error
    if not isinstance(document, dict):
        raise CheckpointError(
            f"the state of {scope} ({item}) in {STATE_CONTAINER} is not a document", next_step=_BROKEN_STEP
        )
    return document


def _if_readable(body: bytes | None, scope: str, item: str) -> Document | None:
    """The document in a stored body; None where there is none that can be read."""
    try:
        return read_document(body, scope, item)
    except CheckpointError:
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
