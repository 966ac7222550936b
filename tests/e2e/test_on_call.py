"""`sync --follow` as somebody on call meets it: its log, its probes, a new config and a new password in mid-stream."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, slot_of, sync, without_slots
from tests.e2e.ferry import Ferry
from tests.e2e.processes import ended, line_with, running
from tests.e2e.readings import add, load_readings
from tests.readings import make_numbered_readings

from gridferry.engine.events import Event, SlotSeen
from gridferry.engine.sync.cdc import run as cdc_run
from gridferry.metrics.health import FollowHealth
from gridferry.source.postgres.slots.slots import drop_slot

LIMIT_S = 60.0
OTHER: dict[str, Any] = {"table": "other", "key": "k", "sync": {"mode": "cdc"}}


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    """Two tables in mode cdc, loaded."""
    make_numbered_readings(postgres)
    postgres.run("CREATE TABLE other (k int PRIMARY KEY, n int); INSERT INTO other VALUES (1, 1)")
    with without_slots(postgres):
        loaded = ferry.of(READING, OTHER)
        loaded.load()
        yield loaded


def asked(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=LIMIT_S) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def asked_until(url: str, code: int, *words: str) -> str:
    """Ask, as a probe does, until the answer is as expected."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        found, text = asked(url)
        if found == code and all(word in text for word in words):
            return text
        assert time.monotonic() < deadline, (found, text)
        time.sleep(0.05)


def until_level(ferry: Ferry, postgres: Database, **table: Any) -> None:
    """Wait until both ends are equal."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            return assert_level(ferry, postgres, **table)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def health_url(process: subprocess.Popen[str]) -> str:
    return line_with(process, "health: http://").split()[-1].removesuffix("/healthz")


class TestTheLog:
    def test_every_row_of_a_stream_is_in_one_line(self, followed: Ferry, postgres: Database, tmp_path: Path) -> None:
        of = followed.of(READING)
        with running(of, tmp_path, "sync", "--follow", "--json", "--log-format", "json") as process:
            lines = [line_with(process, '"started"')]
            for k in range(100, 140):
                postgres.run(f"INSERT INTO reading VALUES ({k}, 'd1', 1, NULL)")
            postgres.run("DELETE FROM reading WHERE k < 3")
            until_level(of, postgres)
            process.send_signal(signal.SIGTERM)
            out, errors = ended(process)
        (done,) = json.loads(out)["tables"]
        said = [json.loads(line) for line in [*lines, *errors.splitlines()]]
        assert [line["level"] for line in said] == ["info"] * len(said)
        (begin,) = (line for line in said if line["event"] == "started")
        (end,) = (line for line in said if line["event"] == "ended")
        stored = [line for line in said if line["event"] == "checkpoint"]
        assert {line["table"] for line in [begin, end, *stored]} == {"public.reading"}
        sums = Counter[str]()
        for line in stored:
            sums.update({name: line[name] for name in ("read", "written", "deleted")})
            assert line["lag_s"] >= 0
            assert line["position"]
        assert (sums["read"], sums["written"], sums["deleted"]) == (done["read"], done["rows"], done["deleted"])
        assert (end["read"], end["written"], end["deleted"]) == (43, 40, 3)

    def test_runs_by_watermark_say_when_they_stored_something(
        self, ferry: Ferry, postgres: Database, tmp_path: Path
    ) -> None:
        ferry = load_readings(ferry, postgres)
        with running(ferry, tmp_path, "sync", "--follow", "--interval", "1s") as process:
            line_with(process, "info    public.reading: started mode=watermark")
            add(postgres, "1 hour", device="new")
            line = line_with(process, "public.reading: checkpoint mode=watermark read=")
            assert "written=1 " in line
            assert "lag_s=" in line
            line_with(process, "public.reading: ended mode=watermark outcome=synced")
            process.send_signal(signal.SIGTERM)
            ended(process)

    def test_a_table_that_fails_is_a_line_with_its_level_and_next_step(
        self, followed: Ferry, postgres: Database, tmp_path: Path
    ) -> None:
        with running(followed, tmp_path, "sync", "--follow", "--log-format", "json") as process:
            for _ in range(2):
                line_with(process, '"started"')
            postgres.run("TRUNCATE other")
            line = json.loads(line_with(process, '"event": "failed"'))
            assert (line["level"], line["table"], line["error"]) == ("error", "public.other", "DataError")
            assert "on_truncate: apply" in line["next_step"]
            process.send_signal(signal.SIGTERM)
            _, errors = ended(process, code=3)
        assert [json.loads(line) for line in errors.splitlines()][-1]["event"] == "failed"


class TestProbes:
    def test_ready_after_the_first_runs_and_not_while_a_table_fails(
        self, followed: Ferry, postgres: Database, tmp_path: Path
    ) -> None:
        with running(followed, tmp_path, "sync", "--follow", "--health-port", "0") as process:
            url = health_url(process)
            assert asked_until(f"{url}/readyz", 200) == "ok\n"
            assert asked(f"{url}/healthz") == (200, "ok\n")
            assert asked(f"{url}/metrics")[0] == 404
            postgres.run("TRUNCATE other")
            assert asked_until(f"{url}/readyz", 503) == "public.other: failed: DataError\n"
            assert asked(f"{url}/healthz") == (200, "ok\n")
            process.send_signal(signal.SIGTERM)
            ended(process, code=3)

    def test_silence_is_a_stall_and_a_checkpoint_ends_it(
        self, followed: Ferry, postgres: Database, tmp_path: Path
    ) -> None:
        quick = ("--interval", "1s", "--stall-after", "1s")
        of = followed.of(READING)
        with running(of, tmp_path, "sync", "--follow", "--metrics-port", "0", *quick) as process:
            url = line_with(process, "metrics: http://").split()[-1].removesuffix("/metrics")
            line_with(process, "started")
            asked_until(f"{url}/healthz", 503, "nothing was heard of any table for")
            asked_until(f"{url}/readyz", 503, "public.reading: stalled: nothing was heard of it")
            postgres.run("UPDATE reading SET n = 77 WHERE k = 5")
            asked_until(f"{url}/healthz", 200)
            process.send_signal(signal.SIGTERM)
            ended(process)

    def test_an_idle_stream_is_heard_of_at_each_of_its_looks(
        self, followed: Ferry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cdc_run, "EVERY_S", 0.2)
        health, looks = FollowHealth(follows=True), Counter[str]()
        deadline = time.monotonic() + LIMIT_S

        def hear(event: Event) -> None:
            health(event)
            if isinstance(event, SlotSeen):
                looks[event.table] += 1

        def enough() -> bool:
            return time.monotonic() > deadline or (len(looks) == 2 and min(looks.values()) > 1)

        sync(followed, listener=hear, follow=True, until=enough)
        assert min(looks["public.reading"], looks["public.other"]) > 1
        assert health.unready() == {}

    def test_a_port_in_use_is_told_before_anything_begins(self, followed: Ferry, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            with running(followed, tmp_path, "sync", "--health-port", port) as process:
                _, errors = ended(process, code=2)
        assert f"no health can be served on 127.0.0.1 port {port}: Address already in use" in " ".join(errors.split())


class TestAHangup:
    def test_the_config_is_read_again_and_one_with_mistakes_changes_nothing(
        self, followed: Ferry, postgres: Database, tmp_path: Path
    ) -> None:
        one = followed.of(READING)
        config = tmp_path / "gridferry.yaml"
        with running(one, tmp_path, "sync", "--follow", "--json", "--health-port", "0") as process:
            url = health_url(process)
            asked_until(f"{url}/readyz", 200)
            postgres.run("INSERT INTO reading VALUES (100, 'd1', 1, NULL)")
            until_level(one, postgres)

            config.write_text(one.text + "no such option: 1\n")
            process.send_signal(signal.SIGHUP)
            line = line_with(process, "warning", "the config was not taken over", "no such option")
            assert "The config that was read before stays in force" in line
            postgres.run("INSERT INTO reading VALUES (101, 'd1', 1, NULL); INSERT INTO other VALUES (2, 2)")
            until_level(one, postgres)
            assert len(followed.rows("other")) == 1

            config.write_text(followed.text)
            process.send_signal(signal.SIGHUP)
            line_with(process, "the config was read again: 2 tables to follow")
            postgres.run("INSERT INTO reading VALUES (102, 'd1', 1, NULL)")
            until_level(followed, postgres)
            until_level(followed, postgres, table="other", split=None)
            process.send_signal(signal.SIGTERM)
            out, _ = ended(process)
        found = {each["table"]: each["rows"] for each in json.loads(out)["tables"]}
        assert found == {"public.reading": 3, "public.other": 1}


class TestTheCheck:
    def test_each_thing_that_is_wrong_is_a_line_with_its_own_code(
        self, followed: Ferry, postgres: Database, tmp_path: Path
    ) -> None:
        with running(followed.of(READING), tmp_path, "sync") as process:
            ended(process)
        with running(followed.of(READING), tmp_path, "status", "--check") as process:
            assert ended(process) == ("ok: 1 table\n", "")
        with running(followed, tmp_path, "status", "--check") as process:
            out, _ = ended(process, code=75)
        assert out.startswith("public.other: not followed: it was never synced. Next: ")
        postgres.run("INSERT INTO reading VALUES (100, 'd1', 1, NULL); TRUNCATE other")
        with running(followed, tmp_path, "sync") as process:
            ended(process, code=3)
        with running(followed, tmp_path, "status", "--check", "--json") as process:
            document = json.loads(ended(process, code=3)[0])
        (problem,) = document["problems"]
        assert (problem["table"], problem["kind"], problem["exit_code"]) == ("public.other", "failed", 3)
        assert "on_truncate: apply" in problem["next_step"]
        drop_slot(postgres.address, slot_of(followed))
        with running(followed.of(READING), tmp_path, "status", "--check", "--max-lag", "1s") as process:
            out, _ = ended(process, code=3)
        assert "public.reading: lost: the slot" in out
        assert "sync --new-slot" in out
        with running(followed.of(READING, OTHER, "missing"), tmp_path, "status", "--check") as process:
            out, _ = ended(process, code=3)
        assert "public.missing: not loaded: it is not loaded. Next: run `gridferry load`" in out
