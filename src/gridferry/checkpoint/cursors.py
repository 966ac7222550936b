"""Where the watermark sync of each table stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from gridferry.checkpoint.documents import Document
from gridferry.checkpoint.progress import Progress, ProgressStore, scope_of
from gridferry.model.watermark import Cursor, Mark, Step

_HEIGHTS = "heights"


@dataclass(frozen=True)
class SyncRecord(Progress):
    """A table's cursor and what its runs have done."""

    mode: ClassVar[str] = "watermark"
    cursor: Cursor

    @classmethod
    def of_document(cls, table: str, document: Document) -> Self:
        """See `Progress`."""
        cursor = dict(document["cursor"])
        cursor["steps"] = tuple(Step(**step) for step in cursor["steps"])
        cursor["marks"] = tuple(Mark(**mark) for mark in cursor["marks"])
        if not any(step.below is None for step in cursor["steps"]):
            raise ValueError("no finished step")
        return super().of_document(table, {**document, "cursor": Cursor(**cursor)})


class CursorStore(ProgressStore[SyncRecord]):
    """The records of mode watermark, and beside each the height of its containers."""

    kind = SyncRecord

    def heights(self, table: str) -> Document:
        """The greatest value of the growing column that each container held when a run left it, by its name."""
        return self._documents.get(scope_of(table), _HEIGHTS) or {}

    def save_heights(self, table: str, heights: Document) -> None:
        """Write all heights of a table. They are a cross-check: no run takes a bound from them."""
        self._documents.put(scope_of(table), {_HEIGHTS: heights})
