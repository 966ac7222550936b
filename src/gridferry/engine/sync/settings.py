"""How to sync: what both modes are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gridferry.engine.sync.left_out import LeftOut


@dataclass(frozen=True)
class SyncSettings:
    """How to sync. `sweep` looks at the whole table, not only at the lookback; `wait_s` waits for another run's end.

    `stop` is asked between chunks; True ends the run after the checkpoint. `new_slot`: mode cdc makes a new slot where
    its own is lost. `taking_over`: the source was accepted in another's place, and is being compared. `resyncing`: the
    table is being brought back, and left out by others meanwhile. `left_out` knows, for all tables of a sync, what is
    left out. `stops`: the first table that cannot go on ends the run, rather than be set apart.
    """

    sweep: bool = False
    wait_s: float = 0.0
    rows_per_chunk: int = 100_000
    stop: Callable[[], bool] = lambda: False
    new_slot: bool = False
    taking_over: bool = False
    resyncing: bool = False
    left_out: LeftOut | None = None
    stops: bool = False
