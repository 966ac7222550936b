from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.cli.fakes import FakeMigration
from typer.testing import Result

from gridferry import errors
from gridferry.cli.reporting import Terminated
from gridferry.errors import ConnectionLost, DataError, FerryError, PlanError, StatementError

Run = Callable[..., Result]

SECRET = "s3same-open"
EXPECTED = {
    "ConfigError": 2, "NotLoaded": 2, "PlanError": 2, "SourceRefused": 2, "PasswordRefused": 2,
    "AuthenticationFailed": 2, "TargetNotEmpty": 2, "SourceUnreachable": 75, "SnapshotGone": 75, "NodeUnreachable": 75,
    "ConnectionLost": 75, "AnswerTimeout": 75, "WrongNode": 75,
    "LockConflict": 75, "SchemaChanged": 75, "SessionLost": 75, "ResultSetLost": 75, "LeaseHeld": 75,
    "SlotInUse": 75, "TransactionOpen": 75, "NoSessionFree": 75,
}  # fmt: skip


def kinds(base: type[FerryError] = FerryError) -> Iterator[type[FerryError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from kinds(kind)


BY_NAME = dict(sorted((kind.__name__, kind) for kind in kinds()))


@pytest.mark.parametrize("kind", BY_NAME.values(), ids=BY_NAME)
def test_every_error_ends_with_its_exit_code(run: Run, migration: FakeMigration, kind: type[FerryError]) -> None:
    migration.failure = kind("it broke", state="half of it stands", next_step="mend it")
    code = EXPECTED.get(kind.__name__, 3)
    result = run("load")
    assert result.exit_code == code
    for part in ("error: it broke", "State: half of it stands", "Next: mend it"):
        assert part in result.stderr
    assert "Traceback" not in result.stderr
    assert ("trying again" in result.stderr) == (code == 75)
    document = json.loads(run("load", "--json").stdout)["error"]
    assert (document["type"], document["exit_code"]) == (kind.__name__, code)
    assert document["try_again"] == (code == 75)


def test_what_may_pass_always_has_a_next_step(run: Run, migration: FakeMigration) -> None:
    migration.failure = ConnectionLost("the node closed the connection")
    assert "Next: run the same command again" in run("load").stderr
    assert json.loads(run("load", "--json").stdout)["error"]["next_step"] == "run the same command again"


def test_all_problems_of_a_plan_are_listed(run: Run, migration: FakeMigration) -> None:
    migration.failure = PlanError("2 problems stop the load", problems=("no rule for [box]", "no key"))
    assert "  - no rule for [box]" in run("load").stderr
    assert json.loads(run("load", "--json").stdout)["error"]["problems"] == ["no rule for [box]", "no key"]


def test_notes_are_shown_on_demand(run: Run, migration: FakeMigration) -> None:
    migration.failure = FerryError("it broke")
    migration.failure.add_note("in chunk 7")
    assert "chunk 7" not in run("load").stderr
    assert "note: in chunk 7" in run("load", "-v").stderr
    assert json.loads(run("load", "--json").stdout)["error"]["notes"] == ["in chunk 7"]


def test_json_has_what_only_some_errors_know(run: Run, migration: FakeMigration) -> None:
    migration.failure = DataError("too long", table="public.t", column="c", row=4)
    document = json.loads(run("load", "--json").stdout)["error"]
    assert (document["table"], document["column"], document["row"]) == ("public.t", "c", 4)
    migration.failure = StatementError("no", code=60079)
    assert json.loads(run("load", "--json").stdout)["error"]["griddb_code"] == 60079


def test_with_json_nothing_else_is_on_stdout_and_the_error_not_on_stderr(run: Run, migration: FakeMigration) -> None:
    migration.failure = FerryError("it broke")
    result = run("verify", "--json")
    assert set(json.loads(result.stdout)) == {"error"}
    assert result.stderr == ""


def test_a_defect_is_one_line_without_its_text(run: Run, migration: FakeMigration) -> None:
    migration.failure = ValueError(f"password={SECRET}")
    result = run("status")
    assert result.exit_code == 3
    assert "ValueError" in result.stderr
    assert "this is a defect" in result.stderr
    assert "GRIDFERRY_DEBUG=1" in result.stderr
    assert "Traceback" not in result.stderr
    assert SECRET not in result.output
    document = json.loads(run("status", "--json").stdout)["error"]
    assert (document["type"], document["exit_code"]) == ("ValueError", 3)


def test_a_traceback_is_there_for_the_asking(
    run: Run, migration: FakeMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDFERRY_DEBUG", "1")
    migration.failure = ValueError("why")
    assert "Traceback" in run("status").stderr


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_a_signal_ends_in_order(run: Run, migration: FakeMigration, stop: BaseException, code: int) -> None:
    migration.failure = stop
    result = run("verify")
    assert result.exit_code == code
    assert result.stderr == "Interrupted.\n"
    assert migration.closed


@pytest.mark.parametrize("command", ["plan", "load", "verify", "status", "containers"])
def test_a_missing_config_file_says_how_to_get_one(run: Run, command: str) -> None:
    result = run(command, "-c", "nowhere.yaml")
    assert result.exit_code == 2
    assert "nowhere.yaml cannot be read" in result.stderr
    assert "gridferry init" in result.stderr


def test_no_secret_of_the_environment_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDDB_PASSWORD", SECRET)
    monkeypatch.setenv("SOURCE_DSN", f"postgresql://me:{SECRET}@127.0.0.1:1/nowhere")
    for arguments in (
        ["init", "-o", "-"],
        ["show", "x", "--target", "griddb://admin@127.0.0.1:1/c"],
        ["tql", "x", "select *", "--target", f"griddb://admin:{SECRET}@127.0.0.1:1/c"],
        ["containers", "--target", f"griddb://admin:{SECRET}@127.0.0.1:1/c?x=1"],
        ["init", f"postgres://me:{SECRET}@[::1/nowhere"],
    ):
        for extra in ([], ["--json"], ["-v"]):
            result = run(*arguments, *extra)
            assert result.exit_code in (2, 75), arguments
            assert SECRET not in result.output


@pytest.mark.parametrize("command", [["load"], ["verify"], ["status"], ["show", "x"], ["tql", "x", "select *"]])
def test_a_missing_password_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    monkeypatch.delenv("GRIDDB_PASSWORD", raising=False)
    config = tmp_path / "c.yaml"
    config.write_text("source: host=127.0.0.1\ntarget: griddb://me@127.0.0.1:1/c\ntables: [{table: a}]\n")
    result = run(*command, "-c", str(config))
    assert result.exit_code == 2
    assert "there is no password for griddb://me@127.0.0.1:1/c/public" in result.stderr
    assert "set GRIDDB_PASSWORD" in result.stderr


def test_a_plan_needs_no_password_of_the_target(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRIDDB_PASSWORD", raising=False)
    config = tmp_path / "c.yaml"
    config.write_text("source: host=127.0.0.1 port=1\ntarget: griddb://me@127.0.0.1:1/c\ntables: [{table: a}]\n")
    result = run("plan", "-c", str(config))
    assert result.exit_code == 75
    assert "no connection to PostgreSQL" in result.stderr
