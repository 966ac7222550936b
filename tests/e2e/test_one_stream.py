"""Several tables in mode cdc: one snapshot, one slot, read once; each of them can fail, come later, or go alone."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import assert_level, left_in_source, sync, without_slots
from tests.e2e.command import command
from tests.e2e.ferry import Ferry
from tests.e2e.following import Follow, wait_for
from tests.e2e.killer import Killer

from gridferry.checkpoint import documents
from gridferry.engine.sync.cdc import shared_stream
from gridferry.errors import DataError, LeaseHeld
from gridferry.griddb import Container, Store
from gridferry.local.postgres import LocalPostgres
from gridferry.model.failed_tables import SomeTablesFailed
from gridferry.model.verification import Verdict
from gridferry.source.postgres.slots.publications import fetch_publications

NAMES = ("orders", "items", "accounts")


def table(name: str, **options: Any) -> dict[str, Any]:
    return {"table": name, "sync": {"mode": "cdc"}, **options}


def slots(postgres: Database) -> list[str]:
    found = postgres.run("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
    return sorted(name for (name,) in found)


def level(ferry: Ferry, postgres: Database, *names: str) -> None:
    for name in names or NAMES:
        assert_level(ferry, postgres, name, split=None)


@pytest.fixture
def made(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    """Three tables that are to be followed, and nothing loaded."""
    for name in NAMES:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, amount int NOT NULL, note text)")
        postgres.run(f"INSERT INTO {name} SELECT i, 10 * i, 'n' || i FROM generate_series(1, 50) AS i")
    with without_slots(postgres):
        yield ferry.of(*map(table, NAMES))


@pytest.fixture
def loaded(made: Ferry) -> Ferry:
    made.load()
    return made


def values(ferry: Ferry, name: str, column: str) -> set[Any]:
    """The values of a column in the target."""
    return {row[column] for row in ferry.rows(ferry.catalog(f"public.{name}")[None])}


def amounts(ferry: Ferry, name: str) -> set[Any]:
    return values(ferry, name, "amount")


def load(ferry: Ferry, name: str, *, replace: bool = False) -> None:
    with ferry.migration() as migration:
        migration.loads.load([name], replace=replace)


def test_one_slot_follows_all_tables(loaded: Ferry, postgres: Database) -> None:
    assert left_in_source(postgres) == (1, 2)
    postgres.run(
        "BEGIN; UPDATE orders SET amount = amount - 1; UPDATE accounts SET amount = amount + 1;"
        " DELETE FROM items WHERE id < 10; INSERT INTO items VALUES (100, 1, 'new'); COMMIT"
    )
    done = sync(loaded)
    assert [(each.table, each.outcome, each.read) for each in done] == [
        ("public.orders", "synced", 50),
        ("public.items", "synced", 10),
        ("public.accounts", "synced", 50),
    ]
    level(loaded, postgres)
    assert {each.outcome for each in sync(loaded)} == {"nothing new"}
    assert loaded.equal()


def test_all_tables_show_one_state_of_the_source(made: Ferry, postgres: Database) -> None:
    """A transaction that is committed between the loads of two tables is in neither of them."""
    loads: list[str] = []

    def between(event: Any) -> None:
        if type(event).__name__ == "TableLoad":
            loads.append(event.table)
            if len(loads) == 1:
                postgres.run("BEGIN; UPDATE orders SET amount = 0; UPDATE accounts SET amount = 0; COMMIT")

    with made.migration(between) as migration:
        migration.loads.load()
    assert len(loads) == 3
    amounts = [
        row["amount"] for name in ("orders", "accounts") for row in made.rows(made.catalog(f"public.{name}")[None])
    ]
    assert 0 not in amounts
    sync(made)
    level(made, postgres)


def test_what_is_kept_of_tables_is_written_for_all_at_once(
    loaded: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(loaded)
    written: list[str] = []
    to_disk = documents.put_to_disk

    def counted(store: Store, container: Container, batch: pa.RecordBatch) -> None:
        written.extend(batch.column("scope").to_pylist() if "scope" in batch.schema.names else ())
        calls.append(None)
        to_disk(store, container, batch)

    monkeypatch.setattr(documents, "put_to_disk", counted)
    needed = []
    for names in (NAMES[:2], NAMES):
        calls: list[None] = []
        written.clear()
        with loaded.migration() as migration:
            done = migration.syncs.sync(names)
        assert [each.table for each in done] == [f"public.{name}" for name in names]
        histories = [scope for scope in written if "/history:" in scope]
        assert {scope.partition("/history:")[2] for scope in histories} == {f"public.{name}" for name in names}
        needed.append(len(calls))
    assert needed[0] == needed[1]


def test_a_run_with_nothing_to_do_asks_griddb_no_more_of_many_tables(
    loaded: Ferry, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(loaded)
    asked: list[str] = []
    for name in ("get", "query", "put", "flush", "delete"):
        original = getattr(Container, name)

        def counted(self: Container, *args: Any, original: Any = original, **options: Any) -> Any:
            asked.append(self.name)
            return original(self, *args, **options)

        monkeypatch.setattr(Container, name, counted)
    looks: list[str] = []

    def looked(connection: Any, slot: str) -> Any:
        looks.append(slot)
        return fetch_publications(connection, slot)

    monkeypatch.setattr("gridferry.source.postgres.feed.fetch_publications", looked)
    monkeypatch.setattr(shared_stream, "_FEW", 1)
    needed = []
    for names in (NAMES[:2], NAMES):
        asked.clear()
        looks.clear()
        with loaded.migration() as migration:
            assert len(migration.syncs.sync(names)) == len(names)
        needed.append((len(asked), len(looks)))
    (few, looked_for_few), (many, looked_for_many) = needed
    assert many <= few
    assert looked_for_many == looked_for_few == 1


def test_a_table_that_fails_does_not_stop_the_others_and_loses_nothing(loaded: Ferry, postgres: Database) -> None:
    postgres.run("UPDATE items SET amount = 7 WHERE id = 1; ALTER TABLE items ALTER COLUMN amount TYPE text")
    postgres.run("UPDATE items SET amount = 8 WHERE id = 2; UPDATE orders SET amount = 9")
    with pytest.raises(SomeTablesFailed) as failed:
        sync(loaded)
    assert [each.table for each in failed.value.failures] == ["public.items"]
    level(loaded, postgres, "orders", "accounts")
    # The log is kept for it: what it missed comes once it fits again, and the others see nothing twice.
    postgres.run("UPDATE orders SET amount = 10 WHERE id = 3")
    postgres.run("ALTER TABLE items ALTER COLUMN amount TYPE int USING amount::int")
    with pytest.raises(SomeTablesFailed):
        sync(loaded)
    level(loaded, postgres, "orders", "accounts")
    load(loaded, "items", replace=True)
    done = {each.table: each for each in sync(loaded)}
    assert done["public.orders"].read == 0
    level(loaded, postgres)
    assert len(slots(postgres)) == 1


def test_a_table_that_was_held_up_gets_what_it_missed(loaded: Ferry, postgres: Database) -> None:
    postgres.run("TRUNCATE items; INSERT INTO items VALUES (1, 1, 'after')")
    for number in range(3):
        postgres.run(f"UPDATE orders SET amount = {number}; INSERT INTO items VALUES ({number + 10}, 2, 'more')")
        with pytest.raises(SomeTablesFailed, match="on_truncate"):
            sync(loaded)
    level(loaded, postgres, "orders", "accounts")
    allowed = loaded.of(
        table("orders"), table("items", sync={"mode": "cdc", "on_truncate": "apply"}), table("accounts")
    )
    done = {each.table: each.read for each in sync(allowed)}
    assert done == {"public.orders": 0, "public.items": 4, "public.accounts": 0}
    level(allowed, postgres)


def test_one_table_alone_leaves_the_log_of_the_others(loaded: Ferry, postgres: Database) -> None:
    postgres.run("UPDATE orders SET amount = 1; UPDATE items SET amount = 2; UPDATE accounts SET amount = 3")
    (done,) = sync(loaded, tables=["items"])
    assert done.read == 50
    level(loaded, postgres, "items")
    assert [each.read for each in sync(loaded)] == [50, 0, 50]
    level(loaded, postgres)


def test_a_table_that_is_added_comes_under_the_slot_that_is_there(loaded: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE late (id int PRIMARY KEY, amount int NOT NULL, note text)")
    postgres.run("INSERT INTO late VALUES (1, 1, 'early'); UPDATE orders SET amount = 1")
    more = loaded.of(*map(table, (*NAMES, "late")))
    more.load()
    postgres.run("UPDATE late SET amount = 2; INSERT INTO late VALUES (2, 2, 'late'); UPDATE items SET amount = 3")
    assert [each.read for each in sync(more)] == [50, 50, 0, 2]
    level(more, postgres, *NAMES, "late")
    assert left_in_source(postgres) == (1, 2)


def test_a_table_with_a_slot_of_its_own_joins_when_a_second_one_is_followed(made: Ferry, postgres: Database) -> None:
    one = made.of(table("orders"))
    one.load()
    (own,) = slots(postgres)
    postgres.run("UPDATE orders SET amount = 5 WHERE id < 10")
    made.load()
    assert len(slots(postgres)) == 2
    assert [each.read for each in sync(made)] == [9, 0, 0]
    assert len(slots(postgres)) == 1
    assert own not in slots(postgres)
    postgres.run("UPDATE orders SET amount = 6 WHERE id < 5; UPDATE items SET amount = 6")
    assert [each.read for each in sync(made)] == [4, 50, 0]
    level(made, postgres)


def test_a_table_that_is_loaded_while_the_others_are_followed_joins_them(loaded: Ferry, postgres: Database) -> None:
    postgres.run("CREATE TABLE late (id int PRIMARY KEY, amount int NOT NULL, note text)")
    postgres.run("INSERT INTO late SELECT i, i, 'x' FROM generate_series(1, 100) AS i")
    more = loaded.of(*map(table, (*NAMES, "late")))
    with Follow(more) as follow:
        postgres.run("UPDATE orders SET amount = 1")
        wait_for(lambda: 1 in amounts(more, "orders"))
        load(more, "late")
        assert len(slots(postgres)) == 2
        postgres.run("UPDATE late SET amount = 0 WHERE id < 50; UPDATE items SET amount = 2")
        wait_for(lambda: len(slots(postgres)) == 1)
        postgres.run("UPDATE late SET note = 'joined'; UPDATE accounts SET amount = 3")
        wait_for(lambda: values(more, "late", "note") == {"joined"})
        wait_for(lambda: amounts(more, "accounts") == {3})
    assert follow.error is None
    level(more, postgres, *NAMES, "late")


def test_a_table_that_fails_while_it_is_followed_leaves_the_others_to_go_on(loaded: Ferry, postgres: Database) -> None:
    with Follow(loaded) as follow:
        postgres.run("TRUNCATE items")
        wait_for(lambda: any(type(event).__name__ == "TableFailed" for event in follow.events))
        postgres.run("UPDATE orders SET amount = 4")
        wait_for(lambda: amounts(loaded, "orders") == {4})
    assert isinstance(follow.error, SomeTablesFailed)
    (failed,) = follow.error.failures
    assert failed.table == "public.items"
    assert isinstance(failed.error, DataError)
    level(loaded, postgres, "orders", "accounts")


def test_another_command_waits_for_the_stream_and_the_stream_for_it(loaded: Ferry, postgres: Database) -> None:
    with Follow(loaded) as follow:
        postgres.run("UPDATE orders SET amount = 4")
        wait_for(lambda: amounts(loaded, "orders") == {4})
        with loaded.migration() as migration:
            state = migration.endpoints.look_at_state()
            assert state.holder_of("public.items") is not None
            with pytest.raises(LeaseHeld, match="another run works on"):
                state.lease("public.items").__enter__()
    assert follow.error is None
    with loaded.migration() as migration:
        state = migration.endpoints.state
        postgres.run("UPDATE items SET amount = 5; UPDATE accounts SET amount = 6")
        with state.lease("public.items"), pytest.raises(SomeTablesFailed, match="another run works on"):
            sync(loaded)
    level(loaded, postgres, "orders", "accounts")
    sync(loaded)
    level(loaded, postgres)


def test_a_table_that_another_run_works_on_is_followed_as_soon_as_that_ends(loaded: Ferry, postgres: Database) -> None:
    with loaded.migration() as migration, ExitStack() as stack:
        stack.enter_context(migration.endpoints.state.lease("public.items"))
        with Follow(loaded) as follow:
            postgres.run("UPDATE orders SET amount = 4; UPDATE items SET amount = 5")
            wait_for(lambda: amounts(loaded, "orders") == {4})
            assert 5 not in amounts(loaded, "items")
            stack.close()
            wait_for(lambda: amounts(loaded, "items") == {5})
    assert follow.error is None


def test_a_verification_asks_only_for_changes_of_its_own_table(loaded: Ferry, postgres: Database) -> None:
    postgres.run("UPDATE orders SET amount = 1")
    with loaded.migration() as migration:
        found = {each.table: each.verdict for each in migration.verifications.verify().tables}
    assert found == {
        "public.orders": Verdict.UNSETTLED,
        "public.items": Verdict.EQUAL,
        "public.accounts": Verdict.EQUAL,
    }


def test_new_columns_and_partitions_come_while_others_go_on(loaded: Ferry, postgres: Database) -> None:
    postgres.run("UPDATE orders SET amount = 1; ALTER TABLE items ADD COLUMN fresh int DEFAULT 3")
    postgres.run("UPDATE items SET fresh = 4 WHERE id = 1; UPDATE accounts SET amount = 2")
    assert [each.read for each in sync(loaded)] == [50, 1, 50]
    level(loaded, postgres)


def test_the_slot_goes_with_the_last_table(loaded: Ferry, postgres: Database) -> None:
    with loaded.migration() as migration:
        assert migration.syncs.drop_slots(["items"]) != []
    assert left_in_source(postgres) == (1, 2)
    postgres.run("UPDATE orders SET amount = 1; UPDATE items SET amount = 2")
    with pytest.raises(SomeTablesFailed, match="has no replication slot"):
        sync(loaded)
    level(loaded, postgres, "orders", "accounts")
    with loaded.migration() as migration:
        migration.syncs.drop_slots()
    assert left_in_source(postgres) == (0, 0)


def test_a_lost_slot_is_made_again_for_all(loaded: Ferry, postgres: Database) -> None:
    (slot,) = slots(postgres)
    postgres.run(f"SELECT pg_drop_replication_slot('{slot}')")
    postgres.run("UPDATE orders SET amount = 1; UPDATE items SET amount = 2")
    with pytest.raises(Exception, match="does not exist any more"):
        sync(loaded)
    sync(loaded, new_slot=True)
    with loaded.migration() as migration:
        migration.repairs.repair()
    level(loaded, postgres)
    postgres.run("UPDATE orders SET amount = 3; UPDATE items SET amount = 4; UPDATE accounts SET amount = 5")
    sync(loaded)
    level(loaded, postgres)
    sync(loaded)
    assert len(slots(postgres)) == 1


def test_a_lost_slot_of_many_tables_is_made_again_with_few_places(ferry: Ferry, tmp_path: Path) -> None:
    """Each table catches up by a slot of its own and joins before the next one needs its place."""
    names = [f"t{number}" for number in range(4)]
    settings = {"max_replication_slots": "2", "max_wal_senders": "3"}
    with LocalPostgres(version=18, settings=settings) as server:
        dsn = server.create_database("few")
        many = replace(ferry, dsn=dsn).of(*map(table, names))
        with psycopg.connect(dsn, autocommit=True) as connection:
            for name in names:
                connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, amount int)")
                connection.execute(f"INSERT INTO {name} VALUES (1, 1)")
            many.load()
            connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
            assert command(many, tmp_path, "sync").code == 3
            said = command(many, tmp_path, "sync", "--new-slot")
            assert said.code == 0, said.text
            for name in names:
                connection.execute(f"UPDATE {name} SET amount = 2")
            assert command(many, tmp_path, "sync").code == 0
            assert connection.execute("SELECT count(*) FROM pg_replication_slots").fetchone() == (1,)
        assert [amounts(many, name) for name in names] == [{2}] * 4


def test_a_slot_that_a_killed_join_left_goes_with_the_next_load(
    made: Ferry, postgres: Database, killer: Killer
) -> None:
    one = made.of(table("orders"))
    one.load()
    one.load(replace=True)  # its second slot is the one in use now
    made.load()
    assert killer.run(made, "sync", point="drop slot", moment="before", call=1) == -signal.SIGKILL
    assert len(slots(postgres)) == 2
    made.load()
    assert left_in_source(postgres) == (1, 2)


def test_loads_that_several_processes_share_have_one_slot(made: Ferry, postgres: Database) -> None:
    with made.migration() as migration:
        for name in NAMES:
            assert migration.loads.prepare(name).outcome == "prepared"
    assert left_in_source(postgres) == (1, 2)
    postgres.run("UPDATE orders SET amount = 1; UPDATE items SET amount = 2; UPDATE accounts SET amount = 3")
    with made.migration() as migration:
        for name in NAMES:
            migration.loads.load_bucket(name, bucket=0, of=1)
        migration.loads.finish("orders")
    # The log of loads that are not finished is kept, while one that is finished is followed.
    postgres.run("UPDATE orders SET amount = 4; DELETE FROM items WHERE id = 1")
    sync(made, tables=["orders"])
    level(made, postgres, "orders")
    with made.migration() as migration:
        for name in NAMES[1:]:
            migration.loads.finish(name)
    sync(made)
    level(made, postgres)
