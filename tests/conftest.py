"""Fixtures for the whole suite: a PostgreSQL from the wheel, and a fresh database in it for each test."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import psycopg
import pytest

from gridferry.demo.postgres import LocalPostgres
from gridferry.source.postgres.connection import PostgresAddress, connect, parse_address
from gridferry.source.postgres.source import PostgresSource

_numbers = itertools.count(1)

# Machines are shared: how long an example or its making takes is nobody's mistake.
hypothesis.settings.register_profile(
    "shared machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared machine")

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

    def server_connection(self, database: str) -> psycopg.Connection[Any]:
        """A writable session in another database of the same server."""
        return psycopg.connect(self.server.dsn(database), autocommit=True)

    def source_session(self) -> psycopg.Connection[Any]:
        """A session as gridferry itself opens it: read-only."""
        return connect(self.address)

    def connect(self) -> psycopg.Connection[Any]:
        """A second writable session, autocommit."""
        return psycopg.connect(self.dsn, autocommit=True)


def database_on(server: LocalPostgres) -> Iterator[Database]:
    name = f"test {next(_numbers)}"
    dsn = server.create_database(name)
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield Database(server, name, connection)
    finally:
        server.drop_database(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[LocalPostgres]:
    """PostgreSQL 18, for the whole session."""
    with LocalPostgres(version=18) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_16_server() -> Iterator[LocalPostgres]:
    """PostgreSQL 16, for the whole session."""
    with LocalPostgres(version=16) as server:
        yield server


@pytest.fixture
def postgres(postgres_server: LocalPostgres) -> Iterator[Database]:
    """A fresh database on PostgreSQL 18."""
    yield from database_on(postgres_server)


@pytest.fixture
def postgres_16(postgres_16_server: LocalPostgres) -> Iterator[Database]:
    """A fresh database on PostgreSQL 16."""
    yield from database_on(postgres_16_server)


@pytest.fixture(params=[18, 16], ids=["pg18", "pg16"])
def postgres_each(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh database on each PostgreSQL version of the wheel."""
    fixture = {18: "postgres_server", 16: "postgres_16_server"}[request.param]
    yield from database_on(request.getfixturevalue(fixture))
