"""Tables that are paused, resumed, brought back, removed and forgotten, one by one, while others go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import assert_level, left_in_source, sync, without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry, kept_in
from tests.e2e.following import Follow, wait_for
from tests.e2e.killer import Killer

from gridferry.errors import ConfigError
from gridferry.model.failed_tables import SomeTablesFailed

NAMES = ("orders", "items", "accounts")


@pytest.fixture
def loaded(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    for name in NAMES:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, amount int NOT NULL)")
        postgres.run(f"INSERT INTO {name} SELECT i, 10 * i FROM generate_series(1, 20) AS i")
    with without_slots(postgres):
        made = ferry.of(*({"table": name, "sync": {"mode": "cdc"}} for name in NAMES))
        made.load()
        yield made


def level(ferry: Ferry, postgres: Database, *names: str) -> None:
    for name in names or NAMES:
        assert_level(ferry, postgres, name, split=None)


def is_level(ferry: Ferry, postgres: Database, name: str) -> bool:
    try:
        assert_level(ferry, postgres, name, split=None)
    except AssertionError:
        return False
    return True


def change(postgres: Database, *names: str) -> None:
    for name in names or NAMES:
        postgres.run(f"UPDATE {name} SET amount = amount + 1")
        postgres.run(f"INSERT INTO {name} SELECT max(id) + 1, 7 FROM {name}")


def lives(ferry: Ferry, what: str, *names: str, **options: Any) -> list[str]:
    with ferry.migration() as migration:
        return [f"{one.table} {one.change}" for one in getattr(migration.lives, what)(names, **options)]


def test_a_paused_table_is_left_out_until_it_is_resumed(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    assert command(loaded, tmp_path, "pause", "items").code == 0
    change(postgres)
    said = command(loaded, tmp_path, "sync")
    assert said.code == 0
    assert "public.items: it is paused since" in said.text
    level(loaded, postgres, "orders", "accounts")
    assert not is_level(loaded, postgres, "items")
    refused(loaded, tmp_path, "sync", "--table", "items", code=2, says="is paused since", advises="gridferry resume")
    assert lives(loaded, "resume", "items") == ["public.items resumed"]
    sync(loaded)
    level(loaded, postgres)


def test_a_follow_leaves_a_paused_table_out_and_takes_it_up_again(loaded: Ferry, postgres: Database) -> None:
    with Follow(loaded) as follow:
        change(postgres)
        wait_for(lambda: all(is_level(loaded, postgres, name) for name in NAMES))
        lives(loaded, "pause", "items")
        wait_for(lambda: any("paused since" in getattr(event, "message", "") for event in follow.events))
        change(postgres)
        wait_for(lambda: is_level(loaded, postgres, "orders") and is_level(loaded, postgres, "accounts"))
        assert not is_level(loaded, postgres, "items")
        lives(loaded, "resume", "items")
        wait_for(lambda: is_level(loaded, postgres, "items"))
    assert follow.error is None
    assert sum("paused since" in getattr(event, "message", "") for event in follow.events) == 1


def test_log_that_was_let_go_is_brought_back_by_a_resync(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    with Follow(loaded) as follow:
        change(postgres)
        wait_for(lambda: is_level(loaded, postgres, "items"))
        assert lives(loaded, "pause", "items", release_log=True) == ["public.items paused"]
        change(postgres)
        refused(loaded, tmp_path, "resume", "items", code=2, says="was let go", advises="gridferry resync public.items")
        assert lives(loaded, "resync", "items") == ["public.items resynced"]
        change(postgres)
        wait_for(lambda: all(is_level(loaded, postgres, name) for name in NAMES))
        wait_for(lambda: left_in_source(postgres) == (1, 2))
    assert follow.error is None
    sync(loaded)
    level(loaded, postgres)


def test_a_table_that_cannot_go_on_is_brought_back_beside_a_follow(loaded: Ferry, postgres: Database) -> None:
    with Follow(loaded) as follow:
        postgres.run("TRUNCATE items")
        wait_for(lambda: any("TRUNCATE" in str(getattr(event, "error", "")) for event in follow.events))
        postgres.run("INSERT INTO items VALUES (5, 6)")
        lives(loaded, "resync", "items")
        change(postgres)
        wait_for(lambda: all(is_level(loaded, postgres, name) for name in NAMES))
        wait_for(lambda: left_in_source(postgres) == (1, 2))
    assert follow.error is None
    assert {each.outcome for each in sync(loaded)} == {"nothing new"}


def test_a_table_of_other_columns_is_copied_again(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("ALTER TABLE items ALTER amount TYPE text USING 'n' || amount")
    postgres.run("INSERT INTO items VALUES (98, 'new')")
    change(postgres, "orders", "accounts")
    with pytest.raises(SomeTablesFailed):
        sync(loaded)
    refused(
        loaded,
        tmp_path,
        "resync",
        "items",
        code=2,
        says="the column amount was integer and is now text",
        advises="--yes",
    )
    assert command(loaded, tmp_path, "resync", "items", "--yes").code == 0
    change(postgres, "orders", "accounts")
    postgres.run("INSERT INTO items VALUES (99, 'new')")
    sync(loaded)
    level(loaded, postgres)
    assert left_in_source(postgres) == (1, 2)


def test_a_lost_slot_is_brought_back_for_each_table(loaded: Ferry, postgres: Database) -> None:
    (slot,) = postgres.run("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
    postgres.run(f"SELECT pg_drop_replication_slot('{slot[0]}')")
    change(postgres)
    lives(loaded, "resync", "*")
    change(postgres)
    sync(loaded)
    level(loaded, postgres)
    assert left_in_source(postgres) == (1, 2)


def test_a_removed_table_keeps_its_rows_and_is_not_loaded_again(
    loaded: Ferry, postgres: Database, tmp_path: Path
) -> None:
    loaded = loaded.of({"table": "public.*", "sync": {"mode": "cdc"}})
    assert command(loaded, tmp_path, "remove", "items").code == 0
    change(postgres)
    assert command(loaded, tmp_path, "load").code == 0
    assert command(loaded, tmp_path, "sync").code == 0
    level(loaded, postgres, "orders", "accounts")
    assert len(loaded.rows("items")) == 20
    members = postgres.run("SELECT tablename FROM pg_publication_tables ORDER BY 1")
    assert {name for (name,) in members} == {"orders", "accounts"}
    assert command(loaded, tmp_path, "remove", "items", "--drop", "--yes").code == 0
    assert "items" not in loaded.names()
    command(loaded, tmp_path, "load")
    assert "items" not in loaded.names()
    assert lives(loaded, "resync", "items") == ["public.items resynced"]
    sync(loaded)
    level(loaded, postgres)


def test_a_table_is_removed_beside_a_follow(loaded: Ferry, postgres: Database) -> None:
    with Follow(loaded) as follow:
        change(postgres)
        wait_for(lambda: is_level(loaded, postgres, "items"))
        lives(loaded, "remove", "items")
        change(postgres)
        wait_for(lambda: is_level(loaded, postgres, "orders") and is_level(loaded, postgres, "accounts"))
    assert follow.error is None
    assert not is_level(loaded, postgres, "items")


def test_all_tables_removed_leave_nothing_in_the_source(loaded: Ferry, postgres: Database) -> None:
    with Follow(loaded) as follow:
        change(postgres)
        wait_for(lambda: is_level(loaded, postgres, "items"))
        lives(loaded, "remove", "*")
        wait_for(lambda: left_in_source(postgres) == (0, 0))
    assert follow.error is None


def test_a_table_that_is_gone_is_forgotten(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    refused(loaded, tmp_path, "forget", "items", code=2, says="is in the config and in the source", advises="remove")
    smaller = loaded.of(*loaded.tables[:1], *loaded.tables[2:])
    said = command(smaller, tmp_path, "forget", "items")
    assert said.code == 0
    assert "1 container with 20 rows stay, and are nobody's now" in said.text
    assert "items" in smaller.names()
    assert smaller.catalog("public.items") == {}
    with smaller.store() as store:
        state = kept_in(store)
        assert state.runs.get("public.items") is None
        assert state.standings.all() == {}
    change(postgres)
    sync(smaller)
    level(smaller, postgres, "orders", "accounts")
    with pytest.raises(ConfigError, match="neither the config nor the target"):
        lives(smaller, "forget", "items")


def test_a_dropped_table_is_forgotten_though_the_config_has_it(loaded: Ferry, postgres: Database) -> None:
    postgres.run("DROP TABLE items")
    assert lives(loaded, "forget", "items") == ["public.items forgotten"]


def test_the_first_table_that_cannot_go_on_ends_the_sync_where_the_config_says_so(
    loaded: Ferry, postgres: Database
) -> None:
    stopping = replace(loaded, more={"on_table_error": "stop"})
    postgres.run("TRUNCATE items")
    change(postgres, "orders")
    with pytest.raises(SomeTablesFailed) as stopped:
        sync(stopping)
    assert [each.table for each in stopped.value.failures] == ["public.items"]
    assert set(stopped.value.not_tried) == {"public.orders", "public.accounts"}
    with loaded.store() as store:
        assert kept_in(store).failures.get("public.orders") is None
    lives(loaded, "resync", "items")
    sync(stopping)
    level(loaded, postgres)


def test_log_that_a_stuck_table_holds_back_is_let_go_so_that_the_others_go_on(
    loaded: Ferry, postgres: Database, tmp_path: Path
) -> None:
    small = loaded.of(*({**each, "sync": {"mode": "cdc", "stop_lag": "1MB"}} for each in loaded.tables))
    postgres.run("TRUNCATE items")
    with pytest.raises(SomeTablesFailed):
        sync(small)
    postgres.run("CREATE TABLE noise (t text); INSERT INTO noise SELECT repeat('x', 500) FROM generate_series(1, 6000)")
    with pytest.raises(SomeTablesFailed):
        sync(loaded)  # the others are behind the noise now
    change(postgres, "orders", "accounts")
    stopped = replace(small, more={"on_table_error": "stop"})
    refused(stopped, tmp_path, "sync", "--table", "orders", code=3, says="public.items holds it, which is at")
    said = command(small, tmp_path, "sync")
    assert said.code == 3
    assert "public.items could not go on and held back more log than `stop_lag`: its place at" in said.text
    assert "run `gridferry resync public.items`, which brings it back" in said.text
    level(loaded, postgres, "orders", "accounts")
    assert "apart" in command(small, tmp_path, "status", "--table", "items").text
    postgres.run("INSERT INTO items VALUES (1, 2)")
    lives(small, "resync", "items")
    change(postgres)
    sync(small)
    level(loaded, postgres)


@pytest.mark.parametrize(
    ("point", "moment"),
    [("standing", "after"), ("without slot", "after"), ("with slot", "after"), ("standing ends", "before")],
)
def test_a_resync_that_was_killed_leaves_the_table_out_until_it_is_done(
    loaded: Ferry, postgres: Database, killer: Killer, tmp_path: Path, point: str, moment: str
) -> None:
    postgres.run("TRUNCATE items; INSERT INTO items VALUES (3, 4)")
    assert killer.run(loaded, "resync", point=point, moment=moment, tables=["items"]) == -signal.SIGKILL
    said = command(loaded, tmp_path, "sync")
    assert said.code == 0, said.text
    assert "public.items: it is being brought back" in said.text
    lives(loaded, "resync", "items")
    change(postgres)
    sync(loaded)
    level(loaded, postgres)
    assert left_in_source(postgres) == (1, 2)


@pytest.mark.parametrize("point", ["standing", "drop containers"])
def test_a_removal_that_was_killed_can_be_done_again(
    loaded: Ferry, postgres: Database, killer: Killer, point: str
) -> None:
    job = {"tables": ["items"], "drop": True}
    assert killer.run(loaded, "remove", point=point, moment="after", **job) == -signal.SIGKILL
    change(postgres)
    sync(loaded)
    level(loaded, postgres, "orders", "accounts")
    lives(loaded, "remove", "items", drop=True)
    assert "items" not in loaded.names()
    assert loaded.catalog("public.items") == {}


def test_what_is_paused_is_never_equal_and_never_ready(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    lives(loaded, "pause", "items")
    said = command(loaded, tmp_path, "verify")
    assert said.code == 1
    assert "left out: public.items is paused since" in said.text
    assert "in 2 of 3 tables; of what is stored there all values are equal" in said.text
    said = command(loaded, tmp_path, "cutover")
    assert said.code == 1
    # Another thing may be missing: what the server wrote into its log by itself is not drained yet.
    assert "NOT READY: " in said.text
    assert "1 table left out" in said.text
    assert "public.items: loaded, paused" in command(loaded, tmp_path, "status").text
    said = command(loaded, tmp_path, "status", "--check")
    assert said.code == 75
    assert "public.items: paused: it is paused since" in said.text
    lives(loaded, "resume", "items")
    assert "left out" not in command(loaded, tmp_path, "cutover").text


def test_the_status_says_where_each_table_is(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    def stages() -> dict[str, str]:
        with loaded.migration() as migration:
            return {one.table.removeprefix("public."): one.life.stage.value for one in migration.status.tables()}

    assert set(stages().values()) == {"catch up"}
    sync(loaded)
    assert set(stages().values()) == {"in step"}
    postgres.run("TRUNCATE items; ALTER TABLE accounts RENAME TO ledger")
    with pytest.raises(SomeTablesFailed):
        sync(loaded)
    assert stages() == {"orders": "in step", "items": "apart", "accounts": "gone"}
    said = command(loaded, tmp_path, "status").text
    assert "public.accounts is now public.ledger: the table was renamed in the source" in said
    lives(loaded, "remove", "items")
    assert stages()["items"] == "removed"


def test_an_edited_option_is_named_and_concerns_its_table_only(
    loaded: Ferry, postgres: Database, tmp_path: Path
) -> None:
    edited = loaded.of(loaded.tables[0], {**loaded.tables[1], "where": "amount > 50"}, loaded.tables[2])
    change(postgres)
    said = command(edited, tmp_path, "sync")
    assert said.code == 3
    assert "`where` was not set and is 'amount > 50'" in said.text
    assert "gridferry resync items" in said.text
    level(loaded, postgres, "orders", "accounts")
    said = command(edited, tmp_path, "plan")
    assert said.code == 2
    assert "public.items was loaded with another plan: its options in the config have changed: `where` was" in said.text


def test_slots_that_nothing_needs_are_shown_and_dropped(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    one = loaded.of({"table": "orders"})
    shown = command(one, tmp_path, "status").text
    assert "not in config public.accounts, public.items" in shown
    said = command(one, tmp_path, "drop-slot", "--unneeded")
    assert said.code == 0
    assert said.text == "there is no replication slot that is not needed"  # the table of the config needs it still
    lives(one, "remove", "orders")
    shown = command(one, tmp_path, "status").text
    assert "MB of log: no table of the config needs it. `gridferry drop-slot --unneeded` drops it" in shown
    assert "dropped: replication slot gridferry_" in command(one, tmp_path, "drop-slot", "--unneeded").text
    assert left_in_source(postgres) == (0, 0)


def test_no_slot_of_another_migration_is_ever_unneeded(loaded: Ferry, postgres: Database, tmp_path: Path) -> None:
    other = replace(loaded.of({"table": "items", "container": "other_items"}), name="other")
    other.load()
    assert "not in config" not in command(other, tmp_path, "status").text
    assert command(other, tmp_path, "drop-slot", "--unneeded").text == "there is no replication slot that is not needed"
    sync(loaded)
