"""The stage of a table, from what the target and the source say of it."""

from __future__ import annotations

from gridferry.checkpoint.standings import Standing, StandingKind
from gridferry.engine.standing import SyncStatus, TableStatus
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.model.table_life import Stage, TableLife


def life_of(status: TableStatus, *, standing: Standing | None, gone: str = "", stream: str = "") -> TableLife:
    """Where a table is.

    Args: gone: why the source does not have it any more, "" where it does, or was not asked; stream: the slot that
        follows all tables, where several are followed by one.
    """
    if standing is not None and standing.kind is StandingKind.REMOVED:
        return TableLife(Stage.REMOVED, standing.since, "it is not followed, by somebody's wish")
    if gone:
        return TableLife(Stage.GONE, "", gone)
    if standing is not None:
        failure = None if status.sync is None else status.sync.failure
        why = standing.said if failure is None else f"{standing.said}. It ended with: {failure.message}"
        return TableLife(Stage(standing.kind.value), standing.since, f"it {why}")
    if status.state in (LoadState.PLANNED, LoadState.NOT_BEGUN):
        return TableLife(Stage.PLANNED)
    if status.state is not LoadState.LOADED:
        why = "it was interrupted: `gridferry load` goes on" if status.state is LoadState.INTERRUPTED else ""
        return TableLife(Stage.COPY, status.started_at, why)
    if status.sync is None:
        return TableLife(Stage.LOADED, status.finished_at)
    return _followed(status.sync, loaded_at=status.finished_at, stream=stream)


def _followed(sync: SyncStatus, *, loaded_at: str, stream: str) -> TableLife:
    if sync.failure is not None and not sync.failure.try_again:
        return TableLife(Stage.APART, sync.failure.since, sync.failure.message)
    if sync.state in (SyncState.LOST, SyncState.NOT_FOLLOWED):
        return TableLife(Stage.APART, "", sync.notes[-1] if sync.notes else "it has no slot")
    if sync.state is SyncState.NOT_BEGUN:
        return TableLife(Stage.CATCH_UP, loaded_at, "it was not synced since its load")
    if stream and sync.slot not in ("", stream):
        return TableLife(Stage.CATCH_UP, loaded_at, "by a slot of its own, until it is followed with the others")
    return TableLife(Stage.IN_STEP, sync.as_of)
