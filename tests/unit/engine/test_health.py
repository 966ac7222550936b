"""Alive is a process that is heard of; ready are tables that are begun, good, heard of, and not too far behind."""

from __future__ import annotations

import pytest

from gridferry.engine.events import (
    Checkpointed,
    Event,
    FollowStarted,
    Note,
    RowsPut,
    SlotSeen,
    SyncEnded,
    SyncStarted,
    TableFailed,
)
from gridferry.errors import DataError
from gridferry.metrics.health import FollowHealth
from gridferry.model.outcomes import SyncOutcome
from gridferry.plan.sync_options import SyncMode

A, B = "public.a", "public.b"
NOON = 1_700_000_000.0  # 2023-11-14T22:13:20Z


class Watched:
    """A health, and the time in it: a stall is 100 s, and a run comes every 10 s."""

    def __init__(self, max_lag_s: float | None = None, *, follows: bool = True) -> None:
        self.seconds = 0.0
        self.health = FollowHealth(
            follows=follows,
            stall_s=100.0,
            max_lag_s=max_lag_s,
            clock=lambda: self.seconds,
            now=lambda: NOON + self.seconds,
        )

    def hears(self, *events: Event) -> None:
        for event in events:
            self.health(event)


def started(table: str) -> SyncStarted:
    return SyncStarted(table, SyncMode.CDC)


def stored(table: str, position: str = "0/10") -> Checkpointed:
    return Checkpointed(table, SyncMode.CDC, position=position, as_of="2023-11-14T22:13:20Z")


def ended(table: str, error: str = "") -> SyncEnded:
    return SyncEnded(table, SyncMode.CDC, SyncOutcome.FAILED if error else SyncOutcome.NOTHING_NEW, 1.0, error)


def test_what_does_not_follow_is_alive_and_ready() -> None:
    watched = Watched(follows=False)
    watched.hears(RowsPut(A, 1, 1))
    watched.seconds = 1e6
    assert watched.health.stuck() == ""
    assert watched.health.unready() == {}


def test_a_follow_that_has_not_begun_is_not_ready_and_may_be_stuck() -> None:
    watched = Watched()
    assert watched.health.unready() == {"sync": "it has not begun to follow"}
    watched.seconds = 99
    assert watched.health.stuck() == ""
    watched.seconds = 101
    assert watched.health.stuck()


def test_every_table_has_to_begin_those_too_that_nothing_was_heard_of() -> None:
    watched = Watched()
    watched.hears(FollowStarted((A, B), 10.0), started(A))
    assert list(watched.health.unready()) == [A, B]
    watched.hears(stored(A))
    assert watched.health.unready() == {B: "its first run is not over"}
    watched.hears(started(B), ended(B))
    assert watched.health.unready() == {}
    watched.hears(started("public.later"))
    assert list(watched.health.unready()) == ["public.later"]


def test_an_idle_stream_is_ready_at_its_second_look() -> None:
    watched = Watched()
    watched.hears(FollowStarted((A,), 10.0), started(A), SlotSeen(A, "s", "0/10"))
    assert list(watched.health.unready()) == [A]
    watched.hears(SlotSeen(A, "s", "0/10"))
    assert watched.health.unready() == {}


def test_silence_is_a_stall_of_a_table_and_of_the_process() -> None:
    watched = Watched()
    watched.hears(FollowStarted((A, B), 10.0), stored(A), stored(B))
    for _ in range(12):
        watched.seconds += 10
        watched.hears(SlotSeen(A, "s", "0/10"))
    assert watched.health.unready() == {B: "stalled: nothing was heard of it for 2 min 0 s"}
    assert watched.health.stuck() == ""  # the other one goes on
    watched.seconds += 111
    assert "nothing was heard of any table for 1 min 51 s" in watched.health.stuck()
    watched.hears(Note(B, "changes are stored again"))
    assert watched.health.stuck() == ""
    assert list(watched.health.unready()) == [A]


@pytest.mark.parametrize("well", [stored(A), ended(A)])
def test_a_failure_counts_until_something_ends_well(well: Event) -> None:
    watched = Watched()
    watched.hears(FollowStarted((A,), 10.0), started(A), stored(A), ended(A, "SourceUnreachable"))
    assert watched.health.unready() == {A: "failed: SourceUnreachable"}
    watched.hears(started(A), SlotSeen(A, "s", "0/10"))
    assert list(watched.health.unready()) == [A]
    watched.hears(well)
    assert watched.health.unready() == {}
    watched.hears(TableFailed(A, "sync", DataError("too long")))
    assert watched.health.unready() == {A: "failed: DataError"}


def test_a_lag_over_the_limit_and_none_where_all_of_the_log_is_stored() -> None:
    watched = Watched(max_lag_s=30.0)
    watched.hears(FollowStarted((A,), 10.0), stored(A))
    watched.seconds = 31
    assert watched.health.unready() == {A: "lags: it shows the state of 31 s ago"}
    watched.hears(SlotSeen(A, "s", "0/10"))  # the end of the log is where the table is
    assert watched.health.unready() == {}


def test_another_follow_forgets_tables_that_are_not_followed_any_more() -> None:
    watched = Watched()
    watched.hears(FollowStarted((A, B), 10.0), stored(A), ended(B, "DataError"))
    watched.hears(FollowStarted((A,), 10.0))
    assert watched.health.unready() == {}
