from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.fakes import DIFFERENT, EQUAL, UNSETTLED, FakeMigration
from typer.testing import Result

from gridferry.errors import LeaseHeld
from gridferry.model.coverage import Coverage, LeftOut
from gridferry.model.cutover import NOTHING_ACCEPTED, Accepted, CutoverCheck, CutoverReport, TableCutover
from gridferry.model.repair import (
    RepairRecord,
    RepairReport,
    RepairState,
    RepairStatus,
    RepairUndo,
    TableRepair,
    TableUndo,
    part_of,
    whole_of,
)
from gridferry.model.verification import Verdict, VerifyReport

Run = Callable[..., Result]

REPAIRED = TableRepair(
    "public.device", "20260301T100000-abc123", put=1, replaced=1, confirmed=2, seconds=0.4, created=("device2",)
)
RECORD = RepairRecord(
    "20260301T100000-abc123", "public.device", RepairState.DONE, "ann@box", "2026-03-01T10:00:00.000+00:00", "", put=7
)


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_repair_tells_what_differed_what_it_did_and_how_to_go_back(run: Run, migration: FakeMigration) -> None:
    migration.repaired = RepairReport(DIFFERENT, (REPAIRED,), run=REPAIRED.run)
    result = run("repair", "-t", "device", "--wait", "9", "--sync")
    assert result.exit_code == 0
    for part in (
        "2 rows differ", "public.device: 2 rows repaired (1 put, 1 replaced), 2 re-read and confirmed",
        "containers made: device2", "Both sides are equal now",
    ):  # fmt: skip
        assert part in words(result.stdout), part
    assert result.stderr.splitlines()[-1] == f"To bring the old rows back: gridferry undo {REPAIRED.run}"
    (call,) = migration.calls
    options = {"wait_s": 9.0, "output": None, "settle_s": None, "sync": True, "most_differences": 10}
    assert call == ("repair", (("device",), options))


@pytest.mark.parametrize(
    ("found", "repair", "code", "said"),
    [
        (EQUAL, TableRepair("public.device"), 0, "nothing was repaired"),
        (UNSETTLED, TableRepair("public.device"), 75, "left alone: changes of them are not synced yet"),
        (DIFFERENT, TableRepair("public.device", "r", put=1, confirmed=1, moved=1), 75, "1 row changed meanwhile"),
        (DIFFERENT, TableRepair("public.device", "r", put=1, confirmed=1, refused=1), 1, "several source rows share"),
        (DIFFERENT, TableRepair("public.device", "r", put=2, confirmed=1), 1, "Some differences are left"),
        (DIFFERENT, TableRepair("public.device", settled=2, skipped=("k = [1]",)), 0, "left alone: k = [1]"),
    ],
)
def test_the_verdict_counts_what_was_read_again(
    run: Run, migration: FakeMigration, found: VerifyReport, repair: TableRepair, code: int, said: str
) -> None:
    migration.repaired = RepairReport(found, (repair,))
    result = run("repair")
    assert result.exit_code == code
    assert said in words(result.stdout)


def test_a_repair_as_json(run: Run, migration: FakeMigration) -> None:
    migration.repaired = RepairReport(DIFFERENT, (REPAIRED,))
    document = json.loads(run("repair", "--json").stdout)
    assert (document["verdict"], document["exit_code"]) == ("equal", 0)
    assert document["repairs"][0]["rows"] == 2
    assert document["verification"]["differences"] == 2


def test_a_repair_of_several_tables_has_one_name_for_its_undo(run: Run, migration: FakeMigration) -> None:
    whole = "20260301T100001-def456"
    one, other = (replace(REPAIRED, run=part_of(whole, n), table=f"public.t{n}") for n in (1, 2))
    calm = [replace(REPAIRED, run="", put=0, replaced=0, deleted=0, table=f"public.u{n}") for n in range(9)]
    tables = tuple(replace(DIFFERENT.tables[0], table=each.table) for each in (one, other, *calm))
    migration.repaired = RepairReport(replace(DIFFERENT, tables=tables), (one, other, *calm), run=whole)
    result = run("repair", "-c", "other.yaml")
    assert result.stderr.splitlines()[-1] == f"To bring the old rows back: gridferry undo {whole} -c other.yaml"
    said = words(result.stdout)
    assert "9 other tables: nothing to repair" in said
    assert f"{one.rows * 2} rows repaired in 2 of 11 tables, run {whole}" in said
    assert "public.u3: nothing was repaired" not in said
    assert whole_of(one.run) == whole
    assert whole_of(whole) == whole_of("r1") == ""


def test_a_held_table_is_tried_later(run: Run, migration: FakeMigration) -> None:
    migration.failure = LeaseHeld("another run works on it", next_step="run again with --wait SECONDS")
    result = run("repair")
    assert result.exit_code == 75
    assert "--wait SECONDS" in result.stderr


@pytest.mark.parametrize(
    ("options", "command"),
    [
        (("--repair",), "gridferry repair"), (("--wait", "9", "--repair"), "gridferry repair"),
        (("--undo", "r1"), "gridferry undo RUN"), (("--undo=r1",), "gridferry undo RUN"),
        (("--runs", "--json"), "gridferry repairs"), (("--forget", "30d"), "gridferry forget RUN"),
    ],
)  # fmt: skip
def test_verify_names_the_command_that_was_looked_for(
    run: Run, migration: FakeMigration, options: tuple[str, ...], command: str
) -> None:
    result = run("verify", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"It is a command of its own: `{command}`" in words(result.stderr)
    assert migration.calls == []


def test_verify_names_no_other_command_where_none_was_looked_for(run: Run) -> None:
    for options in (("--quik",), ("--output",), ("--max-differences", "-1")):
        result = run("verify", *options)
        assert result.exit_code == 2
        assert "command of its own" not in words(result.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("repair", "--quick"), ("undo",), ("undo", "r1", "--quick"), ("repairs", "-o", "x.parquet"),
        ("repairs", "--forget", "r1"), ("forget",),
    ],
)  # fmt: skip
def test_what_a_command_does_not_do_is_a_usage_error(
    run: Run, migration: FakeMigration, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert migration.calls == []


def test_a_repair_may_write_the_differences_to_a_file(run: Run, migration: FakeMigration, tmp_path: Path) -> None:
    file = tmp_path / "found.jsonl"
    assert run("repair", "-o", str(file)).exit_code == 0
    assert migration.calls[0][1][1]["output"] == file


def test_an_undo_tells_what_was_kept(run: Run, migration: FakeMigration) -> None:
    kept = TableUndo("public.device", "r1", restored=5, already=2, kept=1, changed=("ts = 5",))
    migration.undone = RepairUndo("r1", (kept,))
    result = run("undo", "r1", "--wait", "3")
    assert result.exit_code == 1
    for part in ("5 rows brought back", "2 rows already as before", "1 row kept", "kept: ts = 5"):
        assert part in words(result.stdout), part
    assert migration.calls == [("undo", ("r1", (), {"wait_s": 3.0}))]
    migration.undone = RepairUndo("r1", (TableUndo("public.device", "r1", restored=5),))
    assert run("undo", "r1", "--json").exit_code == 0


def test_the_runs_are_listed(run: Run, migration: FakeMigration) -> None:
    assert "no repair" in run("repairs").stdout
    migration.listed = [RepairStatus(RECORD, "interrupted: run it again"), RepairStatus(RECORD)]
    shown = run("repairs", "-t", "device").stdout.splitlines()
    assert shown == [
        f"{RECORD.run}: public.device, 7 rows (7 put), done",
        "  2026-03-01 10:00:00 UTC, by ann@box",
        "  interrupted: run it again",
        f"{RECORD.run}: public.device, 7 rows (7 put), done",
        "  2026-03-01 10:00:00 UTC, by ann@box",
    ]
    document = json.loads(run("repairs", "--json").stdout)
    assert [one["rows"] for one in document["runs"]] == [7, 7]
    assert document["runs"][0]["note"].startswith("interrupted")


def test_a_journal_is_forgotten(run: Run, migration: FakeMigration) -> None:
    assert "nothing to forget" in run("forget", "30d").stdout
    name = "20260301T100000-0a1b2c"  # a table's name looks otherwise
    migration.forgotten = [name]
    result = run("forget", name, "-t", "device", "--wait", "3")
    assert f"forgotten: {name}" in result.stdout
    assert migration.calls[-1] == ("forget", (name, ("device",), {"wait_s": 3.0}))
    assert json.loads(run("forget", name, "--json").stdout) == {"forgotten": [name]}


def test_tables_and_repairs_are_not_forgotten_together(run: Run, migration: FakeMigration) -> None:
    result = run("forget", "30d", "public.t")
    assert result.exit_code == 2
    assert "one after the other" in words(result.stderr)
    assert run("forget", "public.t", "--table", "public.t").exit_code == 2
    assert migration.calls == []


READY = TableCutover(
    "public.device",
    "cdc",
    (CutoverCheck("loaded", True, "loaded to its end"), CutoverCheck("verified", True, "all values are equal")),
    info=("3 other sessions are connected",),
    verdict=Verdict.EQUAL,
    rows=600,
)


def test_a_cut_over_says_ready(run: Run, migration: FakeMigration) -> None:
    migration.ready = CutoverReport((READY,), "2026-03-01T10:00:00.000+00:00", 1.0)
    result = run("cutover", "--wait", "5", "-t", "device")
    assert result.exit_code == 0
    assert "READY: 600 rows are equal" in words(result.stdout)
    assert migration.calls == [("cutover", (("device",), {"wait_s": 5.0, "accepted": NOTHING_ACCEPTED}))]
    assert json.loads(run("cutover", "--json").stdout)["tables"][0]["ready"] is True


def test_a_cut_over_says_what_was_accepted(run: Run, migration: FakeMigration) -> None:
    covered = Coverage(5, 4, left_out=(LeftOut("shape", "point"),), source_rows=600, stored=600)
    migration.ready = CutoverReport(
        (replace(READY, coverage=covered, accepted=("columns that are not in GridDB: shape point",)),),
        "",
        1.0,
        others=("public.forgotten",),
    )
    result = run("cutover", "--accept-excluded", "--accept-quarantined")
    assert "READY: 600 rows, 4 of 5 columns: equal" in words(result.stdout)
    assert "accepted: public.device: columns that are not in GridDB: shape point" in words(result.stdout)
    assert "1 table of the database is not in this config: public.forgotten" in words(result.stdout)
    assert migration.calls == [("cutover", ((), {"wait_s": 0.0, "accepted": Accepted(True, True)}))]
    assert json.loads(run("cutover", "--json").stdout)["others"] == ["public.forgotten"]


def test_a_cut_over_lists_what_is_missing_and_the_next_step(run: Run, migration: FakeMigration) -> None:
    late = TableCutover("public.other", "", (CutoverCheck("quarantine", False, "2 rows", "gridferry quarantine list"),))
    migration.ready = CutoverReport((READY, late), "", 1.0)
    result = run("cutover")
    assert result.exit_code == 1
    for part in ("NOT READY: 1 thing missing", "missing quarantine: 2 rows", "next: gridferry quarantine list"):
        assert part in words(result.stdout), part


def test_no_table_is_not_ready() -> None:
    assert CutoverReport((), "", 0.0).exit_code == 1
