"""Wrong passwords, generated, at servers that refuse them: what a user and a program is told has no piece of one."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from psycopg.conninfo import make_conninfo
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.profiles import PROFILE, share
from tests.unit.cli.test_secrets import PASSWORD, told
from typer.testing import CliRunner

from gridferry.cli.main import app
from gridferry.errors import AuthenticationFailed
from gridferry.griddb import connect

FEW = settings(max_examples=share(25, PROFILE), suppress_health_check=list(HealthCheck))


@FEW
@given(password=PASSWORD)
def test_no_piece_of_a_password_is_in_griddbs_refusal(ferry: Ferry, password: str) -> None:
    with pytest.raises(AuthenticationFailed) as caught, connect(ferry.url, password=password):
        pass
    error = caught.value
    said = " ".join([*traceback.format_exception(error), repr(error), error.state, error.next_step])
    assert not told(said.split("gridferry.errors.")[-1], password, ferry.url), said


@settings(FEW, max_examples=share(8, PROFILE))
@given(password=PASSWORD)
@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("words", [("plan",), ("status", "--json"), ("load",), ("report", "-o", "REPORT")])
def test_nor_in_what_a_command_says_of_it(
    ferry: Ferry, postgres: Database, tmp_path: Path, words: tuple[str, ...], side: str, password: str
) -> None:
    postgres.run("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)")
    server = postgres.server
    dsn = make_conninfo(
        "", host="127.0.0.1", port=server.port, user="postgres", dbname=postgres.name,
        password=password if side == "source" else server.password,
    )  # fmt: skip
    told_of = replace(ferry.of("public.t"), dsn=dsn)
    config, report = tmp_path / "gridferry.yaml", tmp_path / "report.html"
    config.write_text(told_of.text)
    env = {**told_of.env, "COLUMNS": "2000", "GRIDFERRY_DEBUG": None}
    if side == "target":
        env["GRIDDB_PASSWORD"] = password
    command = [str(report) if word == "REPORT" else word for word in words]
    done = CliRunner().invoke(app, [*command, "--config", str(config)], env=env)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    if side == "target":
        assert done.exit_code == 2 or words == ("plan",), said
    assert not told(said, password, f"{tmp_path}{ferry.url}{told_of.text}{postgres.name}"), said
