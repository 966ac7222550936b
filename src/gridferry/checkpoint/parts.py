"""Which relations held each table's rows when its load or a sync last looked."""

from __future__ import annotations

from dataclasses import asdict

from gridferry.checkpoint.documents import DocumentStore
from gridferry.model.decoding import decoded, readable, require_version
from gridferry.model.parts import PartsRecord

PARTS_VERSION = 1
_ITEM = "parts"


class PartsStore:
    """The parts of each table. What is written is on disk when the call returns."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def get(self, table: str) -> PartsRecord | None:
        """A table's parts; None where nobody looked yet. Raises: CheckpointError for a broken record."""
        document = self._documents.get(_scope(table), _ITEM)
        if document is None:
            return None
        what, step = f"the parts of {table} (scope {_scope(table)})", f"load {table} again with --replace"
        fields = require_version(document, PARTS_VERSION, what=what, next_step=step)
        return readable(what, lambda: decoded(PartsRecord, fields, table=table), next_step=step)

    @staticmethod
    def key(table: str) -> tuple[str, str]:
        """Scope and item of a table's parts."""
        return _scope(table), _ITEM

    def save(self, record: PartsRecord) -> None:
        """Write a table's parts. Only under the table's lease, after what they brought was stored."""
        fields = {name: value for name, value in asdict(record).items() if name != "table"}
        self._documents.put(_scope(record.table), {_ITEM: {"version": PARTS_VERSION, **fields}})

    def forget(self, table: str) -> None:
        """Delete what is written of a table's parts."""
        self._documents.delete_scope(_scope(table))


def _scope(table: str) -> str:
    return f"parts:{table}"
