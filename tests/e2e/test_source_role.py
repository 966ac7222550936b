"""The role of docs/source-role.md, made by the page's own statements, does what the page says, in few sessions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.changes import without_slots
from tests.e2e.command import command
from tests.e2e.ferry import Ferry

from gridferry.source.postgres.session.connection import connect, parse_address

PAGE = Path(__file__).parents[2] / "docs" / "source-role.md"


def statements(kind: str) -> str:
    """The SQL of the page's block that begins with the comment `kind`."""
    (block,) = re.findall(rf"```sql\n-- {kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)


@pytest.fixture
def source(postgres: Database) -> Iterator[Database]:
    """Two tables of an owner of their own, who is no superuser."""
    postgres.run("CREATE ROLE app_owner; CREATE SCHEMA app AUTHORIZATION app_owner")
    postgres.run("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for table in ("reading", "device"):
        postgres.run(
            f"CREATE TABLE app.{table} (id int PRIMARY KEY, at timestamptz, v float8);"
            f"INSERT INTO app.{table} SELECT i, timestamptz '2026-01-01' + i * interval '1 s', i"
            f" FROM generate_series(1, 1000) AS i; ANALYZE app.{table}; ALTER TABLE app.{table} OWNER TO app_owner"
        )
    try:
        with without_slots(postgres):
            yield postgres
    finally:
        postgres.run("DROP SCHEMA app CASCADE")
        for role in ("gridferry", "app_owner"):
            if postgres.run(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
                postgres.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def make_role(source: Database, *kinds: str) -> str:
    for kind in kinds:
        source.run(statements(kind).replace("DATABASE sensors", f'DATABASE "{source.name}"'))
    return source.dsn_as("gridferry")


def asked(ferry: Ferry, dsn: str, mode: str) -> Ferry:
    sync = {"mode": mode} if mode == "cdc" else {"mode": mode, "column": "at"}
    tables = [{"table": f"app.{name}", "sync": sync} for name in ("reading", "device")]
    return replace(ferry.of(*tables), dsn=dsn)


def run(ferry: Ferry, folder: Path, *arguments: str) -> str:
    said = command(ferry, folder, *arguments)
    assert said.code == 0, said.text
    return said.text


@pytest.mark.parametrize("mode", ["watermark", "cdc"])
def test_the_role_of_the_page_does_what_the_page_says(
    ferry: Ferry, source: Database, tmp_path: Path, mode: str
) -> None:
    dsn = make_role(source, "watermark", *(["cdc"] if mode == "cdc" else []))
    table = asked(ferry, dsn, mode)
    told = run(table, tmp_path, "plan")
    assert "superuser" not in told
    assert "rights that are not needed" not in told
    run(table, tmp_path, "load")
    source.run("INSERT INTO app.reading VALUES (2000, '2026-05-01', 1)")
    if mode == "cdc":
        source.run("UPDATE app.device SET v = -1 WHERE id < 10; DELETE FROM app.reading WHERE id = 5")
    run(table, tmp_path, "sync")
    assert "equal" in run(table, tmp_path, "verify")
    run(table, tmp_path, "drop-slot")


def test_a_superuser_and_an_owner_are_warned_of_and_given_the_grants(
    ferry: Ferry, source: Database, tmp_path: Path
) -> None:
    said = command(asked(ferry, source.dsn, "watermark"), tmp_path, "plan")
    assert (said.code, "is a superuser" in said.text) == (0, True)
    assert "GRANT SELECT ON app.reading, app.device TO gridferry" in said.text
    source.run("ALTER ROLE app_owner LOGIN CREATEDB")
    said = command(asked(ferry, source.dsn_as("app_owner"), "watermark"), tmp_path, "plan")
    assert "could change or drop" in said.text
    assert "NOCREATEDB" in said.text


def test_limits_that_cannot_be_kept_are_told_with_the_reason_and_the_others_hold(
    ferry: Ferry, source: Database, tmp_path: Path
) -> None:
    dsn = make_role(source, "watermark")
    table = asked(ferry, dsn, "watermark")
    assert "statement_timeout" not in run(table, tmp_path, "plan")
    source.run("ALTER ROLE gridferry SET statement_timeout = '4s'")
    source.run("ALTER ROLE gridferry SET idle_in_transaction_session_timeout = '6s'")
    told = run(table, tmp_path, "plan")
    assert "statement_timeout: 4s for the role gridferry" in told
    assert "idle_in_transaction_session_timeout: 6s" in told
    shown = "SHOW statement_timeout"
    with as_gridferry(dsn) as connection:
        assert connection.execute(shown).fetchone() == ("4s",)


@pytest.mark.parametrize(("limit", "told"), [("5s", True), ("5min", False), ("0", False)])
def test_a_shorter_wait_for_locks_that_is_not_kept_is_told(
    ferry: Ferry, source: Database, tmp_path: Path, limit: str, told: bool
) -> None:
    table = asked(ferry, make_role(source, "watermark"), "watermark")
    source.run(f"ALTER ROLE gridferry SET lock_timeout = '{limit}'")
    said = " ".join(run(table, tmp_path, "plan").split())
    assert (
        "lock_timeout: 5s for the role gridferry; gridferry waits up to 60s for a lock all the same" in said
    ) is told
    assert "lock_timeout" in said or not told


def as_gridferry(dsn: str) -> psycopg.Connection[Any]:
    return connect(parse_address(dsn))


@pytest.mark.parametrize("mode", ["watermark", "cdc"])
def test_two_sessions_are_enough(ferry: Ferry, source: Database, tmp_path: Path, mode: str) -> None:
    dsn = make_role(source, "watermark", *(["cdc"] if mode == "cdc" else []))
    source.run("ALTER ROLE gridferry CONNECTION LIMIT 2")
    table = asked(ferry, dsn, mode)
    said = " ".join(run(table, tmp_path, "plan").split())
    assert "2 of 2 that the role may have" in said
    assert ("1 replication slot, 1 walsender" in said) is (mode == "cdc")
    run(table, tmp_path, "load", "--workers", "4", "--rows-per-chunk", "100")
    source.run("INSERT INTO app.reading SELECT i, '2026-05-01', i FROM generate_series(2000, 2200) AS i")
    run(table, tmp_path, "sync")
    run(table, tmp_path, "verify", "--workers", "3")
    run(table, tmp_path, "status")


def test_few_sessions_are_told_before_a_load(ferry: Ferry, source: Database, tmp_path: Path) -> None:
    dsn = make_role(source, "watermark")
    table = asked(ferry, dsn, "watermark")
    source.run("ALTER ROLE gridferry CONNECTION LIMIT 3")
    with as_gridferry(dsn), as_gridferry(dsn):
        said = command(table, tmp_path, "plan", "--json")
    assert said.code == 0, said.text
    document = json.JSONDecoder().raw_decode(said.text[said.text.index("{") :])[0]
    found = {each["subject"]: each for each in document["findings"]}
    assert found["sessions"]["message"].startswith("1 more can be opened now, and 2 are needed")
    assert ", 1 of 3 that the role may have" in found["source"]["message"]
    assert "TRUNCATE" in found["snapshot"]["message"]


def test_no_session_at_all_is_for_later_and_says_what_is_full(ferry: Ferry, source: Database, tmp_path: Path) -> None:
    dsn = make_role(source, "watermark")
    table = asked(ferry, dsn, "watermark")
    source.run("ALTER ROLE gridferry CONNECTION LIMIT 0")
    said = command(table, tmp_path, "load")
    assert said.code == 75, said.text
    assert 'too many connections for role "gridferry"' in said.text
    assert "Next: " in said.text


@pytest.mark.parametrize("mode", ["watermark", "cdc"])
def test_a_role_that_may_not_ask_which_server_it_is_gets_the_grant_and_is_served_without(
    ferry: Ferry, source: Database, tmp_path: Path, mode: str
) -> None:
    source.run("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    dsn = make_role(source, "watermark", *(["cdc"] if mode == "cdc" else []))
    table = asked(ferry, dsn, mode)
    told = run(table, tmp_path, "plan")
    assert "may not ask for the server's system identifier" in told
    run(table, tmp_path, "load")
    with table.migration() as migration:
        origin = migration.endpoints.look_at_state().origins.get("app.reading")
    assert origin is not None
    assert origin.origin.system == ""
    source.run("INSERT INTO app.reading VALUES (2000, '2026-05-01', 1)")
    assert "1 row" in run(table, tmp_path, "sync")
    # The advice helps when it is followed, also a table that was loaded before.
    (grant,) = re.findall(r"GRANT EXECUTE ON FUNCTION [^;]*;", " ".join(told.split()))
    source.run(grant)
    assert "may not ask for the server's" not in run(table, tmp_path, "plan")
    source.run("INSERT INTO app.reading VALUES (2001, '2026-05-02', 1)")
    assert "1 row" in run(table, tmp_path, "sync")
    assert "all values" in run(table, tmp_path, "verify")
