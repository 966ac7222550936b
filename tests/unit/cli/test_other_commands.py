from __future__ import annotations

import json
from collections.abc import Callable

from tests.unit.cli.fakes import FakeMigration
from typer.testing import Result

from gridferry.engine.standing import ContainerStatus, QuarantinedRow, Replay, TableStatus
from gridferry.model.outcomes import LoadState

Run = Callable[..., Result]

STATUS = TableStatus(
    "public.device",
    LoadState.INTERRUPTED,
    started_at="2026-01-31T12:00:05.123+00:00",
    chunks=5,
    chunks_done=2,
    rows=240_000,
    quarantined=3,
    containers=3,
    snapshot_lsn="0/16B3748",
)
HELD = QuarantinedRow(
    "7f3a", "public.device", "device1", "price", "range", "it is too [large]", '{"ts": 1}', "held", ""
)


def test_status_shows_how_far_a_table_is(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [STATUS, TableStatus("public.other", LoadState.PLANNED)]
    result = run("status")
    assert result.exit_code == 0
    for part in (
        "public.device: interrupted", "240,000 in 3 containers", "2 of 5", "3 rows", "2026-01-31 12:00:05 UTC",
        "0/16B3748", "public.other: planned",
    ):  # fmt: skip
        assert part in result.stdout
    assert "gridferry load" in result.stderr


def test_status_as_json(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [STATUS]
    (table,) = json.loads(run("status", "--json", "-t", "device").stdout)["tables"]
    assert (table["state"], table["chunks_done"], table["rows"]) == ("interrupted", 2, 240_000)
    assert migration.calls == [("tables", ("device",))]


def test_containers_tells_of_one_that_is_not_there(run: Run, migration: FakeMigration) -> None:
    migration.found = [
        ContainerStatus("public.device", "device1", "b8:27", 1234, 40),
        ContainerStatus("public.device", "device2", None, None, 52),
    ]
    result = run("containers")
    assert "1,234" in result.stdout
    assert "not there" in result.stdout
    assert json.loads(run("containers", "--json").stdout)["containers"][1]["rows"] is None


def test_quarantine_list_says_why(run: Run, migration: FakeMigration) -> None:
    migration.held = [HELD]
    result = run("quarantine", "list")
    assert "7f3a" in result.stdout
    assert "[large]" in " ".join(result.stdout.split())
    assert json.loads(run("quarantine", "list", "--json").stdout)["rows"][0]["reason"] == "range"


def test_quarantine_list_can_be_empty(run: Run, migration: FakeMigration) -> None:
    assert run("quarantine", "list").stdout == "No row is in the quarantine.\n"
    assert json.loads(run("quarantine", "list", "--json").stdout) == {"rows": []}


def test_replay_ends_with_1_while_rows_are_still_held(run: Run, migration: FakeMigration) -> None:
    migration.replays = [Replay("public.device", replayed=2, gone=3, still_held=1)]
    result = run("quarantine", "replay", "--id", "7f3a", "--id", "8", "-t", "device")
    assert result.exit_code == 1
    assert result.stdout == "public.device: 2 rows stored, 3 rows gone from the source, 1 row still held\n"
    assert migration.calls == [("replay", (("device",), ("7f3a", "8")))]


def test_replay_ends_with_0_when_all_are_stored(run: Run, migration: FakeMigration) -> None:
    migration.replays = [Replay("public.device", replayed=1)]
    assert run("quarantine", "replay").exit_code == 0


def test_the_demo_takes_one_wish_for_its_size(run: Run) -> None:
    result = run("demo", "--rows", "100", "--share", "0.5")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


def test_serve_takes_a_folder_or_memory(run: Run) -> None:
    result = run("serve", "--path", "x", "--memory")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


def test_tql_prints_csv_or_json(run: Run) -> None:
    result = run("tql", "device1", "select *", "--csv", "--json")
    assert result.exit_code == 2
    assert "exclude each other" in json.loads(result.stdout)["error"]["message"]
