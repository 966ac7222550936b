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
from gridferry.engine.events import Listener
from gridferry.engine.lineage import check_origin
from gridferry.engine.repair import ReadableSource, RepairSettings, repair_table
from gridferry.engine.repair_spool import GROUP_ROWS, Spool
from gridferry.engine.undo import forget_repair, list_repairs, undo_repair
from gridferry.errors import CheckpointError, ConfigError, LeaseHeld, SourceUnreachable
from gridferry.model.moment import moment_of
from gridferry.model.repair import RepairRecord, RepairReport, RepairStatus, TableUndo
from gridferry.model.verification import STORED_ARE_EQUAL, DifferenceSink, VerifyReport
from gridferry.plan.config import TableOptions, duration_ms

_AGE = re.compile(r"\d+\s*[a-z]+")


class Repairs:
    """The repairs of tables. Each call takes the leases that it needs.

    `chosen` finds the options of tables that are named as in a config, `verify` is `Migration.verify`. Where tables can
    be named, none means all.
    """

    def __init__(
        self,
        state: TargetState,
        source: ReadableSource,
        tell: Listener,
        *,
        chosen: Callable[[Sequence[str]], Sequence[TableOptions]],
        verify: Callable[..., VerifyReport],
    ) -> None:
        self._state = state
        self._source = source
        self._tell = tell
        self._chosen = chosen
        self._verify = verify

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

        Args: as for `repair` and `Migration.verify`. Raises: as both.
        """
        verify = partial(
            self._verify, tables, output=output, settle_s=settle_s, sync=sync, most_differences=most_differences
        )
        done = self.repair(
            self._chosen(tables), lambda sink: verify(sink=sink), wait_s=wait_s, rows_per_group=rows_per_group
        )
        return replace(done, after=self._verified_after(done, settle_s=settle_s, sync=sync))

    def _verified_after(self, done: RepairReport, *, settle_s: float | None, sync: bool) -> VerifyReport | None:
        """Verify what is other than it was found: the last stored verification is to tell how the tables stand."""
        pairs = zip(done.verification.tables, done.tables, strict=True)
        changed = [r.table for v, r in pairs if v.verdict not in STORED_ARE_EQUAL and (r.run or r.settled)]
        return self._verify(changed, settle_s=settle_s, sync=sync) if changed else None

    def repair(
        self,
        chosen: Sequence[TableOptions],
        verify: Callable[[DifferenceSink], VerifyReport],
        *,
        wait_s: float = 0.0,
        rows_per_group: int = GROUP_ROWS,
    ) -> RepairReport:
        """Let `verify` prove what differs in these tables, then write just that. Leases are taken after it.

        Args: wait_s: how long to wait for another run on a table to end; rows_per_group: how many rows are written
            between two marks in the journal, at most.
        Raises: LeaseHeld, without a `wait_s` before anything is read; see `repair_table`.
        """
        names = [f"{options.schema_name}.{options.table_name}" for options in chosen]
        for name in names if not wait_s else ():
            self._require_free(name)
        settings = RepairSettings(wait_s=wait_s, rows_per_group=rows_per_group)
        with ExitStack() as stack:
            spools = {name: stack.enter_context(Spool()) for name in names}
            report = verify(lambda rows: spools[rows.table].add(rows))
            done = [
                repair_table(self._state, self._source, options, spools[name], settings, tell=self._tell)
                for options, name in zip(chosen, names, strict=True)
            ]
        return RepairReport(report, tuple(done))

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
            raise ConfigError(f"--forget {what}: {error}", next_step="give a run, or a time such as 30d") from None
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
        return frozenset(f"{o.schema_name}.{o.table_name}" for o in self._chosen(tables)) if tables else None

    def _require_source(self, table: str) -> None:
        load = self._state.runs.get(table)
        options = next((o for o in self._chosen(()) if f"{o.schema_name}.{o.table_name}" == table), None)
        if load is None or load.plan is None or options is None:
            return  # what that means is told by the undo itself
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
