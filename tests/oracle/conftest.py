"""GridDB's own client against ours, on the embedded server and on the one named by GRIDFERRY_TEST_GRIDDB."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from tests.oracle.jars import find_java
from tests.oracle.judge import Judge, judge_on
from tests.oracle.servers import Server, embedded_server, named_server, real_server

from gridferry.griddb import Store, connect


def pytest_report_collectionfinish(items: list[pytest.Item]) -> list[str]:
    """Say which of GridDB's jars and which servers take part, where tests of this folder were collected."""
    if not any(item.get_closest_marker("oracle") for item in items):
        return []
    named = named_server()
    real = named.url if named is not None else "none, GRIDFERRY_TEST_GRIDDB=host:port/cluster is not set"
    return [f"oracle: GridDB's client: {find_java().why}", f"oracle: real GridDB: {real}"]


@pytest.fixture(scope="session", params=["embedded", "griddb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The servers both clients talk to, one after the other."""
    if not find_java().classpath:
        pytest.skip(find_java().why)
    with embedded_server() if request.param == "embedded" else nullcontext(real_server()) as server:
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
