"""End to end: PostgreSQL from the wheel, and the embedded GridDB or the one that GRIDFERRY_TEST_GRIDDB names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry, Server, database_of, named_server

from gridferry.embedded.server import Server as EmbeddedServer
from gridferry.embedded.server import serve

NAMED = os.environ.get("GRIDFERRY_TEST_GRIDDB", "")


def pytest_report_header() -> str:
    return f"e2e: embedded GridDB; real GridDB: {NAMED or 'not taken, GRIDFERRY_TEST_GRIDDB is not set'}"


@pytest.fixture(scope="session")
def stand_in() -> Iterator[EmbeddedServer]:
    """The embedded server in this process, in memory, for the whole session."""
    server = serve(port=0)
    yield server
    server.stop()


@pytest.fixture(scope="session", params=["embedded", *(["griddb"] if NAMED else [])])
def griddb(request: pytest.FixtureRequest) -> Server:
    """The servers that the same test bodies run against."""
    if request.param == "griddb":
        return named_server()
    host, port = request.getfixturevalue("stand_in").address
    return Server(f"{host}:{port}")


@pytest.fixture
def ferry(postgres: Database, griddb: Server) -> Iterator[Ferry]:
    """A fresh database at both ends."""
    name = f"e2e_{uuid.uuid4().hex[:10]}"
    with database_of(griddb, name):
        yield Ferry(postgres.dsn, griddb, name)


@pytest.fixture
def embedded_ferry(postgres: Database, stand_in: EmbeddedServer) -> Iterator[Ferry]:
    """The same on the embedded server only, for tests that switch its faults on."""
    host, port = stand_in.address
    name = f"e2e_{uuid.uuid4().hex[:10]}"
    with database_of(Server(f"{host}:{port}"), name):
        yield Ferry(postgres.dsn, Server(f"{host}:{port}"), name)
