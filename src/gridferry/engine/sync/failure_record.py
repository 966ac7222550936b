"""How the last sync of a table ended, kept in the target: a failure until a sync ends well, written once.

Nothing is written of a table that is not loaded, of another source (which must not change a state that is not its own),
of a lease that another run holds (that run tells how it goes), or where GridDB itself is away. What cannot be written
is left: the error of the sync is the one to be told.
"""

from __future__ import annotations

from contextlib import suppress

from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.state import TargetState
from gridferry.errors import CheckpointError, FerryError, GridDBError, LeaseHeld, NotLoaded, OtherSource
from gridferry.model.sync_failure import sync_failure

_NOT_OF_THE_TABLE = (NotLoaded, OtherSource, LeaseHeld)


class FailureRecord:
    """The record of how one table's syncs failed, as a follower reports it."""

    def __init__(self, state: TargetState, table: str) -> None:
        self._state = state
        self._table = table
        self._in_doubt = True  # whether a failure may be remembered that no checkpoint of this process has cleared

    def failed(self, error: BaseException) -> None:
        """A run failed. A signal or a defect is none of a sync's failures."""
        self._in_doubt = True
        if not isinstance(error, FerryError) or isinstance(error, _NOT_OF_THE_TABLE):
            return
        if isinstance(error, GridDBError) and error.concerns_all:
            return
        with suppress(FerryError):
            if self._state.runs.get(self._table) is not None:
                self._state.failures.met(self._table, sync_failure(error, now=utc_now()))

    @property
    def standing(self) -> bool:
        """Whether a failure is remembered; also where that is not readable. Raises: GridDBError."""
        try:
            return self._state.failures.get(self._table) is not None
        except CheckpointError:
            return True

    def checkpointed(self) -> None:
        """A run without an end stored something: it works. Asked for once, not at each checkpoint."""
        if self._in_doubt:
            self.ended_well()

    def ended_well(self) -> None:
        """A run came to its end."""
        with suppress(FerryError):
            self._state.failures.clear(self._table)
            self._in_doubt = False
