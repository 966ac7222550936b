"""Where the cdc sync of each table stands, in the state container: one document a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from gridferry.checkpoint.documents import Document, DocumentStore, utc_now
from gridferry.errors import CheckpointError, LeaseHeld
from gridferry.model.position import Lsn

POSITION_VERSION = 1
_ITEM = "cursor"
_MODE = "cdc"


@dataclass(frozen=True)
class CdcRecord:
    """How far a table's changes are stored, and what its runs have done.

    `position`: every change that was committed before it is on the target's disk. `epoch` grows with each run, and
    fences: a run writes only while it is the last that began. `as_of` is the source's time of the last commit stored,
    or of the last moment when nothing was left to do. `fresh` are columns that were added to the containers, and that
    changes from `position` on may not have yet. The counts run since the load, `last_*` are of the last run.
    """

    table: str
    position: Lsn
    epoch: int = 0
    as_of: str = ""
    fresh: tuple[str, ...] = ()
    runs: int = 0
    read: int = 0
    written: int = 0
    deleted: int = 0
    last_started: str = ""
    last_finished: str = ""
    last_read: int = 0

    def counted(self, *, read: int, written: int, deleted: int) -> CdcRecord:
        """The record with more changes read, rows put and rows deleted."""
        return replace(
            self,
            read=self.read + read,
            written=self.written + written,
            deleted=self.deleted + deleted,
            last_read=self.last_read + read,
        )

    def begun(self) -> CdcRecord:
        """The record at the start of a run."""
        return replace(self, epoch=self.epoch + 1, last_started=utc_now(), last_finished="", last_read=0)

    def ended(self) -> CdcRecord:
        """The record at the end of a run."""
        return replace(self, runs=self.runs + 1, last_finished=utc_now())


class PositionStore:
    """The records. What is written is on disk when the call returns."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def get(self, table: str) -> CdcRecord | None:
        """A table's record, or None. Raises: CheckpointError for another version's or a broken one."""
        document = self._documents.get(_scope(table), _ITEM)
        return None if document is None else _record(table, document)

    def begin(self, record: CdcRecord) -> CdcRecord:
        """Write that a run begins; from now on no earlier one may write. Only under the table's lease."""
        begun = record.begun()
        self._write(begun)
        return begun

    def save(self, record: CdcRecord) -> None:
        """Write a record. Only after the changes that its position tells of were flushed.

        Raises: LeaseHeld if a later run has begun.
        """
        before = self.get(record.table)
        if before is not None and before.epoch > record.epoch:
            raise LeaseHeld(
                f"another run took over {record.table} and has gone on with it",
                state="what was stored before stays; nothing was written after",
                next_step="run the same command again: it goes on from the last checkpoint",
            )
        self._write(record)

    def _write(self, record: CdcRecord) -> None:
        document = {"version": POSITION_VERSION, "mode": _MODE, **asdict(record), "position": str(record.position)}
        document.pop("table")
        self._documents.put(_scope(record.table), {_ITEM: document})


def _scope(table: str) -> str:
    return f"sync:{table}"


def _record(table: str, document: Document) -> CdcRecord:
    version = document.get("version")
    if version != POSITION_VERSION or document.get("mode") != _MODE:
        raise CheckpointError(
            f"the sync state of {table} has version {version} and mode {document.get('mode')}; "
            f"this gridferry reads version {POSITION_VERSION} of mode {_MODE}",
            next_step="use the gridferry and the mode that wrote it, or load the table again with --replace",
        )
    values = {name: value for name, value in document.items() if name not in ("version", "mode")}
    try:
        position = Lsn.parse(values.pop("position"))
        return CdcRecord(table=table, position=position, fresh=tuple(values.pop("fresh")), **values)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the sync state of {table} is not readable: {error}", next_step="load the table again with --replace"
        ) from error
