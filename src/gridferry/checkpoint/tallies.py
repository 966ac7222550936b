"""What the syncs of a table did to each of its containers, in the state container: one document a container.

Only containers that got something are written, at the end of a run and now and then within an endless one: a process
that is killed loses what it counted since. Nothing is decided by these numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from gridferry.checkpoint.documents import Document, DocumentStore, utc_now
from gridferry.model.decoding import decoded, readable
from gridferry.model.forms import Count, Moment


@dataclass(frozen=True)
class ContainerTally:
    """Rows that syncs put into a container and deleted from it since the load, and when the last of them did."""

    written: Count = 0
    deleted: Count = 0
    last_written: Moment = ""


class TallyStore:
    """The tallies. For one writer at a time: the table's lease is held."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def all(self, table: str) -> dict[str, ContainerTally]:
        """The tallies of a table, by container. Raises: CheckpointError for a broken one."""
        return {name: _tally(table, name, document) for name, document in self._documents.items(_scope(table)).items()}

    def add(self, table: str, done: Mapping[str, tuple[int, int]]) -> None:
        """Add (rows written, rows deleted) by container, and bring that to disk."""
        if not done:
            return
        now = utc_now()
        before = self._documents.get_many(_scope(table), list(done))
        after = {}
        for name, (written, deleted) in done.items():
            stood = _tally(table, name, before[name]) if name in before else ContainerTally()
            after[name] = asdict(ContainerTally(stood.written + written, stood.deleted + deleted, now))
        self._documents.put(_scope(table), after)

    def forget(self, table: str) -> None:
        """Delete the tallies of a table, when it is loaded again."""
        self._documents.delete_scope(_scope(table))


def _scope(table: str) -> str:
    return f"containers:{table}"


def _tally(table: str, name: str, document: Document) -> ContainerTally:
    return readable(
        f"what the syncs of {table} did to container {name[:200]} (scope {_scope(table)})",
        lambda: decoded(ContainerTally, document),
        next_step=f"load {table} again with --replace",
    )
