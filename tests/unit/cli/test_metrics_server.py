"""Pages for probes, with and without Prometheus' client library."""

from __future__ import annotations

import socket
import sys
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from gridferry.cli.metrics_server import LOCAL, measured
from gridferry.cli.output import Output
from gridferry.engine.events import FollowStarted, Note, SyncEnded
from gridferry.errors import ConfigError
from gridferry.model.outcomes import SyncOutcome
from gridferry.plan.sync_options import SyncMode


class Said(Output):
    """An output that keeps its notes."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: Any, *, style: str = "dim") -> None:
        self.notes.append(str(text))


def asked(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def base(note: str) -> str:
    return note.split()[-1].rpartition("/")[0]


def test_health_needs_no_client_library_and_metrics_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    output = Said()
    with measured(output, lambda _: None, host=LOCAL, port=None, health_port=0, follows=True) as hear:
        url = base(output.notes[0])
        assert asked(f"{url}/readyz") == (503, "sync: it has not begun to follow\n")
        hear(FollowStarted(("public.t",), 60.0))
        assert asked(f"{url}/readyz") == (503, "public.t: its first run is not over\n")
        hear(SyncEnded("public.t", SyncMode.CDC, SyncOutcome.SYNCED, 1.0))
        assert asked(f"{url}/readyz") == asked(f"{url}/healthz") == (200, "ok\n")
        assert asked(f"{url}/metrics")[0] == 404
    with (
        pytest.raises(ConfigError, match="--metrics-port needs prometheus_client") as caught,
        measured(output, lambda _: None, host=LOCAL, port=0),
    ):
        pass
    assert "--health-port" in caught.value.next_step


def test_one_port_has_all_pages_and_every_listener_hears() -> None:
    output, heard = Said(), list[object]()
    with measured(output, heard.append, host=LOCAL, port=0) as hear:
        url = base(output.notes[0])
        hear(Note("public.t", "x"))
        assert asked(f"{url}/healthz") == asked(f"{url}/readyz") == (200, "ok\n")
        assert "gridferry_build_info" in asked(f"{url}/metrics")[1]
    assert heard == [Note("public.t", "x")]


def test_two_ports_are_two_servers_and_the_same_one_is_one() -> None:
    with socket.create_server((LOCAL, 0)) as probe:
        unused_port = probe.getsockname()[1]
    output = Said()
    with measured(output, lambda _: None, host=LOCAL, port=0, health_port=0):
        metrics, health = map(base, output.notes)
        assert metrics != health
        assert asked(f"{health}/metrics")[0] == 404
    output = Said()
    with measured(output, lambda _: None, host=LOCAL, port=unused_port, health_port=unused_port):
        assert [note.partition(":")[0] for note in output.notes] == ["metrics"]
