"""The mark that tells the server that was followed from a copy of its files, slots and all.

A position in the log tells the two apart only until the copy's own log has passed it. So a sync leaves a new mark in
the source's catalog before it stores what was committed before that, and writes into the target which one it is. A
server that was started again and does not have it is a copy from before: the target holds changes that it never had.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.marks import MarkRecord
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.source.postgres.feed import ChangeFeed


class Marks:
    """The marks that one run leaves. Under a lease."""

    def __init__(self, state: TargetState, feed: ChangeFeed, lease: Lease) -> None:
        self._state = state
        self._feed = feed
        self._lease = lease
        self._left_at = 0.0
        self._due = False

    def leave(self, slot: str) -> None:
        """Leave a new mark. What the run stores up to now has to have been committed before this call.

        Both marks count until it is known that the new one is on the source's disk.
        """
        mark = f"gridferry {secrets.token_hex(16)}"
        before = self._state.marks.get(slot)
        self._lease.check()
        self._state.marks.save(replace(before or MarkRecord(slot, 0, ""), leaving=mark))
        publication = self._feed.leave_mark(slot, mark)
        # Where none can be left, none is asked for.
        self._state.marks.save(MarkRecord(slot, publication, mark if publication else ""))
        self._left_at, self._due = time.monotonic(), False

    def again(self, slot: str, *, stored: bool, every_s: float) -> None:
        """The same beside a stream, once something was `stored` since the last: not within `every_s` of that."""
        self._due = self._due or stored
        if self._due and time.monotonic() - self._left_at >= every_s:
            self.leave(slot)


def why_not_marked(state: TargetState, feed: ChangeFeed, run: LoadRun) -> str:
    """That a server lacks the mark that the last sync left; "" where it has it, or where none was left."""
    known = state.marks.get(run.slot)
    if known is None or not known.left:
        return ""
    found = feed.mark(run.slot)
    right = {known.left, known.leaving} - {""}  # a copy from before the first mark has none
    if found is None or found[0] != known.publication or found[1] in right:
        return ""
    return (
        "its catalog does not have what the last sync wrote there: it is a copy of the server from before that, or was "
        "put back to an older state"
    )
