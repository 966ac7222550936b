"""What the report advises where something is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gridferry.engine.standing import SyncStatus
from gridferry.model.outcomes import SyncState
from gridferry.model.verification import Depth, TableVerification, Verdict
from gridferry.plan.sync_options import SyncMode
from gridferry.report.advice import next_steps

EQUAL = TableVerification("s.t", Depth.FULL, "2026-01-01T00:00:00Z", 1.0, "", "")
IDLE = SyncStatus(SyncMode.CDC, SyncState.IDLE, wal_status="reserved")


def test_where_all_is_well_there_is_nothing_to_do() -> None:
    assert next_steps(None, None, 0) == ()
    assert next_steps(EQUAL, IDLE, 0) == ()


def test_differences_and_rows_put_aside() -> None:
    last = replace(EQUAL, verdict=Verdict.DIFFERENT, missing=2, unsettled=3)
    first, second, third = next_steps(last, IDLE, 4)
    assert first.startswith("2 rows differ: gridferry repair")
    assert second.startswith("3 rows not settled")
    assert third.startswith("4 rows in quarantine, not stored: gridferry quarantine list")


@pytest.mark.parametrize(
    ("sync", "says"),
    [
        (replace(IDLE, wal_status="lost"), "--new-slot"),
        (replace(IDLE, wal_status="unreserved"), "max_slot_wal_keep_size"),
        (replace(IDLE, state=SyncState.INTERRUPTED), "goes on where it stopped"),
        (replace(IDLE, state=SyncState.NOT_BEGUN), "nothing was synced yet"),
        (replace(IDLE, lag_rows=5), "5 rows to read: gridferry sync"),
    ],
)
def test_a_sync_that_needs_somebody(sync: SyncStatus, says: str) -> None:
    (step,) = next_steps(EQUAL, sync, 0)
    assert says in step


def test_a_sync_at_work_needs_nobody() -> None:
    assert next_steps(None, replace(IDLE, state=SyncState.RUNNING, lag_rows=5), 0) == ()
