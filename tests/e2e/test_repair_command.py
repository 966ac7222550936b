"""The commands of a repair and of a cut-over, from a config file to their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.statistics import wait_for_statistics
from tests.e2e.test_repair_rules import PLAIN, spoil
from tests.readings import make_numbered_readings
from typer.testing import CliRunner

from gridferry.cli.main import app


def test_a_difference_on_its_way_through_the_commands(
    ferry: Ferry, postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_numbered_readings(postgres)
    wait_for_statistics(postgres)
    ferry = ferry.of(PLAIN)
    ferry.load()
    file = tmp_path / "gridferry.yaml"
    file.write_text(ferry.text)
    for name, value in ferry.env.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, code: int = 0) -> dict[str, Any]:
        result = CliRunner().invoke(app, [*arguments, "--json", "-c", str(file)])
        assert result.exit_code == code, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    assert run("repair")["repairs"][0]["run"] == ""
    spoil(ferry)
    assert run("verify", code=1)["differences"] == 3
    report = run("cutover", code=1)
    assert [c["name"] for c in report["tables"][0]["checks"] if not c["ok"]] == ["verified"]
    repaired = run("repair", "-t", "reading")
    assert repaired["verdict"] == "equal"
    (repair,) = repaired["repairs"]
    assert (repair["put"], repair["replaced"], repair["deleted"]) == (1, 1, 1)
    assert run("cutover")["ready"] is True
    (listed,) = run("repairs")["runs"]
    assert (listed["run"], listed["rows"], listed["state"]) == (repair["run"], 3, "done")
    assert run("undo", repair["run"])["restored"] == 3
    assert run("verify", code=1)["differences"] == 3
    assert "there is no repair" in run("undo", "nobody", code=2)["error"]["message"]
    assert run("forget", repair["run"])["forgotten"] == [repair["run"]]
    assert run("repairs")["runs"] == []
