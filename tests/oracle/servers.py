"""The servers that both clients talk to: the embedded one, and the one named by GRIDFERRY_TEST_GRIDDB."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Server:
    """Where a GridDB protocol server listens, and who may log in."""

    address: str
    cluster: str
    user: str
    password: str
    embedded: bool = False
    sql: str = ""

    @property
    def jdbc_url(self) -> str:
        """The address as GridDB's JDBC driver takes it. A real server is asked at the default port of SQL."""
        sql = self.sql or self.address.rpartition(":")[0] + ":20001"
        return f"jdbc:gs:///{self.cluster}/public?notificationMember={sql}"

    @property
    def url(self) -> str:
        """The address as `gridferry.griddb.connect` takes it."""
        return f"griddb://{self.user}@{self.address}/{self.cluster}/public"


def named_server() -> Server | None:
    """The server of GRIDFERRY_TEST_GRIDDB=host:port/cluster; user and password from variables of their own."""
    named = os.environ.get("GRIDFERRY_TEST_GRIDDB")
    if not named:
        return None
    address, _, cluster = named.partition("/")
    user = os.environ.get("GRIDFERRY_TEST_GRIDDB_USER", "admin")
    return Server(address, cluster, user, os.environ.get("GRIDFERRY_TEST_GRIDDB_PASSWORD", "admin"))


def real_server() -> Server:
    """The server named by the environment; skips where none is."""
    named = named_server()
    if named is None:
        pytest.skip("GRIDFERRY_TEST_GRIDDB=host:port/cluster is not set")
    return named


@contextmanager
def embedded_server() -> Iterator[Server]:
    """The emulator, in memory, for as long as the block lasts; skips where its extra is not installed."""
    pytest.importorskip("duckdb", reason="the embedded server needs the extra gridferry[embedded]")
    from gridferry.embedded.server import serve

    running = serve(port=0, user="admin", password="admin", cluster="oracle")
    try:
        host, port = running.address
        sql = "{}:{}".format(*running.sql_address)
        yield Server(f"{host}:{port}", "oracle", "admin", "admin", embedded=True, sql=sql)
    finally:
        running.stop()
