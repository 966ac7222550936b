"""What repairs were made, in the state container: one document a run, beside the journal of its rows."""

from __future__ import annotations

import secrets
from dataclasses import asdict, replace
from datetime import datetime, timezone

from gridferry.checkpoint.documents import Document, DocumentStore, utc_now
from gridferry.errors import CheckpointError, ConfigError
from gridferry.model.decoding import own_record
from gridferry.model.repair import RepairRecord, RepairState, whole_of

REPAIR_VERSION = 1
_SCOPE = "repair:"
_ITEM = "run"


class RepairStore:
    """The records. What is written is on disk when the call returns."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def begin(self, table: str, *, by: str, loaded: str, noted: Document | None = None, run: str = "") -> RepairRecord:
        """Write that a repair begins, under a name that no other has. Only under the table's lease.

        Args: run: the name, else a new one.
        """
        record = RepairRecord(
            run=run or new_repair(),
            table=table,
            state=RepairState.WRITING,
            by=by,
            started=utc_now(),
            loaded=loaded,
            noted=noted,
        )
        return self.save(record)

    def save(self, record: RepairRecord) -> RepairRecord:
        """Write a record. Its counts only after the rows that they count were flushed."""
        document = {"version": REPAIR_VERSION, **asdict(record), "state": record.state.value}
        self._documents.put(_SCOPE + record.run, {_ITEM: document})
        return record

    def finish(self, record: RepairRecord) -> RepairRecord:
        """Write that a repair is done."""
        return self.save(replace(record, state=RepairState.DONE, finished=utc_now()))

    def get(self, run: str) -> RepairRecord:
        """A repair. Raises: ConfigError for one that is not known; CheckpointError for one that is not readable."""
        document = self._documents.get(_SCOPE + run, _ITEM)
        if document is None:
            raise _unknown(run)
        return _record(run, document)

    def parts(self, run: str) -> dict[str, RepairRecord | CheckpointError]:
        """The repair of this name; of a repair of several tables each table's; by name, or why one is not readable.

        Raises: ConfigError where there is none.
        """
        broken: list[str] = []
        found = self._documents.scopes(_SCOPE + run, broken=broken)
        parts: dict[str, RepairRecord | CheckpointError] = {}
        for scope in sorted({*found, *broken}, key=lambda scope: (len(scope), scope)):
            name = scope[len(_SCOPE) :]
            if name == run or whole_of(name) == run:
                try:
                    parts[name] = self.get(name) if scope in broken else _record(name, found[scope].get(_ITEM, {}))
                except CheckpointError as error:
                    parts[name] = error
        if not parts:
            raise _unknown(run)
        return parts

    def all(self, tables: frozenset[str] | None = None) -> list[RepairRecord]:
        """The repairs of some tables, or of all; the oldest first. Raises: CheckpointError as `get`."""
        found = self._documents.scopes(_SCOPE)
        records = [_record(scope[len(_SCOPE) :], items[_ITEM]) for scope, items in found.items() if _ITEM in items]
        return sorted((r for r in records if tables is None or r.table in tables), key=lambda r: (r.started, r.run))

    def forget(self, run: str) -> None:
        """Delete a record, readable or not. Only after its journal was deleted."""
        self._documents.delete_scope(_SCOPE + run)


def new_repair() -> str:
    """A name for a repair that no other has."""
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
    return f"{stamp}-{secrets.token_hex(3)}"


def _unknown(run: str) -> ConfigError:
    return ConfigError(
        f"there is no repair {run} in this target",
        state="nothing was changed",
        next_step="list them with `gridferry repairs`",
    )


def _record(run: str, document: Document) -> RepairRecord:
    what = f"the record of repair {run} (scope {_SCOPE}{run})"
    forget = f"give its undo up with `gridferry forget {run}`"
    return own_record(RepairRecord, document, REPAIR_VERSION, {"run": run}, what=what, next_step=forget)
