"""A repair of several tables: one name, one summary, one undo; a table that fails is told and the others are done."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Database
from tests.e2e.command import command
from tests.e2e.ferry import Ferry, kept_in

from gridferry.checkpoint.lease import Lease
from gridferry.errors import CheckpointError, ConfigError
from gridferry.model.failed_tables import SomeTablesFailed
from gridferry.model.repair import RepairUndo, part_of
from gridferry.model.verification import Verdict

NAMES = ("account", "item", "sale")


@pytest.fixture
def shop(ferry: Ferry, postgres: Database) -> Ferry:
    for name in NAMES:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, amount int NOT NULL)")
        postgres.run(f"INSERT INTO {name} SELECT i, 10 * i FROM generate_series(1, 20) AS i")
    made = ferry.of("public.*")
    made.load()
    return made


def spoil(ferry: Ferry, *names: str) -> None:
    """Take the first row of containers away."""
    with ferry.store() as store:
        for name in names:
            container = store.open_container(name)
            assert container is not None
            container.delete(next(iter(container.scan().batches())).slice(0, 1).select(["id"]))


def counts(ferry: Ferry) -> list[int]:
    return [len(ferry.rows(name)) for name in NAMES]


def test_one_name_undoes_the_repair_of_all_tables(shop: Ferry, tmp_path: Path) -> None:
    spoil(shop, "account", "sale")
    with shop.migration() as migration:
        done = migration.repairs.repair()
        assert (done.verdict, done.rows, counts(shop)) == (Verdict.EQUAL, 2, [20, 20, 20])
        parts = [part_of(done.run, 1), "", part_of(done.run, 2)]
        assert [one.run for one in done.tables] == parts
        assert done.after is not None
        assert len(done.after.snapshots) == 1
        with pytest.raises(ConfigError, match=r"is of public\.account, public\.sale, which was not asked for"):
            migration.repairs.undo(done.run, ["item"])
        undone = migration.repairs.undo(done.run)
        assert (undone.restored, undone.exit_code, counts(shop)) == (2, 0, [19, 20, 19])
        assert migration.repairs.undo(done.run).already == 2
    said = command(shop, tmp_path, "repairs").text
    assert f"{done.run}: a repair of 2 tables, 2 rows {part_of(done.run, 1)}: public.account, 1 row" in said
    said = command(shop, tmp_path, "repair").text
    assert "2 rows repaired in 2 of 3 tables, run " in said
    assert "Both sides are equal now" in said
    assert said.count("gridferry undo ") == 1
    assert counts(shop) == [20, 20, 20]
    assert command(shop, tmp_path, "forget", done.run).text.count("forgotten: ") == 2


def test_a_part_of_a_repair_is_undone_alone(shop: Ferry) -> None:
    spoil(shop, "account", "sale")
    with shop.migration() as migration:
        done = migration.repairs.repair()
        assert migration.repairs.undo(done.run, ["sale"]).restored == 1
        assert counts(shop) == [20, 20, 19]
        assert migration.repairs.undo(part_of(done.run, 1)).restored == 1
    assert counts(shop) == [19, 20, 19]


def test_one_table_repaired_has_the_name_of_the_whole(shop: Ferry) -> None:
    spoil(shop, "item")
    with shop.migration() as migration:
        done = migration.repairs.repair()
        assert [one.run for one in done.tables] == ["", done.run, ""]
        assert migration.repairs.repair().run == ""


def test_a_table_that_cannot_be_repaired_or_undone_is_told_and_the_others_are_done(shop: Ferry, tmp_path: Path) -> None:
    spoil(shop, *NAMES)
    with shop.store() as store, Lease(kept_in(store).documents, "public.item"):
        said = command(shop, tmp_path, "repair")
        assert said.code == 75
        assert "public.item" in said.text
        assert "What was compared is equal now, but 1 table failed" in said.text
        assert "To bring the old rows back: gridferry undo " in said.text
        assert counts(shop) == [20, 19, 20]
    with shop.store() as store, Lease(kept_in(store).documents, "public.sale"), shop.migration() as migration:
        run = migration.repairs.all()[0].record.whole
        with pytest.raises(SomeTablesFailed) as failed:
            migration.repairs.undo(run)
        undone: RepairUndo = failed.value.done
        assert [table.table for table in undone.tables] == ["public.account"]
        assert (undone.exit_code, failed.value.exit_code) == (75, 75)
        assert "public.sale" in failed.value.message
        assert counts(shop) == [19, 19, 20]
    said = command(shop, tmp_path, "undo", run)
    assert said.code == 0
    assert f"The repair {run} is undone in 2 tables: 1 row brought back" in said.text


def test_a_part_that_is_not_readable_does_not_stop_the_others(shop: Ferry) -> None:
    spoil(shop, "account", "sale")
    with shop.migration() as migration:
        done = migration.repairs.repair()
        with shop.store() as store:
            scope = f"repair:{part_of(done.run, 2)}"
            kept_in(store).documents.put(scope, {"run": {"version": 1, "state": "odd"}})
        with pytest.raises(SomeTablesFailed) as failed:
            migration.repairs.undo(done.run)
        assert isinstance(failed.value.failures[0].error, CheckpointError)
        assert part_of(done.run, 2) in failed.value.message
        assert counts(shop) == [19, 20, 20]
        assert migration.repairs.forget(done.run) == [part_of(done.run, 1), part_of(done.run, 2)]
        assert migration.repairs.all() == []
