"""The repairs of a migration: made, listed, undone, forgotten; and quarantined rows that are tried once more."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import UNDO, try_each
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.ownership.lineage import check_origin
from gridferry.engine.repair.replay import replay_tables
from gridferry.engine.repair.spool import GROUP_ROWS
from gridferry.engine.repair.table import RepairSettings
from gridferry.engine.repair.tables import RepairOfTables
from gridferry.engine.repair.undo import forget_repair, list_repairs, undo_repair
from gridferry.engine.standing import Replay
from gridferry.engine.verify.verifications import comparison_between, verify_settings
from gridferry.errors import CheckpointError, ConfigError, SourceUnreachable
from gridferry.model.moment import moment_of
from gridferry.model.repair import RepairRecord, RepairReport, RepairStatus, RepairUndo, TableUndo
from gridferry.plan.sync_options import duration_ms

_AGE = re.compile(r"\d+\s*[a-z]+")


class Repairs:
    """Repairs of loaded tables. Each call takes the leases that it needs, and waits `wait_s` for another run's end.

    Tables are named as in the config; where none is named, all.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def repair(
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

        Args: rows_per_group: how many rows are written between two marks in the journal, at most; the others as for
            `Verifications.verify`.
        Raises: LeaseHeld while another run works on the table; as `Verifications.verify`. Of several tables those that
            can be repaired are, before SomeTablesFailed names the others; its `done` is their RepairReport.
        """
        verifying = verify_settings(settle_s=settle_s, most_differences=most_differences)
        comparison = comparison_between(self._endpoints, verifying, sync=sync)
        settings = RepairSettings(wait_s=wait_s, rows_per_group=rows_per_group)
        standing = self._endpoints.standing(tables, then="gridferry repair")
        repair = RepairOfTables(comparison.state, self._endpoints.source, comparison, settings, self._endpoints.tell)
        return repair.run(standing.present, output=None if output is None else Path(output), standing=standing)

    def undo(self, run: str, tables: Sequence[str] = (), *, wait_s: float = 0.0) -> RepairUndo:
        """Undo a repair, of all its tables: see `undo_repair`; or one table's part of it, by the part's name.

        The source is asked only whether it is the one that a table is from; it may be away.
        Args: tables: of a repair of several tables only these.
        Raises: OtherSource too. Of several tables those that can be undone are, before SomeTablesFailed names the
            others; its `done` is their RepairUndo.
        """
        state, wanted = self._endpoints.state, self._names(tables)
        known = {options.qualified: options for options in self._endpoints.known()}
        parts = state.repairs.parts(run)
        chosen = _wanted(parts, wanted, run=run, again=f"gridferry undo {run}")

        def undone(part: str) -> TableUndo:
            record = parts[part]
            if isinstance(record, CheckpointError):
                raise record
            self._require_source(state, record.table)
            return undo_repair(state, part, known=known, wait_s=wait_s, tell=self._endpoints.tell)

        def name(part: str) -> str:
            record = parts[part]
            return record.table if isinstance(record, RepairRecord) else f"the repair {part}"

        tried = try_each(chosen, undone, name=name, doing=UNDO, tell=self._endpoints.tell)
        done = RepairUndo(run, tried.done, tried.failures, tried.not_tried)
        tried.require(UNDO, result=done, codes=[table.exit_code for table in tried.done])
        return done

    def all(self, tables: Sequence[str] = ()) -> list[RepairStatus]:
        """The repairs that are known, whatever became of them: see `list_repairs`."""
        return list_repairs(self._endpoints.state, self._names(tables))

    def forget(self, what: str, tables: Sequence[str] = (), *, wait_s: float = 0.0) -> list[str]:
        """Delete the journal of one repair, by its run; or of those that ended longer ago than a time such as 30d.

        Returns: the runs that were forgotten. Those that were interrupted stay, unless they are named.
        Raises: ConfigError for a run that is not known; LeaseHeld while a run works on its table.
        """
        state, what = self._endpoints.state, what.strip()
        if not _AGE.fullmatch(what):
            return _forget_one(state, what, self._names(tables), wait_s)
        try:
            before = datetime.now(timezone.utc) - timedelta(milliseconds=duration_ms(what))
        except (ValueError, OverflowError) as error:
            raise ConfigError(
                f"gridferry forget {what}: {error}", next_step="give a run, or a time such as 30d"
            ) from None
        records = state.repairs.all(self._names(tables))
        old = [r for r in records if r.finished and moment_of(max(r.finished, r.undone)) < before]
        for record in old:
            forget_repair(state, record.run, record=record, wait_s=wait_s)
        return [record.run for record in old]

    def replay(self, tables: Sequence[str] = (), *, ids: Sequence[str] = ()) -> list[Replay]:
        """Store quarantined rows as the source has them now; what still cannot be stored stays in the quarantine.

        Args: ids: of the rows to try; all without one. Raises: see `replay_tables`.
        """
        ends = self._endpoints
        chosen = ends.standing(tables, then="gridferry quarantine replay").tables
        return replay_tables(ends.source, ends.state, chosen, ids=frozenset(ids), tell=ends.tell)

    def _names(self, tables: Sequence[str]) -> frozenset[str] | None:
        return frozenset(o.qualified for o in self._endpoints.known(tables)) if tables else None

    def _require_source(self, state: TargetState, table: str) -> None:
        load = state.runs.get(table)
        options = next((o for o in self._endpoints.known() if o.qualified == table), None)
        if load is None or load.plan is None or options is None:
            return  # what that means is said by the undo itself
        with suppress(SourceUnreachable):
            check_origin(state, self._endpoints.source, options, load, left="nothing was changed")


def _forget_one(state: TargetState, run: str, tables: frozenset[str] | None, wait_s: float) -> list[str]:
    """Forget a repair, of several tables all parts of it. Returns: what was forgotten, by name."""
    parts = state.repairs.parts(run)
    chosen = _wanted(parts, tables, run=run, again=f"gridferry forget {run}")
    for part in chosen:
        record = parts[part]
        # One that is not readable: that is what it is to be forgotten for.
        forget_repair(state, part, record=record if isinstance(record, RepairRecord) else None, wait_s=wait_s)
    return chosen


def _wanted(
    parts: Mapping[str, RepairRecord | CheckpointError], tables: frozenset[str] | None, *, run: str, again: str
) -> list[str]:
    """The parts of a repair that are of these tables; those that are not readable among them. Raises: ConfigError."""
    known = {part: record.table for part, record in parts.items() if isinstance(record, RepairRecord)}
    chosen = [part for part in parts if part not in known or tables is None or known[part] in tables]
    if not chosen:
        raise ConfigError(
            f"the repair {run} is of {', '.join(known.values())}, which was not asked for",
            state="nothing was changed",
            next_step=f"name that table, or none: {again}",
        )
    return chosen
