"""The status of a migration: its tables, their containers, their quarantined rows. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from gridferry.engine.events import ContainerState, ContainerStatus, QuarantinedRow, TableStatus
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.status.tables import TableStates


class Status:
    """The status of tables. Tables are named as in the config; where none is named, all.

    Raises: the error of the only table; SomeTablesFailed after all others, its `done` what the call returns of them.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def tables(self, tables: Sequence[str] = (), *, ask_source: bool = True) -> list[TableStatus]:
        """What the target's state says of each table, and what waits in the source to be synced."""
        chosen = self._endpoints.known(tables, ask_source=ask_source)
        return self._table_states(ask_source=ask_source).tables(chosen, ask_source=ask_source)

    def container_states(
        self, tables: Sequence[str] = (), *, match: str = "", known: Sequence[TableStatus] = ()
    ) -> list[ContainerState]:
        """The state of each container of loaded tables.

        Args: match: a pattern for names or split values; known: what `tables` has just said, not to be asked again.
        """
        return self._table_states().container_states(self._endpoints.known(tables), match=match, known=known)

    def containers(self, tables: Sequence[str] = ()) -> list[ContainerStatus]:
        """The containers of the tables, and the rows each holds now."""
        return self._table_states().containers(self._endpoints.known(tables))

    def quarantine(self, tables: Sequence[str] = ()) -> list[QuarantinedRow]:
        """The quarantined rows."""
        return list(self._table_states().quarantined(self._endpoints.known(tables)))

    def _table_states(self, *, ask_source: bool = True) -> TableStates:
        session = self._endpoints.session
        state = session.to_look_at(ask_source=ask_source)
        return TableStates(self._endpoints.source, state, self._endpoints.tell, notes=lambda: session.identity.notes)
