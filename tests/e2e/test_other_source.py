"""The config's source is not the one that the tables are from: every command refuses, and one command leads back."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.conftest import Database, database_on
from tests.copies import base_backup, keep_files, put_back
from tests.e2e.changes import sync, without_slots
from tests.e2e.command import Said, command, refused
from tests.e2e.ferry import Ferry
from tests.e2e.killer import Killer

from gridferry.errors import ConfigError, OtherSource
from gridferry.local.postgres import LocalPostgres
from gridferry.model.verification import Verdict

NAME = "plant"
MODES: dict[str, dict[str, Any]] = {
    "watermark": {"table": "stock", "sync": {"mode": "watermark", "column": "k"}},
    "cdc": {"table": "stock", "sync": {"mode": "cdc"}},
}
READS = [
    ["sync"],
    ["verify"],
    ["verify", "--quick"],
    ["repair"],
    ["quarantine", "replay"],
    ["load"],
]


def make_stock(database: Database) -> None:
    database.run("CREATE TABLE stock (k int PRIMARY KEY, v text)")
    database.run("INSERT INTO stock SELECT i, 'first ' || i FROM generate_series(1, 20) AS i")


def make_other(database: Database) -> None:
    """A table of the same name with other rows: some fewer, some more, some different."""
    database.run("CREATE TABLE stock (k int PRIMARY KEY, v text)")
    database.run("INSERT INTO stock SELECT i, 'second ' || i FROM generate_series(11, 40) AS i")


def level(ferry: Ferry, database: Database) -> bool:
    there = sorted((row["k"], row["v"]) for row in ferry.rows("stock"))
    return there == sorted(database.run("SELECT k, v FROM stock"))


def held(ferry: Ferry) -> dict[str, Any]:
    """Everything in the target that a refused command must leave as it was."""
    return {name: sorted(map(repr, rows)) for name, rows in ferry.everything().items()}


def elsewhere(ferry: Ferry, folder: Path, *words: str) -> Said:
    """Run a command that must refuse another source, and lead back from it."""
    said = command(ferry, folder, *words)
    assert said.code in (2, 3), said.text
    assert "sync --new-source" in said.text, said.text
    return said


def way_back(said: Said) -> list[str]:
    """The words of the command that an error advises."""
    found = re.search(r"`gridferry (sync --new-source[^`]*)`", said.text)
    assert found is not None, said.text
    return shlex.split(found.group(1))


def leads_back(ferry: Ferry, database: Database, folder: Path, said: Said) -> None:
    """Follow the advice: then both sides are equal, stay so, and can be cut over."""
    done = command(ferry, folder, *way_back(said), "--yes")
    assert done.code == 0, done.text
    assert level(ferry, database)
    database.run("INSERT INTO stock VALUES (700, 'after'), (701, 'after')")
    done = command(ferry, folder, "sync")
    assert done.code == 0, done.text
    assert level(ferry, database)
    assert "All values are equal" in command(ferry, folder, "verify").text
    done = command(ferry, folder, "cutover")
    assert done.code == 0, done.text
    assert "another source" not in command(ferry, folder, "status").text


@contextmanager
def opened(server: LocalPostgres) -> Iterator[Database]:
    with psycopg.connect(server.dsn(NAME), autocommit=True) as connection:
        yield Database(server, NAME, connection)


@pytest.fixture
def other(postgres_server: LocalPostgres) -> Iterator[Database]:
    """A second database on the same server."""
    yield from database_on(postgres_server)


@pytest.fixture
def plant() -> Iterator[LocalPostgres]:
    """A server that a test may stop and copy, with the table in a database of its own."""
    with LocalPostgres(version=18) as server:
        server.create_database(NAME)
        with opened(server) as database:
            make_stock(database)
        yield server


@pytest.fixture(params=sorted(MODES))
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = MODES[request.param]
    return found


def at(ferry: Ferry, server: LocalPostgres, *tables: dict[str, Any]) -> Ferry:
    """By its TCP address: what takes the place of a server has the same one."""
    return replace(ferry, dsn=server.tcp_dsn(NAME)).of(*tables)


def takes_the_place_of(copy: LocalPostgres, server: LocalPostgres) -> None:
    """Start the copy where the server was, once that is stopped."""
    server.stop()
    copy.port = server.port
    copy.start()


def burn(database: Database, transactions: int) -> None:
    """Use up transaction ids."""
    for _ in range(transactions):
        database.run("SELECT pg_catalog.txid_current()")


def test_another_database_is_refused_by_every_command(
    ferry: Ferry, postgres: Database, other: Database, tmp_path: Path, mode: dict[str, Any]
) -> None:
    make_stock(postgres)
    make_other(other)
    with without_slots(postgres), without_slots(other):
        first = ferry.of(mode)
        first.load()
        sync(first)
        moved = replace(first, dsn=other.dsn)
        before = held(moved)
        commands = [
            *READS,
            *([["sync", "--sweep"]] if mode is MODES["watermark"] else [["sync", "--new-slot"]]),
        ]
        for words in commands:
            said = elsewhere(moved, tmp_path, *words)
            assert postgres.name in said.text
            assert other.name in said.text
            assert held(moved) == before, words
        assert command(moved, tmp_path, "drop-slot").code in (0, 3)
        assert held(moved) == before
        said = command(moved, tmp_path, "cutover")
        assert said.code != 0
        assert "READY" not in said.text.replace("NOT READY", "")
        assert "sync --new-source" in command(moved, tmp_path, "status").text
        assert command(moved, tmp_path, "report", "--output", str(tmp_path / "r.html")).code == 0
        assert "sync --new-source" in (tmp_path / "r.html").read_text()
        assert held(moved) == before
        assert other.run("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()") == [(0,)]
        # Back at the right address all is as it was; at the other one the advice leads on.
        assert command(first, tmp_path, "sync").code == 0
        leads_back(moved, other, tmp_path, elsewhere(moved, tmp_path, "sync"))


def test_taking_over_asks_first(ferry: Ferry, postgres: Database, other: Database, tmp_path: Path) -> None:
    make_stock(postgres)
    make_other(other)
    first = ferry.of(MODES["watermark"])
    first.load()
    moved = replace(first, dsn=other.dsn)
    before = held(moved)
    said = refused(moved, tmp_path, "sync", "--new-source", code=2, says="no terminal to ask on", advises="--yes")
    assert postgres.name in said.text
    assert other.name in said.text
    refused(moved, tmp_path, "sync", "--new-source", "--yes", "--follow", code=2, says="goes alone")
    assert held(moved) == before
    said = command(first, tmp_path, "sync", "--new-source", "--yes")
    assert said.code == 0
    assert level(first, postgres)


def test_a_repair_made_by_taking_over_can_be_undone(
    ferry: Ferry, postgres: Database, other: Database, tmp_path: Path
) -> None:
    make_stock(postgres)
    make_other(other)
    first = ferry.of(MODES["watermark"])
    first.load()
    moved = replace(first, dsn=other.dsn)
    assert command(moved, tmp_path, "sync", "--new-source", "--yes").code == 0
    assert level(moved, other)
    with moved.migration() as migration:
        (made,) = migration.repairs.all()
    command(first, tmp_path, "undo", made.record.run)
    assert level(moved, other)
    assert command(moved, tmp_path, "undo", made.record.run).code == 0
    assert level(first, postgres)


def test_a_table_that_is_not_followed(ferry: Ferry, postgres: Database, other: Database, tmp_path: Path) -> None:
    make_stock(postgres)
    make_other(other)
    first = ferry.of("stock")
    first.load()
    moved = replace(first, dsn=other.dsn)
    said = elsewhere(moved, tmp_path, "repair")
    assert "sync --new-source" in command(moved, tmp_path, "status").text
    assert command(moved, tmp_path, *way_back(said), "--yes").code == 0
    assert level(moved, other)
    assert moved.equal()


@pytest.mark.parametrize("how", ["dropped and created", "swapped by rename"])
def test_a_table_that_took_the_name_of_another(
    ferry: Ferry, postgres: Database, tmp_path: Path, mode: dict[str, Any], how: str
) -> None:
    make_stock(postgres)
    # Filled before the last sync: by transaction ids its rows would count as read.
    postgres.run("CREATE TABLE fresh (k int PRIMARY KEY, v text)")
    postgres.run("INSERT INTO fresh SELECT i, 'fresh ' || i FROM generate_series(15, 50) AS i")
    with without_slots(postgres):
        followed = ferry.of(mode)
        followed.load()
        burn(postgres, 5)
        sync(followed)
        if how == "swapped by rename":
            postgres.run("ALTER TABLE stock RENAME TO old; ALTER TABLE fresh RENAME TO stock")
        else:
            postgres.run("DROP TABLE stock; CREATE TABLE stock (k int PRIMARY KEY, v text)")
            postgres.run("INSERT INTO stock SELECT i, 'new ' || i FROM generate_series(15, 50) AS i")
        before = held(followed)
        for words in (["sync"], ["repair"], ["verify", "--quick"]):
            said = refused(followed, tmp_path, *words, code=3, says="is not the table that was loaded")
            assert held(followed) == before
        leads_back(followed, postgres, tmp_path, said)


def test_a_copy_fed_by_logical_replication_at_the_same_address(
    ferry: Ferry, plant: LocalPostgres, tmp_path: Path
) -> None:
    """System identifier, timeline, OIDs and address are the same, and its transaction ids have passed the cursor."""
    followed = at(ferry, plant, MODES["watermark"])
    followed.load()
    copy = base_backup(plant)
    with ExitStack() as stack:
        stack.callback(copy.remove)
        with opened(plant) as database:
            burn(database, 100)
            sync(followed)
            database.run("INSERT INTO stock SELECT i, 'between ' || i FROM generate_series(100, 149) AS i")
        takes_the_place_of(copy, plant)
        with opened(copy) as database:
            database.run("INSERT INTO stock SELECT i, 'between ' || i FROM generate_series(100, 149) AS i")
            database.run("DELETE FROM stock WHERE k BETWEEN 1 AND 10")  # as many rows fewer, if only counted
            burn(database, 200)
            for _ in range(3):
                database.run("SELECT pg_switch_wal(); CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t VALUES (1)")
            database.run("CHECKPOINT; INSERT INTO stock VALUES (500, 'after the switch')")
            before = held(followed)
            said = refused(followed, tmp_path, "sync", code=3, says="50 rows of the source", advises="--new-source")
            refused(followed, tmp_path, "sync", "--sweep", code=3, says="50 rows of the source")
            assert held(followed) == before
            assert "a restart, or a copy" in command(followed, tmp_path, "status").text
            assert command(followed, tmp_path, "cutover").code != 0
            leads_back(followed, database, tmp_path, said)


def test_a_copy_at_another_address_does_not_overwrite_the_target(
    ferry: Ferry, plant: LocalPostgres, tmp_path: Path, mode: dict[str, Any]
) -> None:
    """A staging server that was restored from a base backup, and the config names it by mistake."""
    followed = at(ferry, plant, mode)
    followed.load()
    sync(followed)
    copy = base_backup(plant)
    with ExitStack() as stack:
        stack.callback(copy.remove)
        copy.start()
        with opened(copy) as database:
            database.run("UPDATE stock SET v = 'staging'; INSERT INTO stock VALUES (900, 'staging')")
            staging = at(ferry, copy, mode)
            before = held(staging)
            for words in (["sync"], ["repair"], ["verify"], ["quarantine", "replay"]):
                said = refused(staging, tmp_path, *words, code=3, says="another address", advises="put it right")
                assert held(staging) == before
            assert command(followed, tmp_path, "sync").code == 0
            leads_back(staging, database, tmp_path, said)


@pytest.mark.parametrize("stop", ["crash", "restart"])
def test_a_server_that_was_started_again_goes_on(
    ferry: Ferry, plant: LocalPostgres, tmp_path: Path, mode: dict[str, Any], stop: str
) -> None:
    followed = at(ferry, plant, mode)
    followed.load()
    with opened(plant) as database:
        database.run("INSERT INTO stock VALUES (60, 'one')")
        sync(followed)
        database.run("SET synchronous_commit = on; INSERT INTO stock VALUES (61, 'two')")
    plant.kill() if stop == "crash" else plant.stop()
    plant.start()
    with opened(plant) as database:
        said = command(followed, tmp_path, "sync")
        assert said.code == 0, said.text
        assert ("a restart, or a copy" in said.text) == (mode is MODES["watermark"])
        assert level(followed, database)
        database.run("INSERT INTO stock VALUES (62, 'three')")
        said = command(followed, tmp_path, "sync")
        assert said.code == 0
        assert "a restart, or a copy" not in said.text
        assert level(followed, database)


def test_a_server_put_back_to_an_older_state(ferry: Ferry, plant: LocalPostgres, tmp_path: Path) -> None:
    followed = at(ferry, plant, MODES["watermark"])
    followed.load()
    plant.stop()
    backup = keep_files(plant, tmp_path / "backup")
    plant.start()
    with opened(plant) as database:
        database.run("SET synchronous_commit = on")  # its log is on disk when the sync asks where that ends
        database.run("INSERT INTO stock SELECT i, 'lost ' || i FROM generate_series(1000, 1999) AS i")
        sync(followed)
    plant.stop()
    put_back(plant, backup)
    plant.start()
    with opened(plant) as database:
        said = refused(followed, tmp_path, "sync", code=3, says="restored to an older state")
        leads_back(followed, database, tmp_path, said)


def test_a_new_server_from_a_dump_whose_transaction_ids_pass_the_cursor(
    ferry: Ferry, plant: LocalPostgres, tmp_path: Path, mode: dict[str, Any]
) -> None:
    followed = at(ferry, plant, mode)
    followed.load()
    with opened(plant) as database:
        sync(followed)
        database.run("INSERT INTO stock SELECT i, 'not synced ' || i FROM generate_series(100, 149) AS i")
        rows = database.run("SELECT k, v FROM stock")
    with LocalPostgres(version=16) as second:
        second.create_database(NAME)
        with opened(second) as database:
            database.run("CREATE TABLE stock (k int PRIMARY KEY, v text)")
            with database.connection.cursor() as cursor:
                cursor.executemany("INSERT INTO stock VALUES (%s, %s)", rows)
            burn(database, 1500)
            database.run("INSERT INTO stock VALUES (500, 'on the new server')")
            moved = at(ferry, second, mode)
            before = held(moved)
            said = elsewhere(moved, tmp_path, "sync")
            if mode is MODES["cdc"]:
                elsewhere(moved, tmp_path, "sync", "--new-slot")
            assert held(moved) == before
            leads_back(moved, database, tmp_path, said)


def test_a_failover_to_a_standby_at_the_same_address(ferry: Ferry, plant: LocalPostgres, tmp_path: Path) -> None:
    followed = at(ferry, plant, MODES["watermark"])
    followed.load()
    standby = plant.standby()
    with ExitStack() as stack:
        stack.callback(standby.remove)
        with opened(plant) as database:
            database.run("INSERT INTO stock VALUES (60, 'before')")
            sync(followed)
            (lsn,) = database.run("SELECT pg_current_wal_flush_lsn()::text")[0]
            standby.start()
            with opened(standby) as second:
                while not second.run(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn")[0][0]:
                    second.run("SELECT pg_sleep(0.05)")
        standby.stop()
        takes_the_place_of(standby, plant)
        with opened(standby) as database:
            database.run("SELECT pg_promote()")
            database.run("INSERT INTO stock VALUES (61, 'after')")
            said = command(followed, tmp_path, "sync")
            assert said.code == 0, said.text
            assert level(followed, database)
            assert command(followed, tmp_path, "cutover").code == 0


def test_a_role_that_may_not_ask_for_the_system_identifier(ferry: Ferry, plant: LocalPostgres, tmp_path: Path) -> None:
    with opened(plant) as database:
        database.run(
            "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC; CREATE ROLE reader LOGIN PASSWORD 'x'"
        )
        database.run("GRANT SELECT ON stock TO reader")
    plant.create_database("twin")
    followed = replace(ferry, dsn=plant.tcp_dsn(NAME, user="reader", password="x")).of(MODES["watermark"])
    followed.load()
    with opened(plant) as database:
        database.run("INSERT INTO stock VALUES (60, 'more')")
        assert command(followed, tmp_path, "sync").code == 0
        assert level(followed, database)
    plant.restart()
    assert command(followed, tmp_path, "sync").code == 0
    with psycopg.connect(plant.dsn("twin"), autocommit=True) as connection:
        twin = Database(plant, "twin", connection)
        make_other(twin)
        twin.run("GRANT SELECT ON stock TO reader")
    moved = replace(followed, dsn=plant.tcp_dsn("twin", user="reader", password="x"))
    elsewhere(moved, tmp_path, "sync")


def pass_the_log_of(database: Database, lsn: str) -> None:
    """Let a server's log go on by itself until it has passed a position."""
    while not database.run(f"SELECT pg_current_wal_flush_lsn() > '{lsn}'::pg_lsn")[0][0]:
        database.run("SELECT pg_switch_wal(); CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t VALUES (1)")


@pytest.mark.parametrize("marked", [True, False])
def test_a_cold_copy_with_its_slots_whose_log_has_passed_the_position(
    ferry: Ferry, plant: LocalPostgres, tmp_path: Path, marked: bool
) -> None:
    """Identifiers, timeline, address, slots: all the same; only what the catalog got since is not there."""
    followed = at(ferry, plant, MODES["cdc"])
    followed.load()
    if marked:
        sync(followed)
    plant.stop()
    files = keep_files(plant, tmp_path / "files")
    plant.start()
    with opened(plant) as database:
        database.run("INSERT INTO stock SELECT i, 'lost ' || i FROM generate_series(1000, 1099) AS i")
        sync(followed)
        ((lsn,),) = database.run("SELECT pg_current_wal_insert_lsn()::text")
    plant.stop()
    put_back(plant, files)
    plant.start()
    with opened(plant) as database:
        database.run("UPDATE stock SET v = 'of the copy' WHERE k < 5; INSERT INTO stock VALUES (70, 'of the copy')")
        pass_the_log_of(database, lsn)
        before = held(followed)
        for words in (["sync"], ["sync", "--new-slot"], ["repair"]):
            said = refused(followed, tmp_path, *words, code=3, says="a copy of the server from before that")
            assert held(followed) == before
        assert "a copy of the server from before that" in command(followed, tmp_path, "status").text
        leads_back(followed, database, tmp_path, said)


def test_a_cold_copy_of_all_that_was_stored_goes_on(ferry: Ferry, plant: LocalPostgres, tmp_path: Path) -> None:
    followed = at(ferry, plant, MODES["cdc"])
    followed.load()
    with opened(plant) as database:
        database.run("INSERT INTO stock VALUES (60, 'one')")
        sync(followed)
        database.run("INSERT INTO stock VALUES (61, 'not synced')")
    plant.stop()
    files = keep_files(plant, tmp_path / "files")
    plant.start()
    plant.stop()
    put_back(plant, files)
    plant.start()
    with opened(plant) as database:
        database.run("INSERT INTO stock VALUES (62, 'of the copy'); DELETE FROM stock WHERE k = 1")
        assert command(followed, tmp_path, "sync").code == 0
        assert level(followed, database)


STEPS = [
    ("origin", "before", 1),
    ("origin", "after", 1),
    ("cursor", "after", 1),
    ("begin repair", "after", 1),
    ("journal", "after", 1),
    ("repair record", "after", 2),
    ("origin", "before", 2),
    ("origin", "after", 2),
]
CDC_STEPS = [("with slot", "after", 1), ("horizon", "before", 1), ("position", "after", 1), ("position", "after", 2)]


@pytest.mark.parametrize(
    ("kind", "point", "moment", "call"),
    [*(("watermark", *step) for step in STEPS), *(("cdc", *step) for step in CDC_STEPS)],
)
def test_killed_anywhere_and_run_again_ends_the_same(
    ferry: Ferry,
    postgres: Database,
    other: Database,
    tmp_path: Path,
    killer: Killer,
    kind: str,
    point: str,
    moment: str,
    call: int,
) -> None:
    make_stock(postgres)
    make_other(other)
    with without_slots(postgres), without_slots(other):
        first = ferry.of(MODES[kind])
        first.load()
        sync(first)
        moved = replace(first, dsn=other.dsn)
        died = killer.run(moved, "take over", point=point, moment=moment, call=call)
        assert died == -signal.SIGKILL
        if (point, moment, call) != ("origin", "after", 2):
            with pytest.raises((OtherSource, ConfigError)):
                sync(moved, wait_s=30)
        done = command(moved, tmp_path, "sync", "--new-source", "--yes", "--wait", "30")
        assert done.code == 0, done.text
        assert level(moved, other)
        with moved.migration() as migration:
            assert migration.verifications.verify().verdict is Verdict.EQUAL
        other.run("DELETE FROM stock WHERE k = 20; INSERT INTO stock VALUES (800, 'x')")
        assert command(moved, tmp_path, "sync").code == 0
