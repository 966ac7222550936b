"""Where the watermark sync of each table stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from gridferry.checkpoint.documents import Document
from gridferry.checkpoint.progress import Progress, ProgressStore
from gridferry.model.watermark import Cursor, Mark, Step


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
    """The records of mode watermark."""

    kind = SyncRecord
