from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from tests.unit.cli.fakes import FakeMigration
from typer.testing import Result

from gridferry.engine.standing import ContainerState, TableStatus
from gridferry.model.outcomes import LoadState

Run = Callable[..., Result]
TABLE = "public.device"


def shown(run: Run, *options: str) -> list[str]:
    result = run("status", "--containers", *options)
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_those_that_need_a_look_come_first_and_it_fits_on_the_screen(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [TableStatus(TABLE, LoadState.LOADED)]
    newest = "2026-01-02T03:04:05.678Z"
    now = datetime.now(timezone.utc).isoformat()
    migration.states = [
        ContainerState(TABLE, "device_1", "1", 12_345_678, newest, 0, 1_234_567, 123_456, 0, now),
        ContainerState(TABLE, "device_2", "2", 20, newest, 3, 0, 0, 0),
        ContainerState(TABLE, "device_with_a_name_that_is_far_too_long", "3", None, None, 4),
        ContainerState("public.other", "other_1", "1", 7),
    ]
    lines = shown(run)
    assert [line.split()[0] for line in lines if line.startswith("device")] == [
        "device_2",
        "device_with_a_name…",
        "device_1",
    ]
    assert "device_2 20 3 2026-01-02 03:04" in lines
    assert "device_with_a_name… not there 4" in lines
    assert any(line.startswith("device_1 12,345,678 1,234,567 123,456 2026-01-02 03:04") for line in lines)
    assert not any("other_1" in line for line in lines)
    assert max(map(len, run("status", "--containers").stdout.splitlines())) <= 80


def test_a_limit_says_how_many_more_there_are(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [TableStatus(TABLE, LoadState.LOADED)]
    migration.states = [ContainerState(TABLE, f"device_{i:05d}", str(i), i) for i in range(10_000)]
    lines = shown(run, "--limit", "2", "--match", "device_*")
    assert lines[-1] == "… 9,998 more; --limit, --match and --json show them"
    assert migration.calls[-1] == ("container_states", ((), "device_*"))
    assert len(json.loads(run("status", "--containers", "--json").stdout)["containers"]) == 10_000


def test_plain_status_asks_no_container(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [TableStatus(TABLE, LoadState.LOADED)]
    assert list(json.loads(run("status", "--json").stdout)) == [
        "tables", "summary", "not_in_config", "unneeded_slots"
    ]  # fmt: skip
    assert [name for name, _ in migration.calls] == ["tables"]


def test_a_name_is_cut_only_where_there_is_no_room_for_it(
    run: Run, migration: FakeMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "device_with_a_name_that_is_far_too_long"
    migration.statuses = [TableStatus(TABLE, LoadState.LOADED)]
    migration.states = [ContainerState(TABLE, long, "3", 7, "2026-01-02T03:04:05.678Z")]
    assert f"{long} 7 2026-01-02 03:04" in shown(run)
    monkeypatch.setenv("COLUMNS", "40")
    assert "device_with_a_name_that_is_far_… 7" in shown(run)
    monkeypatch.setenv("COLUMNS", "160")
    migration.states = [ContainerState(TABLE, "d" * 300, "3", 7)]
    assert max(map(len, run("status", "--containers").stdout.splitlines())) <= 160


def test_what_narrows_containers_down_needs_containers(run: Run, migration: FakeMigration) -> None:
    for option in (("--match", "d*"), ("--limit", "5")):
        result = run("status", *option)
        assert result.exit_code == 2
        assert f"{option[0]} says which containers to show" in result.stderr
