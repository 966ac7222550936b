"""A follow whose password is changed in mid-stream goes on; a certificate that does not match ends it for good."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, sync, without_slots
from tests.e2e.ferry import Ferry
from tests.e2e.processes import ended, line_with, running
from tests.readings import make_numbered_readings

ROLE = "rotating"


@pytest.fixture
def passfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that libpq takes passwords from."""
    file = tmp_path / "passwords"
    file.touch(mode=0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    return file


@pytest.fixture
def followed(ferry: Ferry, postgres: Database, passfile: Path) -> Iterator[Ferry]:
    """A table in mode cdc, loaded as a role that logs in with its password."""
    make_numbered_readings(postgres)
    postgres.run(f"CREATE ROLE {ROLE} LOGIN REPLICATION PASSWORD 'first'")
    try:
        postgres.run(f"ALTER TABLE reading OWNER TO {ROLE}")
        postgres.run(f'GRANT CREATE ON DATABASE "{postgres.name}" TO {ROLE}')
        passfile.write_text(f"*:*:*:{ROLE}:first\n")
        with without_slots(postgres):
            dsn = f"host=127.0.0.1 port={postgres.server.port} user={ROLE} dbname='{postgres.name}'"
            loaded = replace(ferry.of(READING), dsn=dsn)
            loaded.load()
            yield loaded
            postgres.run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
    finally:
        postgres.run(f"REASSIGN OWNED BY {ROLE} TO postgres; DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


@pytest.mark.parametrize("late", [False, True], ids=["written first", "written late"])
def test_a_password_that_is_changed_in_mid_stream(
    followed: Ferry, postgres: Database, passfile: Path, tmp_path: Path, late: bool
) -> None:
    with running(followed, tmp_path, "sync", "--follow", "--interval", "1s") as process:
        line_with(process, "started")
        postgres.run("INSERT INTO reading VALUES (100, 'd1', 1, NULL)")
        line_with(process, "checkpoint", "written=1")
        postgres.run(f"ALTER ROLE {ROLE} PASSWORD 'second'")
        if not late:
            passfile.write_text(f"*:*:*:{ROLE}:second\n")
        postgres.end_sessions(f"usename = '{ROLE}'")
        postgres.run("INSERT INTO reading VALUES (101, 'd1', 1, NULL)")
        if late:
            line_with(process, "warning", "password authentication failed", "tried again in 1 s")
            passfile.write_text(f"*:*:*:{ROLE}:second\n")
        line_with(process, "checkpoint", "written=1")
        process.send_signal(signal.SIGTERM)
        ended(process)
    assert_level(followed, postgres)


def test_a_password_that_is_wrong_from_the_start_ends_at_once(followed: Ferry, passfile: Path, tmp_path: Path) -> None:
    passfile.write_text(f"*:*:*:{ROLE}:another\n")
    with running(followed, tmp_path, "sync", "--follow", "--interval", "1s") as process:
        _, errors = ended(process, code=2)
    assert "password authentication failed" in errors


@contextmanager
def tls_in_front(port: int, folder: Path) -> Iterator[tuple[int, Path]]:
    """A port of 127.0.0.1 that answers in TLS as PostgreSQL does, for the one at `port`, with a certificate for
    another host; and the file of the certificate.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command to make a certificate with")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=db.example"),
            *("-addext", "subjectAltName=DNS:db.example", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def serve(client: socket.socket) -> None:
        with suppress(OSError), client:
            client.recv(8)  # SSLRequest
            client.sendall(b"S")
            with (
                context.wrap_socket(client, server_side=True) as tls,
                socket.create_connection(("127.0.0.1", port)) as server,
            ):
                threading.Thread(target=pump, args=(server, tls), daemon=True).start()
                pump(tls, server)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield listener.getsockname()[1], certificate


@pytest.mark.parametrize(
    ("trusted", "says"),
    [(True, 'server certificate for "db.example"'), (False, "certificate verify failed")],
    ids=["another host", "another issuer"],
)
def test_a_certificate_that_does_not_match_ends_a_follow_for_good(
    followed: Ferry, postgres: Database, tmp_path: Path, trusted: bool, says: str
) -> None:
    with tls_in_front(postgres.server.port, tmp_path) as (port, certificate):
        root = certificate
        if not trusted:
            (tmp_path / "other").mkdir()
            with tls_in_front(1, tmp_path / "other") as (_, other):
                root = other
        plain = f"host=127.0.0.1 port={port} user={ROLE} dbname='{postgres.name}'"
        verified = replace(followed, dsn=f"{plain} sslmode=verify-full sslrootcert={root}")
        with running(verified, tmp_path, "sync", "--follow", "--interval", "1s") as process:
            _, errors = ended(process, code=2)
        assert says in errors
        assert "does not match" in errors or not trusted, errors
        assert "tried again" not in errors
        (done,) = sync(replace(followed, dsn=f"{plain} sslmode=require"))  # so the front itself works
        assert done.table == "public.reading"
