"""`gridferry serve`: the GridDB emulator, until Ctrl-C."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gridferry.cli.opening import PASSWORD_VARIABLE
from gridferry.cli.output import Output
from gridferry.errors import ConfigError
from gridferry.griddb.address import DEFAULT_PORT, DEFAULT_SQL_PORT

DEFAULT_PASSWORD = "admin"  # noqa: S105 - GridDB's own default, no secret
_LOCAL = ("127.0.0.1", "localhost", "::1")


def serve(
    output: Output,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 10001,
    sql_port: Annotated[
        int | None,
        typer.Option(
            "--sql-port",
            metavar="N",
            min=0,
            max=65535,
            help="The port of SQL; 0 takes a free one. The default: 20001 beside --port 10001, else a free one.",
        ),
    ] = None,
    path: Annotated[
        Path | None, typer.Option("--path", metavar="FOLDER", help="Keep everything in this folder.")
    ] = None,
    memory: Annotated[bool, typer.Option("--memory", help="Keep everything in memory. The default.")] = False,
    cluster: Annotated[str, typer.Option("--cluster", metavar="NAME", help="The cluster's name.")] = "myCluster",
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Who may log in. The password: GRIDDB_PASSWORD.")
    ] = "admin",
) -> None:
    """Run an emulator of a GridDB server. It is for trying out and for tests, not for production.

    Changes: files in the folder of --path; without it nothing.
    """
    if path is not None and memory:
        raise ConfigError("--path and --memory exclude each other", next_step="choose one of them")
    try:
        from gridferry.embedded.server import serve as start
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the GridDB emulator needs {error.name}, which is not installed",
            next_step="pip install 'gridferry[embedded]'",
        ) from error
    password = os.environ.get(PASSWORD_VARIABLE) or DEFAULT_PASSWORD
    server = start(host, port, sql_port=sql_port, path=path, user=user, password=password, cluster=cluster)
    try:
        address = "griddb://{}@{}:{}/{}/public".format(user, *server.address, cluster)
        sql = "{}:{}".format(*server.sql_address)
        if (server.address[1], server.sql_address[1]) != (DEFAULT_PORT, DEFAULT_SQL_PORT):
            # Elsewhere nobody would look for it.
            address += f"?sql={sql}"
        output.document(
            lambda: {
                "target": address,
                "sql": sql,
                "pid": os.getpid(),
                "path": None if path is None else str(path),
            }
        )
        _introduce(output, address, sql, path=path, default_password=not os.environ.get(PASSWORD_VARIABLE))
        if host not in _LOCAL and not os.environ.get(PASSWORD_VARIABLE):
            output.warn(f"other machines can reach this server, and its password is {DEFAULT_PASSWORD}")
        threading.Event().wait()
    except KeyboardInterrupt:
        output.note("stopping")
    finally:
        server.stop()


def _introduce(output: Output, address: str, sql: str, *, path: Path | None, default_password: bool) -> None:
    output.show(Text.assemble(("The GridDB emulator listens at ", ""), (address, "bold")))
    output.show(Text("It is for trying out and for tests; in production use a real GridDB server."))
    kept = "in memory: all is gone when it stops (--path FOLDER keeps it)" if path is None else f"in {path}"
    output.note(f"Data is kept {kept}.")
    said = (
        f'"{DEFAULT_PASSWORD}", since {PASSWORD_VARIABLE} is not set'
        if default_password
        else f"that of {PASSWORD_VARIABLE}"
    )
    output.note(f"The password is {said}. Ctrl-C stops the server.")
    output.note(f"SQL is at {sql}: gridferry sql --target '{address}'")
