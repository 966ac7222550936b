"""Several tables with one slot, killed with SIGKILL at every step: the next run ends at the same data."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import assert_level, left_in_source, sync, without_slots
from tests.e2e.ferry import Ferry
from tests.e2e.killer import Killer

NAMES = ("orders", "items", "accounts")
OPTIONS: dict[str, Any] = {"rows_per_chunk": 10, "workers": 1}


@pytest.fixture
def made(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    for name in NAMES:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, amount int NOT NULL)")
        postgres.run(f"INSERT INTO {name} SELECT i, 0 FROM generate_series(1, 25) AS i")
    with without_slots(postgres):
        yield ferry.of(*({"table": name, "sync": {"mode": "cdc"}} for name in NAMES))


def change(postgres: Database, number: int) -> None:
    """Transactions over all tables: what one gets another loses, rows come, go and get other keys."""
    for i in range(1, 6):
        postgres.run(
            f"BEGIN; UPDATE orders SET amount = amount - {number} WHERE id = {i};"
            f" UPDATE accounts SET amount = amount + {number} WHERE id = {i};"
            f" INSERT INTO items VALUES ({1000 * number + i}, {number}); COMMIT"
        )
    postgres.run(
        f"BEGIN; DELETE FROM items WHERE id = {number}; UPDATE orders SET id = id + 100 WHERE id = {number + 9}; COMMIT"
    )


def level(ferry: Ferry, postgres: Database) -> None:
    for name in NAMES:
        assert_level(ferry, postgres, name, split=None)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("point", "call"),
    [("begin sync", 1), ("put", 2), ("flush", 3), ("position", 1), ("position", 2), ("confirm", 1)],
)
def test_a_sync_killed_anywhere_goes_on_where_each_table_is(
    made: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    made.load()
    change(postgres, 1)
    assert killer.run(made, "sync", point=point, moment=moment, call=call) == -signal.SIGKILL
    change(postgres, 2)
    sync(made)
    level(made, postgres)
    assert {each.outcome for each in sync(made)} == {"nothing new"}


@pytest.mark.parametrize(
    ("point", "moment", "call"),
    [
        ("begin run", "before", 1),
        ("begin run", "after", 1),
        ("put", "after", 2),
        ("loaded", "before", 1),
        ("loaded", "after", 1),
        ("begin run", "before", 2),
        ("begin run", "after", 3),
        ("checkpoint", "after", 2),
    ],
)
def test_a_load_killed_anywhere_keeps_the_slot_for_all_tables(
    made: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    assert killer.run(made, "load", point=point, moment=moment, call=call, **OPTIONS) == -signal.SIGKILL
    change(postgres, 1)
    made.load(**OPTIONS)
    change(postgres, 2)
    sync(made)
    level(made, postgres)
    assert left_in_source(postgres) == (1, 2)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("point", "call"), [("publish", 1), ("position", 1), ("joined", 1), ("drop slot", 1)])
def test_a_table_killed_while_it_joins_is_followed_by_one_slot_in_the_end(
    made: Ferry, postgres: Database, killer: Killer, point: str, moment: str, call: int
) -> None:
    made.of(made.tables[0]).load()
    made.load()
    change(postgres, 1)
    assert killer.run(made, "sync", point=point, moment=moment, call=call) == -signal.SIGKILL
    change(postgres, 2)
    sync(made)
    level(made, postgres)
    change(postgres, 3)
    sync(made)
    level(made, postgres)
    assert left_in_source(postgres) == (1, 2)
