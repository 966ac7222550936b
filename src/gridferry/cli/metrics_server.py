"""`--metrics-port` and `--health-port`: what a command does, for Prometheus and for probes, as long as it runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Annotated, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import typer

from gridferry.cli.output import Output
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.engine.events import Event, Listener
    from gridferry.metrics.health import FollowHealth

MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve metrics for Prometheus there, /healthz and /readyz too, as long as the command runs; 0 takes a "
        "free port.",
    ),
]
MetricsHost = Annotated[
    str, typer.Option("--metrics-host", metavar="HOST", help="The address that metrics and health are served on.")
]
HealthPort = Annotated[
    int | None,
    typer.Option(
        "--health-port",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve /healthz and /readyz alone there; needs no extra.",
    ),
]
LOCAL = "127.0.0.1"
_Start = Callable[..., Any]
_Application = Callable[[dict[str, Any], _Start], Iterable[bytes]]  # as PEP 3333 has it


@contextmanager
def measured(
    output: Output,
    listener: Listener,
    *,
    host: str,
    port: int | None,
    health_port: int | None = None,
    follows: bool = False,
    stall_s: float | None = None,
    max_lag_s: float | None = None,
) -> Iterator[Listener]:
    """`listener`; with a port one that also counts what it hears, and a server that shows it until the block ends.

    Args: follows, stall_s, max_lag_s: as for `FollowHealth`.
    Raises: ConfigError if the client library is missing, or if nothing can listen there.
    """
    if port is None and health_port is None:
        yield listener
        return
    from gridferry.metrics.health import STALL_S, FollowHealth

    health = FollowHealth(follows=follows, stall_s=stall_s or STALL_S, max_lag_s=max_lag_s)
    hearing: list[Callable[[Event], None]] = [health, listener]
    with ExitStack() as servers:
        if port is not None:
            metrics, pages = _metrics()
            hearing.insert(0, metrics)
            found = servers.enter_context(_serving(host, port, _with_health(health, pages), option="--metrics-port"))
            output.note(f"metrics: http://{_shown(host)}:{found}/metrics")
        if health_port is not None and (health_port != port or port == 0):
            found = servers.enter_context(
                _serving(host, health_port, _with_health(health, _nothing_else), option="--health-port")
            )
            output.note(f"health: http://{_shown(host)}:{found}/healthz")

        def hear(event: Event) -> None:
            for each in hearing:
                each(event)

        yield hear


def _metrics() -> tuple[Callable[[Event], None], _Application]:
    """What counts events, and the page that shows the counts. Raises: ConfigError without the client library."""
    try:
        from prometheus_client import disable_created_metrics, make_wsgi_app

        from gridferry.metrics.collect import RunMetrics
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--metrics-port needs {error.name}, which is not installed",
            next_step="pip install 'gridferry[metrics]'; or --health-port, for /healthz and /readyz alone",
        ) from error
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, of no use here
    metrics = RunMetrics()
    return metrics, make_wsgi_app(metrics.registry)


def _with_health(health: FollowHealth, rest: _Application) -> _Application:
    """Pages for probes, and `rest` for every other path."""

    def answer(environment: dict[str, Any], start: _Start) -> Iterable[bytes]:
        path = environment.get("PATH_INFO", "")
        if path == "/healthz":
            wrong = [stuck] if (stuck := health.stuck()) else []
        elif path == "/readyz":
            wrong = [f"{table}: {why}" for table, why in health.unready().items()]
        else:
            return rest(environment, start)
        status = "503 Service Unavailable" if wrong else "200 OK"
        start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
        return ["".join(f"{line}\n" for line in wrong or ["ok"]).encode(errors="replace")]

    return answer


def _nothing_else(environment: dict[str, Any], start: _Start) -> Iterable[bytes]:
    start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"/healthz and /readyz are here; metrics need --metrics-port\n"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """As its class does, without a look-up of the machine's name, which may take seconds."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: a probe comes every few seconds."""


@contextmanager
def _serving(host: str, port: int, application: _Application, *, option: str) -> Iterator[int]:
    """Serve in a thread until the block ends; gives the port. Raises: ConfigError if nothing can listen there."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        kind = type("_Server", (_Server,), {"address_family": family})
        server: WSGIServer = make_server(host, port, application, kind, _Silent)
    except OSError as error:
        what = option.removeprefix("--").removesuffix("-port")
        raise ConfigError(
            f"no {what} can be served on {host} port {port}: {error.strerror or error}",
            state="nothing was begun",
            next_step=f"choose another {option} or --metrics-host; port 0 takes a free one",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="gridferry-pages", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
