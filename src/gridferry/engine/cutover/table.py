"""What a cut-over knows of one table so far, and how it was asked to look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.engine.each_table import Tried
from gridferry.engine.events import TableSync
from gridferry.model.coverage import Coverage
from gridferry.model.cutover import NOTHING_ACCEPTED, Accepted, CutoverCheck
from gridferry.model.verification import TableVerification, VerifyReport
from gridferry.plan.coverage import coverage_of
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.catalog.activity import Activity


@dataclass(frozen=True)
class CutoverSettings:
    """How to cut over. `wait_s` is as long as another run is waited for; `configured` are all tables of the config.

    `new` belong to it and are not loaded yet; `left_out`, `removed` and `unasked` as in `CutoverReport`.
    """

    wait_s: float = 0.0
    accepted: Accepted = NOTHING_ACCEPTED
    configured: tuple[TableOptions, ...] = ()
    new: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()


@dataclass(frozen=True)
class CutoverWork:
    """What a cut-over is made of: `sync` runs one bounded sync of tables, with True a sweep; `verify` compares them."""

    sync: Callable[[Sequence[TableOptions], bool], Tried[TableSync]]
    verify: Callable[[Sequence[str]], VerifyReport]
    settings: CutoverSettings


@dataclass
class LookedAt:
    """What is known of one table so far. `before` is what was written to it until the look began."""

    options: TableOptions
    name: str
    run: LoadRun | None
    before: Activity
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

    @property
    def has_ended_load(self) -> bool:
        """Whether it was loaded to its end."""
        return self.run is not None and self.run.state is RunState.LOADED

    def check(self, name: str, ok: bool, detail: str, next_step: str = "") -> None:
        """Note one thing; the next step only where it is not so."""
        self.checks.append(CutoverCheck(name, ok, detail, "" if ok else next_step))

    def has_check(self, name: str) -> bool:
        """Whether something of this name was noted."""
        return any(check.name == name for check in self.checks)
