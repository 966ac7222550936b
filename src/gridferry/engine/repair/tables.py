"""Repair of tables: verify, write and delete exactly what was proven to differ, and verify that once more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from gridferry.checkpoint.repairs import new_repair
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import REPAIR, Tried, try_each
from gridferry.engine.events import Listener, ignore
from gridferry.engine.ownership.tables import ChosenTables
from gridferry.engine.repair.spool import Spool
from gridferry.engine.repair.table import ReadableSource, RepairSettings, repair_table
from gridferry.engine.verify.tables import left
from gridferry.errors import FerryError, LeaseHeld
from gridferry.model.failed_tables import FailedTable
from gridferry.model.repair import RepairReport, TableRepair, part_of
from gridferry.model.verification import EXIT_CODES, STORED_ARE_EQUAL, DifferenceSink, VerifyReport
from gridferry.plan.table_options import TableOptions


class Compares(Protocol):
    """What proves which rows differ: see `engine.verify.tables.Comparison`."""

    def run(
        self, tables: Sequence[TableOptions], *, output: Path | None = None, sink: DifferenceSink | None = None
    ) -> VerifyReport:
        """Compare tables; those that fail are in the report's `failures`."""


@dataclass(frozen=True)
class RepairOfTables:
    """How tables are repaired. Each call takes the leases that it needs."""

    state: TargetState
    source: ReadableSource
    comparison: Compares
    settings: RepairSettings
    tell: Listener = ignore

    def run(
        self, chosen: Sequence[TableOptions], *, output: Path | None = None, standing: ChosenTables | None = None
    ) -> RepairReport:
        """Verify, repair, and verify once more what was repaired, without the file of differences.

        Args: standing: what the config means besides: tables that are not loaded yet, or left out, for the report.
        Raises: LeaseHeld while other runs work on all of the tables, unless there is time to wait; the error of the
            only table; SomeTablesFailed after all others were repaired, its `done` their RepairReport.
        """
        free = try_each(chosen, self._free, name=lambda o: o.qualified, doing=REPAIR, tell=self.tell)
        if not free.done:
            free.require(REPAIR)
        done = self._repair(free.done, output=output, standing=standing, held=free.failures)
        after = self._compared_after(done, free.done)
        again = () if after is None else after.failures
        return _required(replace(done, after=after, failures=done.failures + again))

    def run_once(self, chosen: Sequence[TableOptions]) -> RepairReport:
        """Verify and repair. Leases are taken after the verification. Raises: see `repair_table`; as `run`."""
        return _required(self._repair(chosen))

    def _free(self, options: TableOptions) -> TableOptions:
        """The table, if no other run works on it or there is time to wait. Raises: LeaseHeld."""
        holder = None if self.settings.wait_s else self.state.holder_of(options.qualified)
        if holder is not None:
            raise LeaseHeld(
                f"another run works on {options.qualified}: {holder}",
                state="nothing was verified and nothing was changed",
                next_step="stop it (`gridferry sync --follow` ends with Ctrl-C or SIGTERM after a checkpoint) and run "
                "again; or wait for its end with --wait SECONDS",
            )
        return options

    def _repair(
        self,
        chosen: Sequence[TableOptions],
        *,
        output: Path | None = None,
        standing: ChosenTables | None = None,
        held: tuple[FailedTable, ...] = (),
    ) -> RepairReport:
        """Tables that could not be compared or repaired are in the report's `failures`, as are those of `held`."""
        with ExitStack() as stack:
            spools = {options.qualified: stack.enter_context(Spool()) for options in chosen}
            found = self.comparison.run(chosen, output=output, sink=lambda rows: spools[rows.table].add(rows))
            tried_before = {each.table for each in held}
            report = replace(found, failures=held + found.failures, **left(standing, chosen, also=tried_before))
            wrong = {failed.table for failed in report.failures} | set(report.not_tried)

            compared = [options for options in chosen if options.qualified not in wrong]
            whole = new_repair()
            names = _names(whole, [o.qualified for o in compared if spools[o.qualified].count])

            def repaired(options: TableOptions) -> TableRepair:
                table = options.qualified
                return repair_table(
                    self.state,
                    self.source,
                    options,
                    spools[table],
                    self.settings,
                    tell=self.tell,
                    run=names.get(table, ""),
                )

            tried = try_each(compared, repaired, name=lambda o: o.qualified, doing=REPAIR, tell=self.tell)
        return RepairReport(
            report,
            tried.done,
            failures=report.failures + tried.failures,
            not_tried=report.not_tried + tried.not_tried,
            run=whole if self._is_written(tried, whole) else "",
        )

    def _is_written(self, tried: Tried[TableRepair], whole: str) -> bool:
        """Whether rows of any table were written, also of one that failed after its first rows."""
        if any(one.run for one in tried.done):
            return True
        with suppress(FerryError):
            return bool(tried.failures) and bool(self.state.repairs.parts(whole))
        return False

    def _compared_after(self, done: RepairReport, chosen: Sequence[TableOptions]) -> VerifyReport | None:
        """Verify what is other than it was found: the last stored verification is to say how the tables are."""
        verdicts = {found.table: found.verdict for found in done.verification.tables}
        changed = {r.table for r in done.tables if verdicts[r.table] not in STORED_ARE_EQUAL and (r.run or r.settled)}
        return self.comparison.run([o for o in chosen if o.qualified in changed]) if changed else None


def _names(whole: str, tables: Sequence[str]) -> dict[str, str]:
    """The repair's name of each table that has something to be repaired: one for all where it is one table."""
    if len(tables) == 1:
        return {tables[0]: whole}
    return {table: part_of(whole, number) for number, table in enumerate(tables, start=1)}


def _required(done: RepairReport) -> RepairReport:
    """The report, if nothing failed. Raises: as `each_table.Tried.require`, with the report in `done`."""
    wrong = {failed.table for failed in done.failures} | set(done.not_tried)
    good = tuple(one for one in done.tables if one.table not in wrong)
    Tried(good, tuple(one.table for one in good), done.failures, done.not_tried).require(
        REPAIR, result=done, codes=[EXIT_CODES[done.verdict]]
    )
    return done
