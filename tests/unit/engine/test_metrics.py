from __future__ import annotations

import json
from pathlib import Path

from prometheus_client import generate_latest
from tests.e2e.scraping import Samples, samples, value

from gridferry.engine.events import Checkpointed, Event, SlotSeen, SyncEnded, SyncStarted, TableFailed, TableLoad
from gridferry.errors import DataError
from gridferry.metrics.collect import RunMetrics
from gridferry.model.outcomes import LoadOutcome, SyncOutcome
from gridferry.plan.sync_options import SyncMode

OF = {"table": "public.t", "mode": "cdc"}
STARTED = SyncStarted("public.t", SyncMode.CDC)
PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def told(metrics: RunMetrics, *events: Event) -> Samples:
    for event in events:
        metrics(event)
    return samples(generate_latest(metrics.registry).decode())


def at(position: str, **counts: int) -> Checkpointed:
    return Checkpointed("public.t", SyncMode.CDC, position=position, as_of="1970-01-12T13:46:30.000000Z", **counts)


def test_the_lag_is_the_age_of_the_last_commit_stored_and_grows_between_scrapes() -> None:
    clock = Clock()
    metrics = RunMetrics(clock=clock)
    assert value(told(metrics, STARTED), "lag_seconds", **OF) is None
    assert value(told(metrics, at("0/10")), "lag_seconds", **OF) == 10
    clock.now += 5
    assert value(told(metrics), "lag_seconds", **OF) == 15


def test_an_idle_source_has_no_lag_once_the_end_of_its_log_is_stored() -> None:
    clock = Clock()
    metrics = RunMetrics(clock=clock)
    found = told(metrics, STARTED, at("0/10"), SlotSeen("public.t", "s", "0/20", 7, None, "extended"))
    assert (value(found, "lag_seconds", **OF), value(found, "lag_bytes", table="public.t")) == (10, 16)
    clock.now += 3
    found = told(metrics, at("0/20"))
    assert (value(found, "lag_seconds", **OF), value(found, "lag_bytes", table="public.t")) == (3, 0)
    states = {
        s: value(found, "slot_wal_status", table="public.t", slot="s", wal_status=s) for s in ("lost", "extended")
    }
    assert states == {"lost": 0, "extended": 1}


def test_it_is_down_from_an_error_to_the_next_checkpoint() -> None:
    metrics = RunMetrics()
    ups = [
        value(told(metrics, event), "up", **OF)
        for event in (
            STARTED, at("0/1"), SyncEnded("public.t", SyncMode.CDC, SyncOutcome.TRY_LATER, 1.0, "SourceUnreachable"),
            STARTED, at("0/2"), SyncEnded("public.t", SyncMode.CDC, SyncOutcome.STOPPED, 1.0),
        )
    ]  # fmt: skip
    assert ups == [1, 1, 0, 0, 1, 1]
    found = told(metrics)
    assert value(found, "runs_total", outcome="try_later", **OF) == 1
    assert value(found, "runs_total", outcome="stopped", **OF) == 1


def test_the_kind_of_the_last_error_stands_until_it_works_again() -> None:
    metrics = RunMetrics()

    def failing(*events: Event) -> dict[str, float | None]:
        found = told(metrics, *events)
        return {kind: value(found, "failing", error=kind, **OF) for kind in ("SourceUnreachable", "DataError")}

    failing_once = SyncEnded("public.t", SyncMode.CDC, SyncOutcome.TRY_LATER, 1.0, "SourceUnreachable")
    told(metrics, STARTED, SyncEnded("public.t", SyncMode.CDC, SyncOutcome.FAILED, 1.0, "DataError"), failing_once)
    assert failing() == {"SourceUnreachable": 1, "DataError": 0}
    assert failing(STARTED) == {"SourceUnreachable": 1, "DataError": 0}
    assert failing(at("0/1")) == {"SourceUnreachable": 0, "DataError": 0}
    assert value(told(metrics), "last_failure_timestamp_seconds", **OF)


def test_a_load_that_failed_is_down_until_one_ends_well() -> None:
    metrics = RunMetrics()
    of = {"table": "public.t", "mode": "load"}
    seen = told(metrics, TableFailed("public.t", "load", DataError("a row is too long"), others=2))
    assert (value(seen, "up", **of), value(seen, "running", **of)) == (0, 0)
    assert value(seen, "runs_total", outcome="failed", **of) == 1
    assert value(told(metrics, TableLoad("public.t", LoadOutcome.LOADED)), "up", **of) == 1


def test_two_runs_share_nothing() -> None:
    first, second = RunMetrics(), RunMetrics()
    told(first, STARTED, at("0/1", read=3, inserts=3))
    assert value(told(second, STARTED), "rows_read_total", **OF) == 0


def test_the_page_names_every_metric() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [
        family.name
        for family in RunMetrics().registry.collect()
        if family.name.startswith("gridferry_") and f"`{family.name}" not in page
    ]
    assert not missing, json.dumps(missing)
