"""`--metrics-port`: what a command does, as Prometheus scrapes it, for as long as the command runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gridferry.cli.output import Output
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.engine.events import Event, Listener

MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve metrics for Prometheus there, as long as the command runs; 0 takes a free port.",
    ),
]
MetricsHost = Annotated[
    str, typer.Option("--metrics-host", metavar="HOST", help="The address that the metrics are served on.")
]
LOCAL = "127.0.0.1"


@contextmanager
def measured(output: Output, listener: Listener, *, host: str, port: int | None) -> Iterator[Listener]:
    """`listener`; with a port one that also counts what it hears, and a server that shows it until the block ends.

    Raises: ConfigError if the client library is missing, or if nothing can listen there.
    """
    if port is None:
        yield listener
        return
    try:
        from prometheus_client import disable_created_metrics, start_http_server

        from gridferry.metrics.collect import RunMetrics
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--metrics-port needs {error.name}, which is not installed", next_step="pip install 'gridferry[metrics]'"
        ) from error
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, of no use here
    metrics = RunMetrics()
    try:
        server, thread = start_http_server(port, host, registry=metrics.registry)
    except OSError as error:
        raise ConfigError(
            f"no metrics can be served on {host} port {port}: {error.strerror or error}",
            state="nothing was begun",
            next_step="choose another --metrics-port or --metrics-host; port 0 takes a free one",
        ) from error
    output.note(f"metrics: http://{_shown(host)}:{server.server_port}/metrics")

    def hear(event: Event) -> None:
        metrics(event)
        listener(event)

    try:
        yield hear
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
