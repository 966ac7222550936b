"""GridDB's own client against ours, on the embedded server and on the one named by GRIDFERRY_TEST_GRIDDB."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
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


@pytest.fixture(scope="session", params=["griddb"])
def server(request: pytest.FixtureRequest) -> Server:
    """The servers both clients talk to, one after the other."""
    if not find_java().classpath:
        pytest.skip(find_java().why)
    return _real_server()


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
