"""Whether every table is as the config wants it: loaded, followed, nothing lost, nothing failed, not too far behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gridferry import numbers
from gridferry.engine.standing import SyncStatus, TableStatus
from gridferry.errors import Terminal, Transient
from gridferry.model.failed_tables import SomeTablesFailed, worst
from gridferry.model.moment import age_s
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.model.sync_failure import SyncFailure
from gridferry.model.table_life import Stage
from gridferry.model.word import Word
from gridferry.source.postgres.session.replication_session import WAY_BACK

_SYNC = "see that `gridferry sync` runs, with --follow or on a schedule"
_STATUS = "`gridferry status` says more"


class ProblemKind(Word):
    """What is wrong with a table."""

    NOT_READABLE = "not readable"  # its state, or what belongs to it
    NOT_LOADED = "not loaded"
    LOADING = "loading"
    NOT_FOLLOWED = "not followed"  # it has no slot, or was never synced, or a run was interrupted
    LOST = "lost"  # the slot
    SLOT_AT_RISK = "slot at risk"
    FAILED = "failed"  # the last sync
    NOT_ASKED = "not asked"  # the source, which knows the slot and what waits
    LAG = "lag"
    PAUSED = "paused"
    RESYNC = "resync"  # it is being brought back, or that was interrupted
    GONE = "gone"  # from the source


_OF_STAGE = {
    Stage.PAUSED: (ProblemKind.PAUSED, "run `gridferry resume {0}`, or `gridferry resync {0}`", Transient.exit_code),
    Stage.RESYNC: (ProblemKind.RESYNC, "wait for it, or run `gridferry resync {0}` again", Transient.exit_code),
    Stage.GONE: (ProblemKind.GONE, "run `gridferry forget {0}` where it is to be so", Terminal.exit_code),
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a table. `exit_code`: 3 and 2 stay until somebody acts, 75 may pass."""

    table: str
    kind: ProblemKind
    message: str
    next_step: str
    exit_code: int


@dataclass(frozen=True)
class Checked:
    """How many tables were looked at, and all that is wrong with them."""

    tables: int
    problems: tuple[Problem, ...]

    @property
    def exit_code(self) -> int:
        """The worst of all; 0 where nothing is wrong."""
        return worst(problem.exit_code for problem in self.problems)


def checked(
    found: Sequence[TableStatus],
    failed: SomeTablesFailed | None,
    *,
    max_lag_s: float,
    level_at: Callable[[str], str],
) -> Checked:
    """What is wrong with tables of which `found` is the status, and with those that `failed` to be looked at.

    Args: level_at: up to when a followed table has all of the source by the history of its syncs, "" if not known.
    """
    problems = []
    for each in failed.failures if failed else ():
        error = each.error
        problems.append(Problem(each.table, ProblemKind.NOT_READABLE, error.message, error.next_step, error.exit_code))
    for name in failed.not_tried if failed else ():
        problems.append(Problem(name, ProblemKind.NOT_ASKED, "it was not looked at", _STATUS, Transient.exit_code))
    for status in found:
        problems += _of_table(status, max_lag_s=max_lag_s, level_at=level_at)
    looked_at = sum(status.life.stage is not Stage.REMOVED for status in found)
    return Checked(looked_at + (len(failed.failures) + len(failed.not_tried) if failed else 0), tuple(problems))


def _of_table(status: TableStatus, *, max_lag_s: float, level_at: Callable[[str], str]) -> Iterator[Problem]:
    life, load = status.life, _of_load(status)
    if life.stage is Stage.REMOVED:
        return
    if life.stage in _OF_STAGE:
        kind, step, code = _OF_STAGE[life.stage]
        yield Problem(status.table, kind, life.reason, step.format(status.table), code)
    elif load is not None:
        yield load
    elif status.sync is not None:
        yield from _of_sync(status.table, status.sync)
        yield from _lagging(status.table, status.sync, max_lag_s=max_lag_s, level_at=level_at)


def _of_load(status: TableStatus) -> Problem | None:
    if status.state is LoadState.LOADED:
        return None
    if status.held_by:
        said = f"it is {status.state.value} now, by {status.held_by}"
        return Problem(status.table, ProblemKind.LOADING, said, "wait until that run has ended", Transient.exit_code)
    said = "it is not loaded" if status.state is LoadState.PLANNED else f"its load is {status.state.value}"
    return Problem(status.table, ProblemKind.NOT_LOADED, said, "run `gridferry load`", Terminal.exit_code)


def _of_sync(table: str, sync: SyncStatus) -> Iterator[Problem]:
    said = sync.notes[-1] if sync.notes else sync.state.value
    if sync.state is SyncState.LOST:
        yield Problem(table, ProblemKind.LOST, said, WAY_BACK, Terminal.exit_code)
    elif sync.state is SyncState.NOT_FOLLOWED:
        yield Problem(table, ProblemKind.NOT_FOLLOWED, said, WAY_BACK, Terminal.exit_code)
    elif sync.failure is not None:
        yield _failure(table, ProblemKind.FAILED, sync.failure, f"its last sync failed, since {sync.failure.since}: ")
    elif sync.state is SyncState.NOT_BEGUN:
        yield Problem(table, ProblemKind.NOT_FOLLOWED, "it was never synced", _SYNC, Transient.exit_code)
    elif sync.state is SyncState.INTERRUPTED:
        yield Problem(table, ProblemKind.NOT_FOLLOWED, "its last sync was interrupted", _SYNC, Transient.exit_code)
    if sync.unasked is not None:
        yield _failure(table, ProblemKind.NOT_ASKED, sync.unasked, "the source was not asked: ")
    if sync.wal_status == "unreserved":
        said = f"PostgreSQL may remove log that its slot {sync.slot} needs at any checkpoint"
        step = f"raise max_slot_wal_keep_size; {_SYNC}"
        yield Problem(table, ProblemKind.SLOT_AT_RISK, said, step, Transient.exit_code)


def _failure(table: str, kind: ProblemKind, failure: SyncFailure, before: str) -> Problem:
    return Problem(table, kind, before + failure.message, failure.next_step or _STATUS, failure.exit_code)


def _lagging(table: str, sync: SyncStatus, *, max_lag_s: float, level_at: Callable[[str], str]) -> Iterator[Problem]:
    """An old state. Where nothing is committed no position says how new it is: the history of the syncs does then."""
    lag = sync.lag_seconds
    if lag is None or lag <= max_lag_s:
        return
    by_history = age_s(level_at(table))
    lag = lag if by_history is None else min(lag, by_history)
    if lag > max_lag_s:
        said = f"it shows the state of {numbers.duration(lag)} ago, and {numbers.duration(max_lag_s)} are allowed"
        yield Problem(table, ProblemKind.LAG, said, _SYNC, Transient.exit_code)
