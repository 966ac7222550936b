"""What a cut-over needs, and whether each is met."""

from __future__ import annotations

from dataclasses import dataclass

from gridferry.model.coverage import NO_COVERAGE, Coverage, total
from gridferry.model.failed_tables import FailedTable, worst
from gridferry.model.verification import Verdict


@dataclass(frozen=True)
class Accepted:
    """What is not in the target and is not asked about any more: columns that are left out, rows in the quarantine."""

    columns: bool = False
    quarantined: bool = False


NOTHING_ACCEPTED = Accepted()


@dataclass(frozen=True)
class CutoverCheck:
    """One thing that has to be so. `next_step` is the command or deed that makes it so, "" where it is."""

    name: str  # loaded, drained, columns, quarantine, slot, repairs, quiet, sessions or verified
    ok: bool
    detail: str
    next_step: str = ""


@dataclass(frozen=True)
class TableCutover:
    """One table. `mode` is that of its sync, "" where it is not followed; `info` is worth knowing and stops nothing.

    `drained_to` is the position of the source that the target has reached, as the mode counts; `verdict` is None where
    the table was not verified. `coverage` has its columns, and its rows where they were verified. `accepted` is what is
    not in the target because the user said so for this cut-over.
    """

    table: str
    mode: str
    checks: tuple[CutoverCheck, ...]
    info: tuple[str, ...] = ()
    drained_to: str = ""
    verdict: Verdict | None = None
    rows: int = 0
    coverage: Coverage = NO_COVERAGE
    accepted: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return all(check.ok for check in self.checks)


@dataclass(frozen=True)
class CutoverReport:
    """All tables. `started` is ISO 8601, UTC; `others` are tables of the database that the config does not name.

    `failures` and `not_tried` could not be looked at. `new` belong to the config and are not loaded yet. `left_out`
    says of each table that is paused, or just being brought back, that it is; `removed` are not followed any more, by
    somebody's wish; `unasked` are tables of the config that were not asked for. `log_end` is where the source's log
    ended when the look began, `snapshots` the state that was compared: time and LSN of the one snapshot.
    """

    tables: tuple[TableCutover, ...]
    started: str
    seconds: float
    others: tuple[str, ...] = ()
    failures: tuple[FailedTable, ...] = ()
    not_tried: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    log_end: str = ""
    snapshots: tuple[tuple[str, str], ...] = ()

    @property
    def coverage(self) -> Coverage:
        """What the target has of all tables together."""
        return total(table.coverage for table in self.tables)

    @property
    def ready(self) -> bool:
        """Whether the application can be pointed at the target without a loss: all tables of the config are ready."""
        missing = self.failures or self.not_tried or self.new or self.left_out or self.unasked
        return bool(self.tables) and not missing and all(table.ready for table in self.tables)

    @property
    def exit_code(self) -> int:
        """0 ready, 1 not; of this and the failures' the worst."""
        return worst([0 if self.ready else 1, *(failed.error.exit_code for failed in self.failures)])
