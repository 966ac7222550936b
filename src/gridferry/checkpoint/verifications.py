"""What the last verifications of each table found, in the state container: a document each, the last few kept."""

from __future__ import annotations

from dataclasses import asdict, replace

from gridferry.checkpoint.documents import Document, DocumentStore
from gridferry.errors import CheckpointError
from gridferry.model.decoding import own_record
from gridferry.model.verification import TableVerification

VERIFICATION_VERSION = 2
KEPT = 10
MOST_CONTAINERS = 1_000
MOST_COUNTS = 2_000


class VerificationStore:
    """The verifications. What is written is on disk when the call returns."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def add(self, found: TableVerification) -> None:
        """Write a verification, and forget the oldest beyond the last ten of its table, and any that is not readable.

        Of very many containers those that differ are kept, and the first of the others.
        """
        scope = _scope(found.table)
        known = self._documents.items(scope)
        trimmed = replace(found, containers=found.containers[:MOST_CONTAINERS], summary=found.summary[:MOST_COUNTS])
        self._documents.put(scope, {found.started: {"version": VERIFICATION_VERSION, **asdict(trimmed)}})
        old = [item for item in sorted(known) if item != found.started][: -(KEPT - 1)]
        broken = [item for item, document in known.items() if not _is_readable(found.table, document)]
        self._documents.delete(scope, sorted({*old, *broken} - {found.started}))

    def of(self, table: str) -> list[TableVerification]:
        """A table's verifications, the newest first. Raises: CheckpointError for one that is not readable."""
        items = self._documents.items(_scope(table))
        return [_verification(table, items[item]) for item in sorted(items, reverse=True)]

    def last(self, table: str) -> TableVerification | None:
        """The newest one, or None. Raises: CheckpointError if it is not readable."""
        items = self._documents.items(_scope(table))
        return _verification(table, items[max(items)]) if items else None

    def readable(self, table: str) -> list[TableVerification]:
        """Those that can be read, the newest first."""
        items = self._documents.items(_scope(table))
        return [_verification(table, items[i]) for i in sorted(items, reverse=True) if _is_readable(table, items[i])]

    def forget_since(self, table: str, moment: str) -> None:
        """Delete those that began at that time (ISO 8601, UTC) or later: what they found is no longer true."""
        scope = _scope(table)
        self._documents.delete(scope, [item for item in self._documents.items(scope) if item >= moment])

    def forget(self, table: str) -> None:
        """Delete all of a table's, when it is loaded again."""
        self._documents.delete_scope(_scope(table))


def _scope(table: str) -> str:
    return f"verify:{table}"


def _verification(table: str, document: Document) -> TableVerification:
    what = f"a verification of {table} (scope {_scope(table)})"
    again = "verify the table again: what is not readable is deleted then"
    return own_record(TableVerification, document, VERIFICATION_VERSION, {"table": table}, what=what, next_step=again)


def _is_readable(table: str, document: Document) -> bool:
    try:
        _verification(table, document)
    except CheckpointError:
        return False
    return True
