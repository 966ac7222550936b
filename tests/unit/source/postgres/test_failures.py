"""SQLSTATE and libpq's words -> gridferry's errors."""

from __future__ import annotations

import psycopg
import pytest

from gridferry.errors import (
    NoSessionFree,
    PasswordRefused,
    SnapshotGone,
    SourceError,
    SourceRefused,
    SourceUnreachable,
    Transient,
)
from gridferry.source.postgres.session.connection import check_version
from gridferry.source.postgres.session.failures import connect_failure, failure, mapped, plain


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        (None, SourceUnreachable), ("08006", SourceUnreachable), ("57P01", SourceUnreachable),
        ("57014", SourceUnreachable), ("40001", SourceUnreachable), ("53300", SourceUnreachable),
        ("72000", SnapshotGone), ("42501", SourceRefused), ("42P01", SourceRefused), ("42601", SourceRefused),
        ("22P02", SourceRefused), ("XX001", SourceError), ("0A000", SourceError),
    ],
)  # fmt: skip
def test_each_state_has_its_error_and_a_next_step(sqlstate, kind):
    error = failure(sqlstate, "ERROR:  it failed", doing="reading x.y")
    assert type(error) is kind
    assert error.message == "PostgreSQL failed while reading x.y: it failed"
    assert error.next_step
    assert isinstance(error, Transient) == (kind in (SourceUnreachable, SnapshotGone))


def test_every_error_class_of_psycopg_is_mapped():
    classes = [c for c in vars(psycopg.errors).values() if isinstance(c, type) and issubclass(c, psycopg.Error)]
    assert len(classes) > 200
    for kind in classes:
        with pytest.raises(SourceError), mapped("testing"):
            raise kind("it failed")


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("permission denied for table device", "GRANT SELECT ON device TO"),
        ("permission denied for materialized view m", "GRANT SELECT ON m TO"),
        ("permission denied for schema s", "GRANT USAGE ON SCHEMA s TO"),
        ('query would be affected by row-level security policy for table "t"', "BYPASSRLS"),
        ("permission denied for function f", "grant the privilege"),
    ],
)
def test_privileges_are_answered_with_the_grant(text, step):
    assert step in failure("42501", text, doing="reading").next_step


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('connection failed: FATAL:  no pg_hba.conf entry for host "::1"', SourceRefused),
        ('FATAL:  password authentication failed for user "u"', PasswordRefused),
        ("fe_sendauth: no password supplied", PasswordRefused),
        ("FATAL:  Passwort-Authentifizierung fehlgeschlagen", SourceRefused),
        ("FATAL:  the database system is starting up", SourceUnreachable),
        (
            "FATAL:  the database system is not yet accepting connections\nDETAIL:  Consistent recovery state has not",
            SourceUnreachable,
        ),
        ("FATAL:  the database system is not accepting connections", SourceUnreachable),
        ('FATAL:  database "d" is not currently accepting connections', SourceRefused),
        ("FATAL:  sorry, too many clients already", NoSessionFree),
        ("connection timeout expired", SourceUnreachable),
        ('connection to server at "certificate.example", port 5432 failed: Connection refused', SourceUnreachable),
        ('server certificate for "db.example" does not match host name "10.0.0.7"', SourceRefused),
        ("SSL error: certificate verify failed", SourceRefused),
        ('root certificate file "/home/reader/.postgresql/root.crt" does not exist', SourceRefused),
        ("SSL error: tlsv1 alert unknown ca", SourceRefused),
        ("SSL error: sslv3 alert certificate expired", SourceRefused),
        ("FATAL:  connection requires a valid client certificate", SourceRefused),
        ('could not load private key file "client.key": bad decrypt', SourceRefused),
        ("FATAL:  terminating connection due to unexpected postmaster exit", SourceUnreachable),
        ("FATAL:  terminating connection due to administrator command", SourceUnreachable),
        ("FATAL:  terminating connection due to conflict with recovery", SourceUnreachable),
        ("FATAL:  canceling authentication due to timeout", SourceUnreachable),
        ("FATAL:  out of memory\nDETAIL:  Failed on request of size 64", SourceUnreachable),
        ("FATAL:  server login has been failing, cached error: connect failed (server_login_retry)", SourceUnreachable),
        ("FATAL:  no more connections allowed (max_client_conn)", NoSessionFree),
        ("FATAL:  query_wait_timeout", NoSessionFree),
        ("FATAL:  the pooler is shut down now", SourceUnreachable),
        ("something new", SourceUnreachable),
    ],
)
def test_failed_connections(text, kind):
    error = connect_failure(text, display="h:1/d", user="u")
    assert type(error) is kind
    assert error.message.startswith("no connection to PostgreSQL at h:1/d as u: ")
    assert error.next_step
    assert "FATAL" not in error.message


def test_plain_keeps_the_reason_and_drops_statement_and_secrets():
    text = (
        "INVALID_DATA: [libpq] Failed to execute query: could not begin COPY: ERROR:  division by zero\n\n"
        "Query was: COPY (select 1/0) TO STDOUT (FORMAT binary). SQLSTATE: 22012"
    )
    assert plain(text) == "division by zero"
    assert plain('relation "nope" does not exist\nLINE 1: select * from nope\n  ^') == 'relation "nope" does not exist'
    for secret in ("password=hush", "password = 'hu\\'sh'", "postgresql://me:hush@h/d", "://:hush@h"):
        assert "sh" not in plain(f"bad {secret} here").replace("bad", "")


@pytest.mark.parametrize("sqlstate", ["22P05", "XX000"])
def test_text_that_cannot_be_read_is_told_from_a_condition_that_cannot_be_sent(sqlstate):
    """The stream of a chunk tells no SQLSTATE, only the text."""
    text = 'ERROR:  character with byte sequence 0x81 in encoding "{}" has no equivalent in encoding "{}"'
    read = failure(sqlstate, text.format("WIN1252", "UTF8"), doing="reading x.y")
    assert isinstance(read, SourceRefused)
    assert "the column holds bytes" in read.next_step
    sent = failure(sqlstate, text.format("UTF8", "LATIN1"), doing="reading x.y")
    assert "condition" in sent.next_step


@pytest.mark.parametrize("version", [90624, 110022, 80002])
def test_old_servers_are_refused(version):
    with pytest.raises(SourceRefused, match="PostgreSQL 12 and newer"):
        check_version(version)


def test_supported_servers_pass():
    for version in (120000, 160004, 180001):
        check_version(version)


@pytest.mark.parametrize("sqlstate", ["40001", "XX000"])
def test_a_read_that_a_standby_ends_for_its_replay_is_to_be_tried_again(sqlstate):
    text = "ERROR:  canceling statement due to conflict with recovery"
    error = failure(sqlstate, text, doing="reading x.y")
    assert isinstance(error, SourceUnreachable)
    assert "hot_standby_feedback" in error.next_step
