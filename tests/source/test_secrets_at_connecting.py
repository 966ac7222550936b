"""Passwords at the moment of connecting: generated ones, where libpq and the server say what they make of them."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo
from tests.conftest import Database
from tests.profiles import PROFILE, share
from tests.unit.cli.test_secrets import PASSWORD, PORT, told

from gridferry.errors import SourceError, SourceRefused
from gridferry.source.postgres.session.arrow_session import connect_arrow
from gridferry.source.postgres.session.connection import PostgresAddress, connect, parse_address
from gridferry.source.postgres.session.failures import without_values

FEW = settings(max_examples=share(40, PROFILE), suppress_health_check=list(HealthCheck))
Opener = Callable[[PostgresAddress], object]

# Lines of a service file in which a password may have come to stand by mistake, beside those that are right.
LINES = (
    "password={}", "port={}", "hostaddr={}", "sslmode={}", "connect_timeout={}", "channel_binding={}", "{}",
    "target_session_attrs={}", "sslnegotiation={}", "gssencmode={}", "require_auth={}", "{}=x", "service={}",
    "keepalives_idle={}", "sslpassword={}", "load_balance_hosts={}", "ssl_min_protocol_version={}",
)  # fmt: skip
# Options of an address that libpq itself reads when it connects.
OPTIONS = (
    "password", "port", "hostaddr", "sslmode", "connect_timeout", "channel_binding", "target_session_attrs", "service",
    "gssencmode", "keepalives_idle", "require_auth", "ssl_min_protocol_version", "sslpassword",
)  # fmt: skip


@pytest.fixture(params=[connect, connect_arrow], ids=["psycopg", "adbc"])
def opener(request: pytest.FixtureRequest) -> Opener:
    return request.param


def is_a_place(password: str, option: str) -> bool:
    """Whether libpq can go there: what was tried is said, as the host or port that it is."""
    return option in ("port", "hostaddr") and re.fullmatch("[0-9.xX]+", password) is not None


def refused(opener: Opener, dsn: str) -> tuple[SourceError | None, str]:
    """The error of a connection, and all that any handler could tell of it."""
    try:
        opener(parse_address(dsn))
    except Exception as error:
        seen = [error, error.__cause__, error.__context__]
        words = [f"{each} {each!r} {getattr(each, 'next_step', '')} {getattr(each, 'state', '')}" for each in seen]
        lines = traceback.format_exception(error)
        return error if isinstance(error, SourceError) else None, " ".join([*words, lines[-1]])
    raise AssertionError("it connected")


@FEW
@given(password=PASSWORD)
def test_no_piece_of_a_wrong_password_is_in_the_servers_refusal(
    opener: Opener, postgres: Database, password: str
) -> None:
    error, said = refused(opener, postgres.server.tcp_dsn(postgres.name, password=password))
    assert isinstance(error, SourceRefused)
    assert "password authentication failed" in error.message
    assert not told(said, password, postgres.server.tcp_dsn(postgres.name, password="")), said


@FEW
@given(password=PASSWORD)
def test_nor_of_one_in_the_password_file(
    opener: Opener, postgres: Database, password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    passwords = tmp_path / "passwords"
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    passwords.write_text(f"*:*:*:*:{escaped}\n{password}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    dsn = f"host=127.0.0.1 port={postgres.server.port} user=postgres dbname=postgres"
    error, said = refused(opener, dsn)
    assert error is not None
    assert "password authentication failed" in error.message
    assert not told(said, password, str(passwords)), said


@settings(FEW, max_examples=share(150, PROFILE))
@given(password=PASSWORD, line=st.sampled_from(LINES))
def test_nor_of_one_that_stands_anywhere_in_a_service_file(
    opener: Opener, password: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assume(not is_a_place(password, line.partition("=")[0]))
    services = tmp_path / "services"
    services.write_text(f"[ferry]\nhost=127.0.0.1\nport={PORT}\nuser=ann\ndbname=db\n{line.format(password)}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    error, said = refused(opener, "service=ferry")
    assert error is not None, said
    assert error.next_step
    assert not told(said, password, f"{services} {line}"), said


@settings(FEW, max_examples=share(150, PROFILE))
@given(password=PASSWORD, option=st.sampled_from(OPTIONS))
def test_nor_of_one_that_stands_at_any_option_of_the_address(opener: Opener, password: str, option: str) -> None:
    assume(not is_a_place(password, option))
    right = {"host": "127.0.0.1", "port": str(PORT), "user": "ann", "dbname": "db", "connect_timeout": "2"}
    _, said = refused(opener, make_conninfo("", **{**right, option: password}))
    assert not told(said, password, option), said


@settings(FEW, max_examples=share(150, PROFILE))
@given(password=PASSWORD, name=st.sampled_from(("PGPORT", "PGSSLMODE", "PGHOSTADDR", "PGSERVICE", "PGREQUIREAUTH")))
def test_nor_of_one_in_a_variable(opener: Opener, password: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assume(not is_a_place(password, name.removeprefix("PG").lower()))
    monkeypatch.setenv(name, password)
    _, said = refused(opener, f"host=127.0.0.1 user=ann dbname=db{'' if name == 'PGPORT' else f' port={PORT}'}")
    assert not told(said, password, name), said


@pytest.mark.parametrize(
    "text",
    [
        'connection to server at "db", port 5432 failed: password authentication failed for user "ann"',
        'connection to server on socket "/run/.s.PGSQL.5432" failed: No such file or directory',
        'could not translate host name "db" to address: Name or service not known',
        'server certificate for "a" does not match host name "b"',
        'root certificate file "/ca.pem" does not exist',
        'no pg_hba.conf entry for host "1.2.3.4", user "ann", database "d", no encryption',
        'syntax error in service file "/etc/pg_service.conf", line 3',
        "the server's certificate is not the client's",
    ],
)
def test_what_helps_is_still_said(text: str) -> None:
    assert without_values(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('invalid port number: "Qz"7x"', 'invalid port number: "***"'),
        ('bad value "a" b" for connection option "port"', 'bad value "***" for connection option "port"'),
        ("bad value for connect_timeout: 'Qz'7x'", "bad value for connect_timeout: '***'"),
        ('definition of service "Qz" not found', 'definition of service "***" not found'),
    ],
)  # fmt: skip
def test_what_could_be_a_password_is_not(text: str, shown: str) -> None:
    assert without_values(text) == shown
