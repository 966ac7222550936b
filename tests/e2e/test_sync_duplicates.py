"""Rows that share a row key with one that came before, or with one of the same run: `on_duplicate` holds for a sync."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.ferry import QUARANTINE, Ferry
from tests.e2e.readings import SYNC, TABLE, add, load_readings, stands, sync
from tests.readings import DAY, make_timed_readings

from gridferry.errors import DataError, DuplicateKeys

SECOND = 1714521600_000000


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Ferry:
    return load_readings(ferry, postgres)


def at(ferry: Ferry, seconds: int, device: str) -> list[int]:
    """n of the rows of one device at that second."""
    return [n for value, ts, n in stands(ferry) if (value, ts) == (device, SECOND + seconds * 1000000)]


@pytest.mark.parametrize(
    ("policy", "kept", "superseded", "held"), [("last", 77, 1, 0), ("first", 4, 1, 0), ("quarantine", 4, 1, 1)]
)
def test_a_row_that_shares_a_stored_row_s_key(
    loaded: Ferry, postgres: Database, policy: str, kept: int, superseded: int, held: int
) -> None:
    ferry = loaded.of({**TABLE, "on_duplicate": policy})
    add(postgres, "4 seconds", device="d0", n=77)  # d0 has n = 4 there
    add(postgres, "4 seconds", device="d1", n=78)  # another device: no collision
    done = sync(ferry)
    assert (done.read, done.superseded, done.quarantined) == (2, superseded, held)
    assert at(ferry, 4, "d0") == [kept]
    assert at(ferry, 4, "d1") == [78]
    assert sync(ferry).outcome == "nothing new"
    assert sync(ferry, sweep=True).superseded == 0
    if held:
        assert [row["reason"] for row in ferry.rows(QUARANTINE)] == ["duplicate_key"]


@pytest.mark.parametrize(("policy", "kept"), [("last", 3), ("first", 1)])
def test_new_rows_that_share_a_key(loaded: Ferry, postgres: Database, policy: str, kept: int) -> None:
    """Also where the group is cut by the end of a chunk, and where an open transaction has it read twice."""
    ferry = loaded.of({**TABLE, "on_duplicate": policy})
    for n in (1, 2, 3):
        add(postgres, "1 hour", device="d0", n=n)
    assert sync(ferry, rows_per_chunk=2).superseded == 2
    assert at(ferry, 3600, "d0") == [kept]


def test_an_order_by_decides_and_not_the_order_of_arrival(loaded: Ferry, postgres: Database) -> None:
    ferry = loaded.of({**TABLE, "on_duplicate": "last", "order_by": "n"})
    ferry.load(replace=True)
    add(postgres, "4 seconds", device="d0", n=-5)
    assert sync(ferry).superseded == 1
    assert at(ferry, 4, "d0") == [4]


def test_error_stops_before_anything_is_put(loaded: Ferry, postgres: Database) -> None:
    add(postgres, "1 hour", device="d0", n=1)
    add(postgres, "4 seconds", device="d0", n=77)
    before = stands(loaded)
    with pytest.raises(DuplicateKeys, match="share a row key") as caught:
        sync(loaded)
    assert "on_duplicate" in caught.value.next_step
    assert "nothing of this run was stored" in caught.value.state
    assert stands(loaded) == before
    postgres.run("DELETE FROM reading WHERE n = 77")
    assert sync(loaded).read == 1


def test_stamps_that_meet_when_they_are_cut_to_milliseconds(ferry: Ferry, postgres: Database) -> None:
    """Trap 3 of docs/traps.md: a key that is unique in the source need not be one in the target."""
    postgres.run("CREATE TABLE reading (ts timestamp PRIMARY KEY, device text, n bigint)")
    table: dict[str, Any] = {"table": "reading", "precision": "truncate", "on_duplicate": "error", "sync": SYNC}
    ferry = ferry.of(table)
    postgres.run(f"INSERT INTO reading VALUES ({DAY} + interval '1.000999 seconds', 'a', 1)")
    ferry.load()
    postgres.run(f"INSERT INTO reading VALUES ({DAY} + interval '1.000001 seconds', 'a', 2)")
    with pytest.raises(DuplicateKeys):
        sync(ferry)
    postgres.run("UPDATE reading SET ts = ts + interval '1 millisecond' WHERE n = 2")
    assert sync(ferry).read == 1
    assert sorted(r["n"] for r in ferry.rows("reading")) == [1, 2]


def test_trap_3_digits_that_the_key_cannot_hold_are_refused_not_cut(ferry: Ferry, postgres: Database) -> None:
    """A load without a sync saw whole milliseconds and made a TIME_SERIES, in which a finer stamp has no place."""
    postgres.run("CREATE TABLE reading (ts timestamp PRIMARY KEY, n bigint)")
    postgres.run(f"INSERT INTO reading VALUES ({DAY}, 1)")
    ferry.of("reading").load()
    ferry = ferry.of({"table": "reading", "sync": SYNC})
    postgres.run(f"INSERT INTO reading VALUES ({DAY} + interval '1.000001 seconds', 2)")
    with pytest.raises(DataError, match="digits below the millisecond") as caught:
        sync(ferry)
    assert "run the same command again" in caught.value.next_step
    assert len(ferry.rows("reading")) == 1
    held = ferry.of({"table": "reading", "sync": SYNC, "on_bad_row": "quarantine"})
    assert sync(held).quarantined == 1


def test_a_key_without_the_growing_column(ferry: Ferry, postgres: Database) -> None:
    make_timed_readings(postgres)
    table = {"table": "reading", "key": ["device", "n"], "on_duplicate": "last", "sync": {**SYNC, "column": "ts"}}
    ferry = ferry.of(table)
    ferry.load()
    add(postgres, "1 hour", device="d0", n=4)
    done = sync(ferry)
    assert (done.read, done.superseded) == (1, 1)
    (row,) = [r for r in ferry.rows("reading") if (r["device"], r["n"]) == ("d0", 4)]
    assert row["ts"] == SECOND + 3600 * 1000000


def test_an_update_is_no_collision(loaded: Ferry, postgres: Database) -> None:
    """A row that was only changed may be read again; it is still the one row of its key."""
    add(postgres, "1 hour", n=1)
    sync(loaded)
    postgres.run("UPDATE reading SET n = 2 WHERE n = 1 AND device = 'd0'")
    sync(loaded)
    assert at(loaded, 3600, "d0") == [2]
