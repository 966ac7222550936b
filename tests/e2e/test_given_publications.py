"""Publications that an administrator made, for a role that owns nothing: used as they are, and never changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.command import command
from tests.e2e.ferry import Ferry

from gridferry.errors import PlanError, SlotLost

ROLE = "given_reader"


@pytest.fixture
def source(postgres: Database) -> Iterator[Database]:
    """Two tables with a key and one without; a role that may read them, and read changes, and nothing else."""
    postgres.run(
        "CREATE TABLE shop (id int PRIMARY KEY, v text); INSERT INTO shop SELECT i, 'v' FROM generate_series(1, 9) i"
    )
    postgres.run("CREATE TABLE visit (at int, who text); INSERT INTO visit VALUES (1, 'a'), (2, 'b')")
    postgres.run(f"CREATE ROLE {ROLE} LOGIN REPLICATION; GRANT SELECT ON shop, visit TO {ROLE}")
    try:
        with without_slots(postgres):
            yield postgres
    finally:
        postgres.run(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


def config(ferry: Ferry, source: Database, *tables: str, publication: Any = None) -> Ferry:
    wish = {"mode": "cdc", **({} if publication is None else {"publication": publication})}
    entries = [{"table": t, "sync": wish, **({"key": ["at", "who"]} if t == "visit" else {})} for t in tables]
    return replace(ferry.of(*entries), dsn=source.dsn_as(ROLE))


def plan_of(ferry: Ferry, folder: Path) -> str:
    return " ".join(command(ferry, folder, "plan", "--details").text.split())


def test_the_statements_that_the_plan_prints_are_all_that_the_owner_has_to_run(
    ferry: Ferry, source: Database, tmp_path: Path
) -> None:
    with pytest.raises(PlanError) as refused:
        config(ferry, source, "shop").load()
    told = " ".join(refused.value.problems)
    assert "`publication: gridferry` under `sync`" in told
    for statement in set(re.findall(r"run (CREATE PUBLICATION .*?;) and write", told)):
        source.run(statement)
    given = config(ferry, source, "shop", publication="gridferry")
    given.load()
    source.run("UPDATE shop SET v = 'w' WHERE id < 4; DELETE FROM shop WHERE id = 5; INSERT INTO shop VALUES (20, 'x')")
    sync(given)
    assert given.equal()
    assert source.run("SELECT pubname FROM pg_publication") == [("gridferry",)]
    assert source.run("SELECT obj_description(oid, 'pg_publication') FROM pg_publication") == [(None,)]
    with given.migration() as migration:
        migration.syncs.drop_slots()
    assert source.run("SELECT pubname FROM pg_publication") == [("gridferry",)]
    assert source.run("SELECT 1 FROM pg_replication_slots WHERE database = current_database()") == []


def test_several_publications_are_read_together_one_of_inserts_only(ferry: Ferry, source: Database) -> None:
    source.run("CREATE PUBLICATION one FOR TABLE shop")
    source.run("CREATE PUBLICATION two FOR TABLE visit WITH (publish = 'insert, truncate')")
    given = config(ferry, source, "shop", "visit", publication=["one", "two"])
    given.load()
    source.run("DELETE FROM shop WHERE id = 1; INSERT INTO visit VALUES (3, 'c')")
    sync(given)
    assert given.equal()


MISSING = {
    "no publication": ("SELECT", "there is no publication given", "CREATE PUBLICATION"),
    "not the table": (
        "CREATE PUBLICATION given FOR TABLE visit WITH (publish = 'insert')",
        "does not publish public.shop",
        'ALTER PUBLICATION "given" ADD TABLE "public"."shop";',
    ),
    "not all kinds": (
        "CREATE PUBLICATION given FOR TABLE shop WITH (publish = 'insert, update')",
        "does not publish all kinds of changes",
        "SET (publish = 'insert, update, delete, truncate');",
    ),
}


@pytest.mark.parametrize(("made", "missing", "statement"), MISSING.values(), ids=MISSING)
def test_what_a_publication_lacks_is_said_with_its_statement(
    ferry: Ferry, source: Database, tmp_path: Path, made: str, missing: str, statement: str
) -> None:
    source.run(made)
    told = plan_of(config(ferry, source, "shop", publication="given"), tmp_path)
    assert missing in told
    assert statement in told


def test_columns_and_rows_that_a_publication_leaves_out_are_said(
    ferry: Ferry, source: Database, tmp_path: Path
) -> None:
    source.needs(15, "column lists")
    source.run("CREATE PUBLICATION given FOR TABLE shop (id)")
    told = plan_of(config(ferry, source, "shop", publication="given"), tmp_path)
    assert "the publication given leaves this column out" in told
    source.run("DROP PUBLICATION given; CREATE PUBLICATION given FOR TABLE shop WHERE (id > 3)")
    told = plan_of(config(ferry, source, "shop", publication="given"), tmp_path)
    assert "publishes only some rows of public.shop" in told


def test_a_table_without_an_identity_is_never_to_be_published_for_updates(
    ferry: Ferry, source: Database, tmp_path: Path
) -> None:
    source.run("CREATE PUBLICATION given FOR TABLE shop")
    told = plan_of(config(ferry, source, "visit", publication="given"), tmp_path)
    assert 'first ALTER TABLE "public"."visit" ADD PRIMARY KEY' in told
    source.run("ALTER PUBLICATION given ADD TABLE visit")
    told = plan_of(config(ferry, source, "visit", publication="given"), tmp_path)
    assert "PostgreSQL refuses the application's UPDATE and DELETE on it" in told


def test_a_publication_that_is_changed_or_dropped_stops_the_sync(ferry: Ferry, source: Database) -> None:
    source.run("CREATE PUBLICATION given FOR ALL TABLES WITH (publish = 'insert, truncate')")
    given = config(ferry, source, "visit", publication="given")
    given.load()
    source.run("INSERT INTO visit VALUES (30, 'x')")
    sync(given)
    assert given.equal()
    source.run("ALTER PUBLICATION given SET (publish = 'insert')")
    with pytest.raises(SlotLost, match="were changed by somebody") as stopped:
        sync(given)
    assert "SET (publish = 'insert, truncate')" in stopped.value.next_step
    source.run("DROP PUBLICATION given")
    with pytest.raises(SlotLost, match="publication given does not exist"):
        sync(given)


def test_tables_that_disagree_about_their_slot_are_refused(ferry: Ferry, source: Database, tmp_path: Path) -> None:
    one = {"table": "shop", "sync": {"mode": "cdc", "publication": "one"}}
    two = {"table": "visit", "key": ["at", "who"], "sync": {"mode": "cdc", "publication": "two"}}
    said = command(ferry.of(one, two), tmp_path, "plan")
    assert said.code == 2
    assert "their `publication` and `failover` differ" in " ".join(said.text.split())
