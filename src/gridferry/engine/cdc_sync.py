"""Mode cdc as the sync sees it: what a table needs before a run, the runs, and how it stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.positions import CdcRecord
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.cdc import MODE, CdcRun
from gridferry.engine.events import Listener, Note, SyncStatus, TableSync
from gridferry.engine.load import fingerprint
from gridferry.engine.retry import is_transient
from gridferry.engine.slots import guard
from gridferry.engine.watermark import SyncSettings
from gridferry.errors import CheckpointError, ConfigError, FerryError, SlotLost, SourceError
from gridferry.model.position import Lsn
from gridferry.plan.config import SyncMode, SyncOptions, TableOptions
from gridferry.plan.plan import OnBadRow, OnDuplicate, TablePlan
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.publications import Published
from gridferry.source.postgres.slots import SlotFacts
from gridferry.source.postgres.source import PostgresSource

_WAKE_S = 0.2
_LOST = "changes since {} are lost: the slot {} {}. Compare and repair, or `gridferry load --replace`"


class CdcSync:
    """`FollowsTable` for mode cdc."""

    def __init__(
        self,
        *,
        source: PostgresSource,
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
        self._table = f"{options.schema_name}.{options.table_name}"

    def run(self, *, follow: bool = False) -> TableSync:
        """One run: what was committed before it began; with `follow` until the settings say stop.

        Raises: ConfigError for a table that is not loaded under a slot; LeaseHeld, SlotInUse; SlotLost; any FerryError.
        """
        with Lease(self._state.documents, self._table, wait_s=self._settings.wait_s) as lease:
            run, plan = self._loaded()
            record = self._state.positions.get(self._table) or CdcRecord(self._table, Lsn.parse(run.start))
            cdc = CdcRun(
                self._state, lease, self._source, options=self._options, settings=self._settings, tell=self._tell
            )
            return cdc.run(run, plan, record, follow=follow)

    def status(self) -> SyncStatus:
        """See `FollowsTable`. What PostgreSQL knows is left out where it cannot be asked."""
        run = self._state.runs.get(self._table)
        if run is None or run.state is not RunState.LOADED:
            return SyncStatus(MODE, "not loaded")
        if not run.slot:
            return SyncStatus(
                MODE, "not followed", notes=("it has no replication slot: see `gridferry load --replace`",)
            )
        record = self._state.positions.get(self._table) or CdcRecord(self._table, Lsn.parse(run.start))
        state = "idle" if record.runs else "not begun"
        if record.last_started and not record.last_finished:
            state = "interrupted"
        standing = SyncStatus(
            mode=MODE,
            state=state,
            position=str(record.position),
            as_of=record.as_of,
            lag_seconds=_age_s(record.as_of),
            runs=record.runs,
            last_started=record.last_started,
            last_finished=record.last_finished,
            last_read=record.last_read,
            read=record.read,
            written=record.written,
            deleted=record.deleted,
            slot=run.slot,
        )
        try:
            return self._with_slot(standing, ChangeFeed(self._source.address).facts(run.slot))
        except SourceError as error:
            return replace(standing, notes=(f"the source was not asked how the slot stands: {error.message}",))

    def _with_slot(self, status: SyncStatus, facts: SlotFacts | None) -> SyncStatus:
        if facts is None:
            return replace(status, state="lost", notes=(_LOST.format(status.position, status.slot, "is gone"),))
        notes: list[str] = []
        if facts.lost:
            why = facts.invalidated or "lost its log"
            notes.append(_LOST.format(status.position, facts.name, f"is of no use: {why}"))
        else:
            notes += self._guarded(facts)
        publishing = ChangeFeed(self._source.address).publishing(self._options.schema_name, self._options.table_name)
        if publishing.published is Published.INSERTS:
            notes.append(f"only inserts are followed: {publishing.reason}. For the rest: {publishing.advice}")
        return replace(
            status,
            state="lost" if facts.lost else status.state,
            confirmed="" if facts.confirmed is None else str(facts.confirmed),
            lag_bytes=max(0, facts.current.value - Lsn.parse(status.position).value),
            kept_bytes=facts.kept_bytes,
            wal_status=facts.wal_status or "",
            notes=tuple(notes),
        )

    def _guarded(self, facts: SlotFacts) -> list[str]:
        try:
            return list(guard(facts, self._options.sync or SyncOptions(mode=SyncMode.CDC)))
        except FerryError as error:
            return [error.message]

    def _loaded(self) -> tuple[LoadRun, TablePlan]:
        run = self._state.runs.get(self._table)
        if run is None or run.state is not RunState.LOADED or run.plan is None:
            raise ConfigError(
                f"{self._table} was not loaded into this target to its end",
                state="nothing was changed",
                next_step="run `gridferry load` first: a sync goes on from its snapshot",
            )
        if not run.slot:
            raise SlotLost(
                f"{self._table} has no replication slot: it was dropped, or the table was loaded without mode cdc",
                state="the target is as it was; changes since then cannot be read any more",
                next_step="run `gridferry load --replace`, which makes a slot and loads anew",
            )
        allowed = {
            fingerprint(self._options.model_copy(update={"on_duplicate": duplicate, "on_bad_row": bad}))
            for duplicate in OnDuplicate
            for bad in OnBadRow
        }
        if run.options not in allowed:
            raise CheckpointError(
                f"{self._table} was loaded with another plan: its options in the config have changed",
                state="nothing was changed",
                next_step="put them back as they were, or load anew with `gridferry load --replace`",
            )
        options = self._options
        return run, replace(run.plan, on_duplicate=options.on_duplicate, on_bad_row=options.on_bad_row)


def follow_without_end(
    followers: Sequence[CdcSync],
    *,
    interval_s: float,
    until: Callable[[], bool],
    failed: threading.Event,
    listener: Listener,
) -> Callable[[], list[TableSync]]:
    """Follow tables side by side, each in a thread, until `until` says so or one of them fails for good.

    What may pass (a server away, a lease held) is told, and tried again after `interval_s`. Returns a function that
    waits for their ends; it raises the first error that will not pass. `failed` is set when there is one.
    """
    done: list[TableSync] = []
    errors: list[BaseException] = []

    def follow(follower: CdcSync) -> None:
        try:
            while not until():
                try:
                    done.append(follower.run(follow=True))
                except FerryError as error:
                    if not is_transient(error):
                        raise
                    listener(Note("sync", f"{error.message}; tried again in {interval_s:g} s", "warning"))
                    _sleep(interval_s, until)
        except BaseException as error:  # raised again where the caller waits
            errors.append(error)
            failed.set()

    threads = [threading.Thread(target=follow, args=(each,), name="gridferry-follow") for each in followers]
    for thread in threads:
        thread.start()

    def wait() -> list[TableSync]:
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return done

    return wait


def _sleep(seconds: float, until: Callable[[], bool]) -> None:
    again = time.monotonic() + seconds
    while not until() and time.monotonic() < again:
        time.sleep(_WAKE_S)


def _age_s(stamp: str) -> float | None:
    if not stamp:
        return None
    then = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return max(0.0, (datetime.now(timezone.utc) - then).total_seconds())
