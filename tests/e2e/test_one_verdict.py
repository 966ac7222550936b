"""One verdict for a database: all tables as of one snapshot of the source, and nobody left out unsaid."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import without_slots
from tests.e2e.command import command
from tests.e2e.ferry import Ferry
from tests.e2e.statistics import wait_for_statistics
from typer.testing import CliRunner

from gridferry.cli.main import app
from gridferry.engine.comparison.full_scan import FullPass
from gridferry.engine.events import Event, Note
from gridferry.errors import SnapshotGone, SourceError
from gridferry.model.failed_tables import SomeTablesFailed
from gridferry.model.verification import Verdict, VerifyReport

NAMES = ("account", "item", "sale")
PATTERN = {"table": "public.*", "except": ["tmp_*"], "sync": {"mode": "cdc"}}


@pytest.fixture
def shop(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    """Three tables of one slot."""
    for name in NAMES:
        postgres.run(f"CREATE TABLE {name} (id int PRIMARY KEY, amount int NOT NULL)")
        postgres.run(f"INSERT INTO {name} SELECT i, 10 * i FROM generate_series(1, 20) AS i")
    with without_slots(postgres):
        made = ferry.of(PATTERN)
        made.load()
        yield made


def verified(ferry: Ferry, *, events: list[Event] | None = None, **options: Any) -> VerifyReport:
    with ferry.migration((events if events is not None else []).append) as migration:
        return migration.verifications.verify(**options)


def synced(ferry: Ferry) -> None:
    with ferry.migration() as migration:
        migration.syncs.sync()


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Let something happen once, as soon as the rows of a table were compared in the snapshot."""
    real, waiting = FullPass.run, dict[str, Callable[[], object]]()

    def run(self: FullPass, table: Any) -> Any:
        done = real(self, table)
        waiting.pop(table.name, lambda: None)()
        return done

    monkeypatch.setattr(FullPass, "run", run)
    return waiting.__setitem__


@pytest.mark.parametrize("quick", [False, True])
def test_all_tables_are_as_of_one_snapshot(shop: Ferry, postgres: Database, tmp_path: Path, quick: bool) -> None:
    postgres.run("CREATE TABLE tmp_1 (id int)")
    report = verified(shop, quick=quick)
    assert [table.table for table in report.tables] == [f"public.{name}" for name in NAMES]
    ((at, lsn),) = report.snapshots
    assert (report.verdict, report.others) == (Verdict.EQUAL, ("public.tmp_1",))
    said = command(shop, tmp_path, "verify", *(["--quick"] if quick else []))
    assert said.code == 0
    assert ": 3 tables, 60 rows in 3 containers (" in said.text
    assert "Database equal as of " in said.text
    assert ", LSN " in said.text
    assert "1 table of the database is not in this config: public.tmp_1" in said.text
    assert at < command_document(shop, tmp_path, "verify")["snapshots"][0]["at"]
    assert lsn


def command_document(ferry: Ferry, folder: Path, *arguments: str) -> dict[str, Any]:
    file = folder / "gridferry.yaml"
    file.write_text(ferry.text)
    result = CliRunner().invoke(app, [*arguments, "--json", "--config", str(file)], env=ferry.env)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_what_is_synced_while_others_are_read_is_no_difference(
    shop: Ferry, postgres: Database, between: Callable[[str, Callable[[], object]], None]
) -> None:
    def write_and_sync() -> None:
        with postgres.connect() as writer, writer.transaction():
            writer.execute("UPDATE account SET amount = amount - 1")
            writer.execute("UPDATE sale SET amount = amount + 1; DELETE FROM sale WHERE id = 3")
            writer.execute("INSERT INTO sale VALUES (99, 1)")
        synced(shop)

    between("account", write_and_sync)
    report = verified(shop, settle_s=20.0)
    account, item, sale = report.tables
    assert report.verdict is Verdict.EQUAL
    assert len(report.snapshots) == 1
    assert (account.rounds, item.rounds) == (0, 0)
    assert sale.rounds > 0  # the target was ahead of the snapshot
    assert (sale.source_rows, sale.target_rows) == (20, 20)


def test_what_is_planted_is_found_beside_a_sync_of_the_other_tables(
    shop: Ferry, postgres: Database, between: Callable[[str, Callable[[], object]], None]
) -> None:
    with shop.store() as store:
        container = store.open_container("sale")
        assert container is not None
        row = next(iter(container.scan().batches())).slice(0, 1)
        container.delete(row.select(["id"]))

    def write_and_sync() -> None:
        postgres.run("UPDATE sale SET amount = amount + 1 WHERE id > 10; UPDATE account SET amount = 0")
        synced(shop)

    between("account", write_and_sync)
    report = verified(shop, settle_s=20.0)
    assert [(table.table, table.missing, table.differences) for table in report.tables if table.differences] == [
        ("public.sale", 1, 1)
    ]
    assert report.verdict is Verdict.DIFFERENT


def test_a_snapshot_that_is_lost_fails_one_table_and_the_others_go_on(
    shop: Ferry, postgres: Database, between: Callable[[str, Callable[[], object]], None]
) -> None:
    def lose() -> None:
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    between("item", lose)
    events: list[Event] = []
    with pytest.raises(SomeTablesFailed) as failed:
        verified(shop, events=events)
    report: VerifyReport = failed.value.done
    assert failed.value.exit_code == 75
    assert [each.table for each in report.failures] == ["public.item"]
    assert isinstance(report.failures[0].error, SnapshotGone | SourceError)
    assert [table.table for table in report.tables] == ["public.account", "public.sale"]
    assert report.verdict is Verdict.INCOMPLETE
    assert len(report.snapshots) == 2
    assert any(isinstance(e, Note) and "as of another snapshot" in e.message for e in events)


def test_tables_that_are_paused_new_or_fail_are_named_and_nothing_is_equal(
    shop: Ferry, postgres: Database, tmp_path: Path
) -> None:
    with shop.migration() as migration:
        migration.lives.pause(["account"])
    postgres.run("CREATE TABLE later (id int PRIMARY KEY); ALTER TABLE item ALTER amount TYPE text")
    said = command(shop, tmp_path, "verify")
    assert said.code == 3
    assert "Database not compared whole as of " in said.text
    assert ": 20 rows in 1 of 4 tables; of what is stored there all values are equal (1 container)" in said.text
    assert "1 failed (public.item), 1 not loaded (public.later), 1 left out" in said.text
    assert "left out: public.account is paused" in said.text
    assert "public.item: " in said.text
    assert "Database equal" not in said.text
    found = command_document(shop, tmp_path, "verify")
    assert (found["verdict"], found["new"], len(found["left_out"])) == ("incomplete", ["public.later"], 1)
    assert found["summary"]["failed"] == ["public.item"]


def test_a_table_that_is_set_apart_is_compared_and_told(shop: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("TRUNCATE item")
    with pytest.raises(SomeTablesFailed):
        synced(shop)
    said = command(shop, tmp_path, "verify", "--settle", "0")
    assert said.code in (1, 75)
    assert "public.item: set apart" in said.text or "set apart since" in said.text
    assert "gridferry resync public.item brings it back" in said.text


def test_tables_that_were_not_asked_for_are_part_of_the_verdict(shop: Ferry, tmp_path: Path) -> None:
    said = command(shop, tmp_path, "verify", "--table", "item")
    assert said.code == 0
    assert "Tables asked for: equal as of " in said.text
    assert "2 other tables of the config not asked for" in said.text
    assert "Database equal" not in said.text


def test_the_whole_database_is_ready_or_each_blocker_is_named(shop: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("INSERT INTO item VALUES (21, 1); UPDATE sale SET amount = 5 WHERE id = 2")
    wait_for_statistics(postgres)
    with shop.migration() as migration:
        report = migration.cutover()
    assert report.ready
    assert [table.rows for table in report.tables] == [20, 21, 20]
    assert len(report.snapshots) == 1
    assert {table.drained_to >= report.log_end for table in report.tables} == {True}
    with shop.store() as store:
        container = store.open_container("sale")
        assert container is not None
        row = next(iter(container.scan().batches())).slice(0, 1)
        container.delete(row.select(["id"]))
    said = command(shop, tmp_path, "cutover")
    assert said.code == 1
    assert "NOT READY: 1 thing missing in 1 of 3 tables, see above. public.sale: verified" in said.text
    assert "next: gridferry repair, then run `gridferry cutover` again" in said.text


def test_one_table_that_cannot_be_drained_holds_the_database_back(
    shop: Ferry, postgres: Database, tmp_path: Path
) -> None:
    postgres.run("TRUNCATE item; INSERT INTO account VALUES (21, 1)")
    wait_for_statistics(postgres)
    found = command_document(shop, tmp_path, "cutover")
    assert found["ready"] is False
    missing = {t["table"]: [c["name"] for c in t["checks"] if not c["ok"]] for t in found["tables"]}
    assert missing["public.account"] == missing["public.sale"] == []
    assert {"drained", "verified"} <= set(missing["public.item"])
    assert len(found["snapshots"]) == 1


def test_a_report_has_one_verdict_and_the_stage_of_each_table(shop: Ferry, postgres: Database, tmp_path: Path) -> None:
    verified(shop)
    page = tmp_path / "report.html"
    command(shop, tmp_path, "report", "--output", str(page))
    assert "Database equal as of " in page.read_text()
    synced(shop)
    with shop.migration() as migration:
        migration.lives.pause(["account"])
    postgres.run("TRUNCATE item; CREATE TABLE later (id int PRIMARY KEY)")
    with pytest.raises(SomeTablesFailed):
        synced(shop)
    command(shop, tmp_path, "report", "--format", "json", "--output", str(page))
    facts = json.loads(page.read_text())
    stages = {table["table"].removeprefix("public."): table["load"]["life"]["stage"] for table in facts["tables"]}
    assert stages == {"account": "paused", "item": "apart", "later": "planned", "sale": "in step"}
    assert len(facts["snapshots"]) == 1
    sentence = facts["headline"]["sentence"]
    assert sentence.startswith("Not loaded yet: public.later; 3 tables are proven equal, as of ")
    assert sentence.endswith("1 table is paused: public.account. 1 table is set apart: public.item.")
