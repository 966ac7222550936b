"""Starting the server that belongs to the project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gridferry.embedded.server import Server, serve
from gridferry.griddb import GridDBAddress

REAL_SERVER = "GRIDFERRY_TEST_GRIDDB"
NOT_SET = f"{REAL_SERVER}=host:port/cluster is not set: no real GridDB to test against"


def address_of(server: Server) -> GridDBAddress:
    """Where an embedded server is reached."""
    return GridDBAddress(server.cluster, password="admin", members=(server.address,), sql=(server.sql_address,))


@contextmanager
def embedded_server() -> Iterator[GridDBAddress]:
    """The embedded server in this process, in memory, on a free port."""
    server = serve(port=0)
    try:
        yield address_of(server)
    finally:
        server.stop()
