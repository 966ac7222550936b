from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.cli.fakes import LOADED, PROBLEM, RISK, FakeMigration, table_plan
from typer.testing import Result

from gridferry.model.coverage import Coverage, LeftOut
from gridferry.plan.plan import Plan

Run = Callable[..., Result]


class TestPlan:
    def test_tells_what_becomes_what(self, run: Run, migration: FakeMigration) -> None:
        result = run("plan")
        assert result.exit_code == 0
        for part in (
            "public.device becomes 3 TIME_SERIES containers",
            "405,184, 38 MB",
            "device1 (100), device2 (200)",
            "[red]temp",
            "lossy",
            "price: The nearest double.",
            "price: some values lose digits",
            "store its text",
        ):
            assert part in result.stdout
        assert "gridferry load" in result.stderr
        assert migration.closed

    def test_fits_80_columns(self, run: Run, migration: FakeMigration) -> None:
        assert max(map(len, run("plan").stdout.splitlines())) <= 80

    def test_shows_the_rule_beside_its_column_where_there_is_room(
        self, run: Run, migration: FakeMigration, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "140")
        lines = run("plan").stdout.splitlines()
        assert any("numeric(10,2)" in line and "The nearest double." in line for line in lines)

    @pytest.mark.slow
    def test_names_only_the_first_of_many_containers(self, run: Run, migration: FakeMigration) -> None:
        migration.planned = Plan((table_plan(containers=100_000),))
        out = " ".join(run("plan").stdout.split())
        assert "device5 (500) and 99,995 more" in out
        assert "device6" not in out

    def test_with_problems_ends_with_2(self, run: Run, migration: FakeMigration) -> None:
        migration.planned = Plan((table_plan(RISK, PROBLEM),))
        result = run("plan")
        assert result.exit_code == 2
        assert result.stdout.index("there is no rule for box") < result.stdout.index("some values lose digits")
        assert "1 problem must be solved first" in result.stderr

    def test_as_json(self, run: Run, migration: FakeMigration) -> None:
        migration.planned = Plan((table_plan(PROBLEM),), "db:5432/shop", "griddb://here")
        result = run("plan", "--json")
        assert result.exit_code == 2
        document = json.loads(result.stdout)
        assert document["sound"] is False
        (table,) = document["tables"]
        assert table["kind"] == "TIME_SERIES"
        assert table["row_key"] == ["ts"]
        assert table["columns"][0]["type"] == "TIMESTAMP(3)"
        assert table["columns"][2]["verdict"] == "lossy"
        assert table["findings"][0]["severity"] == "problem"

    def test_many_tables_have_a_line_each_and_a_problem_is_told_once(self, run: Run, migration: FakeMigration) -> None:
        names = [f"{'very_' * 14}long_{number:03}" for number in range(300)]
        tables = tuple(replace(table_plan(*([PROBLEM] if n % 100 == 0 else [])), table=t) for n, t in enumerate(names))
        migration.planned = Plan(tables, "db:5432/shop", "griddb://here")
        result = run("plan")
        assert result.exit_code == 2
        lines = result.stdout.splitlines()
        assert max(map(len, lines)) <= 80
        assert sum("3 time series" in line for line in lines) == 300
        assert sum("long_007" in line for line in lines) == 1
        assert "300 tables, 121,555,200 rows" in result.stdout
        assert result.stdout.count("there is no rule for box") == 1
        assert "problem  3 tables: " in result.stdout
        assert "3 problems must be solved first" in result.stderr
        assert "details: gridferry plan --details, or --table NAME" in " ".join(result.stderr.split())

    def test_details_of_many_tables_on_demand(self, run: Run, migration: FakeMigration) -> None:
        migration.planned = Plan(tuple(replace(table_plan(), table=f"t{number}") for number in range(6)))
        assert "becomes 3 TIME_SERIES containers" not in run("plan").stdout
        assert run("plan", "--details").stdout.count("becomes 3 TIME_SERIES containers") == 6
        named = [part for number in range(6) for part in ("--table", f"t{number}")]
        assert run("plan", *named).stdout.count("becomes 3 TIME_SERIES containers") == 6

    def test_asks_only_for_the_tables_named(self, run: Run, migration: FakeMigration) -> None:
        run("plan", "--table", "a", "-t", "b.c")
        assert migration.calls == [("plan", ("a", "b.c"))]


class TestLoad:
    def test_hands_its_options_on(self, run: Run, migration: FakeMigration) -> None:
        result = run(
            "load", "-t", "device", "--workers", "3", "--rows-per-chunk", "500", "--wait", "2.5", "--replace", "--yes"
        )
        assert result.exit_code == 0
        options = {"replace": True, "workers": 3, "rows_per_chunk": 500, "wait_s": 2.5}
        options["replace_unclaimed"] = False
        assert migration.calls == [("load", (("device",), options))]

    def test_shows_outcome_and_counts_those_that_differ_first(self, run: Run, migration: FakeMigration) -> None:
        migration.loaded = [LOADED]
        result = run("load")
        assert "public.device: loaded, 600 rows in 2 chunks, 0.5 s, 1,200 rows/s, 36 kB" in result.stdout
        assert result.stdout.index("device2") < result.stdout.index("device1")
        assert "gridferry verify" in result.stderr

    def test_tells_of_rows_that_are_not_stored_and_ends_with_1(self, run: Run, migration: FakeMigration) -> None:
        covered = Coverage(3, 2, left_out=(LeftOut("note", "text"),), source_rows=602, stored=599, quarantined=2)
        migration.loaded = [replace(LOADED, quarantined=2, superseded=1, coverage=replace(covered, superseded=1))]
        result = run("load")
        out = " ".join(result.stdout.split())
        assert "; 599 of 602 rows stored, 2 in quarantine, 1 superseded by another of their key" in out
        assert "1 of 3 columns is not in GridDB: note text (excluded, no reason given)" in out
        assert result.exit_code == 1
        assert "2 rows in quarantine" in result.stderr
        assert run("load", "--accept-quarantined").exit_code == 0
        (table,) = json.loads(run("load", "--json").stdout)["tables"]
        assert (table["coverage"]["stored"], table["coverage"]["compared"]) == (599, 2)

    def test_rows_that_gave_way_as_wished_are_told_and_fail_nothing(self, run: Run, migration: FakeMigration) -> None:
        covered = Coverage(3, 3, source_rows=601, stored=600, superseded=1)
        migration.loaded = [replace(LOADED, superseded=1, coverage=covered)]
        result = run("load")
        assert result.exit_code == 0
        assert "600 of 601 rows stored, 1 superseded" in " ".join(result.stdout.split())

    def test_progress_goes_to_stderr_as_lines(self, run: Run, migration: FakeMigration) -> None:
        result = run("load")
        assert "public.device: 600 rows in 2 chunks, 2 workers" in result.stderr
        assert "warning: public.device: a hazard" in result.stderr
        assert "public.device: a note" in result.stderr
        assert result.stdout == ""

    def test_quiet_leaves_only_warnings(self, run: Run, migration: FakeMigration) -> None:
        assert run("load", "--quiet").stderr == "warning: public.device: a hazard\n"

    def test_as_json(self, run: Run, migration: FakeMigration) -> None:
        migration.loaded = [LOADED]
        (table,) = json.loads(run("load", "--json").stdout)["tables"]
        assert table["rows"] == 600
        assert table["rows_per_second"] == 1200
        assert table["containers"][1] == {
            "name": "device2", "value": "00:0f", "source_rows": 200, "target_rows": 199
        }  # fmt: skip

    def test_replace_is_refused_where_nobody_can_be_asked(self, run: Run, migration: FakeMigration) -> None:
        result = run("load", "--replace")
        assert result.exit_code == 2
        assert "--yes" in result.stderr
        assert "drops 2 containers with 399 rows" in " ".join(result.stderr.split())
        assert migration.calls == []

    def test_unclaimed_containers_are_replaced_only_with_the_others(self, run: Run, migration: FakeMigration) -> None:
        assert run("load", "--replace-unclaimed").exit_code == 2
        assert migration.calls == []
        assert run("load", "--replace", "--replace-unclaimed", "--yes").exit_code == 0
        assert migration.calls[0][1][1]["replace_unclaimed"] is True

    @pytest.mark.parametrize(("answer", "code", "calls"), [("y\n", 0, 1), ("n\n", 2, 0), ("\n", 2, 0)])
    def test_replace_asks_on_a_terminal(
        self,
        run: Run,
        migration: FakeMigration,
        monkeypatch: pytest.MonkeyPatch,
        *,
        answer: str,
        code: int,
        calls: int,
    ) -> None:
        monkeypatch.setattr("gridferry.cli.asking.can_ask", lambda: True)
        result = run("load", "--replace", "-t", "device", input=answer)
        assert (result.exit_code, len(migration.calls)) == (code, calls)
        assert "--replace drops 2 containers with 399 rows of device, and loads them again" in result.stderr

    def test_a_dry_run_with_replace_asks_nothing(self, run: Run, migration: FakeMigration) -> None:
        assert run("load", "--replace", "--dry-run").exit_code == 0
        assert [name for name, _ in migration.calls] == ["plan", "preview"]

    def test_an_interrupted_load_says_how_to_go_on(self, run: Run, migration: FakeMigration) -> None:
        migration.failure = KeyboardInterrupt()
        result = run("load")
        assert result.exit_code == 130
        assert "run the same command again" in " ".join(result.stderr.split())
        assert migration.closed
