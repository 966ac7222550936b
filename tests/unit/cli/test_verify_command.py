from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.fakes import DIFFERENCE, DIFFERENT, EQUAL, UNSETTLED, FakeMigration, report_of
from typer.testing import Result

from gridferry.engine.standing import TableStatus
from gridferry.model.outcomes import LoadState
from gridferry.model.verification import ColumnDifference, ContainerVerification, VerifyReport

Run = Callable[..., Result]


def test_equal_ends_with_0(run: Run, migration: FakeMigration) -> None:
    migration.report = EQUAL
    result = run("verify")
    assert result.exit_code == 0
    assert "All values are equal (400 rows in 1 container, compared in 0.2 s)" in result.stdout


def test_different_ends_with_1_and_shows_where_and_what(run: Run, migration: FakeMigration) -> None:
    migration.report = DIFFERENT
    result = run("verify")
    assert result.exit_code == 1
    assert "2 rows differ" in result.stdout
    assert "1 missing, 1 different" in result.stdout
    assert "2020-07-12" in result.stdout
    assert "temp: 22.7 in PostgreSQL, 22.8 in GridDB; note: '' in PostgreSQL, NULL in GridDB" in " ".join(
        result.stdout.split()
    )
    assert result.stdout.index("device2") < result.stdout.index("device1")
    assert "Next: gridferry" in result.stderr


def test_unsettled_ends_with_75(run: Run, migration: FakeMigration) -> None:
    migration.report = UNSETTLED
    result = run("verify")
    assert result.exit_code == 75
    assert "3 rows not yet synced" in result.stdout
    assert "gridferry verify --sync" in result.stderr


def test_as_json(run: Run, migration: FakeMigration) -> None:
    migration.report = DIFFERENT
    result = run("verify", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["verdict"], document["differences"]) == ("different", 2)
    (table,) = document["tables"]
    assert [c["equal_rows"] for c in table["containers"]] == [198, 400]
    assert table["first"][0]["columns"][0] == {"name": "temp", "source": "22.7", "target": "22.8"}


def test_options_reach_the_engine(run: Run, migration: FakeMigration, tmp_path: Path) -> None:
    migration.report = EQUAL
    file = tmp_path / "differences.jsonl"
    run("verify", "-t", "device", "--quick", "-o", str(file), "--settle", "5", "--sync", "--max-differences", "3")
    asked = {"quick": True, "output": file, "settle_s": 5.0, "sync": True, "most_differences": 3}
    assert migration.calls == [("verify", (("device",), asked))]


@pytest.mark.slow
def test_does_not_list_every_one_of_many(run: Run, migration: FakeMigration) -> None:
    many = [ContainerVerification(f"d{i:05}", str(i), 1, 1, equal_rows=1) for i in range(5000)]
    migration.report = report_of(*many)
    result = run("verify")
    assert "4,980 more containers" in result.stdout
    assert len(result.stdout.splitlines()) < 30


@pytest.mark.parametrize(
    ("command", "report", "code"),
    [
        ("load", EQUAL, 0),
        ("load", DIFFERENT, 1),
        ("load", UNSETTLED, 0),
        ("sync", EQUAL, 0),
        ("sync", DIFFERENT, 1),
        ("sync", UNSETTLED, 75),
    ],
)
def test_load_and_sync_verify_where_the_config_asks_for_it(
    run: Run, migration: FakeMigration, command: str, report: VerifyReport, code: int
) -> None:
    migration.report, migration.wished = report, True
    result = run(command)
    assert result.exit_code == code
    assert "in PostgreSQL" in result.stdout
    as_json = run(command, "--json")
    assert as_json.exit_code == code
    assert json.loads(as_json.stdout)["verified"]["verdict"] == report.verdict.value


def test_status_tells_of_the_last_verification(run: Run, migration: FakeMigration) -> None:
    migration.statuses = [TableStatus("public.device", LoadState.LOADED, verified=DIFFERENT.tables[0])]
    result = run("status")
    assert "full, different, 2026-03-01 10:00:00 UTC, 2 rows differ" in result.stdout


def test_values_command_no_terminal(run: Run, migration: FakeMigration) -> None:
    table = EQUAL.tables[0]
    values = ColumnDifference("note", "a\nb\x1b[31m", "ä")
    found = replace(DIFFERENCE, key=(("id", "1\x1b[2J"),), columns=(values,))
    containers = (replace(table.containers[0], name="c\x1b[7m"),)
    migration.report = replace(EQUAL, tables=(replace(table, first=(found,), containers=containers),))
    out = run("verify").stdout
    assert "\x1b" not in out
    for part in (r"note: a\nb\x1b[31m in PostgreSQL, ä in GridDB", r"id 1\x1b[2J", r"c\x1b[7m"):
        assert part in " ".join(out.split())
