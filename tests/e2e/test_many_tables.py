"""A whole database by a few patterns: what they mean now, what is new, what is gone, and what each command says."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.command import command
from tests.e2e.ferry import Ferry
from tests.e2e.statistics import wait_for_statistics
from typer.testing import CliRunner

from gridferry.cli.main import app
from gridferry.engine.events import Event, Note
from gridferry.errors import ConfigError, NotLoaded
from gridferry.model.outcomes import LoadOutcome
from gridferry.model.verification import Verdict

PATTERN = {"table": "public.*", "sync": {"mode": "watermark"}}


def document(ferry: Ferry, folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a command, and the JSON document that it prints."""
    file = folder / "gridferry.yaml"
    file.write_text(ferry.text)
    result = CliRunner().invoke(app, [*arguments, "--json", "--config", str(file)], env=ferry.env)
    return result.exit_code, json.loads(result.stdout)


def states(ferry: Ferry, folder: Path, *arguments: str) -> dict[str, str]:
    code, found = document(ferry, folder, "status", *arguments)
    assert code == 0
    return {table["table"]: table["state"] for table in found["tables"]}


def away(ferry: Ferry) -> Ferry:
    """The same with a source that does not answer."""
    return replace(ferry, dsn="postgresql://nobody@127.0.0.1:1/nowhere?connect_timeout=1")


@pytest.fixture
def shop(ferry: Ferry, postgres: Database) -> Ferry:
    """Four tables, one of them partitioned, in two schemas."""
    postgres.run(
        "CREATE TABLE item (id int PRIMARY KEY, name text);"
        "CREATE TABLE sale (id int, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
        "CREATE TABLE sale_1 PARTITION OF sale FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
        "CREATE TABLE sale_2 PARTITION OF sale FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');"
        "CREATE SCHEMA stock; CREATE TABLE stock.place (id int PRIMARY KEY); CREATE TABLE stock.tmp_1 (id int)"
    )
    postgres.run("INSERT INTO item SELECT i, 'item ' || i FROM generate_series(1, 20) AS i")
    postgres.run(
        "INSERT INTO sale SELECT i, '2026-01-20'::timestamptz + i * interval '1 day' FROM generate_series(1, 20) AS i"
    )
    postgres.run("INSERT INTO stock.place VALUES (1), (2)")
    return ferry.of(PATTERN, {"table": "stock.*", "except": ["tmp_*"]})


def test_partitioned_tables_are_meant_once_and_all_is_equal(shop: Ferry, postgres: Database, tmp_path: Path) -> None:
    with shop.migration() as migration:
        assert [o.qualified for o in migration.endpoints.chosen()] == ["public.item", "public.sale", "stock.place"]
        assert migration.plan().others == ("stock.tmp_1",)
    assert [load.table for load in shop.load()] == ["public.item", "public.sale", "stock.place"]
    assert len(shop.rows("sale")) == 20
    assert set(shop.names()) == {"item", "sale", "stock_place"}
    assert shop.equal()
    some = command(shop, tmp_path, "cutover", "--table", "stock.*")
    assert some.code == 1
    assert "NOT READY: 2 tables of the config not looked at. Next: gridferry cutover without --table" in some.text
    wait_for_statistics(postgres)
    whole = command(shop, tmp_path, "cutover")
    assert whole.code == 0
    assert "READY: the whole database as of " in whole.text
    assert ": 3 tables, 42 rows are equal, and nothing was written meanwhile." in whole.text


def test_a_load_by_single_entries_goes_on_by_a_pattern(shop: Ferry) -> None:
    shop.of({"table": "item", "sync": {"mode": "watermark"}}).load()
    assert [load.outcome for load in shop.of(PATTERN).load()] == ["already loaded", "loaded"]


def test_a_new_table_is_told_and_nothing_is_called_equal(shop: Ferry, postgres: Database, tmp_path: Path) -> None:
    shop.load()
    postgres.run(
        "CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (7); INSERT INTO item VALUES (21, 'x')"
    )
    said = command(shop, tmp_path, "sync")
    assert said.code == 0
    assert "1 table is new and not loaded: public.later; `gridferry load` takes what is new" in said.text
    assert len(shop.rows("item")) == 21
    assert states(shop, tmp_path)["public.later"] == "planned"
    assert "1 table not loaded yet: public.later. Next: gridferry load" in command(shop, tmp_path, "status").text
    said = command(shop, tmp_path, "verify", "--accept-quarantined")
    assert said.code == 1
    assert "in 3 of 4 tables; of what is stored there all values are equal" in said.text
    assert "1 table not loaded yet: public.later" in said.text
    code, found = document(shop, tmp_path, "verify")
    assert (code, found["verdict"], found["new"]) == (1, "incomplete", ["public.later"])
    said = command(shop, tmp_path, "cutover")
    assert said.code == 1
    assert "NOT READY" in said.text
    assert "1 table not loaded" in said.text
    assert [load.outcome for load in shop.load()].count(LoadOutcome.LOADED) == 1
    assert [row["id"] for row in shop.rows("later")] == [7]
    assert command(shop, tmp_path, "verify").code == 0


def test_nothing_loaded_is_one_error(shop: Ferry) -> None:
    with shop.migration() as migration:
        with pytest.raises(NotLoaded, match="none of 3 tables is loaded"):
            migration.syncs.sync()
        with pytest.raises(NotLoaded, match="none of 3 tables is loaded"):
            migration.verifications.verify()


def test_the_tables_are_known_while_the_source_is_away(shop: Ferry, postgres: Database, tmp_path: Path) -> None:
    shop.load()
    postgres.run("CREATE TABLE later (id int PRIMARY KEY)")
    known = {"public.item": "loaded", "public.sale": "loaded", "stock.place": "loaded"}
    assert states(away(shop), tmp_path) == known
    assert states(away(shop), tmp_path, "--table", "stock.*") == {"stock.place": "loaded"}
    assert states(away(shop.of({"table": "stock.*"})), tmp_path) == {"stock.place": "loaded"}


def test_a_table_that_is_gone_is_not_lost_in_silence(shop: Ferry, postgres: Database, tmp_path: Path) -> None:
    cdc = shop.of({"table": "public.*", "sync": {"mode": "cdc"}}, "stock.place")
    cdc.load()
    postgres.run("DROP TABLE item")
    assert states(cdc, tmp_path)["public.item"] == "loaded"
    said = command(cdc, tmp_path, "load")
    assert said.code == 0
    assert "1 loaded table is in the source no more: public.item" in said.text
    said = command(cdc, tmp_path, "sync")
    assert said.code != 0
    assert "public.item" in said.text
    slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    assert postgres.run(slots) == [(1,)]
    said = command(cdc, tmp_path, "drop-slot", "--table", "item")
    assert said.code == 0
    assert "public.item from the publications" in said.text
    assert postgres.run(slots) == [(1,)]
    without = cdc.of({"table": "public.*", "except": ["item"], "sync": {"mode": "cdc"}})
    assert command(without, tmp_path, "sync").code == 0


def test_mistakes_of_patterns_are_told_together_and_nothing_is_written(shop: Ferry, tmp_path: Path) -> None:
    wrong = shop.of({"table": "public.*"}, {"table": "*.item", "kind": "collection"}, {"table": "shop.*"})
    for name in ("plan", "load", "sync"):
        said = command(wrong, tmp_path, name)
        assert said.code == 2
        assert "2 mistakes" in said.text
        assert "no table matches shop.*" in said.text
        assert "have different kind, and both mean 1 table: public.item" in said.text
    assert shop.names() == []
    with shop.migration() as migration, pytest.raises(ConfigError, match=r"has no table zz"):
        migration.loads.load(["zz"])


def test_an_idle_except_is_a_risk_of_the_plan_and_a_warning_of_the_load(shop: Ferry, tmp_path: Path) -> None:
    idle = shop.of({"table": "stock.*", "except": ["tmp_*", "old_*"]})
    says = "tables[0].except: old_* takes no table out of stock.*"
    said = command(idle, tmp_path, "plan")
    assert said.code == 0
    assert says in said.text
    heard: list[Event] = []
    idle.load(listener=heard.append)
    assert [event.message for event in heard if isinstance(event, Note)].count(says) == 1


def test_a_broken_verdict_is_still_told_beside_a_new_table(shop: Ferry, postgres: Database, tmp_path: Path) -> None:
    still = shop.of("public.*")
    still.load()
    assert "Both sides are equal" in command(still, tmp_path, "repair").text
    postgres.run("CREATE TABLE later (id int PRIMARY KEY); UPDATE item SET name = 'other' WHERE id = 3")
    with still.migration() as migration:
        report = migration.verifications.verify()
    assert (report.verdict, report.new, report.exit_code) == (Verdict.DIFFERENT, ("public.later",), 1)
    said = command(still, tmp_path, "repair", "--accept-quarantined")
    assert said.code == 1
    assert "1 row repaired" in said.text
    assert "What is loaded is equal now, but not all is: 1 table not loaded yet: public.later" in said.text
    assert "Next: gridferry load" in said.text


def test_a_database_of_mixed_tables_from_init_to_verify(ferry: Ferry, postgres: Database, tmp_path: Path) -> None:
    for number in range(6):
        postgres.run(f"CREATE TABLE plain_{number} (id int PRIMARY KEY, at timestamptz, note text)")
        postgres.run(f"INSERT INTO plain_{number} SELECT i, now(), 'x' FROM generate_series(1, 10 * {number}) AS i")
    postgres.run(
        "CREATE TABLE sale (id int, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
        "CREATE TABLE sale_1 PARTITION OF sale DEFAULT; INSERT INTO sale VALUES (1, now());"
        "CREATE TABLE tagged (id int PRIMARY KEY, tags text[]); INSERT INTO tagged VALUES (1, '{a}');"
        "CREATE TABLE nokey (v text, n int); INSERT INTO nokey VALUES ('a', 1), ('a', 1);"
        'CREATE TABLE secret (id int PRIMARY KEY); CREATE TABLE "Plain_1" (id int PRIMARY KEY);'
        "CREATE SCHEMA stock; CREATE TABLE stock.place (id int PRIMARY KEY);"
        "CREATE ROLE many_reader LOGIN; GRANT USAGE ON SCHEMA public, stock TO many_reader;"
        "GRANT SELECT ON ALL TABLES IN SCHEMA public, stock TO many_reader; REVOKE SELECT ON secret FROM many_reader;"
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO many_reader"
    )
    file = tmp_path / "made.yaml"
    env = {**ferry.env, "SOURCE_DSN": postgres.dsn_as("many_reader"), "COLUMNS": "2000"}

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*arguments], env=env)
        text = " ".join((result.stdout + result.stderr).split())
        assert result.exit_code == code, text
        return text

    try:
        assert "with 11 tables, by a pattern" in run("init", "--target", ferry.url, "-o", str(file))
        written = file.read_text()
        assert written.count("- table: ") == 4
        assert "key: generated    # there is no primary key" in written
        assert "- secret    # the role many_reader may not read" in written
        written = written.replace("\ntables:", "\ndefaults: {sync: {mode: watermark}}\ntables:", 1)
        grows = "key: generated\n    sync: {mode: watermark, column: n}"
        file.write_text(written.replace("key: generated", grows, 1))
        said = run("plan", "-c", str(file))
        assert "11 tables, 154 rows" in said
        assert "details: gridferry plan --details, or --table NAME" in said
        run("load", "-c", str(file))
        postgres.run("INSERT INTO plain_1 VALUES (100, now(), 'new'); CREATE TABLE later (id int PRIMARY KEY)")
        assert "1 table is new and not loaded: public.later" in run("sync", "-c", str(file))
        run("verify", "-c", str(file), code=1)
        run("load", "-c", str(file))
        assert "Database equal as of" in run("verify", "-c", str(file))
    finally:
        postgres.run("DROP OWNED BY many_reader; DROP ROLE many_reader")
    assert len(ferry.rows(ferry.catalog("public.plain_1")[None])) == 11


def test_new_tables_are_loaded_first_where_the_config_says_so(shop: Ferry, postgres: Database, tmp_path: Path) -> None:
    loading = replace(shop, more={"new_tables": "load"})
    assert command(loading, tmp_path, "sync").code == 0
    assert len(shop.rows("item")) == 20
    postgres.run("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (7); CREATE TABLE nokey (v text)")
    postgres.run("INSERT INTO item VALUES (21, 'x')")
    said = command(loading, tmp_path, "sync")
    assert said.code == 2
    assert "public.later: new, loaded, 1 row" in said.text
    assert "no usable key" in said.text
    assert [row["id"] for row in shop.rows("later")] == [7]
    assert len(shop.rows("item")) == 21
    without = replace(loading.of({**PATTERN, "except": ["nokey"]}, *loading.tables[1:]))
    assert command(without, tmp_path, "sync").code == 0
    assert command(without, tmp_path, "verify").code == 0


@pytest.mark.parametrize("loads", [True, False])
def test_a_sync_without_end_follows_what_is_new(shop: Ferry, postgres: Database, loads: bool) -> None:
    shop.load()
    ferry = replace(shop, more={"new_tables": "load" if loads else "tell"})
    heard: list[Event] = []
    deadline = time.monotonic() + 120

    def listen(event: Event) -> None:
        heard.append(event)

    def told() -> bool:
        return any(isinstance(e, Note) and "public.later; `gridferry load` takes" in e.message for e in heard)

    def ended() -> bool:
        assert time.monotonic() < deadline, heard
        return "later" in ferry.names() and [row["id"] for row in ferry.rows("later")] == [1, 2]

    def change() -> None:
        postgres.run("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1)")
        while not loads and not told():
            time.sleep(0.05)
        if not loads:
            ferry.load()
        while "later" not in ferry.names() or not ferry.rows("later"):
            time.sleep(0.05)
        postgres.run("INSERT INTO later VALUES (2)")

    changing = threading.Thread(target=change, daemon=True)
    with ferry.migration(listen) as migration:
        changing.start()
        done = migration.syncs.sync(follow=True, interval_s=0.2, until=ended)
    changing.join(timeout=30)
    assert {sync.table for sync in done} == {"public.item", "public.sale", "public.later"}
    assert told() is not loads
