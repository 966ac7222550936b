"""Cut-over: drains all tables, compares them as of one snapshot, looks whether they are still, says what is missing.

It changes nothing at the source and nothing in the application; what it writes into the target is what a sync writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.state import TargetState
from gridferry.engine.cutover import checks
from gridferry.engine.cutover.drain import Drain
from gridferry.engine.cutover.table import CutoverSettings, CutoverWork, LookedAt
from gridferry.engine.each_table import CUT_OVER, Tried, try_each
from gridferry.engine.events import Listener, TableSync, ignore
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.ownership.origin_check import changed_options
from gridferry.engine.ownership.replace_advice import completed_or_not
from gridferry.engine.retry import is_transient
from gridferry.engine.scope import other_tables
from gridferry.engine.sync.modes import follower
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.sync.syncs import sync_each
from gridferry.engine.sync.watermark.together import WatermarkPass
from gridferry.engine.verify.verifications import Verifications
from gridferry.errors import FerryError
from gridferry.model.cutover import CutoverReport, TableCutover
from gridferry.model.failed_tables import SomeTablesFailed
from gridferry.model.position import Lsn
from gridferry.model.verification import TableVerification, VerifyReport
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.catalog.activity import fetch_activity
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.source import PostgresSource

T = TypeVar("T")
R = TypeVar("R")


class Cutover:
    """One look whether all tables can be cut over. Made for one call of `run`."""

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
        self._compared: VerifyReport | None = None

    def run(self, chosen: Sequence[TableOptions]) -> CutoverReport:
        """Look at tables; one that fails does not stop the others.

        Raises: of one table LeaseHeld while another run holds it back, and what may pass otherwise (75); of several
            SomeTablesFailed in the end, its `done` the CutoverReport of the others.
        """
        started, began = utc_now(), self._clock()
        begun = self._each(chosen, self._begin, name=lambda options: options.qualified)
        end = self._log_end()
        drain = Drain(self._state, self._work, end=end, clock=self._clock, sleep=self._sleep)
        drain.begin(begun.done)
        drained = self._each(begun.done, drain.drained, before=begun)
        found = self._verify([table for table in drained.done if table.drained])
        verified = self._each(drained.done, lambda table: _with_verdict(table, found), before=drained)
        late = drain.late(verified.done)
        ended = self._each(verified.done, lambda table: self._end(table, late), before=verified)
        with self._source.open_snapshot() as view:
            others = other_tables(view, self._work.settings.configured)
        settings = self._work.settings
        report = CutoverReport(
            ended.done,
            started,
            self._clock() - began,
            others,
            failures=ended.failures,
            not_tried=ended.not_tried,
            new=settings.new,
            left_out=settings.left_out,
            removed=settings.removed,
            unasked=settings.unasked,
            log_end=str(end),
            snapshots=() if self._compared is None else self._compared.snapshots,
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

    def _begin(self, options: TableOptions) -> LookedAt:
        name = options.qualified
        before = fetch_activity(self._address, options.schema_name, options.table_name)
        table = LookedAt(options, name, self._state.runs.get(name), before, [])
        state = "not loaded" if table.run is None else f"the load is {table.run.state.value}, not finished"
        changed = changed_options(table.run, options) if table.run is not None and table.has_ended_load else ""
        if changed:
            step = "put them back as they were, or load again with gridferry load --replace"
            table.check("loaded", False, changed, step)
            table.run = None  # nothing is drained by a plan that is not the config's
            return table
        loaded = table.has_ended_load
        table.check("loaded", loaded, "loaded to its end" if loaded else state, "gridferry load")
        return table

    def _log_end(self) -> Lsn:
        """Behind every commit that can be seen, also one that did not wait for its log to be on disk."""
        with self._source.open_snapshot() as view:
            return view.seen_until()

    def _verify(self, tables: Sequence[LookedAt]) -> dict[str, TableVerification | FerryError]:
        """Compare every value of tables that are drained, as of one snapshot."""
        if not tables:
            return {}
        found: dict[str, TableVerification | FerryError] = {}
        try:
            report = self._work.verify([table.options.table for table in tables])
        except SomeTablesFailed as failed:
            report = failed.done
            found = {each.table: each.error for each in failed.failures}
            found |= dict.fromkeys(failed.not_tried, failed.failures[-1].error)
        except FerryError as error:  # of the only one
            return {table.name: error for table in tables}
        self._compared = report
        return found | {each.table: each for each in report.tables}

    def _end(self, table: LookedAt, late: Callable[[LookedAt], int]) -> TableCutover:
        accepted = self._work.settings.accepted
        checks.check_verified(table)
        checks.check_slot(table, self._feed)
        checks.check_columns(table, accepted)
        checks.check_state(table, self._state, accepted)
        came = late(table)
        after = fetch_activity(self._address, table.options.schema_name, table.options.table_name)
        checks.check_quiet(table, after, came)
        return TableCutover(
            table=table.name,
            mode="" if table.mode is None else table.mode.value,
            checks=tuple(
                replace(each, next_step=completed_or_not(each.next_step, self._state, table.name))
                for each in table.checks
            ),
            info=tuple(checks.remarks(table, after)),
            drained_to=table.drained_to,
            verdict=None if table.verified is None else table.verified.verdict,
            rows=0 if table.verified is None else table.verified.target_rows,
            coverage=table.coverage,
            accepted=tuple(table.accepted),
        )


def _with_verdict(table: LookedAt, found: dict[str, TableVerification | FerryError]) -> LookedAt:
    """The table with what was found of it. Raises: what may pass, and what concerns all tables."""
    verdict = found.get(table.name)
    if isinstance(verdict, FerryError):
        if is_transient(verdict) or verdict.concerns_all:
            raise verdict
        table.check("verified", False, verdict.message, verdict.next_step)
    elif verdict is not None:
        table.verified = verdict
    return table


def cut_over(
    ends: Endpoints, verifications: Verifications, chosen: Sequence[TableOptions], settings: CutoverSettings
) -> CutoverReport:
    """See `Cutover.run`, with the syncs and verifications of these tables."""
    state = ends.state

    def sync(tables: Sequence[TableOptions], sweep: bool) -> Tried[TableSync]:
        def each(options: TableOptions) -> SyncSettings:
            cdc = options.sync_mode is SyncMode.CDC
            # A stream that another sync begins to follow goes on without end: not its lease is waited for.
            return SyncSettings(sweep=sweep, wait_s=0.0 if cdc else settings.wait_s)

        followers = [follower(ends.source, state, o, settings=each(o), listener=ends.tell) for o in tables]
        together = WatermarkPass(state, ends.source, ends.tell)
        return sync_each(followers, together=together, many=ends.follows_many, tell=ignore)

    work = CutoverWork(sync, verifications.verify, settings)
    return Cutover(ends.source, state, work, tell=ends.tell).run(chosen)
