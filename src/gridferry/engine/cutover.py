"""Cut-over: is everything there, equal, and still? Drains, looks, verifies, and says what is missing.

It changes nothing at the source and nothing in the application; what it writes into the target is what a sync writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from gridferry import numbers
from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import CUT_OVER, Tried, try_each
from gridferry.engine.events import Listener, ignore
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.ownership.origin_check import changed_options
from gridferry.engine.ownership.replace_advice import completed_or_not
from gridferry.engine.repair.undo import list_repairs
from gridferry.engine.retry import is_transient
from gridferry.engine.scope import other_tables
from gridferry.engine.slots import guard
from gridferry.engine.sync.modes import follower
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.verify.verifications import Verifications
from gridferry.errors import FerryError, LeaseHeld
from gridferry.model import coverage_words
from gridferry.model.coverage import Coverage
from gridferry.model.coverage_words import COLUMNS_STEP, QUARANTINE_STEP, named
from gridferry.model.cutover import NOTHING_ACCEPTED, Accepted, CutoverCheck, CutoverReport, TableCutover
from gridferry.model.position import Lsn
from gridferry.model.repair import RepairState
from gridferry.model.verification import STORED_ARE_EQUAL, TableVerification, Verdict, VerifyReport
from gridferry.plan.coverage import coverage_of
from gridferry.plan.table_options import SyncMode, SyncOptions, TableOptions
from gridferry.source.postgres.catalog.activity import Activity, fetch_activity
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.replication_session import WAY_BACK
from gridferry.source.postgres.source import PostgresSource

T = TypeVar("T")
R = TypeVar("R")
_POLL_S = 0.5
_AGAIN = "then run `gridferry cutover` again"
_QUIET = f"stop what writes to the table (the application), {_AGAIN}"
_UNTOLD = "a view or foreign table does not show whether anything was written"
_UNTOLD_STEP = "stop what writes to the tables behind it, then `gridferry verify`: equal is all that can be known of it"


@dataclass(frozen=True)
class CutoverSettings:
    """How to cut over. `wait_s` is as long as another run is waited for; `configured` are all tables of the config.

    `new` belong to it and are not loaded yet; `left_out` and `removed` as in `CutoverReport`.
    """

    wait_s: float = 0.0
    accepted: Accepted = NOTHING_ACCEPTED
    configured: tuple[TableOptions, ...] = ()
    new: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class CutoverWork:
    """What a cut-over is made of: `sync` runs one bounded sync (with True a sweep) and returns how much it read."""

    sync: Callable[[TableOptions, bool], int]
    verify: Callable[[Sequence[str]], VerifyReport]
    settings: CutoverSettings


@dataclass
class _Table:
    """What is known of one table so far."""

    options: TableOptions
    name: str
    run: LoadRun | None
    before: Activity
    end: Lsn  # of the log when this began
    checks: list[CutoverCheck]
    read: int = 0
    drained: bool = False
    drained_to: str = ""
    verified: TableVerification | None = None
    accepted: list[str] = field(default_factory=list)

    @property
    def coverage(self) -> Coverage:
        """What of it is in the target, as verified; else as planned."""
        if self.verified is not None:
            return self.verified.coverage
        plan = None if self.run is None else self.run.plan
        return Coverage() if plan is None else coverage_of(plan, options=self.options)

    @property
    def mode(self) -> SyncMode | None:
        """How the table is followed."""
        return self.options.sync_mode

    def check(self, name: str, ok: bool, detail: str, next_step: str = "") -> None:
        """Note one thing; the next step only where it is not so."""
        self.checks.append(CutoverCheck(name, ok, detail, "" if ok else next_step))


class Cutover:
    """One look whether tables can be cut over. Made for one call of `run`."""

    def __init__(
        self,
        source: PostgresSource,
        state: TargetState,
        work: CutoverWork,
        *,
        tell: Listener = ignore,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tell = tell
        self._source = source
        self._address = source.address
        self._feed = ChangeFeed(source.address)
        self._state = state
        self._work = work
        self._clock = clock
        self._sleep = sleep

    def run(self, chosen: Sequence[TableOptions]) -> CutoverReport:
        """Look at tables; one that fails does not stop the others.

        Raises: of one table LeaseHeld while another run holds it back, and what may pass otherwise (75); of several
            SomeTablesFailed in the end, its `done` the CutoverReport of the others.
        """
        started, began = utc_now(), self._clock()
        begun = self._each(chosen, self._begin, name=lambda options: options.qualified)
        drained = self._each(begun.done, self._drain, before=begun)
        verified = self._each(drained.done, self._verify, before=drained)
        ended = self._each(verified.done, self._end, before=verified)
        with self._source.open_snapshot() as view:
            others = other_tables(view, self._work.settings.configured)
        report = CutoverReport(
            ended.done,
            started,
            self._clock() - began,
            others,
            failures=ended.failures,
            not_tried=ended.not_tried,
            new=self._work.settings.new,
            left_out=self._work.settings.left_out,
            removed=self._work.settings.removed,
        )
        ended.require(CUT_OVER, result=report, codes=[report.exit_code])
        return report

    def _each(
        self,
        tables: Sequence[T],
        step: Callable[[T], R],
        *,
        name: Callable[[T], str] = lambda table: str(getattr(table, "name", table)),
        before: Tried[Any] | None = None,
    ) -> Tried[R]:
        """One step of all tables that got so far, and what failed until now."""
        if before is not None and before.not_tried:  # what stopped those will stop the others
            names = tuple(name(table) for table in tables)
            return Tried((), (), before.failures, before.not_tried + names)
        tried = try_each(tables, step, name=name, doing=CUT_OVER, tell=self._tell)
        return tried if before is None else replace(tried, failures=before.failures + tried.failures)

    def _begin(self, options: TableOptions) -> _Table:
        name = options.qualified
        before = fetch_activity(self._address, options.schema_name, options.table_name)
        # Behind every commit that can be seen, also one that did not wait for its log to be on disk.
        with self._source.open_snapshot() as view:
            end = view.seen_until()
        table = _Table(options, name, self._state.runs.get(name), before, end, [])
        loaded = table.run is not None and table.run.state is RunState.LOADED
        state = "not loaded" if table.run is None else f"the load is {table.run.state.value}, not finished"
        changed = changed_options(table.run, options) if table.run is not None and loaded else ""
        if changed:
            step = "put them back as they were, or load again with gridferry load --replace"
            table.check("loaded", False, changed, step)
            table.run = None  # nothing is drained by a plan that is not the config's
            return table
        table.check("loaded", loaded, "loaded to its end" if loaded else state, "gridferry load")
        return table

    def _drain(self, table: _Table) -> _Table:
        """Let everything that was committed before now be stored."""
        if table.run is None or table.run.state is not RunState.LOADED:
            return table
        if table.mode is None:
            table.drained = True
            table.check("drained", True, "the table is not followed: there is nothing to drain")
            return table
        try:
            self._drained(table)
            table.drained = True
        except FerryError as error:
            if is_transient(error) or error.concerns_all:
                raise
            table.check("drained", False, error.message, error.next_step or "gridferry sync")
        return table

    def _drained(self, table: _Table) -> None:
        if table.mode is SyncMode.WATERMARK:
            self._work.sync(table.options, True)
            record = self._state.cursors.get(table.name)
            table.drained_to = "" if record is None else record.cursor.clock
            table.check("drained", True, f"all rows of the source as of {table.drained_to} were looked at")
            return
        self._drain_stream(table)
        position = self._position(table)
        table.drained_to = str(position)
        reached = position >= table.end
        detail = f"changes up to {position} are stored; the log ended at {table.end} when this began"
        table.check("drained", reached, detail, "gridferry sync")
        table.read = self._read(table)

    def _drain_stream(self, table: _Table) -> None:
        """Sync, or wait until the sync that runs has passed where the log ended.

        Raises: LeaseHeld if it does not in time.
        """
        deadline = self._clock() + self._work.settings.wait_s
        while True:
            if self._state.holder_of(table.name) is None:
                with suppress(LeaseHeld):  # another sync was first
                    self._work.sync(table.options, False)
                    return
            if self._position(table) >= table.end:
                return
            if self._clock() >= deadline:
                raise LeaseHeld(
                    f"{table.name} is being synced and has reached {self._position(table)}, not yet {table.end}",
                    state="nothing was changed",
                    next_step="run it again with --wait 60: it then waits for the sync to get there",
                )
            self._sleep(_POLL_S)

    def _verify(self, table: _Table) -> _Table:
        """Compare every value of a table, if it is drained."""
        if not table.drained:
            return table
        try:
            (table.verified,) = self._work.verify([table.options.table]).tables
        except FerryError as error:
            if is_transient(error) or error.concerns_all:
                raise
            table.check("verified", False, error.message, error.next_step)
        return table

    def _end(self, table: _Table) -> TableCutover:
        if table.verified is not None:
            table.checks.append(_verified(table.verified))
        elif not any(check.name == "verified" for check in table.checks):
            table.check("verified", False, "not verified, because the above is missing", "gridferry cutover")
        self._slot(table)
        self._columns(table)
        self._look_at_state(table)
        after = self._quiet(table)
        return TableCutover(
            table=table.name,
            mode="" if table.mode is None else table.mode.value,
            checks=tuple(
                replace(each, next_step=completed_or_not(each.next_step, self._state, table.name))
                for each in table.checks
            ),
            info=tuple(_info(table, after)),
            drained_to=table.drained_to,
            verdict=None if table.verified is None else table.verified.verdict,
            rows=0 if table.verified is None else table.verified.target_rows,
            coverage=table.coverage,
            accepted=tuple(table.accepted),
        )

    def _columns(self, table: _Table) -> None:
        """Whether all columns of the source are in the target, or somebody said why not."""
        if table.run is None or table.run.plan is None:
            return
        covered = table.coverage
        unconfirmed = covered.unconfirmed
        if unconfirmed and self._work.settings.accepted.columns:
            table.accepted.append(f"columns that are not in GridDB: {named(unconfirmed)}")
            unconfirmed = ()
        detail = f"{coverage_words.columns(covered)} in GridDB"
        if covered.left_out:
            detail += f"; not there: {named(covered.left_out)}"
        table.check("columns", not unconfirmed, detail, f"{COLUMNS_STEP}; or give --accept-excluded")

    def _slot(self, table: _Table) -> None:
        if table.mode is not SyncMode.CDC or table.run is None or not table.run.slot:
            return
        facts = self._feed.facts(table.run.slot)
        if facts is None or facts.lost:
            why = "is gone" if facts is None else f"is of no use: {facts.invalidated or 'it lost its log'}"
            table.check("slot", False, f"the slot {table.run.slot} {why}", WAY_BACK.removeprefix("run "))
            return
        try:
            warnings = list(guard(facts, table.options.sync or SyncOptions(mode=SyncMode.CDC)))
        except FerryError as error:
            table.check("slot", False, error.message, error.next_step)
            return
        detail = "; ".join(warnings) or f"healthy, confirmed up to {facts.confirmed}"
        table.check("slot", not warnings, detail, f"gridferry sync, {_AGAIN}")

    def _look_at_state(self, table: _Table) -> None:
        held = sum(self._state.quarantine.counts(table.name).values())
        detail = f"{numbers.plural(held, 'row')} in quarantine, not in the containers" if held else "empty"
        if held and self._work.settings.accepted.quarantined:
            table.accepted.append(detail)
            held = 0
        table.check("quarantine", not held, detail, f"{QUARANTINE_STEP}; or give --accept-quarantined")
        open_ones = [
            status
            for status in list_repairs(self._state, frozenset({table.name}))
            if status.record.state in (RepairState.WRITING, RepairState.UNDOING)
        ]
        detail = "; ".join(f"{s.record.run} is {s.note}" for s in open_ones) or "none is open"
        undoing = [s for s in open_ones if s.record.state is RepairState.UNDOING]
        step = f"gridferry undo {undoing[0].record.run}" if undoing else "gridferry repair"
        table.check("repairs", not open_ones, detail, step)

    def _quiet(self, table: _Table) -> Activity:
        """Whether anything was written since the drain: by the stream, or by PostgreSQL's count of writes."""
        late = 0
        if table.drained and table.mode is not None:
            late = self._late(table)
        after = fetch_activity(self._address, table.options.schema_name, table.options.table_name)
        written = max(late, after.writes - table.before.writes)
        detail = f"{numbers.plural(written, 'row') if written else 'nothing was'} written while this looked"
        if after.told:
            table.check("quiet", not written, detail, _QUIET)
        else:
            table.check("quiet", False, _UNTOLD, _UNTOLD_STEP)
        writers = [holder for holder in after.holders if holder.writes]
        detail = "; ".join(f"uncommitted changes of {holder}" for holder in writers) or "nobody has uncommitted changes"
        table.check("sessions", not writers, detail, f"let them commit or end, {_AGAIN}")
        return after

    def _late(self, table: _Table) -> int:
        """Changes since the drain, as a sync reads them: this one, or the one that runs."""
        cdc = table.mode is SyncMode.CDC
        if self._state.holder_of(table.name) is None:
            try:
                return self._work.sync(table.options, False)
            except LeaseHeld:  # another sync was first
                if not cdc:
                    raise
        return self._read(table) - table.read if cdc else 0

    def _position(self, table: _Table) -> Lsn:
        record = self._state.positions.get(table.name)
        start = "" if table.run is None else table.run.start
        return record.position if record is not None else Lsn.parse(start or "0/0")

    def _read(self, table: _Table) -> int:
        record = self._state.positions.get(table.name)
        return 0 if record is None else record.read


def _verified(found: TableVerification) -> CutoverCheck:
    rows = numbers.plural(max(found.source_rows, found.target_rows), "row")
    if found.verdict in STORED_ARE_EQUAL:
        # Whether rows may stay in the quarantine is a check of its own.
        covered = found.coverage
        values, rows = coverage_words.all_values(covered), coverage_words.rows(covered, otherwise=found.target_rows)
        of_stored = "of the stored rows " if found.verdict is Verdict.INCOMPLETE else ""
        return CutoverCheck("verified", True, f"{of_stored}{values[0].lower()}{values[1:]} are equal ({rows})")
    if found.verdict is Verdict.UNSETTLED:
        detail = f"{found.unsettled:,} of {rows} not yet synced"
        return CutoverCheck("verified", False, detail, _QUIET)
    detail = f"{found.differences:,} of {rows} different"
    return CutoverCheck("verified", False, detail, f"gridferry repair, {_AGAIN}")


def _info(table: _Table, after: Activity) -> Iterator[str]:
    yield from coverage_words.remarks(replace(table.coverage, left_out=()))  # those have a check of their own
    yield f"{after.sessions:,} other sessions are connected to the source database"
    for holder in after.holders:
        if not holder.writes:
            yield f"reads the table: {holder}"
    if table.mode is None:
        yield "the table is not followed: what is written after the verification does not come"
    if table.mode is SyncMode.WATERMARK:
        yield "mode watermark sees no updates and deletes; the verification does"


def cut_over(
    ends: Endpoints, verifications: Verifications, chosen: Sequence[TableOptions], settings: CutoverSettings
) -> CutoverReport:
    """See `Cutover.run`, with the syncs and verifications of these tables."""
    state = ends.state

    def sync(options: TableOptions, sweep: bool) -> int:
        cdc = options.sync_mode is SyncMode.CDC
        # A stream that another sync begins to follow goes on without end: its progress is waited for, not its lease.
        how = SyncSettings(sweep=sweep, wait_s=0.0 if cdc else settings.wait_s)
        done = follower(ends.source, state, options, settings=how, listener=ends.tell).run()
        return done.read if cdc else done.fresh

    work = CutoverWork(sync, verifications.verify, settings)
    return Cutover(ends.source, state, work, tell=ends.tell).run(chosen)
