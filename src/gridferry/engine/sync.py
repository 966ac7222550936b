"""Keeping loaded tables in step: the modes, and runs without end over several tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from gridferry.checkpoint.state import TargetState
from gridferry.engine.cdc_sync import CdcSync
from gridferry.engine.events import Listener, Note, TableSync
from gridferry.engine.follower import Follower
from gridferry.engine.retry import is_transient
from gridferry.engine.watermark import SyncSettings
from gridferry.engine.watermark_sync import WatermarkSync
from gridferry.errors import ConfigError, FerryError
from gridferry.plan.config import SyncMode, TableOptions
from gridferry.source.postgres.source import PostgresSource

_WAKE_S = 0.2
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
    """The tables whose slot may be made anew: those named, else those in mode cdc. Raises: ConfigError."""
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


def follow_all(
    followers: Sequence[Follower],
    *,
    interval_s: float,
    until: Callable[[], bool],
    failed: threading.Event,
    listener: Listener,
) -> list[TableSync]:
    """Tables of endless modes each in a thread of its own, the others in runs one after the other, until `until`.

    `failed` is set as soon as one cannot go on; `until` has to look at it. Raises: the first error that will not pass.
    """
    done: list[TableSync] = []
    errors: list[Exception] = []

    def follow(chosen: Sequence[Follower]) -> None:
        try:
            done.extend(run_without_end(chosen, interval_s=interval_s, until=until, listener=listener))
        except Exception as error:  # raised again where the caller waits
            errors.append(error)
            failed.set()

    streams = [[each] for each in followers if each.endless]
    # Daemons: whoever ends the process at once does not wait for a target that does not answer. Nothing is lost by it.
    threads = [threading.Thread(target=follow, args=(each,), name="gridferry-follow", daemon=True) for each in streams]
    for thread in threads:
        thread.start()
    try:
        follow([each for each in followers if not each.endless])
        for thread in threads:
            thread.join()
    except BaseException:  # a second signal
        failed.set()
        raise
    if errors:
        raise errors[0]
    return done


def run_without_end(
    followers: Sequence[Follower],
    *,
    interval_s: float,
    until: Callable[[], bool],
    listener: Listener,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[TableSync]:
    """Runs over all tables, one beginning every `interval_s`, until `until` says so. Returns each table's sum.

    What may pass (a server away, a lease held) is told and tried again at the next turn; other errors are raised.
    """
    sums: dict[int, TableSync] = {}
    while followers and not until():
        again = clock() + interval_s
        for number, each in enumerate(followers):
            if until():
                break
            try:
                done = each.run(follow=True)
            except FerryError as error:
                if not is_transient(error):
                    raise
                listener(Note("sync", f"{error.message}; tried again in {interval_s:g} s", "warning"))
                again = clock() + interval_s
                continue
            listener(done)
            sums[number] = done if number not in sums else _sum(sums[number], done)
        while not until() and (left := again - clock()) > 0:
            sleep(min(left, _WAKE_S))
    return [sums[number] for number in sorted(sums)]


def _sum(before: TableSync, now: TableSync) -> TableSync:
    return replace(
        now,
        outcome=now.outcome if now.outcome != "nothing new" else before.outcome,
        read=before.read + now.read,
        rows=before.rows + now.rows,
        octets=before.octets + now.octets,
        seconds=before.seconds + now.seconds,
        quarantined=before.quarantined + now.quarantined,
        superseded=before.superseded + now.superseded,
        deleted=before.deleted + now.deleted,
        touched=max(before.touched, now.touched),
        created=before.created + now.created,
        notes=tuple(dict.fromkeys(before.notes + now.notes)),
    )
