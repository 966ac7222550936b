"""End to end: PostgreSQL from the wheel, and the embedded GridDB or the one that GRIDFERRY_TEST_GRIDDB names."""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Iterator

import pytest
from tests.conftest import Database
from tests.e2e.ferry import Ferry, Server, database_of, named_server
from tests.e2e.killer import Killer, killer_in

from gridferry.checkpoint.lease import Lease
from gridferry.embedded.server import Server as EmbeddedServer
from gridferry.embedded.server import serve
from gridferry.engine import retry
from gridferry.engine.ownership import target_session
from gridferry.griddb import connect
from gridferry.griddb.net.connection import Timing

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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds where minutes are usual; a lease that could not be given back is free after one."""
    timing = Timing(connect_s=1.0, answer_s=1.0, heartbeat_s=0.5, failover_s=1.0)
    monkeypatch.setattr(target_session, "connect", functools.partial(connect, timing=timing))
    for function, name, seconds in ((Lease.__init__, "dead_after_s", 1.0), (retry.with_patience, "patience_s", 0.5)):
        defaults = function.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, name, seconds)


@pytest.fixture
def faulty(stand_in: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """The embedded server, whose faults are off again in the end."""
    yield stand_in
    faults = stand_in.faults
    faults.disk_full = faults.stall = False
    faults.close_after_bytes = faults.close_at_statement = faults.on_statement = faults.refuse_puts = None


@pytest.fixture(scope="session")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    """Runs jobs that are killed at a chosen step."""
    with killer_in(tmp_path_factory.mktemp("jobs")) as killer:
        yield killer
