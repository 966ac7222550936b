"""Where the watermark sync of each table stands, in the state container: one document a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from gridferry.checkpoint.documents import Document, DocumentStore, utc_now
from gridferry.errors import CheckpointError, LeaseHeld
from gridferry.model.watermark import Cursor, Mark, Step

CURSOR_VERSION = 1
_ITEM = "cursor"
_MODE = "watermark"


@dataclass(frozen=True)
class SyncRecord:
    """A table's cursor and what its runs have done. `generation` counts how often it was written.

    `read`, `written`, `superseded` and `runs` count since the load; `last_*` tell of the last run, finished or not.
    """

    table: str
    cursor: Cursor
    generation: int = 0
    runs: int = 0
    read: int = 0
    written: int = 0
    superseded: int = 0
    last_started: str = ""
    last_finished: str = ""
    last_read: int = 0

    def counted(self, *, read: int = 0, written: int = 0, superseded: int = 0) -> SyncRecord:
        """The record with more rows in its counts."""
        return replace(
            self,
            read=self.read + read,
            written=self.written + written,
            superseded=self.superseded + superseded,
            last_read=self.last_read + read,
        )

    def begun(self) -> SyncRecord:
        """The record at the start of a run."""
        return replace(self, last_started=utc_now(), last_finished="", last_read=0)

    def ended(self) -> SyncRecord:
        """The record at the end of a run."""
        return replace(self, runs=self.runs + 1, last_finished=utc_now())


class CursorStore:
    """The records. `save` is on disk when it returns."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def get(self, table: str) -> SyncRecord | None:
        """A table's record, or None. Raises: CheckpointError for another version's or a broken one."""
        document = self._documents.get(_scope(table), _ITEM)
        return None if document is None else _record(table, document)

    def save(self, record: SyncRecord) -> SyncRecord:
        """Write a record; returns it as it is then. Only after the rows that its cursor tells of were flushed.

        The same call may be made again after an error.
        Raises: LeaseHeld if another run has written since this one read the record or wrote it last.
        """
        before = self.get(record.table)
        after = replace(record, generation=record.generation + 1)
        if before == after:
            return after
        if (0 if before is None else before.generation) != record.generation:
            raise LeaseHeld(
                f"another run took over {record.table} and has gone on with it",
                state="what was stored before stays; nothing was written after",
                next_step="run the same command again: it goes on from the last checkpoint",
            )
        document = {"version": CURSOR_VERSION, "mode": _MODE, **asdict(after)}
        document.pop("table")
        self._documents.put(_scope(record.table), {_ITEM: document})
        return after

    def forget(self, table: str) -> None:
        """Delete a table's record, when it is loaded anew."""
        self._documents.delete(_scope(table), [_ITEM])


def _scope(table: str) -> str:
    return f"sync:{table}"


def _record(table: str, document: Document) -> SyncRecord:
    version = document.get("version")
    if version != CURSOR_VERSION or document.get("mode") != _MODE:
        raise CheckpointError(
            f"the sync state of {table} has version {version} and mode {document.get('mode')}; "
            f"this gridferry reads version {CURSOR_VERSION} of mode {_MODE}",
            next_step="use the gridferry and the mode that wrote it, or load the table again with --replace",
        )
    values = {name: value for name, value in document.items() if name not in ("version", "mode")}
    try:
        cursor = dict(values.pop("cursor"))
        cursor["steps"] = tuple(Step(**step) for step in cursor["steps"])
        cursor["marks"] = tuple(Mark(**mark) for mark in cursor["marks"])
        if not any(step.below is None for step in cursor["steps"]):
            raise ValueError("no finished step")
        return SyncRecord(table=table, cursor=Cursor(**cursor), **values)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the sync state of {table} is not readable: {error}", next_step="load the table again with --replace"
        ) from error
