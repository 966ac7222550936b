"""The servers that the conformance tests run against: the embedded one always, a real one where it is named.

GRIDFERRY_TEST_GRIDDB=host:port/cluster names a real GridDB; GRIDFERRY_TEST_GRIDDB_USER and _PASSWORD say who we are
there (admin and admin).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from tests.conformance.servers import NOT_SET, REAL_SERVER, embedded_server

from gridferry.griddb import Container, ContainerSchema, GridDBAddress, Store, Timing, connect, parse_address


def pytest_report_header() -> list[str]:
    return [f"GridDB servers: embedded; real: {os.environ.get(REAL_SERVER) or 'none, ' + NOT_SET}"]


@dataclass(frozen=True)
class Server:
    """A server under test: where it is, and whether it is the `real` one."""

    address: GridDBAddress
    real: bool

    def connect(
        self,
        *,
        database: str = "public",
        timing: Timing | None = None,
        change: Callable[[GridDBAddress], GridDBAddress] = lambda address: address,
    ) -> Store:
        """A store of its own."""
        return connect(change(replace(self.address, database=database)), timing=timing)


def _real_address() -> GridDBAddress:
    where = os.environ[REAL_SERVER]
    user = os.environ.get("GRIDFERRY_TEST_GRIDDB_USER", "admin")
    password = os.environ.get("GRIDFERRY_TEST_GRIDDB_PASSWORD", "admin")
    return parse_address(f"griddb://{user}@{where}", password=password)


@pytest.fixture(scope="session", params=["embedded", *(["real"] if os.environ.get(REAL_SERVER) else [])])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param == "real":
        yield Server(_real_address(), real=True)
        return
    with embedded_server() as address:
        yield Server(address, real=False)


@pytest.fixture(scope="session")
def shared_store(server: Server) -> Iterator[Store]:
    with server.connect() as store:
        yield store


@dataclass
class Place:
    """One test's containers: names that no other test uses, dropped at the end."""

    store: Store
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}_")
    used: list[str] = field(default_factory=list)

    def name(self, short: str = "c") -> str:
        """A name of this test's own."""
        name = self.prefix + short
        self.used.append(name)
        return name

    def names(self, count: int) -> list[str]:
        """Many names."""
        return [self.name(f"c{i}") for i in range(count)]

    def make(self, schema: ContainerSchema, short: str = "c") -> Container:
        """A new container."""
        return self.store.create_container(self.name(short), schema)


@pytest.fixture
def store(shared_store: Store) -> Store:
    return shared_store


@pytest.fixture
def place(store: Store) -> Iterator[Place]:
    found = Place(store)
    yield found
    store.drop_containers(found.used)
