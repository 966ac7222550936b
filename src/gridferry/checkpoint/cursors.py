"""How far the watermark sync of each table is: its cursor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from gridferry.checkpoint.documents import Document
from gridferry.checkpoint.progress import Progress, ProgressStore, scope_of
from gridferry.model.decoding import Malformed, readable
from gridferry.model.watermark import Cursor
from gridferry.plan.sync_options import SyncMode

_MAX_VALUES = "heights"  # the name that it has in stored states
_GREATEST = 1.8e308


@dataclass(frozen=True)
class SyncRecord(Progress):
    """A table's cursor and what its runs have done."""

    mode: ClassVar[SyncMode] = SyncMode.WATERMARK
    cursor: Cursor

    @classmethod
    def of_document(cls, table: str, document: Document) -> Self:
        """See `Progress`."""
        record = super().of_document(table, document)
        if sum(step.below is None for step in record.cursor.steps) != 1:
            raise Malformed("cursor.steps", "do not have one finished step")
        return record


class CursorStore(ProgressStore[SyncRecord]):
    """The records of mode watermark, and beside each the greatest values in its containers."""

    kind = SyncRecord

    def max_values(self, table: str) -> Document:
        """The greatest value of the growing column that each container held when a run left it, by its name."""
        document = self._documents.get(scope_of(table), _MAX_VALUES) or {}

        def decode() -> Document:
            for name, value in document.items():
                if type(value) not in (int, float) or abs(value) > _GREATEST:
                    raise Malformed(name[:60], "is not a number")
            return document

        return readable(
            f"what the last sync of {table} left in its containers (scope {scope_of(table)}, item {_MAX_VALUES})",
            decode,
            next_step=f"load {table} again with --replace",
        )

    def save_max_values(self, table: str, values: Document) -> None:
        """Write those of all its containers. They are a cross-check: no run takes a bound from them."""
        self._documents.put(scope_of(table), {_MAX_VALUES: values})
