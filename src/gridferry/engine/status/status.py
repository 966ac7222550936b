"""The status of a migration: its tables, their containers, their quarantined rows. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gridferry.engine.life.unneeded_slots import UnneededSlot, unneeded_slots
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.slots import stream_slot_of
from gridferry.engine.standing import ContainerState, ContainerStatus, QuarantinedRow, TableStatus
from gridferry.engine.status.check import Checked, checked
from gridferry.engine.status.tables import TableStates
from gridferry.errors import CheckpointError
from gridferry.model.failed_tables import SomeTablesFailed


@dataclass(frozen=True)
class LeftOver:
    """Loaded tables that the config does not have, and slots that nothing needs."""

    tables: tuple[str, ...]
    slots: tuple[UnneededSlot, ...]


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

    def left_over(self) -> LeftOver:
        """What the target and the source still have for tables that the config does not have any more.

        Raises: GridDBError, SourceError, CheckpointError.
        """
        state = self._endpoints.look_at_state()
        strays = self._endpoints.tables.strays(state)
        return LeftOver(tuple(strays), tuple(unneeded_slots(self._endpoints, state)))

    def check(self, tables: Sequence[str] = (), *, max_lag_s: float) -> Checked:
        """Whether each table is loaded, followed as the config says, and not more than `max_lag_s` behind.

        Raises: what concerns all tables alike; what is wrong with one of several is in what is returned.
        """
        failed: SomeTablesFailed | None = None
        try:
            found = self.tables(tables)
        except SomeTablesFailed as error:
            found, failed = error.done, error
        return checked(found, failed, max_lag_s=max_lag_s, level_at=self._level_at)

    def _level_at(self, table: str) -> str:
        """Up to when a table had all of the source, as the history of its syncs says; "" where it does not."""
        try:
            samples = self._endpoints.look_at_state().history.get(table)
        except CheckpointError:  # the next sync begins another one
            return ""
        return samples[-1].as_of if samples else ""

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
        ends = self._endpoints
        return TableStates(
            ends.source,
            state,
            ends.tell,
            notes=lambda: session.identity.notes,
            stream=lambda: stream_slot_of(ends.feed, state) if ends.follows_many else "",
        )
