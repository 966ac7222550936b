"""What is published of which table; slots and their guard; the refusals a user may meet."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import closing

import psycopg
import pytest
from tests.conftest import Database

from gridferry.errors import SlotLost, SourceError, SourceRefused, SourceUnreachable
from gridferry.local.postgres import LocalPostgres
from gridferry.model.position import Lsn
from gridferry.model.publishing import Published
from gridferry.source.postgres.log.stream import ChangeStream
from gridferry.source.postgres.session.connection import connect, parse_address
from gridferry.source.postgres.session.replication_session import ReplicationSession
from gridferry.source.postgres.slots.publications import (
    align_publications,
    drop_publications,
    fetch_publications,
    fetch_publishing,
)
from gridferry.source.postgres.slots.slots import (
    SlotFacts,
    check_slot,
    create_slot,
    drop_slot,
    fetch_slot,
    send_heartbeat,
)

SLOT = "gridferry_p"


def slot_facts(postgres: Database, slot: str) -> SlotFacts:
    facts = fetch_slot(postgres.connection, slot)
    assert facts is not None
    return facts


@pytest.fixture
def slot() -> str:
    """A slot's name; whoever makes it drops it."""
    return SLOT


def publish(database, *tables: str):
    return align_publications(database.address, slot=SLOT, tables=[("public", table) for table in tables])


PARTITIONED = "PARTITION BY RANGE (a); CREATE TABLE c PARTITION OF t DEFAULT"
IDENTITIES = {
    "CREATE TABLE t (a int PRIMARY KEY, b int)": ("all", ("a",)),
    "CREATE TABLE t (b int, a int, PRIMARY KEY (a, b))": ("all", ("b", "a")),
    "CREATE TABLE t (a int PRIMARY KEY DEFERRABLE, b int)": ("inserts", ()),
    "CREATE TABLE t (a int UNIQUE NOT NULL, b int)": ("inserts", ()),
    "CREATE TABLE t (a int CONSTRAINT k UNIQUE NOT NULL, b int); ALTER TABLE t REPLICA IDENTITY USING INDEX k": (
        "all",
        ("a",),
    ),
    "CREATE TABLE t (a int, b int); ALTER TABLE t REPLICA IDENTITY FULL": ("all", ("a", "b")),
    "CREATE TABLE t (a int PRIMARY KEY, b int); ALTER TABLE t REPLICA IDENTITY NOTHING": ("inserts", ()),
    # The root's columns stand in another order than the partition's, so do those of the key.
    "CREATE TABLE t (b int, a int, PRIMARY KEY (a, b)) PARTITION BY RANGE (a);"
    " CREATE TABLE c (a int NOT NULL, b int NOT NULL); ALTER TABLE t ATTACH PARTITION c DEFAULT": ("all", ("b", "a")),
    f"CREATE TABLE t (a int PRIMARY KEY, b int) {PARTITIONED}": ("all", ("a",)),
    f"CREATE TABLE t (a int, b int) {PARTITIONED}; ALTER TABLE c REPLICA IDENTITY FULL": ("inserts", ()),
    f"CREATE TABLE t (a int PRIMARY KEY, b int) {PARTITIONED}; ALTER TABLE c REPLICA IDENTITY NOTHING": ("inserts", ()),
}


@pytest.mark.parametrize("statements", IDENTITIES)
def test_a_table_is_published_as_far_as_its_identity_allows(postgres, statements):
    if " PARTITION BY " in statements:
        postgres.needs(13, "publication of a partitioned table")
    postgres.run(statements)
    (found,) = publish(postgres, "t")
    assert (found.published.value, found.identity) == IDENTITIES[statements]
    assert bool(found.reason) == bool(found.advice) == (found.published is Published.INSERTS)
    for table in ("t", "c") if " c " in statements else ("t",):  # the application goes on, whatever the identity
        postgres.run(f"INSERT INTO {table} VALUES (1, 1); UPDATE {table} SET b = 2; DELETE FROM {table}")
    if " PARTITION BY " in statements:
        postgres.run("ALTER TABLE t DETACH PARTITION c; CREATE TABLE d PARTITION OF t DEFAULT")
        postgres.run("INSERT INTO t VALUES (1, 1); UPDATE t SET b = 2; DELETE FROM t")


JOIN_TABLES = {
    'CREATE TABLE t (a int NOT NULL, b int NOT NULL); CREATE UNIQUE INDEX "One" ON t (a, b)': '"One"',
    "CREATE TABLE t (a int PRIMARY KEY, b int); ALTER TABLE t REPLICA IDENTITY NOTHING": '"t_pkey"',
    "CREATE TABLE t (a int, b int NOT NULL); CREATE UNIQUE INDEX ON t (a, b)": "",
    "CREATE TABLE t (a int NOT NULL, b int); CREATE UNIQUE INDEX ON t (a) WHERE b > 1": "",
}


@pytest.mark.parametrize(("made", "index"), JOIN_TABLES.items())
def test_an_index_that_serves_as_identity_is_named(postgres, made, index):
    postgres.run(made)
    (before,) = publish(postgres, "t")
    assert (f"USING INDEX {index};" in before.advice) == bool(index)
    if index:
        postgres.run(before.advice.partition(";")[0])
        (now,) = publish(postgres, "t")
        assert now.published is Published.ALL


def test_a_table_moves_when_its_identity_does(postgres):
    postgres.run("CREATE TABLE t (a int); CREATE TABLE u (a int PRIMARY KEY)")
    publish(postgres, "t", "u")
    assert [sorted(p.tables) for p in fetch_publications(postgres.connection, SLOT)] == [
        [("public", "u")],
        [("public", "t")],
    ]
    before = {p.oid for p in fetch_publications(postgres.connection, SLOT)}
    postgres.run("ALTER TABLE t ADD PRIMARY KEY (a); ALTER TABLE u DROP CONSTRAINT u_pkey")
    publish(postgres, "t", "u")
    publish(postgres, "t", "u")
    postgres.run("INSERT INTO u VALUES (1); UPDATE u SET a = 2; DELETE FROM u")
    full, inserts = fetch_publications(postgres.connection, SLOT)
    assert [*full.tables, *inserts.tables] == [("public", "t"), ("public", "u")]
    assert {full.oid, inserts.oid} == before
    publish(postgres, "u")
    assert [p.tables for p in fetch_publications(postgres.connection, SLOT)] == [frozenset(), {("public", "u")}]
    assert len(drop_publications(postgres.address, slot=SLOT)) == 2


def test_generated_columns_that_changes_do_not_hold_are_told(postgres_each):
    postgres_each.run("CREATE TABLE t (a int PRIMARY KEY, s int GENERATED ALWAYS AS (a + 1) STORED)")
    (found,) = fetch_publishing(postgres_each.connection, [("public", "t")])
    assert found.unpublished == (() if postgres_each.version >= 18 else ("s",))


def test_what_cannot_be_published_is_told_all_at_once(postgres):
    postgres.run("CREATE VIEW v AS SELECT 1 AS a; CREATE UNLOGGED TABLE u (a int); CREATE TABLE t (a int)")
    postgres.run("CREATE TABLE p (a int PRIMARY KEY); CREATE TABLE c (PRIMARY KEY (a)) INHERITS (p)")
    with pytest.raises(SourceRefused) as caught:
        publish(postgres, "v", "t", "u", "missing", "p")
    wanted = (
        "public.v cannot be followed: it is not a table",
        "public.u cannot",
        "no table public.missing",
        "public.c",
    )
    for words in wanted:
        assert words in caught.value.message
    assert fetch_publications(postgres.connection, SLOT) == []


def test_a_role_that_does_not_own_the_table_is_refused(postgres):
    postgres.run("CREATE TABLE t (a int); DROP ROLE IF EXISTS visitor; CREATE ROLE visitor LOGIN")
    postgres.run("GRANT SELECT ON t TO visitor")
    address = parse_address(postgres.dsn_as("visitor"))
    try:
        with pytest.raises(SourceRefused, match=r"permission denied|must be owner"):
            align_publications(address, slot=SLOT, tables=[("public", "t")])
        with pytest.raises(SourceRefused, match="replication") as caught, create_slot(address, SLOT):
            pass
        assert "ALTER ROLE visitor REPLICATION" in caught.value.next_step
    finally:
        postgres.run("DROP OWNED BY visitor; DROP ROLE visitor")


def test_a_slot_can_be_made_once(postgres, slot):
    with create_slot(postgres.address, slot) as made:
        facts = slot_facts(postgres, slot)
        assert facts.confirmed == made.start
        assert (facts.plugin, facts.database, facts.active) == ("pgoutput", postgres.name, False)
        assert facts.wal_status == ("reserved" if postgres.version >= 13 else None)
        assert facts.lag_bytes is not None
        assert facts.kept_bytes is not None
        assert facts.kept_bytes >= facts.lag_bytes >= 0
        assert not facts.lost
    try:
        with pytest.raises(SourceRefused, match="already exists") as caught, create_slot(postgres.address, slot):
            pass
        assert "drop-slot" in caught.value.next_step
        send_heartbeat(postgres.connection)
        later = slot_facts(postgres, slot).lag_bytes
        assert later is not None
        assert later > facts.lag_bytes
        with pytest.raises(SlotLost, match="publication"):
            check_slot(postgres.connection, slot, start=made.start)
    finally:
        drop_slot(postgres.address, slot)
    assert fetch_slot(postgres.connection, slot) is None


def test_a_heartbeat_covers_what_was_committed_without_waiting_for_the_disk(postgres):
    with connect(postgres.address) as reader:  # as gridferry's own sessions are: read-only
        postgres.run("SET synchronous_commit = off; CREATE TABLE t (a int)")
        inserted = Lsn.parse(postgres.run("SELECT pg_current_wal_insert_lsn()::text")[0][0])
        assert send_heartbeat(reader) >= inserted


def refused(server: LocalPostgres) -> SourceError:
    with pytest.raises(SourceError) as caught, create_slot(parse_address(server.dsn()), SLOT):
        pass
    assert caught.value.next_step
    return caught.value


@pytest.mark.parametrize("version", [16, 18])
def test_a_server_that_is_not_set_up_for_it(version):
    with LocalPostgres(version=version, settings={"wal_level": "replica"}) as server:
        error = refused(server)
        assert isinstance(error, SourceRefused)
        assert "wal_level" in error.message
        assert "wal_level = logical" in error.next_step


def test_a_session_waits_for_the_place_of_one_that_is_ending():
    with LocalPostgres(settings={"max_wal_senders": "1"}) as server:
        address = parse_address(server.dsn())
        ended = threading.Event()
        with closing(ReplicationSession(address)) as first:

            def end_first() -> None:
                ended.set()
                first.close()

            threading.Timer(1.0, end_first).start()
            with closing(ReplicationSession(address)) as second:
                assert ended.is_set()
                assert second.identify()


def test_no_free_slot_no_free_sender_and_lost_log():
    small = {
        "max_replication_slots": "1",
        "max_wal_senders": "1",
        "max_slot_wal_keep_size": "1MB",
        "wal_keep_size": "0",
    }
    small |= {"min_wal_size": "32MB", "max_wal_size": "32MB"}
    with LocalPostgres(settings=small) as server, psycopg.connect(server.dsn(), autocommit=True) as connection:
        address = parse_address(server.dsn())
        align_publications(address, slot=SLOT, tables=[])
        with create_slot(address, SLOT) as made:
            start = made.start
        with pytest.raises(SourceRefused, match="slots are in use") as caught, create_slot(address, SLOT + "2"):
            pass
        assert "max_replication_slots" in caught.value.next_step
        with ChangeStream(address, slot=SLOT, start=start, wanted={}) as stream:
            with pytest.raises(SourceUnreachable, match="max_wal_senders"):
                ChangeStream(address, slot=SLOT, start=start, wanted={})
            stream.stop()
        for _ in range(4):
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t SELECT generate_series(1, 1000)")
        connection.execute("CHECKPOINT")
        with pytest.raises(SlotLost, match="has lost log") as lost:
            ChangeStream(address, slot=SLOT, start=start, wanted={})
        assert lost.value.exit_code == 3
        assert drop_slot(address, SLOT)[0] == f"replication slot {SLOT}"


def test_a_server_that_stops_and_one_that_crashes():
    with LocalPostgres() as server:
        address = parse_address(server.dsn())
        align_publications(address, slot=SLOT, tables=[])
        with create_slot(address, SLOT) as made:
            start = made.start
        for end in (server.stop, server.kill):
            with ChangeStream(address, slot=SLOT, start=start, wanted={}) as stream:
                end()
                with pytest.raises(SourceUnreachable) as caught:
                    confirm_all(stream)
                assert caught.value.exit_code == 75
                assert "same command again" in caught.value.next_step
            server.start()


def confirm_all(stream: ChangeStream) -> None:
    """Follow without end, as an engine would that has nothing to do."""
    for group in stream.groups():
        assert group.position is not None
        stream.confirm(group.position)


def test_a_slot_that_is_given_up_while_it_waits_does_not_come_about_later(postgres, slot):
    class GivenUp(Exception):
        pass

    def give_up(*_: object) -> None:
        raise GivenUp

    with postgres.connect() as other:
        other.autocommit = False
        other.execute("CREATE TABLE t (a int)")  # the slot waits for this transaction
        before = signal.signal(signal.SIGALRM, give_up)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(GivenUp), create_slot(postgres.address, slot):
                pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        other.commit()
    gone = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = current_database()"
    deadline = time.monotonic() + 10
    while postgres.run(gone) != [(0,)] and time.monotonic() < deadline:
        postgres.run("SELECT pg_sleep(0.05)")
    assert fetch_slot(postgres.connection, slot) is None
