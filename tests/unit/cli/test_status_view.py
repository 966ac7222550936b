"""The state of many tables on a screen: a line each, and words only for those that need somebody."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.cli.fakes import FakeMigration
from typer.testing import Result

from gridferry.engine.standing import SyncStatus, TableStatus
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.model.sync_failure import SyncFailure
from gridferry.model.table_life import Stage, TableLife
from gridferry.plan.sync_options import SyncMode

Run = Callable[..., Result]
SINCE = "2026-01-02T03:04:05.678901Z"


def followed(number: int, stage: Stage = Stage.IN_STEP, *, why: str = "", **changes: object) -> TableStatus:
    sync = SyncStatus(SyncMode.CDC, SyncState.IDLE, slot="gridferry_shop", lag_seconds=2.5, wal_status="reserved")
    known: dict[str, object] = {
        "rows": 1_000,
        "containers": 1,
        "sync": sync,
        "life": TableLife(stage, SINCE if why else "", why),
    }
    return TableStatus(f"public.table_{number:03d}", LoadState.LOADED, **{**known, **changes})  # type: ignore[arg-type]


def lines(run: Run, *options: str) -> list[str]:
    result = run("status", *options)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_many_tables_have_a_line_each_and_one_slot(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [followed(number) for number in range(500)]
    said = lines(run)
    assert "public.table_499 loaded, in step 1,000 2.5 s" in said
    assert "500 tables, 500,000 rows: 500 loaded, in step" in said
    assert [line for line in said if line.startswith("slot")] == ["slot gridferry_shop, log reserved; 500 tables"]
    assert len(said) < 510
    assert "details: gridferry status --details, or --table NAME" in run("status").stderr


def test_what_stands_still_is_told_with_its_reason(run: Run, migration: FakeMigration) -> None:
    message, state, step = "the row with id = 7 is too long", "what was stored stays", "change the row"
    failure = SyncFailure(SINCE, "DataError", message, state, step, try_again=False, exit_code=3)
    stopped = SyncStatus(SyncMode.CDC, SyncState.IDLE, failure=failure, notes=("mode cdc is like this",))
    migration.statuses = [
        *(followed(number) for number in range(6)),
        followed(6, Stage.APART, why="a row is too long", sync=stopped),
        followed(7, Stage.PAUSED, why="by somebody's wish"),
        followed(8, quarantined=3, verified=None),
    ]
    said = lines(run)
    assert "public.table_006: loaded, apart" in said
    text = " ".join(said)
    assert "failed since 2026-01-02 03:04:05 UTC: the row with id = 7 is too long next change the row" in text
    assert "paused since 2026-01-02 03:04:05 UTC: by somebody's wish" in text
    assert "quarantine 3 rows, not stored" in text
    assert "mode cdc is like this" not in text
    assert not [line for line in said if line.startswith("public.table_001:")]


def test_details_and_a_few_tables_are_in_full(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [followed(number) for number in range(9)]
    assert len([line for line in lines(run, "--details") if line.startswith("lag")]) == 9
    migration.statuses = migration.statuses[:5]
    assert len([line for line in lines(run) if line.startswith("lag")]) == 5
