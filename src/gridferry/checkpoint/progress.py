"""What the sync of each table has done, in the state container: one document a table, whatever its mode.

A mode adds its own place to the record: a cursor (`cursors`) or a position in the log (`positions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from typing_extensions import Self

from gridferry.checkpoint.documents import Document, DocumentStore, utc_now
from gridferry.errors import CheckpointError, LeaseHeld
from gridferry.model.decoding import decoded, readable, require_version
from gridferry.model.forms import Count, Moment
from gridferry.plan.sync_options import SyncMode

RECORD_VERSION = 3
_ITEM = "cursor"
_COUNTS = ("generation", "runs", "read", "written", "deleted", "superseded")


@dataclass(frozen=True)
class Progress:
    """What the runs of one table's sync have done. `generation` counts how often the record was written.

    `read`, `written`, `deleted`, `superseded` and `runs` count since the load; `last_*` are of the last run, finished
    or not.
    """

    mode: ClassVar[SyncMode]
    table: str
    _: KW_ONLY
    generation: Count = 0
    runs: Count = 0
    read: Count = 0
    written: Count = 0
    deleted: Count = 0
    superseded: Count = 0
    last_started: Moment = ""
    last_finished: Moment = ""
    last_read: Count = 0

    def counted(self, *, read: int = 0, written: int = 0, deleted: int = 0, superseded: int = 0) -> Self:
        """The record with more rows or changes in its counts."""
        return replace(
            self,
            read=self.read + read,
            written=self.written + written,
            deleted=self.deleted + deleted,
            superseded=self.superseded + superseded,
            last_read=self.last_read + read,
        )

    def begun(self) -> Self:
        """The record at the start of a run."""
        return replace(self, last_started=utc_now(), last_finished="", last_read=0)

    def ended(self) -> Self:
        """The record at the end of a run."""
        return replace(self, runs=self.runs + 1, last_finished=utc_now())

    def document(self) -> Document:
        """The record as JSON can hold it, without the table."""
        fields = asdict(self)
        fields.pop("table")
        return fields

    @classmethod
    def of_document(cls, table: str, document: Document) -> Self:
        """The record that `document` made. Raises: Malformed for a broken one."""
        return decoded(cls, document, table=table)


@dataclass(frozen=True)
class _Mode:
    mode: SyncMode


@dataclass(frozen=True)
class _Counts:
    generation: Count
    runs: Count
    read: Count
    written: Count
    deleted: Count
    superseded: Count


R = TypeVar("R", bound=Progress)
T = TypeVar("T")


class ProgressStore(Generic[R]):
    """The records of one mode. What is written is on disk when the call returns."""

    kind: type[R]

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def get(self, table: str) -> R | None:
        """A table's record, or None. Raises: CheckpointError for another version's or mode's, or a broken one."""
        document = self._documents.get(scope_of(table), _ITEM)
        return None if document is None else self._record(table, document)

    @staticmethod
    def key(table: str) -> tuple[str, str]:
        """Scope and item of a table's record."""
        return scope_of(table), _ITEM

    def readable(self, table: str) -> R | None:
        """A table's record, None where there is none of this mode that can be read."""
        try:
            return self.get(table)
        except CheckpointError:
            return None

    def begin(self, record: R) -> R:
        """Write that a run begins; from now on no earlier one may write. Only under the table's lease."""
        return self.begin_all([record])[0]

    def begin_all(self, records: Sequence[R]) -> list[R]:
        """As `begin`, of several tables at once."""
        return self._write_all([record.begun() for record in records])

    def save_all(self, records: Sequence[R]) -> list[R]:
        """As `save`, of several tables at once; all of them are on disk when the call returns."""
        return self._write_all(records)

    def mode_of(self, table: str) -> SyncMode | None:
        """The mode whose runs wrote the table's record; None where there is none."""
        document = self._documents.get(scope_of(table), _ITEM)
        return None if document is None else _mode(table, document)

    def take_over(self, record: R) -> R:
        """Write a record in the place of another mode's, with its counts; no run of that mode may write any more.

        Only under the table's lease. Returns the record as it is then.
        """
        before = self._documents.get(scope_of(record.table), _ITEM)
        counts: dict[str, Any] = {} if before is None else _counts(record.table, before)
        after = replace(record, **counts)
        after = replace(after, generation=after.generation + 1)
        self._put(after)
        return after

    def save(self, record: R) -> R:
        """Write a record; returns it as it is then. Only after the rows that it counts were flushed.

        The same call may be made again after an error.
        Raises: LeaseHeld if another run has written since this one read the record or wrote it last.
        """
        return self.save_all([record])[0]

    def require_latest(self, record: R) -> None:
        """Return if no other run has written since `record` was read or written. Raises: LeaseHeld."""
        stood = self.get(record.table)
        if (0 if stood is None else stood.generation) != record.generation:
            raise _taken_over(record.table)

    def forget(self, table: str) -> None:
        """Delete a table's record and all beside it, when it is loaded again."""
        self._documents.delete_scope(scope_of(table))

    def _write_all(self, records: Sequence[R]) -> list[R]:
        stood = self._documents.get_each([scope_of(record.table) for record in records], _ITEM)
        written = [self._next(record, stood.get(scope_of(record.table))) for record in records]
        # A run may stand still here, its lease be taken over, and go on: a first record is not put over another's.
        first = {scope_of(a.table): _document(a) for a, new in written if new and scope_of(a.table) not in stood}
        if not self._documents.insert_each(first, _ITEM):
            return self._write_all(records)  # whose record is in the way is looked at; one of this run's own is none
        later = {scope_of(a.table): _document(a) for a, new in written if new and scope_of(a.table) in stood}
        self._documents.put_each(later, _ITEM)
        return [after for after, _ in written]

    def _next(self, record: R, before: Document | None) -> tuple[R, bool]:
        """The record as it is to be written, and whether it is not written yet. Raises: LeaseHeld."""
        after = replace(record, generation=record.generation + 1)
        stood = None if before is None else self._record(record.table, before)
        if stood == after:
            return after, False
        if (0 if stood is None else stood.generation) != record.generation:
            raise _taken_over(record.table)
        return after, True

    def _put(self, record: R) -> None:
        self._documents.put(scope_of(record.table), {_ITEM: _document(record)})

    def _record(self, table: str, document: Document) -> R:
        mode = _mode(table, document)
        if mode is not self.kind.mode:
            raise CheckpointError(
                f"the sync state of {table} is of mode {mode}, and mode {self.kind.mode} was asked for",
                state="nothing was changed",
                next_step=f"set the mode that wrote it in the config, or load {table} again with --replace",
            )
        fields = {name: value for name, value in document.items() if name not in ("version", "mode")}
        return _decoded(table, lambda: self.kind.of_document(table, fields))


def scope_of(table: str) -> str:
    """Where the documents of a table's sync are."""
    return f"sync:{table}"


def _document(record: Progress) -> Document:
    return {"version": RECORD_VERSION, "mode": record.mode.value, **record.document()}


def _mode(table: str, document: Document) -> SyncMode:
    """The mode of a stored record. Raises: CheckpointError for one of another version, or of no mode."""
    fields = require_version(
        document,
        RECORD_VERSION,
        what=f"the sync state of {table}",
        next_step=f"use the gridferry that wrote it, or load {table} again with --replace",
    )
    return _decoded(table, lambda: decoded(_Mode, {"mode": fields.get("mode")}).mode)


def _counts(table: str, document: Document) -> dict[str, int]:
    """What any mode's record counts."""
    _mode(table, document)
    counts = {name: document[name] for name in _COUNTS if name in document}
    return _decoded(table, lambda: asdict(decoded(_Counts, counts)))


def _decoded(table: str, decode: Callable[[], T]) -> T:
    what = f"the sync state of {table} (scope {scope_of(table)}, item {_ITEM})"
    return readable(what, decode, next_step=f"load {table} again with --replace")


def _taken_over(table: str) -> LeaseHeld:
    return LeaseHeld(
        f"another run took over {table} and has gone on with it",
        state="what was stored before stays; nothing was written after",
        next_step="run the same command again: it goes on from the last checkpoint",
    )
