"""Keeping loaded tables in step: the modes, and one run over several tables (without end: `engine.sync.tables`)."""

from __future__ import annotations

from collections.abc import Sequence

from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import SYNC, try_each
from gridferry.engine.events import Listener, TableSync
from gridferry.engine.sync.cdc.mode import CdcSync
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.sync.watermark.mode import WatermarkSync
from gridferry.errors import ConfigError
from gridferry.plan.config import SyncMode, TableOptions
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


def followed(tables: Sequence[TableOptions], *, named: bool) -> list[TableOptions]:
    """The tables to sync: all that were named, else those with a `sync` in the config. Raises: ConfigError for none."""
    chosen = [options for options in tables if named or options.sync is not None]
    if not chosen:
        raise ConfigError(
            "no table in the config is to be followed",
            next_step="add `sync: {mode: watermark}` or `sync: {mode: cdc}` to a table",
        )
    return chosen


def to_renew(tables: Sequence[TableOptions], *, named: bool, follow: bool) -> list[TableOptions]:
    """The tables whose slot may be made again: those named, else those in mode cdc. Raises: ConfigError."""
    if follow:
        raise ConfigError(
            "a new slot is made once, not again and again",
            state="nothing was changed",
            next_step="sync with the new slot first, then without end",
        )
    chosen = [options for options in tables if named or is_cdc(options)]
    if not chosen:
        raise ConfigError(
            "no table in the config is followed by mode cdc",
            state="nothing was changed",
            next_step="set `sync: {mode: cdc}` for a table, or leave --new-slot out",
        )
    return chosen


def is_cdc(options: TableOptions) -> bool:
    """Whether the config asks for mode cdc."""
    return options.sync is not None and options.sync.mode is SyncMode.CDC


def sync_tables(followers: Sequence[Follower], *, tell: Listener) -> list[TableSync]:
    """One bounded run over each table; one that fails does not stop the others.

    Raises: the error of the only table; SomeTablesFailed after all others were synced, its `done` a list of TableSync.
    """

    def run(each: Follower) -> TableSync:
        done = each.run()
        tell(done)
        return done

    tried = try_each(followers, run, name=lambda each: each.table, doing=SYNC, tell=tell)
    tried.require(SYNC)
    return list(tried.done)
