"""A table's place in the source's log, given up: by this run, or by the one that follows the table just now.

What a slot keeps is one position for all of its tables. So only who follows the slot may take a table out of it; where
nobody does, the one that wants it so does it itself, under the table's lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gridferry.checkpoint.state import TargetState
from gridferry.engine.slots import drop_known, slots_of
from gridferry.errors import CheckpointError, LeaseHeld
from gridferry.source.postgres.feed import ChangeFeed

PATIENCE_S = 30.0  # of a run that follows the table: it looks every two seconds, but not while it stores a batch
_LOOK_S = 0.3


def give_up_place(
    state: TargetState,
    feed: ChangeFeed,
    table: str,
    *,
    wait_s: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Let the slots of a table go that its load knows of, once a standing says that they are to be given up.

    Returns: what was dropped here; nothing where another run did it.
    Raises: LeaseHeld where another run still works on the table after `wait_s`; SourceError; as `drop_known`.
    """
    until = clock() + max(wait_s, PATIENCE_S)
    while True:
        try:
            run = state.runs.get(table)
        except CheckpointError:  # what is not readable names no slot: those that the table may have go by their names
            return [what for slot in slots_of(feed, state, table) for what in feed.drop(slot)]
        if run is None or not (run.slot or run.spare):
            return []
        if state.holder_of(table) is None or clock() >= until:
            try:
                return drop_known(feed, state, table)
            except LeaseHeld as error:
                if clock() >= until:
                    error.state = (
                        "it is written that its place in the log is to be given up: the run that works on it does so"
                    )
                    error.next_step = "wait for that run, or end it; then run the same command again"
                    raise
        sleep(_LOOK_S)
