"""`gridferry_quarantine`: rows that could not be stored exactly, kept whole, counted, and ready to be replayed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import pyarrow as pa

from gridferry.checkpoint.documents import make_to_last, open_own, put_to_disk, rows_of
from gridferry.errors import CheckpointError
from gridferry.griddb import ColumnSpec, Container, ContainerKind, ContainerSchema, GridType, Store
from gridferry.model.decoding import decoded_value, first_line

QUARANTINE_CONTAINER = "gridferry_quarantine"
QUARANTINE_SCHEMA = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("migration", GridType.STRING, nullable=False),
        ColumnSpec("source_table", GridType.STRING, nullable=False),
        ColumnSpec("id", GridType.STRING, nullable=False),
        ColumnSpec("container", GridType.STRING),
        ColumnSpec("column_name", GridType.STRING),
        ColumnSpec("reason", GridType.STRING),
        ColumnSpec("sentence", GridType.STRING),
        ColumnSpec("row_key", GridType.STRING),
        ColumnSpec("source_row", GridType.BLOB),
        ColumnSpec("created_at", GridType.TIMESTAMP_US),
    ),
    key_length=3,
)
_MAX_KEY_CHARACTERS = 2000


@dataclass(frozen=True)
class HeldRow:
    """One quarantined row. `row` is a batch of exactly that row, as it came from the source."""

    table: str
    id: str
    container: str
    column: str
    reason: str
    sentence: str
    key: str
    row: pa.RecordBatch
    created_at: str = ""


class Quarantine:
    """The quarantined rows of one migration; `migration` gives its key."""

    def __init__(self, store: Store, migration: Callable[[], str]) -> None:
        self.store = store
        self.migration = migration
        self._opened: Container | None = None

    def hold(self, rows: Sequence[HeldRow]) -> None:
        """Put rows aside, and bring them to disk. The same id again is the same row."""
        if not rows:
            return
        container = self._existing() or make_to_last(self.store, QUARANTINE_CONTAINER, QUARANTINE_SCHEMA)
        self._opened = container
        now = datetime.now(timezone.utc)
        columns = [
            [self.migration()] * len(rows),
            [r.table for r in rows],
            [r.id for r in rows],
            [r.container for r in rows],
            [r.column for r in rows],
            [r.reason for r in rows],
            [r.sentence for r in rows],
            [r.key[:_MAX_KEY_CHARACTERS] for r in rows],
            [row_bytes(r.row) for r in rows],
            [now] * len(rows),
        ]
        put_to_disk(self.store, container, pa.record_batch(columns, schema=QUARANTINE_SCHEMA.arrow_schema))

    def rows(self, table: str | None = None) -> list[HeldRow]:
        """The rows of one table, or of all; by table and id."""
        container = self._existing()
        if container is None:
            return []
        tql = rows_of(self.migration(), table)
        found = [_held(r) for batch in container.query(tql).batches() for r in batch.to_pylist()]
        return sorted(found, key=lambda r: (r.table, r.id))

    def counts(self, table: str, *, without_reason: str = "") -> Counter[str]:
        """Rows held, by container; those of one reason can be left out."""
        container = self._existing()
        found: Counter[str] = Counter()
        if container is not None:
            for batch in container.query(rows_of(self.migration(), table)).batches():
                pairs = zip(batch.column("container").to_pylist(), batch.column("reason").to_pylist(), strict=True)
                found.update(container for container, reason in pairs if reason != without_reason)
        return found

    def holding(self, tables: Sequence[str]) -> set[str]:
        """Those of some tables that rows are held of."""
        return {table for table, rows in self.totals(tables).items() if rows}

    def total(self, table: str) -> int:
        """How many rows of a table are held; counted by the server."""
        container = self._existing()
        return 0 if container is None else int(container.query(_counted(rows_of(self.migration(), table))).value or 0)

    def totals(self, tables: Sequence[str]) -> dict[str, int]:
        """The same of several tables, asked for at once."""
        container = self._existing()
        if container is None or not container.query(_counted(rows_of(self.migration()))).value:
            return dict.fromkeys(tables, 0)
        asked = [(container, _counted(rows_of(self.migration(), table))) for table in tables]
        return {table: int(rows or 0) for table, rows in zip(tables, self.store.multi_values(asked), strict=True)}

    def release(self, table: str, ids: Sequence[str]) -> None:
        """Forget rows, once they are stored or their table is loaded again; and bring that to disk."""
        container = self._existing()
        if container is not None and ids:
            keys = [[self.migration()] * len(ids), [table] * len(ids), list(ids)]
            container.delete(pa.record_batch(keys, schema=QUARANTINE_SCHEMA.key_schema.arrow_schema))
            container.flush()

    def _existing(self) -> Container | None:
        if self._opened is None:
            self._opened = open_own(self.store, QUARANTINE_CONTAINER, QUARANTINE_SCHEMA)
        return self._opened


def _counted(tql: str) -> str:
    """The TQL for how many rows another one has."""
    return tql.replace("*", "count(*)", 1)


def row_bytes(row: pa.RecordBatch) -> bytes:
    """A batch as bytes that hold its schema too: equal for equal rows, wherever in a larger batch they were."""
    row = row.take(pa.array(range(len(row))))  # a slice's bytes tell where it was cut
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_batch(row)
    return bytes(sink.getvalue().to_pybytes())


def row_id(chunk: str, row: pa.RecordBatch, seen: Counter[str]) -> str:
    """A name for a bad row: the same when its chunk is read again, another for an equal row beside it.

    `seen` counts equal rows of the chunk so far.
    """
    content = hashlib.sha256(row_bytes(row)).hexdigest()[:32]
    seen[content] += 1
    return f"{chunk}:{content}:{seen[content]}"


def _octets(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with texts as their bytes: a row may be here because a text of it is no UTF-8."""
    arrays = [column.view(pa.binary()) if pa.types.is_string(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _held(row: dict[str, object]) -> HeldRow:
    names = ("source_table", "id", "container", "column_name", "reason", "sentence", "row_key")
    try:
        texts = [decoded_value(str, row[name]) for name in names]
        if row["source_row"] is None:
            raise ValueError("the row itself is missing")
        with pa.ipc.open_stream(row["source_row"]) as reader:
            (batch,) = reader
        _octets(batch).validate(full=True)  # what is there need not have been written by gridferry
        if len(batch) != 1 or len(set(batch.schema.names)) < batch.num_columns:
            raise ValueError(f"it is not one row, but {len(batch)} with columns {len(set(batch.schema.names))}")
    except (pa.ArrowException, ValueError, TypeError, OSError, RecursionError) as error:
        raise CheckpointError(
            f"the row {first_line(Exception(row['id']))} of {first_line(Exception(row['source_table']))} in "
            f"{QUARANTINE_CONTAINER} is not readable: {first_line(error)}",
            state="nothing was changed",
            next_step="delete it from that container, and compare with `gridferry verify`; or load the table again "
            "with --replace",
        ) from error
    table, id_, container, column, reason, sentence, key = texts
    created = row["created_at"]
    at = created.isoformat() if isinstance(created, datetime) else ""
    return HeldRow(table, id_, container, column, reason, sentence, key, batch, at)
