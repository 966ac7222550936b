"""GridDB's own client against ours, on the embedded server and on the one named by GRIDFERRY_TEST_GRIDDB."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pytest
from tests.oracle.jars import find_java
from tests.oracle.judge import Judge, judge_on

from gridferry.griddb import Store, connect


@dataclass(frozen=True)
class Server:
    """Where a GridDB protocol server listens, and who may log in."""

    address: str
    cluster: str
    user: str
    password: str

    @property
    def url(self) -> str:
        """The address as `gridferry.griddb.connect` takes it."""
        return f"griddb://{self.user}@{self.address}/{self.cluster}/public"


def pytest_report_header() -> list[str]:
    """Which of GridDB's jars and which servers take part."""
    named = os.environ.get("GRIDFERRY_TEST_GRIDDB", "none (GRIDFERRY_TEST_GRIDDB is not set)")
    return [f"oracle: {find_java().why}", f"oracle: real GridDB: {named}"]


def _real_server() -> Server:
    named = os.environ.get("GRIDFERRY_TEST_GRIDDB")
    if not named:
        pytest.skip("GRIDFERRY_TEST_GRIDDB=host:port/cluster is not set")
    address, _, cluster = named.partition("/")
    user = os.environ.get("GRIDFERRY_TEST_GRIDDB_USER", "admin")
    return Server(address, cluster, user, os.environ.get("GRIDFERRY_TEST_GRIDDB_PASSWORD", "admin"))


@contextmanager
def _embedded_server() -> Iterator[Server]:
    pytest.importorskip("duckdb", reason="the embedded server needs the extra gridferry[embedded]")
    from gridferry.embedded.server import serve

    running = serve(port=0, user="admin", password="admin", cluster="oracle")
    try:
        host, port = running.address
        yield Server(f"{host}:{port}", "oracle", "admin", "admin")
    finally:
        running.stop()


@pytest.fixture(scope="session", params=["embedded", "griddb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The servers both clients talk to, one after the other."""
    if not find_java().classpath:
        pytest.skip(find_java().why)
    with _embedded_server() if request.param == "embedded" else nullcontext(_real_server()) as server:
        yield server


@pytest.fixture(scope="session")
def judge(server: Server) -> Iterator[Judge]:
    """GridDB's own client, logged in to the server."""
    with judge_on(server.address, server.cluster, user=server.user, password=server.password) as judge:
        yield judge


@pytest.fixture
def name(judge: Judge) -> Iterator[str]:
    """A container name of the test's own; dropped afterwards."""
    name = f"oracle_{uuid.uuid4().hex[:12]}"
    yield name
    judge.drop(name)


@pytest.fixture(scope="session")
def store(server: Server) -> Iterator[Store]:
    """Our driver, logged in to the same server."""
    with connect(server.url, password=server.password) as store:
        yield store
