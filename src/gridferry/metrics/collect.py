"""What loads and syncs do, as Prometheus counts it: a listener of the engine's events, with a registry of its own.

Labels are table, mode, and small closed sets; never a container, of which there may be 100,000. Needs the extra
`metrics`, so nothing else of the engine imports this module.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from gridferry import __version__
from gridferry.engine.events import (
    BatchStored,
    Checkpointed,
    ChunkDone,
    Event,
    LoadStarted,
    RowsPut,
    SlotSeen,
    SyncEnded,
    SyncStarted,
    TableFailed,
    TableLeftOut,
    TableLoad,
)
from gridferry.metrics.levels import Level
from gridferry.model.outcomes import SyncOutcome
from gridferry.model.table_life import Stage
from gridferry.plan.sync_options import SyncMode

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WAL_STATUSES = ("reserved", "extended", "unreserved", "lost")
LOAD = "load"
_FAILED = (SyncOutcome.FAILED, SyncOutcome.TRY_LATER)
_OF = ("table", "mode")


class RunMetrics:
    """Hears events, from any thread; `registry` holds what came of them. Two of these share nothing."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: dict[tuple[str, str], Level] = {}
        self._modes: dict[str, str] = {}
        self._rows = {
            "read": self._counter("rows_read", "Rows, in mode cdc changes, read from the source and checkpointed."),
            "written": self._counter("rows_written", "Rows put into the target."),
            "deleted": self._counter("rows_deleted", "Rows deleted from the target."),
            "superseded": self._counter("rows_superseded", "Rows superseded by another of their row key."),
            "quarantined": self._counter("rows_quarantined", "Rows quarantined because the target cannot hold them."),
            "created": self._counter("containers_created", "Containers made for new split values."),
        }
        self._changes = Counter(
            "gridferry_changes", "Changes read from the log, by kind.", ("table", "kind"), registry=self.registry
        )
        self._runs = Counter(
            "gridferry_runs", "Runs that ended, by outcome.", (*_OF, "outcome"), registry=self.registry
        )
        self._up = self._gauge("up", "1 while the last that was heard of the table is good, 0 after an error.")
        self._failing = Gauge(
            "gridferry_failing",
            "1 for the error that ended the last run, until a checkpoint or a run that ends well; 0 for others.",
            (*_OF, "error"),
            registry=self.registry,
        )
        self._failures: dict[tuple[str, str], str] = {}
        self._failed_at = self._gauge("last_failure_timestamp_seconds", "When a run last failed.")
        self._running = self._gauge("running", "1 while a run is at work.")
        self._success = self._gauge(
            "last_success_timestamp_seconds", "When a run last ended well, or a stream last wrote a checkpoint."
        )
        self._lag = self._gauge(
            "lag_seconds", "At most so old is the state of the source that the target shows; asked at each scrape."
        )
        self._waiting = self._gauge("lag_rows", "Rows that the last look at the source found and that are not stored.")
        self._lag_bytes = self._of_table("lag_bytes", "Log between the last checkpoint and the end last seen.")
        self._position = self._of_table("position_lsn_bytes", "Where the stored changes end in the log, as a number.")
        self._kept = self._of_slot("slot_kept_bytes", "Log that PostgreSQL keeps for the slot.")
        self._safe = self._of_slot("slot_safe_bytes", "How much may still be logged before the slot is in danger.")
        self._status = Gauge(
            "gridferry_slot_wal_status",
            "1 for the slot's wal_status, 0 for the others.",
            ("table", "slot", "wal_status"),
            registry=self.registry,
        )
        self._stage = Gauge(
            "gridferry_table_stage",
            "1 for where the table is, as this process heard last, 0 for where it was before.",
            ("table", "stage"),
            registry=self.registry,
        )
        self._stages: dict[str, Stage] = {}
        self._put = self._histogram("put_duration_seconds", "Time that the puts and deletes of one batch took.")
        self._flush = self._histogram("flush_duration_seconds", "Time until one batch was on the target's disk.")
        self._planned = self._of_table("load_rows", "Rows that the load is to copy, those of earlier runs included.")
        self._chunks = self._of_table("load_chunks", "Chunks of the load.")
        self._chunks_done = self._of_table("load_chunks_done", "Chunks that no resume will read again.")
        build = Gauge("gridferry_build_info", "Always 1.", ("version", "python"), registry=self.registry)
        build.labels(__version__, platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)
        self._hears: dict[type, Callable[[Any], None]] = {
            SyncStarted: self._sync_started,
            BatchStored: self._stored,
            Checkpointed: self._checkpointed,
            SlotSeen: self._slot_seen,
            SyncEnded: self._sync_ended,
            LoadStarted: self._load_started,
            RowsPut: self._rows_put,
            ChunkDone: self._chunk_done,
            TableLoad: self._load_ended,
            TableFailed: self._failed,
            TableLeftOut: self._left_out,
        }

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        hear = self._hears.get(type(event))
        if hear is not None:
            with self._lock:
                hear(event)

    def _sync_started(self, event: SyncStarted) -> None:
        of = (event.table, event.mode)
        self._modes[event.table] = event.mode
        if of not in self._levels:
            self._levels[of] = Level()
            self._up.labels(*of).set(1)
            for counter in self._rows.values():
                counter.labels(*of)
            for outcome in _FAILED:
                self._runs.labels(*of, outcome.replace(" ", "_"))
        self._running.labels(*of).set(1)
        if self._stages.get(event.table) is not Stage.IN_STEP:
            self._is_at(event.table, Stage.CATCH_UP)

    def _left_out(self, event: TableLeftOut) -> None:
        self._is_at(event.table, event.stage)

    def _is_at(self, table: str, stage: Stage) -> None:
        before = self._stages.get(table)
        self._stages[table] = stage
        if before is not None:
            self._stage.labels(table, before.value.replace(" ", "_")).set(0)
        self._stage.labels(table, stage.value.replace(" ", "_")).set(1)

    def _stored(self, event: BatchStored) -> None:
        of = (event.table, self._modes.get(event.table, LOAD))
        self._put.labels(*of).observe(event.put_s)
        self._flush.labels(*of).observe(event.flush_s)

    def _checkpointed(self, event: Checkpointed) -> None:
        of = (event.table, event.mode)
        for name, counter in self._rows.items():
            counter.labels(*of).inc(getattr(event, name))
        for kind in ("inserts", "updates", "deletes", "truncates"):
            if getattr(event, kind):
                self._changes.labels(event.table, kind[:-1]).inc(getattr(event, kind))
        if event.waiting is not None:
            self._waiting.labels(*of).set(event.waiting)
        level = self._levels.setdefault(of, Level())
        level.checkpointed(event)
        if level.position is not None:
            self._position.labels(event.table).set(level.position.value)
            self._compare(event.table, level)
        self._is_level(of, level)
        self._good(of)
        self._is_at(event.table, Stage.IN_STEP)

    def _slot_seen(self, event: SlotSeen) -> None:
        level = self._levels.setdefault((event.table, SyncMode.CDC), Level())
        level.slot_seen(event, now=self._clock())
        self._compare(event.table, level)
        of = (event.table, event.slot)
        for gauge, value in ((self._kept, event.kept_bytes), (self._safe, event.safe_bytes)):
            if value is not None:
                gauge.labels(*of).set(value)
        for status in WAL_STATUSES if event.wal_status else ():
            self._status.labels(*of, status).set(status == event.wal_status)

    def _compare(self, table: str, level: Level) -> None:
        if level.lag_bytes is not None:
            self._lag_bytes.labels(table).set(level.lag_bytes)

    def _is_level(self, of: tuple[str, str], level: Level) -> None:
        """From the first time that it is known, the age is reported at each scrape."""
        if level.level_at:
            self._lag.labels(*of).set_function(lambda: level.lag_s(self._clock()) or 0.0)

    def _sync_ended(self, event: SyncEnded) -> None:
        of = (event.table, event.mode)
        self._running.labels(*of).set(0)
        self._runs.labels(*of, event.outcome.replace(" ", "_")).inc()
        if event.outcome in _FAILED:
            self._bad(of, event.error)
            if event.outcome is SyncOutcome.FAILED:
                self._is_at(event.table, Stage.APART)
        else:
            self._good(of)

    def _bad(self, of: tuple[str, str], error: str) -> None:
        self._up.labels(*of).set(0)
        self._failed_at.labels(*of).set(self._clock())
        self._forget_failure(of)
        self._failures[of] = error
        self._failing.labels(*of, error).set(1)

    def _forget_failure(self, of: tuple[str, str]) -> None:
        known = self._failures.pop(of, None)
        if known is not None:
            self._failing.labels(*of, known).set(0)

    def _good(self, of: tuple[str, str]) -> None:
        self._forget_failure(of)
        self._up.labels(*of).set(1)
        self._success.labels(*of).set(self._clock())

    def _load_started(self, event: LoadStarted) -> None:
        of = (event.table, LOAD)
        self._modes[event.table] = LOAD
        self._rows["written"].labels(*of)
        self._rows["quarantined"].labels(*of)
        self._planned.labels(event.table).set(event.rows)
        self._chunks.labels(event.table).set(event.chunks)
        self._chunks_done.labels(event.table).set(event.done_chunks)
        self._is_at(event.table, Stage.COPY)
        self._running.labels(*of).set(1)

    def _rows_put(self, event: RowsPut) -> None:
        if self._modes.get(event.table) == LOAD:
            self._rows["written"].labels(event.table, LOAD).inc(event.rows)

    def _chunk_done(self, event: ChunkDone) -> None:
        if self._modes.get(event.table) == LOAD:
            self._rows["quarantined"].labels(event.table, LOAD).inc(event.quarantined)
            self._chunks_done.labels(event.table).inc()

    def _load_ended(self, event: TableLoad) -> None:
        of = (event.table, LOAD)
        self._running.labels(*of).set(0)
        self._runs.labels(*of, event.outcome.replace(" ", "_")).inc()
        self._is_at(event.table, Stage.LOADED)
        self._good(of)

    def _failed(self, event: TableFailed) -> None:
        """A load that failed; what failed of a sync is heard from the sync itself."""
        of = (event.table, LOAD)
        if event.doing == LOAD:
            self._running.labels(*of).set(0)
            self._runs.labels(*of, SyncOutcome.FAILED).inc()
            self._bad(of, type(event.error).__name__)

    def _counter(self, name: str, says: str) -> Counter:
        return Counter(f"gridferry_{name}", says, _OF, registry=self.registry)

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(f"gridferry_{name}", says, _OF, registry=self.registry)

    def _of_table(self, name: str, says: str) -> Gauge:
        return Gauge(f"gridferry_{name}", says, ("table",), registry=self.registry)

    def _of_slot(self, name: str, says: str) -> Gauge:
        return Gauge(f"gridferry_{name}", says, ("table", "slot"), registry=self.registry)

    def _histogram(self, name: str, says: str) -> Histogram:
        return Histogram(f"gridferry_{name}", says, _OF, registry=self.registry, buckets=BUCKETS_S)
