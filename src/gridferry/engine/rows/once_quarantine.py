"""A row that is read again is quarantined once."""

from __future__ import annotations

from collections.abc import Sequence

from gridferry.checkpoint.quarantine import HeldRow, Quarantine


class OnceQuarantine(Quarantine):
    """A quarantine that leaves out rows which it holds already, whichever run put them aside.

    A sync may read a row again. Rows that are equal in every column count once.
    """

    def __init__(self, whole: Quarantine, table: str) -> None:
        super().__init__(whole.store, whole.migration)
        self._table = table
        self._known: set[str] | None = None

    def hold(self, rows: Sequence[HeldRow]) -> None:
        """Put rows aside, and bring them to disk."""
        if not rows:
            return
        if self._known is None:
            self._known = {_content(row) for row in self.rows(self._table)}
        fresh = {_content(row): row for row in rows if _content(row) not in self._known}
        super().hold(list(fresh.values()))
        self._known |= set(fresh)


def _content(row: HeldRow) -> str:
    """The hash of the row in its id: `name:hash:number`."""
    return row.id.split(":")[1]
