"""Tables that are left out by somebody's wish: paused, removed, or just being brought back. One document a table.

They are all in one scope, so that a run asks for all of them at once, and often.
"""

from __future__ import annotations

from dataclasses import dataclass

from gridferry.checkpoint.documents import Document, DocumentStore, utc_now
from gridferry.model.decoding import decoded, readable, require_version
from gridferry.model.forms import Moment
from gridferry.model.moment import shown
from gridferry.model.word import Word

STANDING_VERSION = 1
_SCOPE = "standings"


class StandingKind(Word):
    """Why a table is left out."""

    PAUSED = "paused"
    RESYNC = "resync"  # it is being brought back, or that was interrupted
    REMOVED = "removed"


@dataclass(frozen=True)
class Standing:
    """That syncs leave a table out, and since when.

    `gives_up`: its place in the source's log is not kept. Whoever follows the table then gives that place up.
    """

    table: str
    kind: StandingKind
    since: Moment
    gives_up: bool = False

    @property
    def said(self) -> str:
        """Why the table is left out, and what brings it back: a sentence without its subject."""
        since = f"{shown(self.since)} UTC"
        if self.kind is StandingKind.PAUSED and self.gives_up:
            return f"is paused since {since} and its log was let go: `gridferry resync {self.table}` brings it back"
        if self.kind is StandingKind.PAUSED:
            return f"is paused since {since}: `gridferry resume {self.table}` goes on with it"
        if self.kind is StandingKind.RESYNC:
            return (
                f"is being brought back since {since}; where `gridferry resync {self.table}` was interrupted, it is to "
                "be run again"
            )
        return f"was removed at {since} and is not followed: `gridferry resync {self.table}` follows it again"


class StandingStore:
    """The wishes. What is written is on disk when the call returns; whoever follows the table finds it there."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def all(self) -> dict[str, Standing]:
        """Those of all tables, by table. Raises: CheckpointError for a broken one."""
        return {table: _standing(table, document) for table, document in self._documents.items(_SCOPE).items()}

    def get(self, table: str) -> Standing | None:
        """A table's, None where no sync leaves it out. Raises: as `all`."""
        document = self._documents.get(_SCOPE, table)
        return None if document is None else _standing(table, document)

    def set(self, table: str, kind: StandingKind, *, gives_up: bool) -> Standing:
        """Write that syncs leave the table out from now on."""
        standing = Standing(table, kind, utc_now(), gives_up)
        document = {"version": STANDING_VERSION, "kind": kind.value, "since": standing.since, "gives_up": gives_up}
        self._documents.put(_SCOPE, {table: document})
        return standing

    def forget(self, table: str) -> None:
        """Write that no sync leaves the table out any more."""
        self._documents.delete(_SCOPE, [table])


def _standing(table: str, document: Document) -> Standing:
    what, step = f"whether {table} is left out (scope {_SCOPE})", f"run `gridferry resync {table}`"
    fields = require_version(document, STANDING_VERSION, what=what, next_step=step)
    return readable(what, lambda: decoded(Standing, fields, table=table), next_step=step)
