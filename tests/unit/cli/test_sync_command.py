from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import pytest
from tests.unit.cli.fakes import FakeMigration
from typer.testing import Result

from gridferry.cli.signals import listening
from gridferry.engine.events import TableSync
from gridferry.engine.standing import SyncStatus, TableStatus
from gridferry.errors import ConfigError
from gridferry.model.coverage import Coverage
from gridferry.model.outcomes import LoadState, SyncOutcome, SyncState
from gridferry.plan.sync_options import SyncMode

Run = Callable[..., Result]

SYNCED = TableSync(
    "public.device",
    SyncMode.WATERMARK,
    SyncOutcome.SYNCED,
    read=1200,
    rows=1198,
    seconds=0.4,
    quarantined=2,
    superseded=1,
    position="2024-05-01 00:00:09.000001",
    as_of="2024-05-01T00:00:10.123456Z",
    touched=3,
    created=("device4",),
    notes=("something to know",),
    coverage=Coverage(3, 3, quarantined=5),
)


def test_a_bounded_sync_tells_what_it_did(run: Run, migration: FakeMigration) -> None:
    migration.synced = [
        SYNCED,
        TableSync("public.other", SyncMode.WATERMARK, SyncOutcome.NOTHING_NEW, as_of="2024-05-01T00:00:10.1Z"),
    ]
    result = run("sync", "-t", "device", "--wait", "3", "--sweep")
    assert result.exit_code == 1
    for part in (
        "public.device: synced, 1,198 rows in 3 containers (1 of them new), 0.4 s, as of 2024-05-01 00:00:10 UTC",
        "1 superseded by another of their key", "5 rows in quarantine (2 by this run)",
        "something to know", "public.other: nothing new",
    ):  # fmt: skip
        assert part in " ".join(result.stdout.split())
    assert "a hazard" in result.stderr
    assert migration.calls == [("sync", (("device",), {"wait_s": 3.0, "sweep": True, "new_slot": False}))]
    assert run("sync", "--accept-quarantined").exit_code == 0


def test_follow_hands_over_the_interval_and_a_way_to_stop(run: Run, migration: FakeMigration) -> None:
    migration.synced = [SYNCED]
    result = run("sync", "--follow", "--interval", "5m")
    assert result.exit_code == 1
    ((_, (tables, options)),) = migration.calls
    assert tables == ()
    assert options == {
        "follow": True,
        "interval_s": 300.0,
        "wait_s": 0.0,
        "until": False,
        "sweep": False,
        "new_slot": False,
    }
    assert "public.device: ended mode=watermark outcome=synced read=1200 written=1198" in result.stderr


def test_every_line_of_a_log_in_json_is_an_object(run: Run, migration: FakeMigration) -> None:
    migration.synced = [SYNCED]
    result = run("sync", "--follow", "--log-format", "json", "--metrics-port", "0")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert all(list(line)[:4] == ["time", "level", "event", "table"] for line in lines)
    assert [(line["level"], line["event"], line["table"]) for line in lines] == [
        ("info", "note", ""),  # where the metrics are
        ("warning", "note", "public.device"),
        ("info", "ended", "public.device"),
        ("info", "note", ""),  # rows in quarantine
    ]


def test_an_error_ends_a_log_as_one_line(run: Run, migration: FakeMigration) -> None:
    migration.failure = ConfigError(
        "public.device was\nnot loaded", state="as it was", next_step="run `gridferry load`"
    )
    result = run("sync", "--follow", "-q", "--log-format", "json")
    assert result.exit_code == 2
    *_, last = (json.loads(line) for line in result.stderr.splitlines())
    assert (last["level"], last["event"], last["error"], last["next_step"]) == (
        "error", "failed", "ConfigError", "run `gridferry load`",
    )  # fmt: skip
    text = run("sync", "--follow").stderr.splitlines()[-1]
    assert "error   public.device was not loaded. State: as it was. Next: run `gridferry load`" in text


def test_as_json(run: Run, migration: FakeMigration) -> None:
    migration.synced = [SYNCED]
    (table,) = json.loads(run("sync", "--json").stdout)["tables"]
    assert (table["outcome"], table["rows"], table["position"]) == ("synced", 1198, "2024-05-01 00:00:09.000001")
    assert table["created"] == ["device4"]


def test_an_interval_without_follow_is_refused_rather_than_ignored(run: Run, migration: FakeMigration) -> None:
    result = run("sync", "--interval", "5m")
    assert result.exit_code == 2
    assert "--interval" in result.stderr
    assert "--follow" in result.stderr
    assert not migration.calls


def test_an_interval_that_is_none(run: Run, migration: FakeMigration) -> None:
    result = run("sync", "--follow", "--interval", "soon")
    assert result.exit_code == 2
    assert "--interval soon" in result.stderr
    assert migration.calls == []


def test_an_error_is_told(run: Run, migration: FakeMigration) -> None:
    migration.failure = ConfigError("public.device was not loaded", next_step="run `gridferry load` first")
    result = run("sync")
    assert result.exit_code == 2
    assert "gridferry load" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_ends(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), listening() as requests:  # noqa: PT012
        assert not requests.stop()
        os.kill(os.getpid(), number)
        assert requests.stop()
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_a_hangup_asks_to_read_the_config_again_once() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with listening() as requests:
        assert not requests.take_reload()
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert requests.take_reload()
        assert not requests.take_reload()
        assert not requests.stop()
    assert signal.getsignal(signal.SIGHUP) == before


def test_status_shows_the_sync(run: Run, migration: FakeMigration) -> None:
    sync = SyncStatus(
        SyncMode.WATERMARK,
        SyncState.IDLE,
        column="ts",
        position="2024-05-01 00:00:09.000001",
        as_of="2024-05-01T00:00:10.123456Z",
        lag_rows=17,
        lag_seconds=42.0,
        runs=3,
        last_started="2024-05-01T00:00:10.100+00:00",
        last_finished="2024-05-01T00:00:11.100+00:00",
        last_read=5,
        read=90,
        written=88,
        superseded=1,
        notes=("updates and deletes in the source are not seen",),
    )
    migration.statuses = [TableStatus("public.device", LoadState.LOADED, sync=sync)]
    lines = [" ".join(line.split()) for line in run("status").stdout.splitlines()]
    for line in (
        "sync mode watermark, idle", "position ts 2024-05-01 00:00:09.000001", "state of 2024-05-01 00:00:10 UTC",
        "lag 17 rows to read, 42 s since that state", "last run 2024-05-01 00:00:10 UTC, 5 rows read",
        "since load 90 read, 88 written in 3 runs, 1 superseded",
        "note updates and deletes in the source are not seen",
    ):  # fmt: skip
        assert line in lines
    (table,) = json.loads(run("status", "--json").stdout)["tables"]
    assert (table["sync"]["lag_rows"], table["sync"]["mode"]) == (17, "watermark")
