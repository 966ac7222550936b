"""Mode cdc where nothing proves row keys unique: no change of one row is ever taken for a change of another."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from tests.conftest import Database
from tests.e2e.changes import assert_level, source_rows, sync, without_slots
from tests.e2e.ferry import QUARANTINE, Ferry
from tests.e2e.killer import Killer

from gridferry.errors import DuplicateKeys

DEVICE: dict[str, Any] = {"table": "device", "split_by": "device", "key": "ts", "sync": {"mode": "cdc"}}
NOON = "timestamp '2026-01-01 12:00:00'"


@pytest.fixture
def device(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    """The article's table, which has no key; all of the old row is told."""
    postgres.run("CREATE TABLE device (ts timestamp NOT NULL, device text NOT NULL, n int, note text)")
    postgres.run("ALTER TABLE device REPLICA IDENTITY FULL")
    postgres.run(
        f"INSERT INTO device SELECT {NOON} + i * interval '1 second' + i % 1000 * interval '1 microsecond',"
        " 'd' || i % 3, i, NULL FROM generate_series(1, 30) AS i"
    )
    with without_slots(postgres):
        yield ferry.of(DEVICE)


def at(place: int, microseconds: int) -> str:
    """A time whose millisecond is told by `place`."""
    return f"{NOON} + interval '{place} seconds {microseconds} microseconds'"


def assert_same(ferry: Ferry, postgres: Database) -> None:
    """As `assert_level`, with the time's microseconds from the column that keeps them."""
    source = sorted((v, dict(row)["n"], dict(row)["note"]) for v, row in source_rows(postgres, "device", "device"))
    target = sorted(
        (value, row["n"], row["note"])
        for value, name in ferry.catalog("public.device").items()
        for row in ferry.rows(name)
    )
    assert target == source
    assert ferry.equal()


def test_a_time_series_of_a_table_without_a_key_is_followed_whole(device: Ferry, postgres: Database) -> None:
    device.load()
    postgres.run("UPDATE device SET n = -n, note = repeat('long', 1000) WHERE n < 5")
    postgres.run("DELETE FROM device WHERE n BETWEEN 10 AND 12")
    postgres.run(
        "UPDATE device SET device = 'moved' WHERE n = 20; UPDATE device SET ts = ts + interval '1 h' WHERE n = 21"
    )
    postgres.run(f"INSERT INTO device VALUES ({at(900, 1)}, 'new', 100, 'x')")
    (done,) = sync(device)
    assert done.read == 10
    assert_same(device, postgres)
    assert sync(device)[0].outcome == "nothing new"


def test_a_row_takes_the_place_of_another_of_its_millisecond(device: Ferry, postgres: Database) -> None:
    postgres.run(f"INSERT INTO device VALUES ({at(500, 100)}, 'd0', 1000, 'old')")
    device.load()
    with postgres.connect() as session, session.transaction():
        session.execute(f"INSERT INTO device VALUES ({at(500, 200)}, 'd0', 1001, 'new')")
        session.execute("DELETE FROM device WHERE n = 1000")  # of another row than the one that was just put
    sync(device)
    assert_same(device, postgres)


def test_the_delete_of_a_row_leaves_the_other_one_of_its_millisecond(device: Ferry, postgres: Database) -> None:
    device.load()
    postgres.run(f"INSERT INTO device VALUES ({at(500, 100)}, 'd0', 1000, 'gone again')")
    postgres.run("DELETE FROM device WHERE n = 1000")
    postgres.run(f"INSERT INTO device VALUES ({at(500, 200)}, 'd0', 1001, 'stays')")
    sync(device)
    postgres.run(f"INSERT INTO device VALUES ({at(500, 300)}, 'd0', 1002, 'passes')")
    postgres.run("DELETE FROM device WHERE n = 1002")
    sync(device)
    assert_same(device, postgres)


def test_rows_that_share_a_key_stop_the_sync_before_one_is_lost(device: Ferry, postgres: Database) -> None:
    device.load()
    postgres.run(f"INSERT INTO device VALUES ({at(500, 100)}, 'd0', 1000, 'a')")
    sync(device)
    before = device.everything()
    postgres.run(f"INSERT INTO device VALUES ({at(500, 200)}, 'd0', 1001, 'b')")
    with pytest.raises(DuplicateKeys, match="share a row key") as caught:
        sync(device)
    assert "on_duplicate" in caught.value.next_step
    for name in device.catalog("public.device").values():
        assert device.everything()[name] == before[name]
    postgres.run("DELETE FROM device WHERE n = 1001")
    sync(device)
    assert_same(device, postgres)


@pytest.mark.parametrize(("policy", "kept"), [("last", 1001), ("first", 1000)])
def test_of_rows_that_share_a_key_one_is_kept_and_the_other_comes_when_it_goes(
    device: Ferry, postgres: Database, policy: str, kept: int
) -> None:
    chosen = device.of({**DEVICE, "on_duplicate": policy, "order_by": ["n"]})
    chosen.load()
    postgres.run(f"INSERT INTO device VALUES ({at(500, 100)}, 'd0', 1000, 'a'), ({at(500, 200)}, 'd0', 1001, 'b')")
    sync(chosen)
    assert kept in [row["n"] for row in chosen.rows(chosen.catalog("public.device")["d0"])]
    assert chosen.equal()
    postgres.run(f"DELETE FROM device WHERE n = {kept}")
    sync(chosen)
    assert_same(chosen, postgres)


def test_a_row_that_cannot_be_stored_is_put_aside_also_where_its_key_is_contested(
    device: Ferry, postgres: Database
) -> None:
    careful = device.of({**DEVICE, "on_bad_row": "quarantine"})
    careful.load()
    with postgres.connect() as session, session.transaction():
        session.execute(f"INSERT INTO device VALUES ({at(500, 100)}, 'd0', 1000, repeat('x', 40000))")
        session.execute(f"INSERT INTO device VALUES ({at(500, 200)}, 'd0', 1001, 'good')")
    sync(careful)
    assert len(careful.rows(QUARANTINE)) == 1
    assert 1001 in [row["n"] for row in careful.rows(careful.catalog("public.device")["d0"])]


class Sessions:
    """The application at work: whole transactions after which no two rows share a millisecond."""

    def __init__(self, seed: int, connection: psycopg.Connection[Any]) -> None:
        self.random = random.Random(seed)
        self.connection = connection
        self.number = 1000

    def transaction(self) -> None:
        with self.connection.transaction():
            for _ in range(self.random.randint(1, 6)):
                self.random.choice((self.insert, self.replace, self.update, self.delete, self.move))()

    def _place(self) -> tuple[str, int]:
        return f"d{self.random.randint(0, 2)}", 600 + self.random.randint(0, 8)

    def _clear(self, device: str, place: int) -> str:
        return f"DELETE FROM device WHERE device = '{device}' AND date_trunc('second', ts) = {at(place, 0)}"

    def insert(self) -> None:
        """A row, in the place of the one that is there."""
        device, place = self._place()
        self.connection.execute(self._clear(device, place))
        self._add(device, place)

    def replace(self) -> None:
        """The same, the new row first: for a while both are there."""
        device, place = self._place()
        self._add(device, place)
        self.connection.execute(f"{self._clear(device, place)} AND n <> {self.number}")

    def update(self) -> None:
        device, place = self._place()
        late = f"{at(place, self.random.randint(0, 999))}"
        self.connection.execute(
            f"UPDATE device SET ts = {late}, n = n + 100000 WHERE device = '{device}'"
            f" AND date_trunc('second', ts) = {at(place, 0)}"
        )

    def delete(self) -> None:
        self.connection.execute(self._clear(*self._place()))

    def move(self) -> None:
        device, place = self._place()
        other, there = self._place()
        if (device, place) != (other, there):
            self.connection.execute(self._clear(other, there))
            self.connection.execute(
                f"UPDATE device SET device = '{other}', ts = {at(there, self.random.randint(0, 999))}"
                f" WHERE device = '{device}' AND date_trunc('second', ts) = {at(place, 0)}"
            )

    def _add(self, device: str, place: int) -> None:
        self.number += 1
        note = self.random.choice(("NULL", "'short'", "repeat('long', 3000)"))
        stamp = at(place, self.random.randint(0, 999))
        self.connection.execute(f"INSERT INTO device VALUES ({stamp}, '{device}', {self.number}, {note})")


@pytest.mark.parametrize("seed", range(6))
def test_random_changes_within_milliseconds_end_level(device: Ferry, postgres: Database, seed: int) -> None:
    device.load()
    with postgres.connect() as connection:
        sessions = Sessions(seed, connection)
        for _ in range(5):
            for _ in range(sessions.random.randint(1, 8)):
                sessions.transaction()
            sync(device)
            assert_same(device, postgres)


def test_a_collection_with_a_key_that_no_constraint_proves_is_followed(ferry: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE reading (k int NOT NULL, device text NOT NULL, n bigint, note text)")
    postgres.run("ALTER TABLE reading REPLICA IDENTITY FULL")
    postgres.run("INSERT INTO reading SELECT i, 'd' || i % 2, i, 'note' FROM generate_series(1, 20) AS i")
    plain = ferry.of({"table": "reading", "split_by": "device", "key": "k", "sync": {"mode": "cdc"}})
    with without_slots(postgres):
        plain.load()
        for statement in (
            "UPDATE reading SET n = n + 1",
            "UPDATE reading SET n = n + 1, note = note || 7 WHERE k < 10",
            "DELETE FROM reading WHERE k = 3",
            "INSERT INTO reading VALUES (3, 'd1', 33, NULL)",
        ):
            postgres.run(statement)
        sync(plain)
        assert_level(plain, postgres)


@pytest.mark.parametrize(("point", "moment"), [("put", "after"), ("flush", "after"), ("position", "before")])
def test_a_sync_killed_before_it_wrote_its_position_meets_its_own_rows_and_ends_level(
    device: Ferry, postgres: Database, killer: Killer, point: str, moment: str
) -> None:
    postgres.run(f"INSERT INTO device VALUES ({at(500, 100)}, 'd0', 1000, 'old')")
    device.load()
    # Each change once more: what is stored then is what later changes of the same key left.
    postgres.run("DELETE FROM device WHERE n = 1000")
    postgres.run(f"INSERT INTO device VALUES ({at(500, 200)}, 'd0', 1001, 'new')")
    postgres.run("UPDATE device SET n = n + 1 WHERE n = 1001; UPDATE device SET n = 1001 WHERE n = 1002")
    postgres.run("UPDATE device SET device = 'moved' WHERE n = 20; UPDATE device SET device = 'd2' WHERE n = 20")
    assert killer.run(device, "sync", point=point, moment=moment, call=1) == -signal.SIGKILL
    postgres.run(f"UPDATE device SET ts = {at(500, 300)} WHERE n = 1001; DELETE FROM device WHERE n = 20")
    sync(device)
    assert_same(device, postgres)
