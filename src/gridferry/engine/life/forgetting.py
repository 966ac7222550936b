"""What the target keeps of a table, forgotten; its containers stay, and are nobody's then."""

from __future__ import annotations

from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.replace_advice import Droppable, droppable
from gridferry.errors import CheckpointError


def forget_records(state: TargetState, table: str) -> None:
    """Forget how far a table is followed, what was found of it, and its repairs. Its load stays, and its containers.

    Only under the table's lease.
    """
    for repair in state.repairs.all(frozenset({table})):
        # First the journal: while the record exists, the same call can be made again.
        state.journal.forget(repair.run, entries=repair.entries + 1)
        state.repairs.forget(repair.run)
    state.quarantine.release(table, [row.id for row in state.quarantine.rows(table)])
    for forget in (
        state.cursors.forget,
        state.tallies.forget,
        state.verifications.forget,
        state.history.forget,
        state.failures.forget,
        state.parts.forget,
    ):
        forget(table)


def forget_load(state: TargetState, table: str) -> None:
    """Forget a table's load, and claim its containers no more.

    Last of all: until then the same call can be made again.
    """
    listed = state.catalog.entries(table)
    owned = set(state.catalog.owners([entry.container for entry in listed]))
    state.catalog.remove([entry for entry in listed if entry in owned])
    state.origins.forget(table)
    state.runs.forget(table)


def drop_containers(state: TargetState, table: str) -> Droppable:
    """Drop the containers that are proven to be a table's own. Only under its lease. Returns: what there was."""
    (held,) = droppable(state, [table])
    try:
        run = state.runs.get(table)
    except CheckpointError:
        run = None
    ours, _ = state.catalog.told_apart(table, (None if run is None else run.plan,))
    state.store.drop_containers(ours)
    return held
