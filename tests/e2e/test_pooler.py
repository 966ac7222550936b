"""Through a pooler that the application uses too: nothing of ours stays in its sessions, and what cannot be is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.changes import assert_level, without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry
from tests.pooling import Application, Pooler, pgbouncer
from tests.readings import make_numbered_readings

SETTINGS = [
    "timezone", "search_path", "default_transaction_read_only", "datestyle", "intervalstyle", "extra_float_digits",
    "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "row_security", "bytea_output",
    "quote_all_identifiers", "tcp_keepalives_idle", "tcp_user_timeout", "xmloption", "standard_conforming_strings",
]  # fmt: skip


def settings_seen(pooler: Pooler) -> set[tuple[str, ...]]:
    """What a client of the pool finds set, in each session that it meets."""
    seen = set()
    for _ in range(6):
        with psycopg.connect(pooler.dsn(), autocommit=True, prepare_threshold=None) as connection:
            seen.add(tuple(str(connection.execute(f"SHOW {name}").fetchall()) for name in SETTINGS))
    return seen


@pytest.fixture
def peculiar(postgres: Database) -> Database:
    """A database whose defaults are the application's, and unlike gridferry's."""
    for setting in ("timezone = 'Asia/Tokyo'", "datestyle = 'German'", "extra_float_digits = -10",
                    "statement_timeout = '50s'", "bytea_output = 'escape'"):  # fmt: skip
        postgres.run(f'ALTER DATABASE "{postgres.name}" SET {setting}')
    postgres.run("CREATE TABLE app (id serial PRIMARY KEY, note text)")
    postgres.run(
        "CREATE TABLE t (id int PRIMARY KEY, ts timestamptz, d date, f float8, b bytea);"
        "INSERT INTO t SELECT i, timestamptz '2026-01-01 00:00+00' + i * interval '1 s', '2026-02-03', i / 3.0, '\\xff'"
        " FROM generate_series(1, 200) AS i"
    )
    return postgres


TABLE = {"table": "public.t", "sync": {"mode": "watermark", "column": "id"}}


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_the_application_never_notices(ferry: Ferry, peculiar: Database, tmp_path: Path, mode: str) -> None:
    # A session pool lends a session for as long as a client stays: it has one for each.
    size = 2 if mode == "transaction" else 10
    with pgbouncer(peculiar, mode=mode, size=size, ignore_startup_parameters="extra_float_digits") as pooler:
        before = settings_seen(pooler)
        asked = replace(ferry.of(TABLE), dsn=pooler.dsn())
        with Application(pooler.dsn()) as application:
            told = command(asked, tmp_path, "plan")
            assert told.code == 0, told.text
            assert "pooler" in told.text
            assert command(asked, tmp_path, "load").code == 0
            for step in range(5):
                peculiar.run(
                    f"INSERT INTO t SELECT {step + 1} * 1000 + i, now(), '2026-02-03', i / 3.0, '\\x00'"
                    " FROM generate_series(1, 20) AS i"
                )
                said = command(asked, tmp_path, "sync")
                assert said.code == 0, said.text
            said = command(asked, tmp_path, "verify")
            assert (said.code, "equal" in said.text) == (0, True), said.text
            assert command(asked, tmp_path, "status").code == 0
        with Application(pooler.dsn()) as later:
            after = settings_seen(pooler)
        assert application.errors == later.errors == {}
        assert application.done["rows"] > 10
        assert later.done["rows"] > 0
        assert before == after
        assert len(before) == 1
    assert len(ferry.rows("t")) == 300


def test_changes_cannot_be_read_through_it_and_nothing_is_dropped_before_that_is_known(
    ferry: Ferry, peculiar: Database, tmp_path: Path
) -> None:
    with pgbouncer(peculiar, ignore_startup_parameters="extra_float_digits") as pooler:
        loaded = replace(ferry.of(TABLE), dsn=pooler.dsn())
        assert command(loaded, tmp_path, "load").code == 0
        asked = replace(ferry.of({"table": "public.t", "sync": {"mode": "cdc"}}), dsn=pooler.dsn())
        told = command(asked, tmp_path, "plan")
        assert told.code == 2
        assert "replication_dsn" in told.text
        refused(asked, tmp_path, "load", "--replace", "--yes", code=2, says="pooler")
        assert len(ferry.rows("t")) == 200
        assert peculiar.run("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()") == [(0,)]


def test_changes_come_from_the_server_itself_beside_the_pooler(
    ferry: Ferry, postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_numbered_readings(postgres)
    with pgbouncer(postgres) as pooler, without_slots(postgres):
        asked = ferry.of({"table": "public.reading", "split_by": "device", "sync": {"mode": "cdc"}})
        text = asked.text.replace(
            "source: ${SOURCE_DSN}", "source: {dsn: '${POOLER}', replication_dsn: '${SOURCE_DSN}'}"
        )
        monkeypatch.setattr(Ferry, "text", property(lambda _: text))
        monkeypatch.setenv("POOLER", pooler.dsn())
        for step in ("plan", "load"):
            said = command(asked, tmp_path, step)
            assert said.code == 0, said.text
        postgres.run("UPDATE reading SET n = n + 1 WHERE k < 5; DELETE FROM reading WHERE k = 20")
        for step in ("sync", "verify", "status", "cutover"):
            said = command(asked, tmp_path, step)
            assert said.code == 0, said.text
        assert_level(asked, postgres)
        assert command(asked, tmp_path, "drop-slot").code == 0


def test_two_addresses_that_name_two_databases_are_a_problem(
    ferry: Ferry, postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_numbered_readings(postgres)
    asked = ferry.of({"table": "public.reading", "split_by": "device", "sync": {"mode": "cdc"}})
    text = asked.text.replace("source: ${SOURCE_DSN}", "source: {dsn: '${SOURCE_DSN}', replication_dsn: '${OTHER}'}")
    monkeypatch.setattr(Ferry, "text", property(lambda _: text))
    monkeypatch.setenv("OTHER", postgres.server.dsn("postgres"))
    said = command(asked, tmp_path, "plan")
    assert said.code == 2
    assert "another database" in said.text


def test_statement_pooling_is_refused_with_its_reason(ferry: Ferry, peculiar: Database, tmp_path: Path) -> None:
    with pgbouncer(peculiar, mode="statement") as pooler:
        asked = replace(ferry.of(TABLE), dsn=pooler.dsn())
        refused(asked, tmp_path, "load", code=2, says="works in transactions", advises="pool_mode")


def test_what_hides_postgresqls_own_is_refused_where_the_path_cannot_be_given(
    ferry: Ferry, peculiar: Database, tmp_path: Path
) -> None:
    peculiar.run(
        "CREATE FUNCTION caught(regproc, int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''CANARY''; END';"
        "CREATE OPERATOR <> (FUNCTION = caught, LEFTARG = regproc, RIGHTARG = int)"
    )
    with pgbouncer(peculiar) as pooler:
        said = refused(replace(ferry.of(TABLE), dsn=pooler.dsn()), tmp_path, "load", code=2, says="operator")
        assert "CANARY" not in said.text


def test_a_pooler_that_overlooks_what_it_cannot_do_is_not_believed(
    ferry: Ferry, peculiar: Database, tmp_path: Path
) -> None:
    """Neither the search path of a login nor the wish for a replication session is what it seems to be there."""
    overlooked = "extra_float_digits, options, replication"
    with pgbouncer(peculiar, ignore_startup_parameters=overlooked) as pooler:
        peculiar.run(
            "CREATE FUNCTION caught(regproc, int) RETURNS bool LANGUAGE plpgsql AS"
            " 'BEGIN RAISE EXCEPTION ''CANARY''; END';"
            "CREATE OPERATOR <> (FUNCTION = caught, LEFTARG = regproc, RIGHTARG = int)"
        )
        said = refused(replace(ferry.of(TABLE), dsn=pooler.dsn()), tmp_path, "load", code=2, says="operator")
        assert "CANARY" not in said.text
        peculiar.run("DROP OPERATOR <> (regproc, int)")
        before = settings_seen(pooler)
        asked = replace(ferry.of({"table": "public.t", "sync": {"mode": "cdc"}}), dsn=pooler.dsn())
        told = command(asked, tmp_path, "plan")
        assert (told.code, "replication_dsn" in told.text) == (2, True), told.text
        assert settings_seen(pooler) == before
