"""Mode cdc: partitions that come or go with their rows are in no log, and are told until a repair has settled them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.command import command
from tests.e2e.ferry import Ferry
from tests.e2e.test_parts import join, leave, level, make_tree, repaired

from gridferry.engine.events import Event, Note
from gridferry.engine.sync.cdc import run as cdc

CDC: dict[str, Any] = {"table": "log", "key": "id", "sync": {"mode": "cdc", "on_truncate": "apply"}}


@pytest.fixture
def followed(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    make_tree(postgres, "partitions")
    with without_slots(postgres):
        found = ferry.of(CDC)
        found.load()
        sync(found)
        yield found


def test_a_partition_that_is_attached_with_rows_is_told(followed: Ferry, postgres: Database, tmp_path: Path) -> None:
    join(postgres, "partitions")
    postgres.run("INSERT INTO log VALUES (50, 'after it'); UPDATE log SET v = 'new' WHERE id = 3")
    said = command(followed, tmp_path, "sync").text
    assert "log_0 joined the table" in said
    assert "with 10 rows" in said or "with 9 rows" in said
    assert not level(followed, postgres)
    repaired(followed, postgres, tmp_path)
    postgres.run("DELETE FROM log WHERE id = 1")
    sync(followed)
    assert level(followed, postgres)


def test_a_partition_that_is_made_filled_and_attached_in_one_transaction_is_told(
    followed: Ferry, postgres: Database, tmp_path: Path
) -> None:
    with postgres.connection.transaction():
        postgres.run("CREATE TABLE log_300 (LIKE log INCLUDING ALL)")
        postgres.run("INSERT INTO log_300 VALUES (301, 'a'), (302, 'b')")
        join(postgres, "partitions", 300)
        postgres.run("INSERT INTO log VALUES (303, 'c')")
    assert "log_300 joined the table" in command(followed, tmp_path, "sync").text
    repaired(followed, postgres, tmp_path)


@pytest.mark.parametrize("how", ["PARTITION OF log FOR VALUES FROM (300) TO (400)", "(LIKE log INCLUDING ALL)"])
@pytest.mark.parametrize("together", [True, False])
def test_a_partition_that_is_empty_at_first_is_no_news(
    followed: Ferry, postgres: Database, tmp_path: Path, how: str, together: bool
) -> None:
    def make() -> None:
        postgres.run(f"CREATE TABLE log_300 {how}")
        if how.startswith("("):
            join(postgres, "partitions", 300)
        postgres.run("INSERT INTO log VALUES (301, 'a'), (302, 'b')")

    if together:
        with postgres.connection.transaction():
            make()
    else:
        make()
    assert "log_300" not in command(followed, tmp_path, "sync").text
    assert level(followed, postgres)


@pytest.mark.parametrize("how", ["leaves", "drop", "truncate"])
def test_a_partition_that_goes_is_told(followed: Ferry, postgres: Database, tmp_path: Path, how: str) -> None:
    if how == "leaves":
        leave(postgres, "partitions", 100)
    else:
        postgres.run(f"{how} TABLE log_100")
    said = command(followed, tmp_path, "sync").text
    assert ("log_100 was emptied" if how == "truncate" else "log_100 left the table") in said
    repaired(followed, postgres, tmp_path)


def test_a_partition_that_was_written_to_while_it_was_away(followed: Ferry, postgres: Database, tmp_path: Path) -> None:
    leave(postgres, "partitions", 100)
    postgres.run("INSERT INTO log_100 VALUES (150, 'unseen'); UPDATE log_100 SET v = 'unseen' WHERE id = 101")
    join(postgres, "partitions", 100)
    assert "log_100 joined the table" in command(followed, tmp_path, "sync").text
    repaired(followed, postgres, tmp_path)


@pytest.mark.parametrize("statement", ["TRUNCATE log", "VACUUM FULL log_100", "CLUSTER log_100 USING log_100_pkey"])
def test_what_the_log_tells_and_what_keeps_all_rows_is_no_news(
    followed: Ferry, postgres: Database, tmp_path: Path, statement: str
) -> None:
    postgres.run(statement)
    postgres.run("INSERT INTO log VALUES (250, 'more')")
    assert "gridferry repair" not in command(followed, tmp_path, "sync").text
    assert level(followed, postgres)


def test_a_follower_tells_of_it_while_it_goes_on(
    followed: Ferry, postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdc, "EVERY_S", 0.1)
    told: list[str] = []
    until = time.monotonic() + 60

    def hear(event: Event) -> None:
        told.extend([event.message] if isinstance(event, Note) else [])

    def found() -> bool:
        return any("log_0 joined" in text for text in told) or time.monotonic() > until

    began = False

    def stop() -> bool:
        nonlocal began
        if not began:
            join(postgres, "partitions")
            began = True
        postgres.run("INSERT INTO log VALUES ((SELECT max(id) + 1 FROM log), 'x')")
        return found()

    sync(followed, listener=hear, follow=True, until=stop)
    assert any("log_0 joined" in text for text in told)
    sync(followed)
    repaired(followed, postgres, tmp_path)
