"""From which source each table's rows are: written by a load, and again when the source was seen to have changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gridferry.checkpoint.documents import Document, DocumentStore
from gridferry.model.decoding import decoded, readable, require_version
from gridferry.model.origin import SourceOrigin

ORIGIN_VERSION = 1
_ITEM = "origin"


@dataclass(frozen=True)
class OriginRecord:
    """A table's source as it was last seen and found right. `taking_over`: it was accepted in another's place, and
    the comparison of both sides has not come to its end.
    """

    table: str
    origin: SourceOrigin
    taking_over: bool = False


class OriginStore:
    """The origins. What is written is on disk when the call returns."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def get(self, table: str) -> OriginRecord | None:
        """A table's origin, or None. Raises: CheckpointError for a broken one."""
        document = self._documents.get(_scope(table), _ITEM)
        return None if document is None else _record(table, document)

    @staticmethod
    def key(table: str) -> tuple[str, str]:
        """Scope and item of a table's origin."""
        return _scope(table), _ITEM

    def save(self, record: OriginRecord) -> None:
        """Write a table's origin. Only under the table's lease."""
        body = {"version": ORIGIN_VERSION, "taking_over": record.taking_over, "origin": asdict(record.origin)}
        self._documents.put(_scope(record.table), {_ITEM: body})

    def forget(self, table: str) -> None:
        """Delete a table's origin."""
        self._documents.delete_scope(_scope(table))


def _scope(table: str) -> str:
    return f"origin:{table}"


def _record(table: str, document: Document) -> OriginRecord:
    what = f"the origin of {table} (scope {_scope(table)})"
    held = require_version(
        document,
        ORIGIN_VERSION,
        what=what,
        next_step="use the gridferry that wrote it, or load the table again with --replace",
    )
    return readable(
        what,
        lambda: decoded(OriginRecord, held, table=table),
        next_step="load the table again with --replace, or restore the container from a backup",
    )
