"""The leases of many tables: taken and renewed together, refused, lost and given back each alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from tests.unit.checkpoint.documents_fake import FakeDocuments
from tests.unit.checkpoint.test_lease import Clock

from gridferry.checkpoint.lease import Lease, LeaseHolder
from gridferry.checkpoint.lease_group import LeaseGroup
from gridferry.errors import CheckpointError, ConnectionLost, LeaseHeld

TABLES = ("public.a", "public.b", "public.c")
ELSEWHERE = LeaseHolder(host="another machine", pid=1, born="5", token=3, beat=7)


@pytest.fixture
def documents() -> FakeDocuments:
    return FakeDocuments()


def group(documents: FakeDocuments, clock: Clock | None = None, **options: Any) -> LeaseGroup:
    clock = clock or Clock()
    return LeaseGroup(documents, TABLES, clock=clock, sleep=clock.sleep, beat_s=1000.0, **options)


def key(table: str) -> tuple[str, str]:
    return (f"lease:{table}", "lease")


def write(documents: FakeDocuments, table: str, holder: LeaseHolder = ELSEWHERE) -> None:
    documents.state.rows[key(table)] = json.dumps(asdict(holder)).encode()


def beating(documents: FakeDocuments, table: str) -> Callable[[], None]:
    def beat() -> None:
        holder = LeaseHolder(**json.loads(documents.state.rows[key(table)]))
        write(documents, table, replace(holder, beat=holder.beat + 1))

    return beat


def test_they_are_held_within_the_block_and_given_back_after(documents: FakeDocuments) -> None:
    with group(documents) as held:
        assert (set(held.held), held.refused) == (set(TABLES), {})
        assert set(documents.state.rows) == set(map(key, TABLES))
        with pytest.raises(LeaseHeld, match=f"process {os.getpid()}"):
            Lease(documents, "public.b", clock=(clock := Clock(lambda: held._renew())), sleep=clock.sleep).__enter__()
        held.give_back(["public.a"])
        assert set(documents.state.rows) == set(map(key, TABLES[1:]))
    assert not documents.state.rows


def test_one_that_another_run_has_is_refused_alone(documents: FakeDocuments) -> None:
    write(documents, "public.b")
    with group(documents, Clock(beating(documents, "public.b"))) as held:
        assert set(held.held) == {"public.a", "public.c"}
        assert isinstance(held.refused["public.b"], LeaseHeld)
    assert set(documents.state.rows) == {key("public.b")}


def test_without_patience_who_has_one_keeps_it(documents: FakeDocuments) -> None:
    write(documents, "public.b")
    clock = Clock(beating(documents, "public.b"))
    with group(documents, clock, patient=False) as held:
        assert set(held.held) == {"public.a", "public.c"}
        assert isinstance(held.refused["public.b"], LeaseHeld)
        assert clock.now == Clock().now
    assert set(documents.state.rows) == {key("public.b")}


def test_the_holder_is_waited_for(documents: FakeDocuments) -> None:
    write(documents, "public.b")
    clock = Clock()
    beat = beating(documents, "public.b")

    def meanwhile() -> None:
        if clock.now < 30:
            beat()
        else:
            documents.state.rows.pop(key("public.b"), None)

    clock._on_sleep = meanwhile
    with group(documents, clock, wait_s=60) as held:
        assert set(held.held) == set(TABLES)


def test_a_dead_holder_is_taken_over(documents: FakeDocuments) -> None:
    write(documents, "public.b")
    with group(documents) as held:
        assert held.held["public.b"].token == ELSEWHERE.token + 1
        held.held["public.b"].check()


def test_one_that_is_lost_is_lost_alone(documents: FakeDocuments) -> None:
    with group(documents) as held:
        write(documents, "public.b")
        held._renew()
        held.held["public.a"].check()
        with pytest.raises(LeaseHeld, match="was lost: taken over by process 1"):
            held.held["public.b"].check()
        assert json.loads(documents.state.rows[key("public.a")])["beat"] == 1
    assert set(documents.state.rows) == {key("public.b")}


def test_after_a_pause_each_is_proven_before_it_is_trusted(documents: FakeDocuments) -> None:
    clock = Clock()
    with group(documents, clock) as held:
        clock.now += 15
        held.held["public.a"].check()
        assert json.loads(documents.state.rows[key("public.a")])["beat"] == 1
        clock.now += 15
        del documents.state.rows[key("public.c")]
        with pytest.raises(LeaseHeld, match="it is gone"):
            held.held["public.c"].check()


def test_a_part_that_another_run_has_keeps_the_table_out(documents: FakeDocuments) -> None:
    documents.state.rows["lease:public.b", "part:0/2"] = json.dumps(asdict(ELSEWHERE)).encode()
    clock = Clock()

    def beat() -> None:
        now = json.loads(documents.state.rows["lease:public.b", "part:0/2"])
        documents.state.rows["lease:public.b", "part:0/2"] = json.dumps({**now, "beat": now["beat"] + 1}).encode()

    clock._on_sleep = beat
    with group(documents, clock) as held:
        assert set(held.held) == {"public.a", "public.c"}
        assert set(held.refused) == {"public.b"}


def test_a_slot_that_is_followed_keeps_its_tables_out(documents: FakeDocuments) -> None:
    write(documents, "the slot s")
    clock = Clock(beating(documents, "the slot s"))
    also = {"public.a": "the slot s", "public.b": "the slot s", "public.c": ""}
    with group(documents, clock, also=lambda tables: also) as held:
        assert (set(held.held), set(held.refused)) == ({"public.c"}, {"public.a", "public.b"})


def test_one_that_is_not_readable_is_refused_alone(documents: FakeDocuments) -> None:
    documents.state.rows[key("public.b")] = b'{"host": 5}'
    with group(documents) as held:
        assert set(held.held) == {"public.a", "public.c"}
        assert isinstance(held.refused["public.b"], CheckpointError)


def test_nothing_is_left_where_the_target_goes_away_meanwhile(documents: FakeDocuments) -> None:
    def away(tables: object) -> dict[str, str]:
        raise ConnectionLost("gone")

    with pytest.raises(ConnectionLost), group(documents, also=away):
        pass
    assert not documents.state.rows
