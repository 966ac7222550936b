"""What `status --check` calls wrong, and whether it may pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gridferry.engine.each_table import SHOW
from gridferry.engine.standing import SyncStatus, TableStatus
from gridferry.engine.status.check import Checked, ProblemKind, checked
from gridferry.errors import CheckpointError, DataError, SourceUnreachable
from gridferry.model.failed_tables import FailedTable, tables_failed
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.model.sync_failure import sync_failure
from gridferry.plan.sync_options import SyncMode

T = "public.t"
SYNC = SyncStatus(SyncMode.CDC, SyncState.IDLE, lag_seconds=4.0, lag_bytes=0, slot="s")
LOADED = TableStatus(T, LoadState.LOADED, sync=SYNC)
BAD_ROW = sync_failure(DataError("v is too long", next_step="shorten it"), now="2026-01-01T00:00:00Z")
AWAY = sync_failure(SourceUnreachable("no connection", next_step="start it"), now="2026-01-01T00:00:00Z")


def looked(*tables: TableStatus, level_at: str = "") -> Checked:
    return checked(tables, None, max_lag_s=60.0, level_at=lambda _: level_at)


def ago(seconds: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds)).isoformat()


def test_nothing_is_wrong_with_tables_as_the_config_wants_them() -> None:
    only_loaded = TableStatus("public.u", LoadState.LOADED)
    running = replace(LOADED, held_by="process 1", sync=replace(SYNC, state=SyncState.RUNNING))
    found = looked(LOADED, only_loaded, running)
    assert (found.tables, found.problems, found.exit_code) == (3, (), 0)


@pytest.mark.parametrize(
    ("state", "held_by", "kind", "code"),
    [
        (LoadState.PLANNED, "", ProblemKind.NOT_LOADED, 3),
        (LoadState.INTERRUPTED, "", ProblemKind.NOT_LOADED, 3),
        (LoadState.REPLACING, "", ProblemKind.NOT_LOADED, 3),
        (LoadState.LOADING, "process 1", ProblemKind.LOADING, 75),
    ],
)
def test_a_table_that_is_not_loaded(state: LoadState, held_by: str, kind: ProblemKind, code: int) -> None:
    not_loaded = SyncStatus(SyncMode.CDC, SyncState.NOT_LOADED)
    (problem,) = looked(TableStatus(T, state, held_by=held_by, sync=not_loaded)).problems
    assert (problem.kind, problem.exit_code) == (kind, code)
    assert problem.next_step


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"state": SyncState.LOST, "notes": ("the slot s is gone",)}, ProblemKind.LOST, 3),
        ({"state": SyncState.LOST, "notes": ("the slot s is gone",), "failure": BAD_ROW}, ProblemKind.LOST, 3),
        ({"state": SyncState.NOT_FOLLOWED, "notes": ("it has no slot",)}, ProblemKind.NOT_FOLLOWED, 3),
        ({"state": SyncState.FAILED, "failure": BAD_ROW}, ProblemKind.FAILED, 3),
        ({"state": SyncState.RUNNING, "failure": AWAY}, ProblemKind.FAILED, 75),
        ({"state": SyncState.NOT_BEGUN}, ProblemKind.NOT_FOLLOWED, 75),
        ({"state": SyncState.INTERRUPTED}, ProblemKind.NOT_FOLLOWED, 75),
        ({"unasked": AWAY}, ProblemKind.NOT_ASKED, 75),
        ({"wal_status": "unreserved"}, ProblemKind.SLOT_AT_RISK, 75),
        ({"lag_seconds": 61.0}, ProblemKind.LAG, 75),
    ],
)
def test_a_table_that_is_not_followed_well(change: dict[str, Any], kind: ProblemKind, code: int) -> None:
    found = looked(replace(LOADED, sync=replace(SYNC, **change)))
    (problem,) = found.problems
    assert (problem.kind, problem.exit_code, found.exit_code) == (kind, code, code)
    assert problem.next_step


def test_an_idle_source_has_no_lag_while_the_history_goes_on() -> None:
    idle = replace(LOADED, sync=replace(SYNC, lag_seconds=3600.0))
    assert looked(idle, level_at=ago(20)).problems == ()
    (problem,) = looked(idle, level_at=ago(120)).problems
    assert "it shows the state of 2 min 0 s ago, and 1 min 0 s are allowed" in problem.message


def test_the_worst_code_wins_and_tables_that_could_not_be_looked_at_count() -> None:
    broken = CheckpointError("its state is broken", next_step="mend it")
    failed = tables_failed(SHOW, [FailedTable("public.b", broken)], done=[], finished=(), not_tried=("public.c",))
    lagging = replace(LOADED, sync=replace(SYNC, lag_seconds=61.0))
    found = checked([lagging], failed, max_lag_s=60.0, level_at=lambda _: "")
    assert [(p.table, p.kind, p.exit_code) for p in found.problems] == [
        ("public.b", ProblemKind.NOT_READABLE, 3),
        ("public.c", ProblemKind.NOT_ASKED, 75),
        (T, ProblemKind.LAG, 75),
    ]
    assert (found.tables, found.exit_code) == (3, 3)
