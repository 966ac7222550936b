"""`gridferry_journal`: the rows before a repair and after it, row by row and bit by bit, so that it can be undone.

One entry holds the changes of a few thousand rows: which rows of which containers, and both sides of them as Arrow
IPC streams. An entry is on disk before the first of its rows is changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from gridferry.checkpoint.documents import make_to_last, open_own, put_to_disk
from gridferry.errors import CheckpointError
from gridferry.griddb import ColumnSpec, Container, ContainerKind, ContainerSchema, GridType, Store
from gridferry.model.decoding import decoded_value, first_line
from gridferry.model.forms import Count, Name
from gridferry.model.repair import RowChange
from gridferry.model.verification import DifferenceKind

JOURNAL_CONTAINER = "gridferry_journal"
JOURNAL_SCHEMA = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("migration", GridType.STRING, nullable=False),
        ColumnSpec("run", GridType.STRING, nullable=False),
        ColumnSpec("entry", GridType.LONG, nullable=False),
        ColumnSpec("parts", GridType.BLOB),  # JSON: container, split value, kind and number of rows of each part
        ColumnSpec("row_before", GridType.BLOB),
        ColumnSpec("row_after", GridType.BLOB),
    ),
    key_length=3,
)
_PARTS = tuple[tuple[Name, str | None, DifferenceKind, Count], ...]
_ENTRIES_A_DELETE = 500
_FEW_BYTES = 1 << 20
_MOST_AT_ONCE = 16


class Journal:
    """The entries of all repairs of one migration, by run and number from 0; `migration` gives its key."""

    def __init__(self, store: Store, migration: Callable[[], str]) -> None:
        self._store = store
        self._migration = migration
        self._opened: Container | None = None

    def add(self, run: str, entry: int, changes: Sequence[RowChange]) -> None:
        """Write an entry and bring it to disk. The same entry again is the same row."""
        container = self._existing() or make_to_last(self._store, JOURNAL_CONTAINER, JOURNAL_SCHEMA)
        self._opened = container
        parts = [[c.container, c.value, c.kind.value, len(c)] for c in changes]
        before, after = (
            _ipc([side for side in sides if side is not None])
            for sides in ([c.before for c in changes], [c.after for c in changes])
        )
        columns = [
            [self._migration()],
            [run],
            [entry],
            [json.dumps(parts, ensure_ascii=False).encode()],
            [before],
            [after],
        ]
        put_to_disk(self._store, container, pa.record_batch(columns, schema=JOURNAL_SCHEMA.arrow_schema))

    def entries(self, run: str) -> Iterator[tuple[int, list[RowChange]]]:
        """A run's entries in their order, with their numbers; few at a time are held.

        Raises: CheckpointError for one that is not readable.
        """
        container = self._existing()
        number, at_once = 0, 1
        while container is not None:
            keys = [[self._migration()] * at_once, [run] * at_once, list(range(number, number + at_once))]
            rows = container.get(pa.record_batch(keys, schema=JOURNAL_SCHEMA.key_schema.arrow_schema))
            found = {row["entry"]: row for row in rows.to_pylist()}
            for each in range(number, number + at_once):
                if each not in found:
                    return
                yield each, _changes(found[each])
            number += at_once
            at_once = min(_MOST_AT_ONCE, at_once * 2) if rows.nbytes < _FEW_BYTES else 1

    def forget(self, run: str, *, entries: int) -> None:
        """Delete a run's entries, also where some were deleted before; `entries` is how many there were, or more."""
        container = self._existing()
        start = 0
        while container is not None:
            keys = [
                [self._migration()] * _ENTRIES_A_DELETE,
                [run] * _ENTRIES_A_DELETE,
                list(range(start, start + _ENTRIES_A_DELETE)),
            ]
            gone = container.delete(pa.record_batch(keys, schema=JOURNAL_SCHEMA.key_schema.arrow_schema))
            start += _ENTRIES_A_DELETE
            if not gone and start > entries:
                container.flush()
                return

    def _existing(self) -> Container | None:
        if self._opened is None:
            self._opened = open_own(self._store, JOURNAL_CONTAINER, JOURNAL_SCHEMA)
        return self._opened


def _ipc(batches: Sequence[pa.RecordBatch]) -> bytes | None:
    if not batches:
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _changes(row: dict[str, Any]) -> list[RowChange]:
    try:
        before, after = _batches(row["row_before"]), _batches(row["row_after"])
        changes = []
        for container, value, kind, count in decoded_value(_PARTS, json.loads(row["parts"])):
            change = RowChange(
                container,
                value,
                kind,
                before=None if kind is DifferenceKind.MISSING else next(before),
                after=None if kind is DifferenceKind.EXTRA else next(after),
            )
            if not count or any(side is not None and len(side) != count for side in (change.before, change.after)):
                raise ValueError(f"{count} rows were to be there")
            changes.append(change)
        if next(before, None) is not None or next(after, None) is not None:
            raise ValueError("there are more rows than it says")
    except (pa.ArrowException, StopIteration, ValueError, TypeError, OSError, RecursionError) as error:
        raise CheckpointError(
            f"entry {row['entry']} of the journal of repair {row['run']} in {JOURNAL_CONTAINER} is not readable: "
            f"{first_line(error) or 'rows are missing'}",
            state="the rows of this entry and of later ones are as they were",
            next_step=f"restore the container from a backup; or give the undo up with `gridferry forget {row['run']}`",
        ) from error
    return changes


def _batches(octets: bytes | None) -> Iterator[pa.RecordBatch]:
    if octets is not None:
        with pa.ipc.open_stream(octets) as reader:
            for batch in reader:
                batch.validate(full=True)  # what is there need not have been written by gridferry
                yield batch
