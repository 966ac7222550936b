"""A load under a slot, and its sync, killed with SIGKILL at every step; the next run ends at the same data (P3)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, assert_level, left_in_source, sync, without_slots
from tests.e2e.ferry import Ferry, kept_in
from tests.e2e.killer import Killer
from tests.readings import make_numbered_readings

from gridferry.checkpoint.documents import STATE_SCHEMA
from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.positions import CdcRecord, PositionStore
from gridferry.errors import LeaseHeld
from gridferry.griddb import BulkWriter, ContainerSchema

APPLIED = {**READING, "on_bad_row": "quarantine"}
OPTIONS: dict[str, Any] = {"rows_per_chunk": 10, "workers": 1}


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_numbered_readings(postgres)
    with without_slots(postgres):
        yield ferry.of(APPLIED)


def change(postgres: Database) -> None:
    """Every sort of change, and a bad row."""
    postgres.run("INSERT INTO reading SELECT i, 'e' || i % 2, i, 'new' FROM generate_series(100, 119) AS i")
    postgres.run("UPDATE reading SET n = -n WHERE k < 10; DELETE FROM reading WHERE k BETWEEN 10 AND 12")
    postgres.run("UPDATE reading SET device = 'moved', note = repeat(md5(k::text), 200) WHERE k BETWEEN 13 AND 15")
    postgres.run("UPDATE reading SET k = k + 50 WHERE k BETWEEN 13 AND 14")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("point", "call"),
    [
        ("begin sync", 1),
        ("catalog add", 1),
        ("create containers", 1),
        ("delete", 1),
        ("put", 1),
        ("flush", 1),
        ("position", 1),
        ("confirm", 1),
    ],
)
def test_a_sync_killed_anywhere_and_run_again_ends_with_the_same_data(
    followed: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    followed.load()
    change(postgres)
    assert killer.run(followed, "sync", point=point, moment=moment, call=call) == -signal.SIGKILL
    postgres.run("UPDATE reading SET k = k + 7000 WHERE device = 'moved'; DELETE FROM reading WHERE k = 110")
    sync(followed)
    assert_level(followed, postgres)
    assert sync(followed)[0].outcome == "nothing new"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("point", "call"), [("replan", 1), ("create containers", 1), ("position", 2), ("position", 3)])
def test_a_sync_killed_while_it_adds_a_column_goes_on_with_changes_from_before_and_after_it(
    followed: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    followed.load()
    postgres.run("UPDATE reading SET n = -n WHERE k = 3")
    postgres.run("ALTER TABLE reading ADD COLUMN c int DEFAULT 5; UPDATE reading SET n = -n WHERE k = 4")
    killer.run(followed, "sync", point=point, moment=moment, call=call)
    postgres.run("UPDATE reading SET c = 6 WHERE k = 5")
    sync(followed)
    assert_level(followed, postgres)


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [
        ("begin run", "before", 1),
        ("begin run", "after", 1),
        ("put", "after", 1),
        ("checkpoint", "after", 1),
        ("loaded", "before", 1),
        ("loaded", "after", 1),
    ],
)
def test_a_killed_load_keeps_its_slot_and_the_stream_mends_what_changed(
    followed: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    assert killer.run(followed, "load", point=point, moment=moment, call=call, **OPTIONS) == -signal.SIGKILL
    change(postgres)
    followed.load(**OPTIONS)
    postgres.run("DELETE FROM reading WHERE k = 2")
    sync(followed)
    assert_level(followed, postgres)
    assert left_in_source(postgres) == (1, 2)


def take_over(followed: Ferry) -> None:
    """As another run does that takes the lease of one that is silent."""
    with followed.store() as store:
        kept_in(store).documents.delete("lease:public.reading", ["lease"])


def test_a_run_that_was_taken_over_while_it_stood_still_says_so_and_loses_nothing(
    followed: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed.load()
    postgres.run("UPDATE reading SET n = -n")
    begin = PositionStore.begin_all

    def slowly(self: PositionStore, records: Sequence[CdcRecord]) -> list[CdcRecord]:
        begun = begin(self, records)
        monkeypatch.setattr(PositionStore, "begin_all", begin)
        take_over(followed)
        assert sync(followed)[0].outcome == "synced"
        return begun

    monkeypatch.setattr(PositionStore, "begin_all", slowly)
    with pytest.raises(LeaseHeld):
        sync(followed)
    assert_level(followed, postgres)
    assert sync(followed)[0].outcome == "nothing new"


def test_a_load_that_was_taken_over_while_it_stood_still_puts_nothing_over_what_came_since(
    followed: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was stopped (SIGSTOP), or whose machine was frozen: it wakes up just before a put."""
    stood_still_s = [0.0]
    assert Lease.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Lease.__init__.__kwdefaults__, "clock", lambda: time.monotonic() + stood_still_s[0])
    monkeypatch.setitem(Lease.__init__.__kwdefaults__, "beat_s", 1000.0)  # the thread that beats wakes up later
    put = BulkWriter.put

    def slowly(self: BulkWriter, schema: ContainerSchema, *batch: Any) -> None:
        if schema != STATE_SCHEMA:
            monkeypatch.setattr(BulkWriter, "put", put)
            take_over(followed)
            followed.load(**OPTIONS)
            change(postgres)
            assert sync(followed)[0].outcome == "synced"
            stood_still_s[0] = 1000.0
        put(self, schema, *batch)

    monkeypatch.setattr(BulkWriter, "put", slowly)
    with pytest.raises(LeaseHeld):
        followed.load(**OPTIONS)
    assert_level(followed, postgres)
    assert sync(followed)[0].outcome == "nothing new"


def test_a_load_beside_writers_and_a_sync_leave_no_gap_and_no_overlap(followed: Ferry, postgres: Database) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        try:
            with postgres.connect() as session:
                for number in range(200):
                    if stop.is_set():
                        return
                    k = seed * 100_000 + number
                    session.execute(f"INSERT INTO reading VALUES ({k}, 'w{seed}', {number}, 'x')")
                    session.execute(
                        f"UPDATE reading SET n = n + 1, k = k + 50000 WHERE device = 'w{seed}' AND k = {k - 3}"
                    )
                    session.execute(f"DELETE FROM reading WHERE device = 'w{seed}' AND k = {k + 50000 - 9}")
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    try:
        followed.load(rows_per_chunk=200)
        sync(followed)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not failures
    sync(followed)
    assert_level(followed, postgres)
    assert len(postgres.run("SELECT k FROM reading WHERE k > 100000")) > 0
