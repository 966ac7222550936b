"""What a user is told when PostgreSQL cannot be reached or says no: one sentence, the next step, never a password."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from tests.conftest import Database, drop

from gridferry.errors import ConfigError, SourceError, SourceRefused, SourceUnreachable
from gridferry.source.postgres.session.arrow_answers import ArrowSession
from gridferry.source.postgres.session.arrow_session import connect_arrow
from gridferry.source.postgres.session.connection import PostgresAddress, connect, one_session, parse_address
from gridferry.source.postgres.session.transactions import Work, begin

SECRET = "s3cret-w0rd"
Opener = Callable[[PostgresAddress], object]


@pytest.fixture(params=[connect, connect_arrow], ids=["psycopg", "adbc"])
def opener(request) -> Opener:
    return request.param


def answer(session: ArrowSession | psycopg.Connection[Any], statement: str) -> tuple[Any, ...]:
    """The only row of an answer."""
    if isinstance(session, ArrowSession):
        return session.ask(statement)
    row = session.execute(statement).fetchone()
    assert row is not None
    return tuple(row)


def fail(opener: Opener, dsn: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        opener(parse_address(dsn))
    told = f"{caught.value.message} {caught.value.state} {caught.value.next_step} {caught.value.__cause__!r}"
    assert SECRET not in told
    assert caught.value.next_step
    assert "\n" not in caught.value.message
    return caught.value


def test_wrong_password(opener, postgres):
    error = fail(opener, postgres.server.tcp_dsn(postgres.name, password=SECRET))
    assert isinstance(error, SourceRefused)
    assert "password authentication failed" in error.message
    assert "PGPASSWORD" in error.next_step


def test_no_password(opener, postgres, monkeypatch, tmp_path):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    error = fail(opener, f"host=127.0.0.1 port={postgres.server.port} user=postgres dbname=postgres")
    assert isinstance(error, SourceRefused)
    assert ".pgpass" in error.next_step


def test_the_password_may_come_from_the_environment_or_a_file(opener, postgres, monkeypatch, tmp_path):
    dsn = f"host=127.0.0.1 port={postgres.server.port} user=postgres dbname=postgres"
    monkeypatch.setenv("PGPASSWORD", postgres.server.password)
    opener(parse_address(dsn)).close()
    monkeypatch.delenv("PGPASSWORD")
    passwords = tmp_path / "passwords"
    passwords.write_text(f"*:*:*:*:{postgres.server.password}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    opener(parse_address(dsn)).close()


def test_missing_database_and_missing_user(opener, postgres):
    error = fail(opener, postgres.server.dsn("no such database"))
    assert isinstance(error, SourceRefused)
    assert 'database "no such database" does not exist' in error.message
    assert isinstance(fail(opener, postgres.dsn_as("stranger")), SourceRefused)


def test_nobody_listens(opener):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        error = fail(opener, f"postgresql://u:{SECRET}@127.0.0.1:{probe.getsockname()[1]}/db")
    assert isinstance(error, SourceUnreachable)
    assert "host and port" in error.next_step


def test_unknown_host(opener):
    error = fail(opener, f"postgresql://u:{SECRET}@no-such-host.invalid/db")
    assert isinstance(error, SourceUnreachable)
    assert "host" in error.next_step


def test_no_connection_slots_is_for_later(opener, postgres):
    postgres.run("CREATE ROLE limited LOGIN CONNECTION LIMIT 0")
    try:
        assert isinstance(fail(opener, postgres.dsn_as("limited")), SourceUnreachable)
    finally:
        postgres.run("DROP ROLE limited")


@pytest.mark.parametrize(
    "dsn",
    ["", f"postgresql+psycopg2://u:{SECRET}@h/db", f"postgresql://u:{SECRET}@h:x/db", f"password={SECRET} nonsense",
     f"hots=h password={SECRET}", f"mysql://u:{SECRET}@h/db"],
)  # fmt: skip
def test_addresses_that_are_not_readable(dsn):
    with pytest.raises(ConfigError) as caught:
        parse_address(dsn)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "postgresql://" in caught.value.next_step


def test_address_parts_for_people(monkeypatch):
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    address = parse_address(f"postgresql://me:{SECRET}@db.example:6543/things?sslmode=require")
    assert (address.display, address.user) == ("db.example:6543/things", "me")
    assert SECRET not in repr(address)
    assert SECRET in address.conninfo
    assert "sslmode=require" in address.conninfo
    assert parse_address("host=/run/x user=me").display == "/run/x:5432/me"
    monkeypatch.setenv("PGHOST", "elsewhere")
    assert parse_address("user=me dbname=d").display == "elsewhere:5432/d"


def test_a_killed_server_is_unreachable(postgres_server, postgres):
    with postgres.source_session() as connection:
        pid = connection.info.backend_pid
        postgres.end_sessions(f"pid = {pid}")
        from gridferry.source.postgres.catalog.catalog import fetch_tables

        with pytest.raises(SourceUnreachable, match="reading the catalog"):
            fetch_tables(connection, ["t"])


@pytest.mark.parametrize(("open_", "kind"), [(connect, "psycopg"), (connect_arrow, "adbc")])
def test_settings_hold_for_every_session(postgres, open_, kind):
    postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET client_encoding = 'LATIN1'")
    postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET bytea_output = 'escape'")
    connection = open_(postgres.address)
    try:
        asked = "SELECT current_setting('client_encoding'), current_setting('bytea_output'), 'ü✓'"
        assert answer(connection, asked) == ("UTF8", "hex", "ü✓"), kind
    finally:
        connection.close()


@pytest.mark.parametrize("open_", [connect, connect_arrow], ids=["psycopg", "adbc"])
def test_a_database_in_an_encoding_that_python_has_no_codec_for(postgres, open_):
    name = f"taiwan {postgres.name}"
    postgres.run(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'EUC_TW' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        connection = open_(parse_address(postgres.server.dsn(name)))
        try:
            assert answer(connection, "SELECT '臺灣'") == ("臺灣",)
        finally:
            connection.close()
    finally:
        drop(postgres.server, name)


def test_a_session_has_its_settings_inside_its_transactions_and_nothing_after(postgres):
    postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET timezone = 'Asia/Tokyo'")
    postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET statement_timeout = '50s'")
    names = ["search_path", "timezone", "transaction_read_only", "statement_timeout", "tcp_keepalives_count"]

    def shown(connection, cursor_class):
        with cursor_class(connection) as cursor:
            return [cursor.execute(f"SHOW {name}").fetchone()[0] for name in names]

    with postgres.connect() as other:
        before = shown(other, psycopg.Cursor)[:3]
    with connect(postgres.address) as connection:
        # Over a Unix socket keepalives are 0 whatever is set.
        assert shown(connection, psycopg.Cursor)[:4] == ["pg_catalog, pg_temp", "UTC", "on", "50s"]
        connection.commit()
        assert shown(connection, psycopg.Cursor)[:3] == before
        with pytest.raises(psycopg.InterfaceError, match="outside"):
            connection.execute("SELECT 1")
        begin(connection, Work.LONG)
        assert shown(connection, psycopg.Cursor)[:4] == ["pg_catalog, pg_temp", "UTC", "on", "0"]


def test_the_role_cannot_make_a_transaction_another_kind(postgres):
    postgres.run("CREATE ROLE odd LOGIN")
    try:
        postgres.run("ALTER ROLE odd SET default_transaction_isolation = 'serializable'")
        postgres.run("ALTER ROLE odd SET default_transaction_deferrable = on")
        postgres.run("ALTER ROLE odd SET default_transaction_read_only = off")
        with connect(parse_address(postgres.dsn_as("odd"))) as connection:
            kinds = ("transaction_isolation", "transaction_deferrable", "transaction_read_only")
            assert [connection.execute(f"SHOW {kind}").fetchall() for kind in kinds] == [
                [("read committed",)], [("off",)], [("on",)]
            ]  # fmt: skip
    finally:
        postgres.run("DROP ROLE odd")


def test_a_dead_peer_is_noticed_on_both_sides(postgres):
    dsn = postgres.server.tcp_dsn(postgres.name)
    with connect(parse_address(dsn), Work.SNAPSHOT) as connection:
        names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
        assert [connection.execute(f"SHOW {name}").fetchall() for name in names] == [[("60",)], [("15",)], [("4",)]]
        given = connection.info.get_parameters()
        assert (given["keepalives_idle"], given["keepalives_count"], given["tcp_user_timeout"]) == ("60", "4", "120000")


def test_inside_one_session_an_ended_one_is_used_again_and_one_in_use_is_not(postgres: Database) -> None:
    with one_session():
        with connect(postgres.address) as first:
            pid = first.info.backend_pid
            with connect(postgres.address) as beside:
                assert beside.info.backend_pid != pid
        with connect(postgres.address) as again:
            assert again.info.backend_pid == pid
        postgres.end_sessions(f"pid = {pid}")
        with connect(postgres.address) as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
            assert other.info.backend_pid != pid
    assert other.closed


def test_an_error_in_a_session_that_is_kept_is_not_hidden_by_its_end(postgres: Database) -> None:
    def fail_in_an_ended_session() -> None:
        with connect(postgres.address) as session:
            postgres.end_sessions(f"pid = {session.info.backend_pid}")
            raise ValueError("what went wrong")

    with one_session(), pytest.raises(ValueError, match="what went wrong"):
        fail_in_an_ended_session()
