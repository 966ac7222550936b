"""The target database of one config, connected to when it is first needed, and what it keeps of its migration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from gridferry.checkpoint.registry import keys_of
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Event, Listener, TableFailed
from gridferry.engine.ownership.migration_identity import MigrationIdentity
from gridferry.engine.ownership.replace_advice import complete_advice
from gridferry.engine.ownership.tables import loaded_tables
from gridferry.errors import FerryError, GridDBError
from gridferry.griddb import GridDBAddress, Store, connect
from gridferry.model.migration import DatabaseOrigin, MigrationEntry
from gridferry.model.table import TableName
from gridferry.plan.table_options import TableOptions


class TargetSession:
    """A target and a config's migration in it. `close` ends its connections; a later call opens others.

    Args: `on_lock` is called when a lock of another client is waited for; the others as for `MigrationIdentity`.
    """

    def __init__(
        self,
        address: GridDBAddress,
        *,
        name: str,
        tables: Callable[[Iterable[TableName]], Sequence[TableOptions]],
        origin: Callable[[], DatabaseOrigin],
        place: str = "",
        on_lock: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.address = address
        self._name = name
        self._tables = tables
        self._origin = origin
        self._place = place
        self._on_lock = on_lock
        self._store: Store | None = None
        self._identity: MigrationIdentity | None = None

    @property
    def store(self) -> Store:
        """The database. Raises: GridDBError where it is away."""
        if self._store is None:
            try:
                self._store = connect(self.address)
            except GridDBError as error:
                error.state = error.state or "nothing was changed"
                raise
            self._store.cluster.on_lock = self._on_lock
        return self._store

    @property
    def identity(self) -> MigrationIdentity:
        """Which migration the config means. Raises: GridDBError where the target is away."""
        store = self.store
        if self._identity is None:
            self._identity = MigrationIdentity(
                store, name=self._name, tables=self._tables, origin=self._origin, place=self._place
            )
        return self._identity

    @property
    def state(self) -> TargetState:
        """What the target keeps of the migration, to read and write by: see `MigrationIdentity.entry`."""
        return TargetState(self.store, self.identity.entry)

    def to_look_at(self, *, ask_source: bool = True) -> TargetState:
        """The same where a command only looks: see `MigrationIdentity.looked_up`. It is found out once."""
        identity = self.identity
        return TargetState(self.store, cache(lambda: identity.looked_up(ask_source=ask_source)))

    def to_take_over(self) -> TargetState:
        """The same of the migration that may get another source: see `MigrationIdentity.to_take_over`."""
        entry = self.identity.to_take_over()
        return TargetState(self.store, lambda: entry)

    def whose(self) -> MigrationEntry:
        """The migration; where the target is away, what it most likely says of it. Raises: SourceError."""
        try:
            return self.identity.looked_up(without_source=False)
        except GridDBError:
            origin = self._origin()
            return MigrationEntry(next(keys_of(self._name, origin)), self._name, origin)

    def complete_advice(self, error: FerryError, table: str = "") -> None:
        """Let an error that advises --replace say what that would drop, where the target was reached.

        Args: table: the one that it is of, where that is known.
        """
        if self._store is not None:
            state = self.to_look_at()

            def tables() -> list[str]:
                return [table] if table else [each.qualified for each in self._tables(loaded_tables(state.runs))]

            complete_advice(error, state, tables)

    def completing(self, listener: Listener) -> Listener:
        """The listener, told of a table's failure only once its advice is complete. So is the error of all tables."""

        def tell(event: Event) -> None:
            if isinstance(event, TableFailed):
                self.complete_advice(event.error, event.table)
            listener(event)

        return tell

    def close(self) -> None:
        """Close the connections to the target."""
        if self._store is not None:
            self._store.close()
            self._store = self._identity = None
