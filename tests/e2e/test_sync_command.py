"""The command as a scheduler runs it: in a process of its own, ended by a signal."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, left_in_source, slot_of, without_slots
from tests.e2e.changes import sync as sync_changes
from tests.e2e.ferry import Ferry, Server
from tests.e2e.processes import ended, first_line, line_with, running
from tests.e2e.readings import add, load_readings, source, stands, sync
from tests.e2e.scraping import scrape, scrape_until, value
from tests.readings import make_numbered_readings

from gridferry.demo.servers import LocalGridDB

OF = {"table": "public.reading", "mode": "cdc"}
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    """A table in mode cdc, loaded."""
    make_numbered_readings(postgres)
    with without_slots(postgres):
        loaded = ferry.of(READING)
        loaded.load()
        yield loaded


@pytest.mark.parametrize("number", SIGNALS)
def test_follow_ends_in_order_at_a_signal(
    ferry: Ferry, postgres: Database, tmp_path: Path, number: signal.Signals
) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "1 hour", device="new")
    with running(ferry, tmp_path, "sync", "--follow", "--interval", "1h", "--json") as process:
        line_with(process, "ended", "outcome=synced", "written=1")
        process.send_signal(number)
        out, _ = ended(process)
    (table,) = json.loads(out)["tables"]
    assert (table["rows"], table["created"], table["outcome"]) == (1, ["reading_new"], "synced")
    assert stands(ferry) == source(postgres)
    assert sync(ferry).outcome == "nothing new"


def test_a_bounded_run_tells_what_it_did_and_ends(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "1 hour")
    with running(ferry, tmp_path, "sync") as process:
        out, errors = ended(process)
    assert "public.reading: synced, 1 row in 1 container" in out
    assert "gridferry status" in errors


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stream_ends_in_order_and_the_next_run_gets_only_the_rest(
    followed: Ferry, postgres: Database, tmp_path: Path, number: signal.Signals
) -> None:
    with running(followed, tmp_path, "sync", "--follow", "--json", "--metrics-port", "0") as process:
        url = first_line(process).split()[-1]
        postgres.run("INSERT INTO reading VALUES (100, 'd0', 1, NULL); DELETE FROM reading WHERE k < 3")
        scrape_until(url, lambda seen: value(seen, "rows_read_total", **OF) == 4)
        process.send_signal(number)
        out, _ = ended(process)
    (table,) = json.loads(out)["tables"]
    assert (table["read"], table["rows"], table["deleted"]) == (4, 1, 3)
    postgres.run("UPDATE reading SET n = 7 WHERE k = 5")
    (rest,) = sync_changes(followed)
    assert (rest.read, rest.rows, rest.deleted) == (1, 1, 0)
    assert_level(followed, postgres)


def test_a_second_run_waits_or_says_who_is_at_work(followed: Ferry, postgres: Database, tmp_path: Path) -> None:
    with running(followed, tmp_path, "sync", "--follow", "--metrics-port", "0") as first:
        url = first_line(first).split()[-1]
        scrape_until(url, lambda seen: bool(value(seen, "last_success_timestamp_seconds", **OF)))
        with running(followed, tmp_path, "sync") as second:
            out, errors = ended(second, code=75)
        said = " ".join(errors.split())
        assert f"another run works on public.reading: process {first.pid} on" in said
        assert "State: nothing was changed" in said
        assert "--wait" in said
        assert out == ""
        assert value(scrape(url), "up", **OF) == 1
        with running(followed, tmp_path, "sync", "--wait", "100") as third:
            first.send_signal(signal.SIGTERM)
            ended(first)
            assert "public.reading: nothing new" in ended(third)[0]


class TestWithATargetThatDoesNotAnswer:
    @pytest.fixture
    def griddb(self, tmp_path: Path) -> Iterator[LocalGridDB]:
        with LocalGridDB(tmp_path) as server:
            yield server
            os.kill(server.pid, signal.SIGCONT)

    @pytest.mark.parametrize("number", SIGNALS)
    def test_the_second_signal_ends_a_stream_at_once(
        self, griddb: LocalGridDB, postgres: Database, tmp_path: Path, number: signal.Signals
    ) -> None:
        make_numbered_readings(postgres)
        address = griddb.target.partition("@")[2].partition("/")[0]
        ferry = Ferry(postgres.dsn, Server(address), "public").of(READING)
        with without_slots(postgres):
            ferry.load()
            with running(ferry, tmp_path, "sync", "--follow", "--metrics-port", "0") as process:
                url = first_line(process).split()[-1]
                postgres.run("DELETE FROM reading WHERE k = 3")
                scrape_until(url, lambda seen: value(seen, "rows_deleted_total", **OF) == 1)
                os.kill(griddb.pid, signal.SIGSTOP)
                postgres.run("UPDATE reading SET n = 9 WHERE k < 6")
                process.send_signal(number)
                line_with(process, "once more ends at once")
                process.send_signal(number)
                _, errors = ended(process, code={signal.SIGTERM: 143, signal.SIGINT: 130}[number])
            assert "the sync goes on from there" in " ".join(errors.split())
            os.kill(griddb.pid, signal.SIGCONT)
            (rest,) = sync_changes(ferry)
            assert (rest.read, rest.rows) == (5, 5)
            assert_level(ferry, postgres)


class TestDropSlot:
    def test_nothing_is_left_and_a_second_call_says_so(
        self, followed: Ferry, postgres: Database, tmp_path: Path
    ) -> None:
        slot = slot_of(followed)
        with running(followed, tmp_path, "drop-slot") as process:
            out, _ = ended(process)
        assert out.splitlines() == [
            f"dropped: replication slot {slot}",
            f"dropped: publication {slot}_full",
            f"dropped: publication {slot}_inserts",
        ]
        assert left_in_source(postgres) == (0, 0)
        with running(followed, tmp_path, "drop-slot") as process:
            assert ended(process) == ("there is no replication slot of these tables\n", "")
        with running(followed, tmp_path, "drop-slot", "--json") as process:
            said = json.loads(ended(process)[0])
            assert (said["dropped"], said["summary"]["failed"]) == ([], [])
        with running(followed, tmp_path, "sync") as process:
            _, errors = ended(process, code=3)
        assert "no replication slot: it was dropped" in " ".join(errors.split())
        assert "gridferry load --replace" in errors

    def test_a_slot_that_is_read_stays(self, followed: Ferry, postgres: Database, tmp_path: Path) -> None:
        with running(followed, tmp_path, "sync", "--follow", "--metrics-port", "0") as reader:
            url = first_line(reader).split()[-1]
            scrape_until(url, lambda seen: bool(value(seen, "last_success_timestamp_seconds", **OF)))
            with running(followed, tmp_path, "drop-slot") as process:
                _, errors = ended(process, code=75)
            assert f"{slot_of(followed)}" in "".join(errors.split())
            assert "wait until the other process has ended" in " ".join(errors.split())
            assert left_in_source(postgres) == (1, 2)
            reader.send_signal(signal.SIGTERM)
            ended(reader)
        with running(followed, tmp_path, "drop-slot") as process:
            ended(process)
        assert left_in_source(postgres) == (0, 0)
