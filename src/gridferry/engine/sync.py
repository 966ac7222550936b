"""Keeping loaded tables in step: the modes, one bounded run over several tables, and runs without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timezone
from typing import Protocol

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.cdc_sync import CdcSync, follow_without_end
from gridferry.engine.events import Listener, Note, SyncStatus, TableSync
from gridferry.engine.retry import is_transient
from gridferry.engine.watermark import MODE, SyncSettings, WatermarkRun, following
from gridferry.errors import ConfigError, FerryError, SourceUnreachable
from gridferry.model.table import Table
from gridferry.plan.config import SyncMode, TableOptions
from gridferry.plan.watermark import BLIND_SPOT
from gridferry.source.contract import FindsNewRows
from gridferry.source.postgres.source import PostgresSource

_WAKE_S = 0.2


class FollowedSource(Protocol):
    """A source whose tables can be followed."""

    def fetch_tables(self, names: Sequence[str] | None = None) -> list[Table]:
        """See `ReadsCatalog`."""

    def open_snapshot(self) -> AbstractContextManager[FindsNewRows]:
        """One state of the source, held until the block ends."""


class FollowsTable(Protocol):
    """What a mode has to do for one table."""

    def run(self) -> TableSync:
        """One bounded run: everything committed before it began. Takes the table's lease for its time."""

    def status(self) -> SyncStatus:
        """How far the table is followed; changes nothing."""


class WatermarkSync:
    """`FollowsTable` for mode watermark."""

    def __init__(
        self,
        *,
        source: FollowedSource,
        state: TargetState,
        options: TableOptions,
        settings: SyncSettings,
        listener: Listener,
    ) -> None:
        self._source = source
        self._state = state
        self._options = options
        self._settings = settings
        self._tell = listener

    def run(self) -> TableSync:
        """See `FollowsTable`. Raises: ConfigError for a table that is not loaded; LeaseHeld; any FerryError."""
        (table,) = self._source.fetch_tables([self._options.table])
        with Lease(self._state.documents, table.qualified, wait_s=self._settings.wait_s) as lease:
            run = self._loaded(table.qualified)
            # After the lease: what another run read meanwhile is older than this snapshot.
            with self._source.open_snapshot() as view:
                by = following(self._state, view, self._options, run)
                return WatermarkRun(self._state, lease, view, self._settings, self._tell).run(by)

    def status(self) -> SyncStatus:
        """See `FollowsTable`. The rows that wait are counted in the source; they are None where it is not there."""
        name = f"{self._options.schema_name}.{self._options.table_name}"
        run = self._state.runs.get(name)
        notes: tuple[str, ...] = (f"{BLIND_SPOT}",)
        if run is None or run.state is not RunState.LOADED:
            return SyncStatus(MODE, "not loaded", notes=notes)
        try:
            with self._source.open_snapshot() as view:
                by = following(self._state, view, self._options, run)
                cursor = by.record.cursor
                lag = view.find_new(by.table, by.plan, column=by.column, cursor=cursor).rows
                age = _seconds_between(cursor.clock, view.snapshot.taken_at)
        except SourceUnreachable as error:
            lag, age = None, None
            record = self._state.cursors.get(name)
            notes += (f"the source was not asked what waits there: {error.message}",)
        else:
            record = by.record
        if record is None:
            return SyncStatus(MODE, "not begun", notes=notes)
        state = "idle" if record.runs else "not begun"
        if record.last_started and not record.last_finished:
            state = "interrupted"
        return SyncStatus(
            mode=MODE,
            state=state,
            column=record.cursor.column,
            position=record.cursor.position or "",
            as_of=record.cursor.clock,
            lag_rows=lag,
            lag_seconds=age,
            runs=record.runs,
            last_started=record.last_started,
            last_finished=record.last_finished,
            last_read=record.last_read,
            read=record.read,
            written=record.written,
            superseded=record.superseded,
            notes=notes,
        )

    def _loaded(self, table: str) -> LoadRun:
        run = self._state.runs.get(table)
        if run is None:
            raise ConfigError(
                f"{table} was not loaded into this target",
                state="nothing was changed",
                next_step="run `gridferry load` first: a sync goes on from its snapshot",
            )
        if run.state is not RunState.LOADED:
            raise ConfigError(
                f"the load of {table} is not finished ({len(run.finished):,} of {len(run.chunks):,} chunks are)",
                state="nothing was changed",
                next_step="run `gridferry load` until it is done, then `gridferry sync`",
            )
        return run


MODES: dict[SyncMode, Callable[..., FollowsTable]] = {SyncMode.WATERMARK: WatermarkSync, SyncMode.CDC: CdcSync}


def follower(
    source: PostgresSource, state: TargetState, options: TableOptions, *, settings: SyncSettings, listener: Listener
) -> FollowsTable:
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


def follow_all(
    followers: Sequence[FollowsTable],
    *,
    interval_s: float,
    until: Callable[[], bool],
    failed: threading.Event,
    listener: Listener,
) -> list[TableSync]:
    """Tables of mode cdc each in a stream of its own, the others in runs one after the other, until `until` says so.

    `failed` is set as soon as one cannot go on; `until` has to look at it. Raises: what it could not go on for.
    """
    streams = [each for each in followers if isinstance(each, CdcSync)]
    others = [each for each in followers if not isinstance(each, CdcSync)]
    wait = follow_without_end(streams, interval_s=interval_s, until=until, failed=failed, listener=listener)
    try:
        done = run_without_end(others, interval_s=interval_s, until=until, listener=listener)
    except BaseException:
        failed.set()
        raise
    finally:
        ended = wait()
    return [*ended, *done]


def run_without_end(
    followers: Sequence[FollowsTable],
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
    while not until():
        began = clock()
        for number, each in enumerate(followers):
            if until():
                break
            try:
                done = each.run()
            except FerryError as error:
                if not is_transient(error):
                    raise
                listener(Note("sync", f"{error.message}; tried again in {interval_s:g} s", "warning"))
                continue
            listener(done)
            sums[number] = done if number not in sums else _sum(sums[number], done)
        while not until() and (left := began + interval_s - clock()) > 0:
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
        touched=max(before.touched, now.touched),
        created=before.created + now.created,
        notes=tuple(dict.fromkeys(before.notes + now.notes)),
    )


def _seconds_between(earlier: str, later: str) -> float | None:
    """Between two stamps as `Snapshot.taken_at` has them; never below 0."""
    try:
        moments = [datetime.strptime(t, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc) for t in (earlier, later)]
    except ValueError:
        return None
    return max(0.0, (moments[1] - moments[0]).total_seconds())
