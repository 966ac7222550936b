"""How a loaded table is followed: the modes, and what follows a table in the one that its options ask for."""

from __future__ import annotations

from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Listener
from gridferry.engine.sync.cdc.mode import CdcSync
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.sync.watermark.mode import WatermarkSync
from gridferry.errors import ConfigError
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.source import PostgresSource

MODES: dict[SyncMode, type[Follower]] = {SyncMode.WATERMARK: WatermarkSync, SyncMode.CDC: CdcSync}


def follower(
    source: PostgresSource, state: TargetState, options: TableOptions, *, settings: SyncSettings, listener: Listener
) -> Follower:
    """What follows a table in the mode that its options ask for. Raises: ConfigError where they ask for none."""
    if options.sync is None:
        raise ConfigError(
            f"the config does not say how to follow {options.table}",
            next_step="add `sync: {mode: watermark}` or `sync: {mode: cdc}` to the table",
        )
    mode = MODES[options.sync.mode]
    return mode(source=source, state=state, options=options, settings=settings, listener=listener)
