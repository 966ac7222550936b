"""`--metrics-port` as Prometheus sees it: scraped while a process runs; the numbers are those that the run reports."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_client import generate_latest
from tests.conftest import Database
from tests.e2e.changes import READING, sync, without_slots
from tests.e2e.ferry import Ferry
from tests.e2e.processes import ended, first_line, running
from tests.e2e.readings import add, load_readings
from tests.e2e.scraping import Samples, samples, scrape_until, value
from tests.readings import make_numbered_readings

from gridferry.engine.events import TableSync
from gridferry.metrics.collect import RunMetrics

OF = {"table": "public.reading", "mode": "cdc"}
BY_WATERMARK = {**OF, "mode": "watermark"}
TOTALS = {
    "read": "rows_read_total",
    "rows": "rows_written_total",
    "deleted": "rows_deleted_total",
    "superseded": "rows_superseded_total",
    "quarantined": "rows_quarantined_total",
}


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        loaded = ferry.of({**READING, "on_bad_row": "quarantine"})
        loaded.load()
        yield loaded


def assert_as_reported(found: Samples, done: TableSync) -> None:
    for name, metric in TOTALS.items():
        assert value(found, metric, table=done.table, mode=done.mode) == getattr(done, name), metric


def of_run(ferry: Ferry) -> tuple[TableSync, Samples]:
    """One bounded run, and what its own metrics say of it."""
    metrics = RunMetrics()
    (done,) = sync(ferry, listener=metrics)
    return done, samples(generate_latest(metrics.registry).decode())


def test_a_stream_is_seen_while_it_goes_on(followed: Ferry, postgres: Database, tmp_path: Path) -> None:
    with running(followed, tmp_path, "sync", "--follow", "--json", "--metrics-port", "0") as process:
        url = first_line(process).split()[-1]
        before = time.time()
        postgres.run("INSERT INTO reading VALUES (100, 'new', 1, NULL); UPDATE reading SET n = 5 WHERE k < 2")
        postgres.run("DELETE FROM reading WHERE k = 4; UPDATE reading SET note = repeat('x', 40000) WHERE k = 3")
        # The end of the log moves on by itself: how far it is away gets to nothing once a keepalive has come.
        found = scrape_until(
            url,
            lambda seen: value(seen, "rows_read_total", **OF) == 5 and value(seen, "lag_bytes", table=OF["table"]) == 0,
        )
        kinds = [value(found, "changes_total", table=OF["table"], kind=kind) for kind in ("insert", "update", "delete")]
        assert kinds == [1, 3, 1]
        assert value(found, "up", **OF) == value(found, "running", **OF) == 1
        assert value(found, "containers_created_total", **OF) == 1
        assert value(found, "last_success_timestamp_seconds", **OF) > before  # type: ignore[operator]
        assert 0 <= value(found, "lag_seconds", **OF) < 60  # type: ignore[operator]
        assert (
            value(found, "put_duration_seconds_count", **OF) == value(found, "flush_duration_seconds_count", **OF) != 0
        )
        (slot,) = {dict(labels)["slot"] for (name, labels) in found if name == "gridferry_slot_kept_bytes"}
        if postgres.version >= 13:  # the first that tells it
            assert value(found, "slot_wal_status", table=OF["table"], slot=slot, wal_status="reserved") == 1
        process.send_signal(signal.SIGTERM)
        out, _ = ended(process, code=1)  # a row is in quarantine
    assert_as_reported(found, TableSync(**json.loads(out)["tables"][0]))
    with pytest.raises(URLError):
        urlopen(url, timeout=5)


def test_runs_by_watermark_are_seen_in_between(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    ferry = load_readings(ferry, postgres)
    add(postgres, "1 hour", device="new")
    with running(ferry, tmp_path, "sync", "--follow", "--interval", "1h", "--json", "--metrics-port", "0") as process:
        url = first_line(process).split()[-1]
        found = scrape_until(url, lambda seen: value(seen, "runs_total", outcome="synced", **BY_WATERMARK) == 1)
        assert value(found, "running", **BY_WATERMARK) == value(found, "lag_rows", **BY_WATERMARK) == 0
        assert 0 <= value(found, "lag_seconds", **BY_WATERMARK) < 60  # type: ignore[operator]
        process.send_signal(signal.SIGTERM)
        out, _ = ended(process)
    assert_as_reported(found, TableSync(**json.loads(out)["tables"][0]))


def test_bounded_runs_count_alone_and_as_they_report(followed: Ferry, postgres: Database) -> None:
    postgres.run("INSERT INTO reading SELECT i, 'd1', i, 'x' FROM generate_series(100, 299) AS i")
    postgres.run("DELETE FROM reading WHERE k < 9; UPDATE reading SET note = repeat('x', 40000) WHERE k = 20")
    done, found = of_run(followed)
    assert (done.rows, done.deleted, done.quarantined) == (200, 10, 1)
    assert_as_reported(found, done)
    done, found = of_run(followed)
    assert done.outcome == "nothing new"
    assert_as_reported(found, done)
    assert value(found, "runs_total", outcome="nothing_new", **OF) == 1


def test_by_watermark_too(ferry: Ferry, postgres: Database) -> None:
    ferry = load_readings(ferry, postgres)
    ferry = ferry.of({**ferry.tables[0], "on_duplicate": "last"})
    for seconds in ("1 hour", "1 hour", "2 hours", "3 hours"):
        add(postgres, seconds)
    done, found = of_run(ferry)
    assert (done.read, done.superseded) == (4, 1)
    assert_as_reported(found, done)


def test_a_load_is_seen_too(ferry: Ferry, postgres: Database) -> None:
    make_numbered_readings(postgres)
    metrics = RunMetrics()
    (done,) = ferry.of({"table": "reading", "split_by": "device"}).load(listener=metrics, rows_per_chunk=7)
    found = samples(generate_latest(metrics.registry).decode())
    assert value(found, "rows_written_total", table=done.table, mode="load") == done.rows == 30
    chunks = [value(found, name, table=done.table) for name in ("load_chunks", "load_chunks_done")]
    assert chunks == [done.chunks, done.chunks]
    assert value(found, "runs_total", table=done.table, mode="load", outcome="loaded") == 1


def test_a_run_that_fails_is_seen_as_failing(followed: Ferry, postgres: Database) -> None:
    metrics = RunMetrics()
    postgres.run("TRUNCATE reading")
    with pytest.raises(Exception, match="TRUNCATE"):
        sync(followed, listener=metrics)
    found = samples(generate_latest(metrics.registry).decode())
    assert value(found, "runs_total", outcome="failed", **OF) == 1
    assert value(found, "up", **OF) == value(found, "running", **OF) == 0
    assert value(found, "last_success_timestamp_seconds", **OF) is None


def test_a_port_in_use_is_told_before_anything_begins(followed: Ferry, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with running(followed, tmp_path, "sync", "--metrics-port", port) as process:
            out, errors = ended(process, code=2)
    assert out == ""
    assert f"no metrics can be served on 127.0.0.1 port {port}: Address already in use" in " ".join(errors.split())
