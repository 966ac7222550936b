"""Repairs of one target behind one object: made, listed, undone, forgotten."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial

from gridferry.checkpoint.lease import holder_of
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import REPAIR, Tried, try_each
from gridferry.engine.events import Listener
from gridferry.engine.ownership.lineage import check_origin
from gridferry.engine.repair.spool import GROUP_ROWS, Spool
from gridferry.engine.repair.table import ReadableSource, RepairSettings, repair_table
from gridferry.engine.repair.undo import forget_repair, list_repairs, undo_repair
from gridferry.errors import CheckpointError, ConfigError, LeaseHeld, SourceUnreachable
from gridferry.model.moment import moment_of
from gridferry.model.repair import RepairRecord, RepairReport, RepairStatus, TableRepair, TableUndo
from gridferry.model.verification import EXIT_CODES, STORED_ARE_EQUAL, DifferenceSink, VerifyReport
from gridferry.plan.config import TableOptions, duration_ms

_AGE = re.compile(r"\d+\s*[a-z]+")


class Repairs:
    """The repairs of tables. Each call takes the leases that it needs.

    `chosen` finds the options of tables that are named as in a config; `compare` is as `Migration.verify`, but tells
    of tables that fail in its report. Where tables can be named, none means all.
    """

    def __init__(
        self,
        state: TargetState,
        source: ReadableSource,
        tell: Listener,
        *,
        chosen: Callable[[Sequence[str]], Sequence[TableOptions]],
        compare: Callable[..., VerifyReport],
    ) -> None:
        self._state = state
        self._source = source
        self._tell = tell
        self._chosen = chosen
        self._compare = compare

    def make(
        self,
        tables: Sequence[str] = (),
        *,
        wait_s: float = 0.0,
        rows_per_group: int = GROUP_ROWS,
        output: str | os.PathLike[str] | None = None,
        settle_s: float | None = None,
        sync: bool = False,
        most_differences: int = 10,
    ) -> RepairReport:
        """Verify, then write and delete exactly the rows that were proven to differ; journaled, so it can be undone.

        Tables that were repaired are verified once more, without the file of differences.

        Args: as for `repair` and `Migration.verify`.
        Raises: as both. Of several tables those that can be repaired are, before SomeTablesFailed names the others;
            its `done` is their RepairReport.
        """
        chosen = tuple(self._chosen(tables))
        free = self._free(chosen, wait_s)
        if not free.done:
            free.require(REPAIR)
        names = [options.table for options in free.done]
        compare = partial(
            self._compare, names, output=output, settle_s=settle_s, sync=sync, most_differences=most_differences
        )
        settings = RepairSettings(wait_s=wait_s, rows_per_group=rows_per_group)
        done = self._repair(free.done, lambda sink: compare(sink=sink), settings)
        after = self._compared_after(done, settle_s=settle_s, sync=sync)
        again = () if after is None else after.failures
        done = replace(done, after=after, failures=free.failures + done.failures + again)
        return _required(done)

    def _free(self, chosen: Sequence[TableOptions], wait_s: float) -> Tried[TableOptions]:
        """The tables that no other run works on; all of them where there is time to wait."""

        def free(options: TableOptions) -> TableOptions:
            if not wait_s:
                self._require_free(options.qualified)
            return options

        return try_each(chosen, free, name=lambda o: o.qualified, doing=REPAIR, tell=self._tell)

    def _compared_after(self, done: RepairReport, *, settle_s: float | None, sync: bool) -> VerifyReport | None:
        """Verify what is other than it was found: the last stored verification is to say how the tables are."""
        verdicts = {found.table: found.verdict for found in done.verification.tables}
        changed = [r.table for r in done.tables if verdicts[r.table] not in STORED_ARE_EQUAL and (r.run or r.settled)]
        return self._compare(changed, settle_s=settle_s, sync=sync) if changed else None

    def repair(
        self,
        chosen: Sequence[TableOptions],
        compare: Callable[[DifferenceSink], VerifyReport],
        *,
        wait_s: float = 0.0,
        rows_per_group: int = GROUP_ROWS,
    ) -> RepairReport:
        """Let `compare` prove what differs in these tables, then write just that. Leases are taken after it.

        Args: wait_s: how long to wait for another run on a table to end; rows_per_group: how many rows are written
            between two marks in the journal, at most.
        Raises: see `repair_table`; of several tables as `make`.
        """
        settings = RepairSettings(wait_s=wait_s, rows_per_group=rows_per_group)
        return _required(self._repair(chosen, compare, settings))

    def _repair(
        self,
        chosen: Sequence[TableOptions],
        compare: Callable[[DifferenceSink], VerifyReport],
        settings: RepairSettings,
    ) -> RepairReport:
        """As `repair`. Tables that could not be compared or repaired are in the report's `failures`."""
        with ExitStack() as stack:
            spools = {options.qualified: stack.enter_context(Spool()) for options in chosen}
            report = compare(lambda rows: spools[rows.table].add(rows))
            wrong = {failed.table for failed in report.failures} | set(report.not_tried)

            def repaired(options: TableOptions) -> TableRepair:
                return repair_table(
                    self._state, self._source, options, spools[options.qualified], settings, tell=self._tell
                )

            compared = [options for options in chosen if options.qualified not in wrong]
            tried = try_each(compared, repaired, name=lambda o: o.qualified, doing=REPAIR, tell=self._tell)
        return RepairReport(
            report,
            tried.done,
            failures=report.failures + tried.failures,
            not_tried=report.not_tried + tried.not_tried,
        )

    def undo(self, run: str, tables: Sequence[str] = (), *, wait_s: float = 0.0) -> TableUndo:
        """See `undo_repair`. The source is asked only whether it is the one that the table is from; it may be away.

        Raises: OtherSource too.
        """
        known = {f"{o.schema_name}.{o.table_name}": o for o in self._chosen(())}
        self._require_source(self._state.repairs.get(run).table)
        return undo_repair(self._state, run, known=known, tables=self._names(tables), wait_s=wait_s, tell=self._tell)

    def runs(self, tables: Sequence[str] = ()) -> list[RepairStatus]:
        """See `list_repairs`."""
        return list_repairs(self._state, self._names(tables))

    def forget(self, what: str, tables: Sequence[str] = (), *, wait_s: float = 0.0) -> list[str]:
        """Delete the journal of one repair, by its run; or of those that ended longer ago than a time such as 30d.

        Returns: the runs that were forgotten. Those that were interrupted stay, unless they are named.
        Raises: ConfigError for a run that is not known; LeaseHeld while a run works on its table.
        """
        what = what.strip()
        if not _AGE.fullmatch(what):
            self._forget_one(what, self._names(tables), wait_s)
            return [what]
        try:
            before = datetime.now(timezone.utc) - timedelta(milliseconds=duration_ms(what))
        except (ValueError, OverflowError) as error:
            raise ConfigError(
                f"gridferry forget {what}: {error}", next_step="give a run, or a time such as 30d"
            ) from None
        records = self._state.repairs.all(self._names(tables))
        old = [r for r in records if r.finished and moment_of(max(r.finished, r.undone)) < before]
        for record in old:
            forget_repair(self._state, record.run, record=record, wait_s=wait_s)
        return [record.run for record in old]

    def _forget_one(self, run: str, tables: frozenset[str] | None, wait_s: float) -> None:
        record: RepairRecord | None
        try:
            record = self._state.repairs.get(run)
        except CheckpointError:
            record = None  # not readable: that is what it is to be forgotten for
        if record is not None and tables is not None and record.table not in tables:
            raise ConfigError(
                f"the repair {run} is of {record.table}, which was not asked for",
                state="nothing was changed",
                next_step="name that table, or none",
            )
        forget_repair(self._state, run, record=record, wait_s=wait_s)

    def _names(self, tables: Sequence[str]) -> frozenset[str] | None:
        return frozenset(o.qualified for o in self._chosen(tables)) if tables else None

    def _require_source(self, table: str) -> None:
        load = self._state.runs.get(table)
        options = next((o for o in self._chosen(()) if f"{o.schema_name}.{o.table_name}" == table), None)
        if load is None or load.plan is None or options is None:
            return  # what that means is said by the undo itself
        with suppress(SourceUnreachable):
            check_origin(self._state, self._source, options, load, left="nothing was changed")

    def _require_free(self, table: str) -> None:
        holder = holder_of(self._state.documents, table)
        if holder is not None:
            raise LeaseHeld(
                f"another run works on {table}: {holder}",
                state="nothing was verified and nothing was changed",
                next_step="stop it (`gridferry sync --follow` ends with Ctrl-C or SIGTERM after a checkpoint) and run "
                "again; or wait for its end with --wait SECONDS",
            )


def _required(done: RepairReport) -> RepairReport:
    """The report, if nothing failed. Raises: as `each_table.Tried.require`, with the report in `done`."""
    wrong = {failed.table for failed in done.failures} | set(done.not_tried)
    good = tuple(one for one in done.tables if one.table not in wrong)
    Tried(good, tuple(one.table for one in good), done.failures, done.not_tried).require(
        REPAIR, result=done, codes=[EXIT_CODES[done.verdict]]
    )
    return done
