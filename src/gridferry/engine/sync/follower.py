"""One table that is followed, whatever the mode: the lease, what a run goes by, and the state of the table."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar, NoReturn

from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.progress import Progress
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Checkpointed, Event, Listener, SyncEnded, SyncStarted, TableSync
from gridferry.engine.ownership.lineage import KnowsOrigin, unfinished
from gridferry.engine.ownership.origin_check import Loaded, take_up
from gridferry.engine.retry import is_transient
from gridferry.engine.slots import drop_spare
from gridferry.engine.standing import SyncStatus
from gridferry.engine.sync.failure_record import FailureRecord
from gridferry.engine.sync.history import SyncHistory
from gridferry.engine.sync.settings import SyncSettings
from gridferry.errors import CheckpointError, FerryError, GridDBError, OtherSource, SourceError
from gridferry.model.outcomes import SyncOutcome, SyncState
from gridferry.model.sync_failure import sync_failure
from gridferry.model.table import Table
from gridferry.plan.coverage import coverage_of
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.source import PostgresSource


class Follower(ABC):
    """One table that is followed; a mode says how. A run of an `endless` mode goes on until asked to stop."""

    mode: ClassVar[SyncMode]
    endless: ClassVar[bool] = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What the mode does not see of any table."""
        return ()

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
        self._listener = listener
        self.table = options.qualified
        self.let_in = False  # the source let the last run in
        self._started = time.monotonic()
        self._failures = FailureRecord(state, self.table)
        self._history = SyncHistory(state.history, self.table, tell=listener)

    def run(self, *, follow: bool = False) -> TableSync:
        """One run: everything committed before it began; with `follow`, in an endless mode, until asked to stop.

        Takes the table's lease for its time. Raises: ConfigError for a table that is not loaded; CheckpointError if
        it was loaded with other options; LeaseHeld; any FerryError.
        """
        self.begun()
        try:
            done = self._run_leased(follow=follow)
        except BaseException as error:
            self.failed(error)
            raise
        self.ended(done)
        return done

    @property
    def is_failing(self) -> bool:
        """Whether it is kept that the last sync has failed: until one ends well, or the table is brought back."""
        return self._failures.standing

    def begun(self) -> None:
        """Report that a run begins."""
        self.let_in = False
        self._started = time.monotonic()
        self._tell(SyncStarted(self.table, self.mode))

    def failed(self, error: BaseException) -> None:
        """Report, and keep, that the run has failed."""
        self._failures.failed(error)
        outcome = SyncOutcome.TRY_LATER if is_transient(error) else SyncOutcome.FAILED
        seconds = time.monotonic() - self._started
        self._tell(SyncEnded(self.table, self.mode, outcome, seconds, type(error).__name__))

    def refused(self, error: FerryError) -> NoReturn:
        """Report, and keep, that the run cannot even begin. Raises: the error."""
        self.begun()
        self.failed(error)
        raise error

    def cut_short(self) -> None:
        """Report that the run was ended because another table cannot go on. The next goes on from the checkpoint."""
        self._tell(SyncEnded(self.table, self.mode, SyncOutcome.STOPPED, time.monotonic() - self._started))

    def ended(self, done: TableSync) -> None:
        """Report, and keep, that the run has come to its end."""
        self._failures.ended_well()
        self._tell(SyncEnded(self.table, self.mode, done.outcome, time.monotonic() - self._started))

    def _tell(self, event: Event) -> None:
        if self.endless and isinstance(event, Checkpointed):
            self._failures.checkpointed()
        self._listener(event)

    def covered(self, done: TableSync, table: Table, *, held: int | None = None) -> TableSync:
        """What of the table is in the target after a run; columns that the run took over are in its plan then.

        Args: held: how many of its rows are in the quarantine, where that is known.
        """
        run = self._state.runs.get(done.table)
        if run is None or run.plan is None:
            return done
        covered = coverage_of(run.plan, table=table, options=self._options)
        held = self._state.quarantine.total(done.table) if held is None else held
        return replace(done, coverage=replace(covered, quarantined=held))

    def status(self, *, ask_source: bool = True) -> SyncStatus:
        """How far the table is followed; changes nothing. What only the source knows is left out where it is away."""
        run = self._state.runs.get(self.table)
        if run is None or run.state is not RunState.LOADED:
            return SyncStatus(self.mode, SyncState.NOT_LOADED, notes=self.notes)
        standing = self._with_failure(self._standing(run))
        if not ask_source:
            return standing
        try:
            return self._asked(standing, run)
        except OtherSource as error:
            note = f"{error.message}. Next: {error.next_step}"
            return replace(standing, notes=(*standing.notes, note), unasked=sync_failure(error, now=utc_now()))
        except (SourceError, CheckpointError) as error:
            note = f"the source was not asked for its state: {error.message}"
            return replace(standing, notes=(*standing.notes, note), unasked=sync_failure(error, now=utc_now()))

    def _with_failure(self, standing: SyncStatus) -> SyncStatus:
        """With how the last sync failed, where it did and none has ended well since."""
        try:
            failure = self._state.failures.get(self.table)
        except CheckpointError as error:
            return replace(standing, notes=(*standing.notes, f"{error.message}: {error.next_step}"))
        return standing if failure is None else replace(standing, state=SyncState.FAILED, failure=failure)

    def waiting(self) -> dict[str | None, int] | None:
        """Rows in the source that the next run brings, by split value; None where the mode cannot know.

        Raises: ConfigError, CheckpointError as `run`; SourceError.
        """
        return None

    def _run_leased(self, *, follow: bool) -> TableSync:
        self._loaded()  # another source is refused before anything is written, the lease too
        (table,) = self._source.fetch_tables([self._options.table])
        self.let_in = True
        with with_next_step(), self._state.lease(table.qualified, wait_s=self._settings.wait_s) as lease:
            done = self.covered(self._run(lease, self._taken_up(table), follow=follow), table)
            self._history.ended(done, last=self.endless or not follow or self._settings.stop())
            return done

    def _taken_up(self, table: Table, source: KnowsOrigin | None = None) -> Loaded:
        """The finished load of the table as the catalog has it now, without what is left of others. Under a lease.

        Args: source: says which it is; the source itself where it is None.
        """
        loaded = self._loaded(table, source)
        if loaded.source.record.taking_over and not self._settings.taking_over:
            raise unfinished(self._options)
        if loaded.run.spare:
            run = drop_spare(ChangeFeed(self._source.address), self._state, loaded.run)
            loaded = replace(loaded, run=run)
        return loaded

    @abstractmethod
    def _run(self, lease: Lease, loaded: Loaded, *, follow: bool) -> TableSync:
        """One run of the mode, under the lease."""

    @abstractmethod
    def _standing(self, run: LoadRun) -> SyncStatus:
        """What the target's state says."""

    @abstractmethod
    def _asked(self, standing: SyncStatus, run: LoadRun) -> SyncStatus:
        """The same with what the source says. Raises: SourceError."""

    def _report(self, record: Progress) -> SyncStatus:
        """A record as the status shows it, in every mode."""
        state = SyncState.IDLE if record.runs else SyncState.NOT_BEGUN
        if record.last_started and not record.last_finished:
            state = SyncState.INTERRUPTED
        return SyncStatus(
            mode=self.mode,
            state=state,
            runs=record.runs,
            last_started=record.last_started,
            last_finished=record.last_finished,
            last_read=record.last_read,
            read=record.read,
            written=record.written,
            deleted=record.deleted,
            superseded=record.superseded,
            notes=self.notes,
        )

    def _loaded(self, described: Table | None = None, source: KnowsOrigin | None = None) -> Loaded:
        return take_up(
            self._state,
            self._source if source is None else source,
            self._options,
            left="nothing was changed",
            then="gridferry sync",
            described=described,
        )


@contextmanager
def with_next_step() -> Iterator[None]:
    """Let an error of the target say what was left and what to do, where it does not."""
    try:
        yield
    except GridDBError as error:
        error.state = error.state or "what was checkpointed stays; nothing is lost: the next run goes on from there"
        error.next_step = error.next_step or "see what the target says and fix that; then run `gridferry sync` again"
        raise
