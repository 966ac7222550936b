"""Two databases loaded into one target, and two configs on one database: the one never touches what is the other's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database, database_on
from tests.e2e.command import command, refused
from tests.e2e.ferry import OWN, STATE, Ferry

from gridferry.checkpoint.catalog import CatalogEntry
from gridferry.checkpoint.lease import Lease
from gridferry.errors import CheckpointError, ConfigError, PlanError, TargetNotEmpty
from gridferry.local.postgres import LocalPostgres

READING: dict[str, Any] = {"table": "public.reading", "split_by": "device", "key": ["device", "ts"]}
Contents = dict[str, list[dict[str, Any]]]


def fill(database: Database, *, first: int, bad: bool = False) -> None:
    """A table of readings of two devices; values from `first` on tell databases apart."""
    database.run("CREATE TABLE reading (device text, ts timestamptz, v float8, note text, PRIMARY KEY (device, ts))")
    database.run(
        "INSERT INTO reading SELECT 'd' || d, '2024-01-01Z'::timestamptz + i * interval '1 min', "
        f"{first} + i, 'n' FROM generate_series(1, 2) d, generate_series(1, 50) i"
    )
    if bad:
        database.run(f"INSERT INTO reading VALUES ('d1', '2025-01-01Z', {first}, repeat('x', 40000))")


@pytest.fixture
def other(postgres_server: LocalPostgres) -> Iterator[Database]:
    yield from database_on(postgres_server)


@pytest.fixture
def site_a(ferry: Ferry, postgres: Database) -> Ferry:
    fill(postgres, first=1000, bad=True)
    return ferry.of(
        {**READING, "container": "sitea_{value}", "on_bad_row": "quarantine", "sync": {"mode": "watermark"}}
    )


@pytest.fixture
def site_b(ferry: Ferry, other: Database) -> Ferry:
    fill(other, first=9000, bad=True)
    table = {**READING, "container": "siteb_{value}", "on_bad_row": "quarantine", "sync": {"mode": "watermark"}}
    return replace(ferry, dsn=other.dsn).of(table)


def lose_rows(ferry: Ferry, name: str) -> None:
    """As if somebody had deleted three rows of a container."""
    with ferry.store() as store:
        opened = store.open_container(name)
        assert opened is not None
        keys = next(iter(opened.scan().batches())).select(opened.schema.names[: opened.schema.key_length])
        opened.delete(keys.slice(0, 3))


def kept_of(ferry: Ferry, prefix: str) -> Contents:
    """All rows of a site's containers, and all that gridferry keeps of its migration but its leases."""
    everything = ferry.everything()
    with ferry.migration() as migration:
        key = migration.endpoints.look_at_state().whose().key
    rows = {name: rows for name, rows in everything.items() if name not in OWN and name.startswith(prefix)}
    for name in OWN:
        rows[name] = [r for r in everything.get(name, ()) if r.get("migration", r.get("item")) == key or (
            name == STATE and r["scope"].startswith(f"migration:{key}/") and "/lease:" not in r["scope"])]  # fmt: skip
    return rows


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_two_databases_with_the_same_table_stand_side_by_side(site_a: Ferry, site_b: Ferry, order: str) -> None:
    sites = {"a": site_a, "b": site_b}
    first, second = (sites[name] for name in order)
    first.load()
    before = kept_of(first, f"site{order[0]}_")
    assert [load.outcome for load in second.load()] == ["loaded"]
    assert kept_of(first, f"site{order[0]}_") == before
    assert site_a.rows("sitea_d1")[0]["v"] == 1001
    assert site_b.rows("siteb_d1")[0]["v"] == 9001
    for site in sites.values():
        assert site.load()[0].outcome == "already loaded"
        assert site.equal()


def test_no_command_of_the_one_touches_the_other(site_a: Ferry, site_b: Ferry, other: Database, tmp_path: Path) -> None:
    site_a.load()
    site_b.load()
    other.run("INSERT INTO reading SELECT 'd3', ts, v, note FROM reading WHERE device = 'd2'")
    before = kept_of(site_a, "sitea_")
    lose_rows(site_b, "siteb_d1")
    for arguments in (
        ["status", "--containers"],
        ["containers"],
        ["sync"],
        ["sync", "--sweep"],
        ["verify"],
        ["repair"],
        ["repairs"],
        ["quarantine", "list"],
        ["quarantine", "replay"],
        ["cutover"],
        ["report"],
        ["drop-slot"],
        ["load"],
        ["load", "--replace", "--yes"],
        ["verify"],
    ):
        said = command(site_b, tmp_path, *arguments)
        assert "sitea" not in said.text, (arguments, said.text)
        assert said.code in (0, 1, 3), (arguments, said.text)
        assert kept_of(site_a, "sitea_") == before, arguments
    with site_b.migration() as migration:
        lose_rows(site_b, "siteb_d3")
        run = migration.repairs.repair().tables[0].run
        assert run
        migration.repairs.undo(run)
        migration.repairs.forget(run)
    assert kept_of(site_a, "sitea_") == before
    assert site_b.rows("siteb_d3")[0]["v"] == 9004  # as before the repair
    assert site_a.equal()
    assert len([row for row in command(site_a, tmp_path, "quarantine", "list").text.split() if row == "note"]) <= 2


@pytest.mark.parametrize("options", [{}, {"replace": True}])
def test_containers_that_meet_are_refused_by_name_and_nothing_is_dropped(
    site_a: Ferry, site_b: Ferry, postgres: Database, other: Database, options: dict[str, Any]
) -> None:
    site_a.load()
    before = site_a.everything()
    meeting = site_b.of({**READING, "container": "SiteA_{value}", "on_bad_row": "quarantine"})
    with pytest.raises(PlanError, match="of another migration") as caught:
        meeting.load(**options)
    assert '"sitea_d1" is of public.reading of the migration of the database' in caught.value.message
    assert postgres.name in caught.value.message
    assert other.name in caught.value.next_step
    assert site_a.everything() == before


def test_the_config_of_the_other_database_is_not_the_loaded_one(
    site_a: Ferry, site_b: Ferry, postgres: Database, tmp_path: Path
) -> None:
    """As seen before: the second site's config and the first site's table, and verify said equal of the wrong ones."""
    site_a.load()
    for arguments in (["sync"], ["verify"], ["repair"], ["quarantine", "replay"]):
        said = refused(site_b, tmp_path, *arguments, code=2, says="public.reading was not loaded into this target")
        assert f'public.reading from the database "{postgres.name}"' in said.text
    assert command(site_b, tmp_path, "cutover").code != 0


def test_a_third_config_on_the_same_database_needs_a_name_of_its_own(site_a: Ferry, tmp_path: Path) -> None:
    site_a.load()
    before = site_a.everything()
    third = site_a.of({**site_a.tables[0], "container": "third_{value}"})
    for arguments in (["load"], ["sync"], ["verify"], ["repair"], ["quarantine", "replay"]):
        refused(third, tmp_path, *arguments, code=3, says="its options in the config have changed")
    assert {name: rows for name, rows in site_a.everything().items() if name != STATE} == {
        name: rows for name, rows in before.items() if name != STATE
    }
    named = replace(third, name="copy")
    named.load()
    kept = kept_of(site_a, "sitea_")
    assert named.equal()
    named.load(replace=True)
    assert kept_of(site_a, "sitea_") == kept
    assert site_a.equal()


def test_a_named_migration_is_not_that_of_another_database(site_a: Ferry, site_b: Ferry, tmp_path: Path) -> None:
    replace(site_a, name="shop").load()
    before = site_a.everything()
    for arguments in (["load"], ["load", "--replace", "--yes"], ["sync"], ["verify"], ["quarantine", "replay"]):
        refused(replace(site_b, name="shop"), tmp_path, *arguments, code=3, says='the migration "shop" of the database')
    assert site_a.everything() == before


@pytest.mark.parametrize("mode", ["watermark", "cdc"])
def test_two_configs_on_one_database_have_slots_and_leases_of_their_own(site_a: Ferry, mode: str) -> None:
    sync = {"mode": mode}
    one = replace(site_a, name="one").of(
        {**READING, "container": "one_{value}", "on_bad_row": "quarantine", "sync": sync}
    )
    two = replace(site_a, name="two").of(
        {**READING, "container": "two_{value}", "on_bad_row": "quarantine", "sync": sync}
    )
    one.load()
    with one.migration() as migration, Lease(migration.endpoints.look_at_state().documents, "public.reading"):
        two.load()
        with two.migration() as second:
            second.syncs.sync()
            runs = [m.endpoints.state.runs.get("public.reading") for m in (migration, second)]
            slots = {run.slot for run in runs if run is not None}
    assert len(slots) == (2 if mode == "cdc" else 1)
    with two.migration() as migration:
        migration.syncs.drop_slots()
    with one.migration() as migration:
        migration.syncs.sync()
        migration.syncs.drop_slots()
    assert one.equal()
    assert two.equal()


def test_of_two_that_claim_a_name_at_once_one_gets_it(site_a: Ferry, site_b: Ferry) -> None:
    """The second one looked before the first one had claimed."""
    site_a.load()
    with site_a.migration() as one, site_b.migration() as two:
        two.endpoints.look_at_state().begin()
        claim: Callable[..., list[CatalogEntry]] = two.endpoints.look_at_state().catalog.claim
        owners: Iterator[list[CatalogEntry]] = iter([[]])
        two_catalog = two.endpoints.look_at_state().catalog
        original = two_catalog.owners
        two_catalog.owners = lambda names: next(owners, None) or original(names)  # type: ignore[method-assign]
        taken = two_catalog.claim([CatalogEntry("public.reading", name, name) for name in ("fresh", "sitea_d1")])
        assert [entry.container for entry in taken] == ["sitea_d1"]
        assert [entry.container for entry in two.endpoints.look_at_state().catalog.entries()] == []
        assert claim([CatalogEntry("public.reading", "Fresh", "x", "device")]) == []
        assert [e.container for e in one.endpoints.look_at_state().catalog.owners(["FRESH"])] == ["Fresh"]
        assert [e.migration for e in one.endpoints.look_at_state().catalog.owners(["fresh"])] == [
            two.endpoints.state.whose().key
        ]


def test_a_row_of_nobody_is_not_dropped(site_a: Ferry) -> None:
    site_a.load()
    with site_a.store() as store:
        schema = store.open_container("sitea_d1").schema  # type: ignore[union-attr]
        theirs = store.create_container("theirs_d1", schema)
        theirs.put(next(iter(store.open_container("sitea_d1").scan().batches())).slice(0, 5))  # type: ignore[union-attr]
    with pytest.raises(TargetNotEmpty):
        replace(site_a, name="x").of({**READING, "container": "theirs_{value}", "on_bad_row": "quarantine"}).load()
    assert len(site_a.rows("theirs_d1")) == 5


def test_what_is_not_loaded_from_this_database_is_told_with_what_is_there(
    site_a: Ferry, site_b: Ferry, postgres: Database
) -> None:
    with site_b.migration() as migration, pytest.raises(ConfigError, match="was not loaded into this target") as empty:
        migration.verifications.verify()
    assert "migration" not in empty.value.message
    replace(site_a, name="shop").load()
    with site_b.migration() as migration, pytest.raises(ConfigError) as caught:
        migration.verifications.verify()
    assert "`name`" in caught.value.next_step
    assert f'the migration "shop" of the database "{postgres.name}"' in caught.value.message


def test_a_changed_config_is_refused_by_each_command_and_told_by_those_that_look(site_a: Ferry, tmp_path: Path) -> None:
    site_a.load()
    before = site_a.everything()
    changed = site_a.of({**site_a.tables[0], "where": "v > 1010"})
    for arguments in (
        ["load"],
        ["sync"],
        ["verify"],
        ["verify", "--quick"],
        ["repair"],
        ["quarantine", "replay"],
    ):
        refused(changed, tmp_path, *arguments, code=3, says="its options in the config have changed")
    assert "changed" in command(changed, tmp_path, "status").text
    with pytest.raises(CheckpointError), changed.migration() as migration:
        migration.syncs.sync()
    assert {n: r for n, r in site_a.everything().items() if n != STATE} == {
        n: r for n, r in before.items() if n != STATE
    }


def test_the_plan_tells_of_containers_that_are_not_free(site_a: Ferry, site_b: Ferry, tmp_path: Path) -> None:
    site_a.load()
    meeting = site_b.of({**READING, "container": "sitea_{value}", "on_bad_row": "quarantine"})
    said = refused(meeting, tmp_path, "plan", code=2, says="would go into containers of another migration")
    assert "not checked" not in said.text
    assert command(site_b, tmp_path, "plan").code == 0
    assert command(site_a, tmp_path, "plan").code == 0
    with site_a.store() as store:
        schema = store.open_container("sitea_d1").schema  # type: ignore[union-attr]
        rows = next(iter(store.open_container("sitea_d1").scan().batches())).slice(0, 5)  # type: ignore[union-attr]
        store.create_container("siteb_d1", schema).put(rows)
    refused(site_b, tmp_path, "plan", code=2, says='"siteb_d1" (5 rows)', advises="--replace-unclaimed")


def test_the_plan_says_where_the_target_was_not_asked(site_a: Ferry, tmp_path: Path) -> None:
    away = replace(site_a, server=replace(site_a.server, address="127.0.0.1:9"))
    said = command(away, tmp_path, "plan")
    assert said.code == 0
    assert "whether its containers are free in the target was not checked" in said.text


def test_replace_says_what_it_drops_before_it_does(site_a: Ferry, tmp_path: Path) -> None:
    site_a.load()
    goes = "--replace drops 2 containers with 100 rows of public.reading, and loads them again"
    refused(site_a, tmp_path, "load", "--replace", code=2, says=goes, advises="--yes")
    changed = site_a.of({**site_a.tables[0], "where": "v > 1010"})
    for arguments in (["load"], ["sync"], ["verify"], ["repair"]):
        refused(changed, tmp_path, *arguments, code=3, says="options in the config have changed", advises=goes)
    assert goes in command(site_a, tmp_path, "load").text
    assert len(site_a.rows("sitea_d1")) == 50


def test_status_lists_the_migrations_of_the_target(site_a: Ferry, site_b: Ferry, tmp_path: Path) -> None:
    assert "No migration" in command(site_a, tmp_path, "status", "--all").text
    replace(site_a, name="shop").load()
    site_b.load()
    (first, second) = json.loads(command(site_a, tmp_path, "status", "--all", "--json").text)["migrations"]
    assert (first["name"], first["tables"]) == ("shop", ["public.reading"])
    assert (second["name"], second["tables"]) == ("", ["public.reading"])
    assert "shop" in command(site_b, tmp_path, "status", "--all").text


def test_where_the_source_is_away_the_one_migration_with_these_tables_is_told(
    site_a: Ferry, site_b: Ferry, tmp_path: Path
) -> None:
    site_a.load()
    site_b.load()
    away = replace(site_a, dsn="postgresql://postgres@127.0.0.1:9/nowhere?connect_timeout=2")
    said = command(away, tmp_path, "status")
    assert said.code == 0
    assert "the only one here that has these tables" in said.text
    assert "loaded" in said.text
    replace(site_a, name="twin").of({**site_a.tables[0], "container": "sitea_{value}", "where": "v < 0"}).load()
    refused(away, tmp_path, "status", code=2, says="2 migrations of this target have these tables")
