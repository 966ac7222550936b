"""Fixtures for the whole suite: a PostgreSQL from the wheel, and a fresh database in it for each test."""

from __future__ import annotations

import functools
import itertools
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import typer.main
import typer.testing
from psycopg import sql
from tests import order, profiles, scratch  # noqa: F401 - the profile is loaded before any test is collected
from tests.postgres_binaries import NotHere, find_binaries

from gridferry.local.postgres import LocalPostgres
from gridferry.source.postgres.session.connection import PostgresAddress, connect, parse_address
from gridferry.source.postgres.source import PostgresSource

# Versions of PostgreSQL to run on, as 12,13,14,15,17: see `make postgres-test`.
CHOSEN = [int(version) for version in os.environ.get("GRIDFERRY_TEST_POSTGRES", "").split(",") if version]

_numbers = itertools.count(1)

scratch.use_memory()

# Typer makes all of the commands anew for each that a test invokes, which is a tenth of what the command itself costs.
vars(typer.testing)["_get_command"] = functools.cache(typer.main.get_command)

# A suite that a script started in the background ignores Ctrl-C, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Database:
    """A database of a test's own. `run` executes statements as the superuser, outside any transaction."""

    server: LocalPostgres
    name: str
    connection: psycopg.Connection[Any]

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.name)

    @property
    def version(self) -> int:
        """The server's, as 16."""
        return self.server.version

    @property
    def address(self) -> PostgresAddress:
        return parse_address(self.dsn)

    @property
    def source(self) -> PostgresSource:
        return PostgresSource(self.address)

    def dsn_as(self, user: str) -> str:
        return self.server.dsn(self.name, user=user)

    def run(self, statement: str) -> list[Any]:
        cursor = self.connection.execute(statement)
        return cursor.fetchall() if cursor.description else []

    def needs(self, version: int, what: str) -> None:
        """Skip the test on a server that is older."""
        if self.version < version:
            pytest.skip(f"PostgreSQL {self.version} has no {what}: {version} was the first")

    def end_sessions(self, condition: str) -> None:
        """End the sessions of pg_stat_activity that meet a condition, and wait until they are gone."""
        deadline = time.monotonic() + 30
        ended = self.run(f"SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE {condition}")
        for pid, _ in ended:
            while self.run(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"):
                assert time.monotonic() < deadline
                time.sleep(0.01)

    @contextmanager
    def in_latin1(self) -> Iterator[Database]:
        """A database of the same server whose encoding is LATIN1; dropped in the end."""
        name = f"latin {self.name}"
        self.run(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
        try:
            with self.server_connection(name) as connection:
                yield Database(self.server, name, connection)
        finally:
            drop(self.server, name)

    def server_connection(self, database: str) -> psycopg.Connection[Any]:
        """A writable session in another database of the same server."""
        return psycopg.connect(self.server.dsn(database), autocommit=True)

    def source_session(self) -> psycopg.Connection[Any]:
        """A session as gridferry itself opens it: read-only."""
        return connect(self.address)

    def connect(self) -> psycopg.Connection[Any]:
        """A second writable session, autocommit."""
        return psycopg.connect(self.dsn, autocommit=True)


def database_on(server: LocalPostgres) -> Generator[Database]:
    name = f"test {next(_numbers)}"
    dsn = server.dsn(name)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        # Copied file by file it costs half of what it does row by row, through the log; fsync is off.
        strategy = " STRATEGY file_copy" if server.version >= 15 else ""
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template1{strategy}')
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield Database(server, name, connection)
    finally:
        drop(server, name)


def drop(server: LocalPostgres, name: str) -> None:
    """Drop a database with the sessions in it, on any version."""
    if server.version >= 13:
        server.drop_database(name)
        return
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        deadline = time.monotonic() + 30
        while connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,)).fetchone() != (
            0,
        ):
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            assert time.monotonic() < deadline
            time.sleep(0.01)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def local_postgres(version: int) -> LocalPostgres:
    """A server of a version; the test is skipped where its programs cannot be had."""
    try:
        return LocalPostgres(install=find_binaries(version))
    except NotHere as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def postgres_of() -> Iterator[Callable[[int], LocalPostgres]]:
    """A server of a version, which runs on until the session ends: with several, each file has tests on all of them."""
    running: dict[int, LocalPostgres] = {}
    missing: dict[int, str] = {}

    def get(version: int) -> LocalPostgres:
        if version in missing:
            pytest.skip(missing[version])
        if version not in running:
            try:
                running[version] = stack.enter_context(local_postgres(version))
            except pytest.skip.Exception as reason:
                missing[version] = str(reason)
                raise
        return running[version]

    with ExitStack() as stack:
        yield get


@pytest.fixture(scope="session", params=CHOSEN or None, ids="pg{}".format if CHOSEN else None)
def postgres_server(request: pytest.FixtureRequest, postgres_of: Callable[[int], LocalPostgres]) -> LocalPostgres:
    """PostgreSQL 18, or each version that GRIDFERRY_TEST_POSTGRES names, for the whole session."""
    return postgres_of(getattr(request, "param", 18))


@pytest.fixture(scope="session")
def postgres_16_server() -> Iterator[LocalPostgres]:
    """PostgreSQL 16, for the whole session."""
    with local_postgres(16) as server:
        yield server


@pytest.fixture
def postgres(postgres_server: LocalPostgres) -> Iterator[Database]:
    """A fresh database on PostgreSQL 18, or on each version that was chosen."""
    yield from database_on(postgres_server)


@pytest.fixture
def postgres_16(postgres_16_server: LocalPostgres) -> Iterator[Database]:
    """A fresh database on PostgreSQL 16."""
    yield from database_on(postgres_16_server)


if CHOSEN:

    @pytest.fixture
    def postgres_each(postgres: Database) -> Database:
        """A fresh database on each version that was chosen."""
        return postgres

else:

    @pytest.fixture(params=[18, 16], ids="pg{}".format)
    def postgres_each(request: pytest.FixtureRequest) -> Iterator[Database]:
        """A fresh database on each PostgreSQL version of the wheel."""
        fixture = {18: "postgres_server", 16: "postgres_16_server"}[request.param]
        yield from database_on(request.getfixturevalue(fixture))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest comes first. With versions chosen, only tests that run on them are of interest."""
    items.sort(key=lambda item: order.place(item.nodeid))
    if not CHOSEN:
        return
    on_them = [item for item in items if "postgres_server" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in on_them])
    items[:] = on_them
