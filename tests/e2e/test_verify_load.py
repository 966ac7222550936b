"""Verification while both sides change: a follower and writers at work, no false alarm, and true differences found."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, sync, without_slots
from tests.e2e.ferry import Ferry
from tests.readings import make_numbered_readings

from gridferry.model.verification import DifferenceKind, Verdict, VerifyReport

ROWS = 20_000


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    with without_slots(postgres):
        make_numbered_readings(postgres)
        postgres.run(
            f"INSERT INTO reading SELECT i, 'd' || i % 7, i, 'note ' || i FROM generate_series(1000, {ROWS}) AS i"
        )
        ferry = ferry.of(READING)
        ferry.load()
        yield ferry


def verified(ferry: Ferry, **options: Any) -> VerifyReport:
    with ferry.migration() as migration:
        return migration.verifications.verify(**options)


@contextmanager
def followed(ferry: Ferry) -> Iterator[None]:
    """A follower at work while the block runs."""
    ended = threading.Event()
    errors: list[BaseException] = []

    def follow() -> None:
        try:
            with ferry.migration() as migration:
                migration.syncs.sync(follow=True, interval_s=0.2, until=ended.is_set)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)
    assert not errors


@contextmanager
def written(postgres: Database, write: Callable[[Any, random.Random], None]) -> Iterator[None]:
    """A writer at work while the block runs."""
    ended = threading.Event()

    def work() -> None:
        chance = random.Random(7)
        with postgres.connect() as connection:
            while not ended.wait(0.05):
                write(connection, chance)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)


def busy(connection: Any, chance: random.Random) -> None:
    """Some inserts, updates, deletes, moves to another container and changes of the key, in one transaction."""
    low = chance.randrange(1000, ROWS)
    fresh = chance.randrange(10**6, 10**9)
    with connection.transaction():
        connection.execute("UPDATE reading SET n = n + 1 WHERE k BETWEEN %s AND %s", (low, low + 10))
        connection.execute(
            "INSERT INTO reading SELECT %s + i, 'd' || i %% 7, i, 'new' FROM generate_series(1, 10) AS i"
            " ON CONFLICT DO NOTHING",
            (fresh,),
        )
        connection.execute("DELETE FROM reading WHERE k BETWEEN %s AND %s", (fresh, fresh + 5))
        connection.execute("UPDATE reading SET device = 'd' || (k + 1) %% 7, k = k + 10000000 WHERE k = %s", (low,))


def plant(ferry: Ferry, postgres: Database) -> None:
    """One extra, one missing and one different row in the target, of keys that the writer leaves alone."""
    name = ferry.catalog("public.reading")["d0"]
    with ferry.store() as store:
        container = store.open_container(name)
        assert container is not None
        rows = pa.record_batch(
            [pa.array([3, 900_000], pa.int32()), pa.array([-3, 1]), pa.array(["note 3", "extra"])],
            schema=container.schema.arrow_schema,
        )
        container.put(rows)
        container.delete(pa.record_batch([pa.array([6], pa.int32())], names=["k"]))


def test_no_false_alarm_under_write_load_and_true_differences_are_found(loaded: Ferry, postgres: Database) -> None:
    with followed(loaded):
        with written(postgres, busy):
            first = verified(loaded, settle_s=60)
            assert (first.verdict, first.differences) == (Verdict.EQUAL, 0), first.tables[0].first
            plant(loaded, postgres)
            second = verified(loaded, settle_s=60)
        kinds = sorted((d.kind.value, d.key) for d in second.tables[0].first)
        assert second.differences == 3
        assert kinds == [
            ("different", (("k", "3"),)),
            ("extra", (("k", "900000"),)),
            ("missing", (("k", "6"),)),
        ]


def test_what_is_not_synced_yet_is_no_difference(loaded: Ferry, postgres: Database) -> None:
    postgres.run("UPDATE reading SET n = -1 WHERE k < 5; INSERT INTO reading VALUES (500, 'new', 1, 'x')")
    report = verified(loaded)
    assert (report.verdict, report.differences, report.tables[0].unsettled) == (Verdict.UNSETTLED, 0, 6)
    assert report.exit_code == 75
    synced = verified(loaded, sync=True)
    assert (synced.verdict, synced.tables[0].rounds) == (Verdict.EQUAL, 1)


def test_on_a_quiet_source_there_is_nothing_to_wait_for(loaded: Ferry, postgres: Database) -> None:
    sync(loaded)
    plant(loaded, postgres)
    report = verified(loaded)
    assert report.exit_code == 1
    assert {d.kind for d in report.tables[0].first} == {
        DifferenceKind.MISSING,
        DifferenceKind.EXTRA,
        DifferenceKind.DIFFERENT,
    }
    assert report.tables[0].rounds == 0


def test_rows_that_share_a_key_are_settled_by_any_of_them(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE m (at timestamp(3) NOT NULL, v text)")
    postgres.run(
        "INSERT INTO m SELECT timestamp '2024-01-01' + i * interval '1 ms', 'v' || i FROM generate_series(0, 9) AS i"
    )
    table = {"table": "m", "key": "at", "on_duplicate": "last", "order_by": "v", "sync": {"mode": "watermark"}}
    ferry = ferry.of(table)
    ferry.load()
    postgres.run("INSERT INTO m VALUES ('2024-01-01 00:00:00.003', 'w3'), ('2024-01-01 00:00:00.004', 'a4')")
    assert verified(ferry).tables[0].unsettled == 1
    assert verified(ferry, sync=True).verdict is Verdict.EQUAL
