"""What a demo leaves in a GridDB of the user's own: written down first, so that exactly that can be taken away again.

The container `gridferry_demo` names every container that a demo made. A container of the same name that is not in it
belongs to somebody else and stops the demo.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from gridferry.checkpoint.state import OWN_CONTAINERS, TargetState
from gridferry.engine.repair.undo import forget_repair
from gridferry.errors import TargetNotEmpty
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType, Store
from gridferry.model.migration import DatabaseOrigin, MigrationEntry

MARK_CONTAINER = "gridferry_demo"
_MARK_SCHEMA = ContainerSchema(
    ContainerKind.COLLECTION, (ColumnSpec("container", GridType.STRING, nullable=False),), key_length=1
)

_NOBODY = MigrationEntry("none", "", DatabaseOrigin("", 0))


class Footprint:
    """The demo's containers of one table in one target."""

    def __init__(self, store: Store, *, table: str, containers: Sequence[str]) -> None:
        self._store = store
        self._table = table
        self._containers = tuple(containers)

    def claim(self, *, replace: bool) -> None:
        """Write down what the demo is about to make, and take away what an earlier demo left.

        Args: replace: take away containers of these names also if no demo made them, unless a migration has them.
        Raises: TargetNotEmpty for such containers, or a table of this name that was loaded by somebody else.
        """
        ours = self._marked()
        standing = {c.name for c in self._store.open_containers(self._containers).values() if c is not None}
        loaded = self._loaded()
        claimed = {name for state in loaded for name in _names(state, self._table)}
        foreign = sorted(name for name in standing | claimed if name.lower() not in ours)
        if foreign and (not replace or not claimed.isdisjoint(foreign)):
            names = ", ".join(foreign[:5])
            raise TargetNotEmpty(
                f"{self._store.cluster.address} holds containers that no demo made: {names}",
                state="nothing was changed",
                next_step="choose another database for the demo"
                + ("" if not claimed.isdisjoint(foreign) else "; or, to drop them, run it with --replace"),
            )
        self._clear(loaded, standing)
        mark = self._store.create_container(MARK_CONTAINER, _MARK_SCHEMA)
        mark.put(pa.record_batch([list(self._containers)], schema=_MARK_SCHEMA.arrow_schema))
        mark.flush()

    def erase(self) -> None:
        """Take away what the demo made; gridferry's own containers only if nothing of others is in them."""
        self._clear(self._loaded(), set(self._containers))
        own = [c for c in self._store.open_containers(OWN_CONTAINERS).values() if c is not None]
        empty = [c.name for c, rows in zip(own, self._store.counts(own), strict=True) if rows == 0]
        self._store.drop_containers([*empty, MARK_CONTAINER])

    def _loaded(self) -> list[TargetState]:
        """What the target keeps of each migration that has one of the demo's containers."""
        any_one = TargetState(self._store, lambda: _NOBODY)
        keys = {owner.migration for owner in any_one.catalog.owners(self._containers) if owner.table == self._table}
        return [any_one.of(entry) for entry in any_one.registry.all() if entry.key in keys]

    def _clear(self, loaded: Sequence[TargetState], containers: set[str]) -> None:
        """Drop containers, and what gridferry remembers of the table in these migrations."""
        self._store.drop_containers(sorted(containers.union(*(_names(state, self._table) for state in loaded))))
        for state in loaded:
            state.catalog.remove(state.catalog.entries(self._table))
            state.quarantine.release(self._table, [row.id for row in state.quarantine.rows(self._table)])
            for repair in state.repairs.all(frozenset((self._table,))):
                forget_repair(state, repair.run, record=repair)
            for scope, items in state.documents.scopes("").items():
                if scope.partition(":")[2] == self._table:
                    state.documents.delete(scope, list(items))
            rest = state.documents.scopes("")
            if all(scope.startswith("mark:") for scope in rest):  # of slots that are gone
                for scope in rest:
                    state.documents.delete_scope(scope)
            if not state.documents.scopes("") and not state.catalog.entries():
                state.registry.forget(state.whose().key)

    def _marked(self) -> set[str]:
        mark = self._store.open_container(MARK_CONTAINER)
        if mark is None:
            return set()
        return {name.lower() for batch in mark.scan().batches() for name in batch.column("container").to_pylist()}


def _names(state: TargetState, table: str) -> set[str]:
    return {entry.container for entry in state.catalog.entries(table)}
