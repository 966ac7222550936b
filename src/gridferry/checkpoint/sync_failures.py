"""How the last sync of each table failed, in the state container: one document a table, none where it ended well."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from gridferry.checkpoint.documents import Document, DocumentStore
from gridferry.errors import CheckpointError
from gridferry.model.decoding import decoded, readable, require_version
from gridferry.model.sync_failure import SyncFailure

FAILURE_VERSION = 1
_ITEM = "failure"


class SyncFailureStore:
    """The failures. What is written is on disk when the call returns."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def get(self, table: str) -> SyncFailure | None:
        """How a table's last sync failed; None where it did not. Raises: CheckpointError for a broken document."""
        document = self._documents.get(_scope(table), _ITEM)
        return None if document is None else _failure(table, document)

    def each(self, tables: Sequence[str]) -> dict[str, SyncFailure]:
        """Those of some tables, asked for at once; one that is not readable is left out, `get` tells of it."""
        scopes = {_scope(table): table for table in tables}
        found: dict[str, SyncFailure] = {}
        for scope, document in self._documents.get_each(list(scopes), _ITEM, skip_broken=True).items():
            with suppress(CheckpointError):
                found[scopes[scope]] = _failure(scopes[scope], document)
        return found

    @staticmethod
    def key(table: str) -> tuple[str, str]:
        """Scope and item of what is remembered of a table."""
        return _scope(table), _ITEM

    def met(self, table: str, failure: SyncFailure) -> None:
        """Remember a failure, unless the one that is remembered tells the same."""
        try:
            known = self.get(table)
        except CheckpointError:
            known = None
        if known is None or not known.same_as(failure):
            self._documents.put(_scope(table), {_ITEM: {"version": FAILURE_VERSION, **asdict(failure)}})

    def clear(self, table: str) -> None:
        """Take away what is remembered, if anything is."""
        try:
            known = self.get(table) is not None
        except CheckpointError:
            known = True
        if known:
            self.forget(table)

    def forget(self, table: str) -> None:
        """Delete what is remembered, readable or not."""
        self._documents.delete(_scope(table), [_ITEM])


def _failure(table: str, document: Document) -> SyncFailure:
    again = "the next sync writes it anew, or takes it away"
    what = f"how the last sync of {table} failed (scope {_scope(table)}, item {_ITEM})"
    fields = require_version(
        document, FAILURE_VERSION, what=what, next_step=f"use the gridferry that wrote it; {again}"
    )
    return readable(what, lambda: decoded(SyncFailure, fields), next_step=again)


def _scope(table: str) -> str:
    return f"failure:{table}"
