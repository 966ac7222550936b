"""`status --check`: a line for each thing that is wrong, and the code that says whether it may pass."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.unit.cli.fakes import FakeMigration
from typer.testing import Result

from gridferry.engine.standing import SyncStatus, TableStatus
from gridferry.model.outcomes import LoadState, SyncState
from gridferry.plan.sync_options import SyncMode

Run = Callable[..., Result]
LAGGING = SyncStatus(SyncMode.CDC, SyncState.IDLE, lag_seconds=400.0)
LOST = SyncStatus(SyncMode.CDC, SyncState.LOST, notes=("the slot s is gone",))


def test_nothing_is_wrong(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [TableStatus("public.device", LoadState.LOADED, sync=LAGGING)]
    result = run("status", "--check", "--max-lag", "10m", "-t", "device")
    assert (result.exit_code, result.stdout) == (0, "ok: 1 table\n")
    assert migration.calls == [("check", (("device",), 600.0))]
    assert json.loads(run("status", "--check", "--max-lag", "10m", "--json").stdout) == {
        "ok": True, "tables": 1, "problems": [], "exit_code": 0,
    }  # fmt: skip


def test_each_thing_is_a_line_with_its_next_step(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [TableStatus("public.device", LoadState.LOADED, sync=LAGGING)]
    result = run("status", "--check")
    assert result.exit_code == 75
    assert result.stdout == (
        "public.device: lag: it shows the state of 6 min 40 s ago, and 5 min 0 s are allowed. "
        "Next: see that `gridferry sync` runs, with --follow or on a schedule\n"
    )
    migration.statuses.append(TableStatus("public.other", LoadState.LOADED, sync=LOST))
    result = run("status", "--check")
    assert (result.exit_code, len(result.stdout.splitlines())) == (3, 2)
    document = json.loads(run("status", "--check", "--json").stdout)
    assert (document["ok"], document["exit_code"], document["tables"]) == (False, 3, 2)
    assert [(p["table"], p["kind"], p["exit_code"]) for p in document["problems"]] == [
        ("public.device", "lag", 75), ("public.other", "lost", 3),
    ]  # fmt: skip
    assert all(problem["next_step"] for problem in document["problems"])


@pytest.mark.parametrize("options", [("--max-lag", "5m"), ("--check", "--containers"), ("--check", "--all")])
def test_options_that_do_not_go_together(run: Run, migration: FakeMigration, options: tuple[str, ...]) -> None:
    assert run("status", *options).exit_code == 2
    assert not migration.calls
