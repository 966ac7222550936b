"""One run a table at a time: refused, waited for, taken over, lost, given back."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from tests.notes import notes
from tests.unit.checkpoint.documents_fake import FakeDocuments

from gridferry.checkpoint.lease import Lease, LeaseHolder, born, holder_of
from gridferry.errors import CheckpointError, ConnectionLost, LeaseHeld, LockConflict

TABLE = "public.t"
KEY = (f"lease:{TABLE}", "lease")
ELSEWHERE = LeaseHolder(host="another machine", pid=1, born="5", token=3, beat=7)


class Clock:
    """Time that passes only by sleeping; `on_sleep` happens meanwhile."""

    def __init__(self, on_sleep: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self._on_sleep = on_sleep

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 1000, "waited for ever"
        self._on_sleep()


@pytest.fixture
def documents() -> FakeDocuments:
    return FakeDocuments()


def lease(documents: FakeDocuments, clock: Clock | None = None, **options: Any) -> Lease:
    clock = clock or Clock()
    options.setdefault("beat_s", 1000.0)
    return Lease(documents, TABLE, clock=clock, sleep=clock.sleep, **options)


def write(documents: FakeDocuments, holder: LeaseHolder) -> None:
    documents.state.rows[KEY] = json.dumps(asdict(holder)).encode()


def read(documents: FakeDocuments) -> LeaseHolder:
    return LeaseHolder(**json.loads(documents.state.rows[KEY]))


def beating(documents: FakeDocuments) -> Callable[[], None]:
    """What a living holder does meanwhile."""

    def beat() -> None:
        if KEY in documents.state.rows:
            holder = read(documents)
            write(documents, LeaseHolder(**{**asdict(holder), "beat": holder.beat + 1}))

    return beat


def test_it_is_held_within_the_block_and_given_back_after(documents: FakeDocuments) -> None:
    with lease(documents) as held:
        assert (held.token, read(documents).pid, read(documents).host) == (1, os.getpid(), socket.gethostname())
        held.check()
    assert KEY not in documents.state.rows


def test_it_is_given_back_after_an_error_too(documents: FakeDocuments) -> None:
    with pytest.raises(ValueError, match="work"), lease(documents):
        raise ValueError("work")
    assert KEY not in documents.state.rows


def test_a_holder_that_beats_is_left_alone(documents: FakeDocuments) -> None:
    write(documents, ELSEWHERE)
    with pytest.raises(LeaseHeld, match="process 1 on another machine") as caught:
        lease(documents, Clock(beating(documents))).__enter__()
    assert caught.value.next_step
    assert read(documents).host == ELSEWHERE.host


def test_a_holder_that_beats_is_waited_for_as_long_as_asked(documents: FakeDocuments) -> None:
    write(documents, ELSEWHERE)
    clock = Clock(beating(documents))
    with pytest.raises(LeaseHeld):
        lease(documents, clock, wait_s=30).__enter__()
    assert 30 <= clock.now <= 32


def test_the_wait_ends_when_the_holder_gives_it_back(documents: FakeDocuments) -> None:
    write(documents, ELSEWHERE)
    beat = beating(documents)

    def work_a_while() -> None:
        beat()
        if clock.now >= 5:
            documents.state.rows.pop(KEY, None)

    clock = Clock(work_a_while)
    with lease(documents, clock, wait_s=30) as held:
        assert 5 <= clock.now <= 6
        held.check()


def test_a_silent_holder_elsewhere_is_taken_over_by_our_own_clock_alone(documents: FakeDocuments) -> None:
    write(documents, ELSEWHERE)
    clock = Clock()
    with lease(documents, clock, dead_after_s=20) as held:
        assert 20 <= clock.now <= 22
        assert held.token == read(documents).token == ELSEWHERE.token + 1
        assert read(documents).pid == os.getpid()


@pytest.mark.parametrize(
    "holder",
    [
        LeaseHolder(socket.gethostname(), 2**22 + 1, "1"),  # above the greatest process id that Linux gives
        LeaseHolder(socket.gethostname(), os.getpid(), "1"),
    ],
    ids=["no process", "another process"],
)
def test_a_dead_holder_of_this_machine_is_taken_over_at_once(documents: FakeDocuments, holder: LeaseHolder) -> None:
    write(documents, holder)
    assert holder_of(documents, TABLE) is None
    clock = Clock()
    with lease(documents, clock) as held:
        assert clock.now == 0
        assert held.token == 2


def test_a_living_process_of_this_machine_is_told_as_the_holder(documents: FakeDocuments) -> None:
    assert holder_of(documents, TABLE) is None
    with lease(documents):
        assert str(holder_of(documents, TABLE)) == f"process {os.getpid()} on {socket.gethostname()}"


def test_a_lock_that_stays_tells_the_holder_of_the_lease_too(
    documents: FakeDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(work: object) -> None:
        raise LockConflict("refused")

    write(documents, ELSEWHERE)
    monkeypatch.setattr(documents.state, "in_transaction", refused)
    with pytest.raises(LockConflict) as caught, lease(documents, dead_after_s=5.0):
        raise AssertionError("it was entered")
    assert notes(caught.value) == [f"the lease of {TABLE} is held by process 1 on another machine"]


def test_a_lease_that_another_version_wrote_is_told(documents: FakeDocuments) -> None:
    documents.state.rows[KEY] = json.dumps({**asdict(ELSEWHERE), "shift": "night"}).encode()
    with pytest.raises(CheckpointError, match=rf"the lease of {TABLE} is not readable: .*shift") as caught:
        lease(documents).__enter__()
    assert "gridferry_state" in caught.value.next_step
    with pytest.raises(CheckpointError):
        holder_of(documents, TABLE)
    assert json.loads(documents.state.rows[KEY])["shift"] == "night"


def test_of_two_that_take_over_only_one_wins(documents: FakeDocuments) -> None:
    write(documents, ELSEWHERE)
    first, second = lease(documents), lease(documents)
    assert first.take_over(ELSEWHERE)
    assert not second.take_over(ELSEWHERE)
    assert read(documents).token == first.token


@pytest.mark.parametrize("what", ["taken over", "gone"])
def test_a_lost_lease_is_noticed_and_not_given_back(documents: FakeDocuments, what: str) -> None:
    with lease(documents) as held:
        if what == "gone":
            del documents.state.rows[KEY]
        else:
            write(documents, ELSEWHERE)
        held._beat_s = 0.0
        held._beat()
        with pytest.raises(LeaseHeld, match="was lost") as caught:
            held.check()
        assert caught.value.state
    assert documents.state.rows.get(KEY) == (None if what == "gone" else json.dumps(asdict(ELSEWHERE)).encode())


def test_beats_grow_and_a_target_that_is_away_for_a_moment_does_no_harm(documents: FakeDocuments) -> None:
    clock = Clock()
    with lease(documents, clock, dead_after_s=20) as held:
        held._renew()
        assert read(documents).beat == 1
        held._renew()
        assert read(documents).beat == 2
        documents.state.broken = ConnectionLost("away")
        for _ in range(3):
            with pytest.raises(ConnectionLost):
                held._renew()
        clock.now = 9.0
        held.check()
        clock.now = 10.0
        with pytest.raises(ConnectionLost, match="away"):
            held.check()
        documents.state.broken = None


def test_the_thread_that_beats_goes_on_after_a_target_that_was_away(documents: FakeDocuments) -> None:
    tried = documents.state.tried
    with lease(documents, beat_s=0.001):
        documents.state.broken = ConnectionLost("away")
        tried.clear()
        assert tried.wait(30)
        beat = read(documents).beat
        documents.state.broken = None
        until = time.monotonic() + 30
        while read(documents).beat == beat:
            assert time.monotonic() < until, "no beat came any more"


def test_parts_stand_side_by_side(documents: FakeDocuments) -> None:
    with lease(documents, part="0/2") as first, lease(documents, part="1/2") as second:
        first.check()
        second.check()
        assert holder_of(documents, TABLE) is not None
    assert not documents.state.rows


@pytest.mark.parametrize(("held", "wanted"), [("lease", "0/2"), ("part:0/2", ""), ("part:0/2", "0/2")])
def test_a_part_and_the_whole_exclude_each_other(documents: FakeDocuments, held: str, wanted: str) -> None:
    key = (f"lease:{TABLE}", held)
    documents.state.rows[key] = json.dumps(asdict(ELSEWHERE)).encode()

    def beat() -> None:
        holder = LeaseHolder(**json.loads(documents.state.rows[key]))
        documents.state.rows[key] = json.dumps(asdict(replace(holder, beat=holder.beat + 1))).encode()

    with pytest.raises(LeaseHeld, match="process 1 on another machine"):
        lease(documents, Clock(beat), part=wanted).__enter__()
    assert list(documents.state.rows) == [key]


@pytest.mark.parametrize(("held", "wanted"), [("lease", "0/2"), ("part:0/2", ""), ("part:0/2", "0/2")])
def test_one_that_is_silent_is_in_nobodys_way(documents: FakeDocuments, held: str, wanted: str) -> None:
    key = (f"lease:{TABLE}", held)
    documents.state.rows[key] = json.dumps(asdict(ELSEWHERE)).encode()
    clock = Clock()
    with lease(documents, clock, part=wanted, dead_after_s=20) as mine:
        assert 20 <= clock.now <= 22
        mine.check()
        assert documents.state.rows.get(key) != json.dumps(asdict(ELSEWHERE)).encode()
    assert not documents.state.rows


def test_the_whole_lease_waits_for_parts_to_end(documents: FakeDocuments) -> None:
    key = (f"lease:{TABLE}", "part:0/1")
    documents.state.rows[key] = json.dumps(asdict(ELSEWHERE)).encode()

    def work_a_while() -> None:
        if clock.now >= 5:
            documents.state.rows.pop(key, None)
        elif key in documents.state.rows:
            holder = LeaseHolder(**json.loads(documents.state.rows[key]))
            documents.state.rows[key] = json.dumps(asdict(replace(holder, beat=holder.beat + 1))).encode()

    clock = Clock(work_a_while)
    with lease(documents, clock, wait_s=30):
        assert 5 <= clock.now <= 6


def test_a_part_that_was_removed_as_dead_does_not_go_on(documents: FakeDocuments) -> None:
    with lease(documents, part="0/1") as part:
        documents.state.rows.clear()
        part._beat_s = 0.0
        part._beat()
        with pytest.raises(LeaseHeld, match="was lost"):
            part.check()


def test_a_process_is_known_by_when_it_began() -> None:
    assert born(os.getpid()) == born(os.getpid())
    assert born(2**22 + 1) == ""


def test_one_that_stood_still_renews_it_before_it_goes_on(documents: FakeDocuments) -> None:
    clock = Clock()
    with lease(documents, clock) as held:
        held.check()
        assert read(documents).beat == 0
        clock.now += 1000
        held.check()
        assert read(documents).beat == 1
        held.check()
        assert read(documents).beat == 1  # that is enough for a while


def test_one_that_stood_still_and_was_taken_over_is_told_before_any_beat(documents: FakeDocuments) -> None:
    clock = Clock()
    with lease(documents, clock) as held:
        write(documents, replace(ELSEWHERE, token=2))
        held.check()  # nobody may take over what was renewed a moment ago: it is not asked again
        clock.now += 1000
        with pytest.raises(LeaseHeld, match="taken over by process 1 on another machine"):
            held.check()
    assert read(documents).host == ELSEWHERE.host


def test_one_that_cannot_renew_it_when_it_is_late_goes_on_when_the_target_is_back(documents: FakeDocuments) -> None:
    """What is wrong is the target, not the lease: the error says so, and trying again is of use."""
    clock = Clock()
    with lease(documents, clock) as held:
        clock.now += 1000
        documents.state.broken = ConnectionLost("no answer")
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="no answer") as caught:
                held.check()
        assert notes(caught.value)[-1] == f"while the lease of {TABLE} was renewed"
        documents.state.broken = None
        held.check()
        assert read(documents).beat == 1
    assert KEY not in documents.state.rows


def test_one_whose_lease_was_taken_over_while_the_target_was_away_does_not_go_on(documents: FakeDocuments) -> None:
    clock = Clock()
    with lease(documents, clock) as held:
        clock.now += 1000
        documents.state.broken = ConnectionLost("no answer")
        with pytest.raises(ConnectionLost):
            held.check()
        documents.state.broken = None
        write(documents, replace(ELSEWHERE, token=2))
        with pytest.raises(LeaseHeld, match="taken over by process 1 on another machine"):
            held.check()
    assert read(documents).host == ELSEWHERE.host


def test_who_ends_because_the_target_is_away_does_not_search_for_it_to_give_back_the_lease(
    documents: FakeDocuments,
) -> None:
    clock = Clock()
    held = lease(documents, clock).__enter__()
    clock.now += 1000
    documents.state.broken = ConnectionLost("no answer")
    with pytest.raises(ConnectionLost) as caught:
        held.check()
    documents.state.tried.clear()
    held.__exit__(ConnectionLost, caught.value, None)
    assert not documents.state.tried.is_set()
