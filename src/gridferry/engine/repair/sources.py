"""Sources that took the place of those that a migration's tables are from: looked at, and taken over."""

from __future__ import annotations

from collections.abc import Sequence

from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import TableSync
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.repair.new_source import DEFAULT_SETTLE_S, NewSource, TakeOver

_THEN = "gridferry sync --new-source"


class Sources:
    """The sources of tables. Tables are named as in the config; where none is named, all."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def look(self, tables: Sequence[str] = ()) -> list[NewSource]:
        """How the sources of loaded tables relate to those that they are from. Changes nothing.

        Raises: ConfigError for a table that was not loaded; CheckpointError for other options; SourceError.
        """
        state = self._endpoints.session.to_take_over()
        return self._of(state).look(self._endpoints.tables.standing(state, tables, then=_THEN).tables)

    def take_over(
        self, tables: Sequence[str] = (), *, wait_s: float = 0.0, settle_s: float = DEFAULT_SETTLE_S
    ) -> list[TableSync]:
        """Let the config's source take the place of the earlier one of each table, and sync those that are followed.

        Args: wait_s: how long to wait for another run on a table to end; settle_s: how long to look again at rows that
            differ while the new source is written to.
        Raises: DataError if the two sides are not equal in the end; LeaseHeld; any FerryError of either side.
        """
        state = self._endpoints.session.to_take_over()
        chosen = self._endpoints.tables.standing(state, tables, then=_THEN).tables
        return self._of(state).run(chosen, wait_s=wait_s, settle_s=settle_s)

    def _of(self, state: TargetState) -> TakeOver:
        return TakeOver(state, self._endpoints.source, self._endpoints.tell)
