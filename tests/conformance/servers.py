"""Starting the server that belongs to the project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gridferry.embedded.server import serve
from gridferry.griddb import GridDBAddress, parse_address

REAL_SERVER = "GRIDFERRY_TEST_GRIDDB"
NOT_SET = f"{REAL_SERVER}=host:port/cluster is not set: no real GridDB to test against"


@contextmanager
def embedded_server() -> Iterator[GridDBAddress]:
    """The embedded server in this process, in memory, on a free port."""
    server = serve(port=0, cluster="conformance")
    try:
        host, port = server.address
        yield parse_address(f"griddb://admin@{host}:{port}/conformance", password="admin")
    finally:
        server.stop()
