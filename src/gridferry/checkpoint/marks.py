"""The mark that a sync in mode cdc left at each slot of the source: a later look finds it there, or another server."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gridferry.checkpoint.documents import DocumentStore
from gridferry.model.decoding import decoded, readable, require_version
from gridferry.model.forms import MarkText, Oid

MARK_VERSION = 1
_ITEM = "mark"


@dataclass(frozen=True)
class MarkRecord:
    """What stands at the slot's publication, whose OID is `publication`: `left`, or `leaving` if a run was killed
    while it wrote that; "" for none.
    """

    slot: str
    publication: Oid
    left: MarkText
    leaving: MarkText = ""


class MarkStore:
    """The marks. What is written is on disk when the call returns."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def get(self, slot: str) -> MarkRecord | None:
        """A slot's mark, or None. Raises: CheckpointError for a broken record."""
        document = self._documents.get(_scope(slot), _ITEM)
        if document is None:
            return None
        what, step = f"the mark of {slot} (scope {_scope(slot)})", "load its tables again with --replace"
        fields = require_version(document, MARK_VERSION, what=what, next_step=step)
        return readable(what, lambda: decoded(MarkRecord, fields, slot=slot), next_step=step)

    def slots(self) -> list[str]:
        """The slots that have a mark, readable or not."""
        return sorted(scope.removeprefix(_scope("")) for scope in self._documents.scopes(_scope("")))

    def forget(self, slot: str) -> None:
        """Delete a slot's mark, when the slot was dropped."""
        self._documents.delete_scope(_scope(slot))

    def save(self, record: MarkRecord) -> None:
        """Write a slot's mark. Only under a lease that covers what it follows."""
        fields = {name: value for name, value in asdict(record).items() if name != "slot"}
        self._documents.put(_scope(record.slot), {_ITEM: {"version": MARK_VERSION, **fields}})


def _scope(slot: str) -> str:
    return f"mark:{slot}"
