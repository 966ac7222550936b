"""The change stream against real servers: no gap, no overlap, nothing confirmed too early, the source unharmed."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest

from gridferry.errors import SlotInUse, SlotLost, SourceError, SourceUnreachable
from gridferry.model.change import ChangeBatch, ChangeGroup, Operation, RelationChange, Truncation
from gridferry.model.position import Lsn
from gridferry.plan.plan import ReadAs, SourceColumn
from gridferry.source.postgres.log import stream as replication
from gridferry.source.postgres.log.stream import ChangeStream, StreamOptions
from gridferry.source.postgres.slots.publications import align_publications
from gridferry.source.postgres.slots.slots import create_slot, drop_slot, fetch_slot, send_heartbeat


def plain(names: str) -> tuple[SourceColumn, ...]:
    return tuple(SourceColumn(name, ReadAs.PLAIN) for name in names.split())


class Follower:
    """A slot over tables of `public`, and what its stream holds from one `pull` to the next."""

    def __init__(self, database, tables: dict[str, str]) -> None:
        self.database = database
        self.slot = "gridferry_" + "".join(c if c.isalnum() else "_20" for c in database.name)
        self.wanted = {("public", table): plain(columns) for table, columns in tables.items()}
        align_publications(database.address, slot=self.slot, tables=list(self.wanted))
        with create_slot(database.address, self.slot) as made:
            self.position = made.start

    def stream(self, **options) -> ChangeStream:
        return ChangeStream(
            self.database.address,
            slot=self.slot,
            start=self.position,
            wanted=self.wanted,
            options=StreamOptions(**options),
        )

    def pull(self, **options) -> list[ChangeGroup]:
        """Everything committed before now; confirmed."""
        until = send_heartbeat(self.database.connection)
        with self.stream(**options) as stream:
            groups = []
            for group in stream.groups(until=until):
                groups.append(group)
                if group.position is not None:
                    stream.confirm(group.position)
                    self.position = group.position
        return groups

    def parts(self, **options) -> list[Any]:
        return [part for group in self.pull(**options) for part in group.parts]

    def batches(self, **options) -> list[ChangeBatch]:
        return [part for part in self.parts(**options) if isinstance(part, ChangeBatch)]


@contextmanager
def following(database, **tables: str) -> Iterator[Follower]:
    follower = Follower(database, tables)
    try:
        yield follower
    finally:
        drop_slot(database.address, follower.slot)


def story(batches: list[ChangeBatch]) -> list[tuple[Any, ...]]:
    """Each change as (operation, new row or None, old row or None), in order."""
    told = []
    for batch in batches:
        rows = dict(zip(batch.row_changes.tolist(), batch.rows.to_pylist(), strict=True))
        olds = dict(zip(batch.old_changes.tolist(), batch.old.to_pylist(), strict=True))
        for at, operation in enumerate(batch.operations.tolist()):
            row, old = rows.get(at), olds.get(at)
            told.append(
                (
                    Operation(operation).name.lower(),
                    row and tuple(row.values()),
                    old and tuple(old.values()),
                )
            )
    return told


def test_inserts_updates_key_changes_and_deletes(postgres_each):
    postgres_each.run("CREATE TABLE t (k int PRIMARY KEY, v text)")
    with following(postgres_each, t="k v") as follower:
        postgres_each.run("INSERT INTO t VALUES (1, 'a'), (2, NULL)")
        postgres_each.run("UPDATE t SET v = 'b' WHERE k = 1; UPDATE t SET k = 3 WHERE k = 2; DELETE FROM t WHERE k = 1")
        assert story(follower.batches()) == [
            ("insert", (1, "a"), None),
            ("insert", (2, None), None),
            ("update", (1, "b"), None),
            ("update", (3, None), (2,)),
            ("delete", None, (1,)),
        ]
        assert follower.batches() == []


def test_small_changes_gather_for_a_moment_but_not_up_to_an_end(postgres_each):
    postgres_each.run("CREATE TABLE t (k int PRIMARY KEY)")
    with following(postgres_each, t="k") as follower, follower.stream(gather_s=3600.0) as stream:
        postgres_each.run("INSERT INTO t VALUES (1)")
        first = next(group for group in stream.groups() if group.changes)
        assert first.transactions == 1
        for key in (2, 3):
            postgres_each.run(f"INSERT INTO t VALUES ({key})")
            place = send_heartbeat(postgres_each.connection)
            sent = f"SELECT 1 FROM pg_stat_replication WHERE sent_lsn >= '{place}'"
            while not postgres_each.run(sent):
                pass
        rest = [group for group in stream.groups(until=place) if group.changes]
        # Before PostgreSQL 15 the heartbeats come as transactions too, empty ones.
        transactions = 2 if postgres_each.version >= 15 else 4
        assert [(group.changes, group.transactions) for group in rest] == [(2, transactions)]


def test_the_snapshot_and_the_stream_meet_without_gap_or_overlap(postgres_each, plan):
    postgres_each.run("CREATE TABLE t (k int PRIMARY KEY)")
    postgres_each.run("INSERT INTO t VALUES (1)")
    slot = "gridferry_meet"
    align_publications(postgres_each.address, slot=slot, tables=[("public", "t")])
    try:
        with create_slot(postgres_each.address, slot) as made:
            postgres_each.run("INSERT INTO t VALUES (2)")
            (table,) = made.snapshot.fetch_tables(["t"])
            chunks = made.snapshot.plan_chunks(table, rows_per_chunk=10)
            with made.snapshot.open_reader() as one, made.snapshot.open_reader() as two:
                seen = [
                    [row["k"] for c in chunks for b in reader.read_chunk(c, plan("t", "k")) for row in b.to_pylist()]
                    for reader in (one, two)
                ]
            made.snapshot.check()
            assert str(made.start) == made.snapshot.snapshot.lsn
        assert seen == [[1], [1]]
        wanted = {("public", "t"): plain("k")}
        until = send_heartbeat(postgres_each.connection)
        with ChangeStream(postgres_each.address, slot=slot, start=made.start, wanted=wanted) as stream:
            batches = [p for g in stream.groups(until=until) for p in g.parts if isinstance(p, ChangeBatch)]
        assert story(batches) == [("insert", (2,), None)]
    finally:
        drop_slot(postgres_each.address, slot)


def test_a_table_without_identity_is_followed_for_inserts_and_its_application_goes_on(postgres_each):
    postgres_each.run("CREATE TABLE device (ts timestamp, v int); CREATE TABLE keyed (k int PRIMARY KEY)")
    with following(postgres_each, device="ts v", keyed="k") as follower:
        postgres_each.run(
            "INSERT INTO device VALUES ('2020-01-01', 1), ('2020-01-02', 2); INSERT INTO keyed VALUES (1)"
        )
        postgres_each.run("UPDATE device SET v = 3 WHERE v = 1")  # would fail if it were published for updates
        postgres_each.run("DELETE FROM device WHERE v = 2")
        postgres_each.run("UPDATE keyed SET k = 2")
        assert postgres_each.run("SELECT v FROM device") == [(3,)]
        batches = follower.batches()
    operations = {
        name: [o for b in batches if b.relation.name == name for o in b.operations] for name in ("device", "keyed")
    }
    assert operations == {"device": [1, 1], "keyed": [1, 2]}


def test_full_identity_sends_the_whole_old_row(postgres):
    postgres.run("CREATE TABLE t (a int, b text); ALTER TABLE t REPLICA IDENTITY FULL")
    with following(postgres, t="a b") as follower:
        postgres.run("INSERT INTO t VALUES (1, 'x'); UPDATE t SET a = 2; DELETE FROM t")
        told = story(follower.batches())
    assert told == [("insert", (1, "x"), None), ("update", (2, "x"), (1, "x")), ("delete", None, (2, "x"))]


def test_values_stored_out_of_line_and_unchanged_are_said_to_be(postgres_each):
    postgres_each.run("CREATE TABLE t (k int PRIMARY KEY, big text, v int)")
    postgres_each.run("ALTER TABLE t ALTER big SET STORAGE EXTERNAL")
    with following(postgres_each, t="k big v") as follower:
        postgres_each.run("INSERT INTO t VALUES (1, repeat('x', 10000), 1), (2, 'short', 1)")
        postgres_each.run("UPDATE t SET v = 2")
        postgres_each.run("ALTER TABLE t REPLICA IDENTITY FULL")
        postgres_each.run("UPDATE t SET v = 3 WHERE k = 1")
        batches = follower.batches()
    unchanged = [m for b in batches for m in b.unchanged.get("big", np.zeros(len(b), bool)).tolist()]
    assert unchanged == [False, False, True, False, False]
    values = [v for b in batches for v in b.rows.column("big").to_pylist()]
    assert values == ["x" * 10000, "short", None, "short", "x" * 10000]


def test_truncates_and_new_columns_come_in_their_place(postgres):
    postgres.run("CREATE TABLE t (a int PRIMARY KEY); CREATE TABLE u (a int PRIMARY KEY REFERENCES t)")
    with following(postgres, t="a b", u="a") as follower:
        postgres.run("INSERT INTO t VALUES (1)")
        postgres.run("TRUNCATE t RESTART IDENTITY CASCADE")
        postgres.run("INSERT INTO t VALUES (2); ALTER TABLE t ADD b text; INSERT INTO t VALUES (3, 'x')")
        parts = follower.parts()
    described = [(p.now.name, [c.name for c in p.now.columns]) for p in parts if isinstance(p, RelationChange)]
    assert described == [("t", ["a"]), ("u", ["a"]), ("t", ["a", "b"])]
    (truncation,) = [p for p in parts if isinstance(p, Truncation)]
    assert {r.name for r in truncation.relations} == {"t", "u"}
    assert truncation.cascade
    assert truncation.restart_identity
    kinds = [type(p).__name__ for p in parts if not (isinstance(p, RelationChange) and p.before is None)]
    in_order = [kind for kind, _ in itertools.groupby(kinds)]
    assert in_order == ["ChangeBatch", "Truncation", "ChangeBatch", "RelationChange", "ChangeBatch"]
    assert story([parts[-1]]) == [("insert", (3, "x"), None)]


def stream_early(postgres):
    """Let the server send, or spill, transactions that are not large at all."""
    if postgres.version >= 13:
        postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET logical_decoding_work_mem = '64kB'")


@pytest.mark.parametrize("streaming", [True, False])
def test_large_transactions_come_in_bounded_groups_and_roll_backs_vanish(postgres, streaming):
    postgres.run("CREATE TABLE t (k int PRIMARY KEY, v text)")
    stream_early(postgres)
    with following(postgres, t="k v") as follower:
        with postgres.connect() as other:
            other.autocommit = False
            other.execute("INSERT INTO t SELECT i, 'gone' FROM generate_series(100001, 103000) i")
            postgres.run(
                "BEGIN; INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(1, 3000) i; SAVEPOINT s;"
                "INSERT INTO t SELECT i, 'gone' FROM generate_series(3001, 6000) i; SAVEPOINT deeper;"
                "INSERT INTO t SELECT i, 'gone' FROM generate_series(6001, 9000) i; ROLLBACK TO s;"
                "INSERT INTO t SELECT i, repeat('y', 50) FROM generate_series(9001, 12000) i; COMMIT"
            )
            other.execute("INSERT INTO t VALUES (-1, 'gone')")
            other.rollback()
        groups = follower.pull(streaming=streaming, group_bytes=50_000)
    batches = [p for g in groups for p in g.parts if isinstance(p, ChangeBatch)]
    keys = [k for b in batches for k in b.rows.column("k").to_pylist()]
    assert keys == [*range(1, 3001), *range(9001, 12001)]
    assert max(len(b) for b in batches) < 1500
    with_changes = [g for g in groups if g.changes]
    assert [g.complete for g in with_changes] == [False] * (len(with_changes) - 1) + [True]
    assert len({int(c) for b in batches for c in b.commits}) == 1


def test_a_large_transaction_that_was_rolled_back_before_it_was_read_is_nothing(postgres_each):
    postgres_each.run("CREATE TABLE t (k int PRIMARY KEY, v text)")
    stream_early(postgres_each)
    with following(postgres_each, t="k v") as follower:
        with postgres_each.connect() as other:
            other.autocommit = False
            other.execute("INSERT INTO t VALUES (1, 'gone'); SAVEPOINT s")
            other.execute("INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(2, 3000) i; ROLLBACK TO s")
            other.rollback()
        postgres_each.run("INSERT INTO t VALUES (7, 'here')")
        assert story(follower.batches()) == [("insert", (7, "here"), None)]


def test_partitions_come_under_their_tables_name(postgres_each):
    postgres_each.needs(13, "publication of a partitioned table")
    postgres_each.run("CREATE TABLE p (k int PRIMARY KEY, v int) PARTITION BY RANGE (k)")
    postgres_each.run("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)")
    with following(postgres_each, p="k v") as follower:
        postgres_each.run("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)")
        postgres_each.run("INSERT INTO p VALUES (1, 1), (11, 1); UPDATE p SET v = 2; UPDATE p SET k = 12 WHERE k = 1")
        told = story(follower.batches())
    assert told == [
        ("insert", (1, 1), None),
        ("insert", (11, 1), None),
        ("update", (1, 2), None),
        ("update", (11, 2), None),
        ("delete", None, (1,)),
        ("insert", (12, 2), None),
    ]


def test_unconfirmed_changes_come_again_and_confirmed_ones_do_not(postgres):
    postgres.run("CREATE TABLE t (k int PRIMARY KEY)")
    with following(postgres, t="k") as follower:
        postgres.run("INSERT INTO t VALUES (1)")
        with follower.stream() as stream:
            (first,) = [g for g in stream.groups(until=send_heartbeat(postgres.connection)) if g.changes]
        with follower.stream() as stream:  # the one before has given the slot free
            groups = stream.groups()
            again = next(g for g in groups if g.changes)
            here, before = again.parts[-1], first.parts[-1]
            assert isinstance(here, ChangeBatch)
            assert isinstance(before, ChangeBatch)
            assert story([here]) == story([before])
            assert again.position is not None
            with pytest.raises(SourceError, match="cannot be confirmed"):
                stream.confirm(Lsn(again.position.value + 1))
            stream.confirm(again.position)
            follower.position = again.position
        facts = fetch_slot(postgres.connection, follower.slot)
        assert facts is not None
        assert facts.confirmed == again.position
        assert not facts.active
        assert follower.batches() == []


def test_an_idle_database_moves_its_slot_by_heartbeats(postgres):
    postgres.run("CREATE TABLE t (k int PRIMARY KEY)")
    with following(postgres, t="k") as follower:
        before = fetch_slot(postgres.connection, follower.slot)
        groups = follower.pull()
        after = fetch_slot(postgres.connection, follower.slot)
    assert {g.parts for g in groups} == {()}  # one or more: what other databases log moves the position too
    assert before is not None
    assert before.confirmed is not None
    assert after is not None
    assert after.confirmed is not None
    assert after.confirmed > before.confirmed
    assert postgres.run("SELECT count(*) FROM pg_class WHERE relname LIKE 'gridferry%'") == [(0,)]


def test_the_server_is_answered_while_the_engine_is_slow(postgres):
    postgres.run("CREATE TABLE t (k int PRIMARY KEY, v text)")
    with following(postgres, t="k v") as follower:
        postgres.run("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i")
        postgres.run(f"ALTER DATABASE \"{postgres.name}\" SET wal_sender_timeout = '300ms'")
        until = send_heartbeat(postgres.connection)
        with follower.stream(group_bytes=100_000) as stream:
            groups = stream.groups(until=until)
            seen = next(groups).changes
            postgres.run("SELECT pg_sleep(1.2)")  # four times the server's patience
            seen += sum(g.changes for g in groups)
    assert seen == 20000


def test_stop_ends_an_endless_run(postgres):
    postgres.run("CREATE TABLE t (k int PRIMARY KEY)")
    with following(postgres, t="k") as follower:
        postgres.run("INSERT INTO t VALUES (1)")
        with follower.stream() as stream:
            seen = []
            for group in stream.groups():
                seen.append(group.changes)
                if group.changes:
                    stream.stop()
        assert seen[-1] == 1
        with pytest.raises(SourceUnreachable, match=r"broke|ended|terminat"), follower.stream() as stream:
            list(_until_ended(stream, postgres, follower.slot))


def _until_ended(stream, postgres, slot):
    for group in stream.groups():
        yield group
        postgres.run(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}'")


def test_two_readers_of_one_slot(postgres):
    postgres.run("CREATE TABLE t (k int PRIMARY KEY)")
    with following(postgres, t="k") as follower, follower.stream():
        with pytest.raises(SlotInUse) as caught:
            follower.stream()
        assert caught.value.exit_code == 75
        with pytest.raises(SlotInUse):
            drop_slot(postgres.address, follower.slot)


def test_a_lost_slot_is_told_as_data_loss(postgres):
    postgres.run("CREATE TABLE t (k int PRIMARY KEY)")
    with following(postgres, t="k") as follower:
        follower.position = Lsn(0)
        with pytest.raises(SlotLost, match="by another process"):
            follower.stream()
        follower.position = Lsn(1 << 60)
        with pytest.raises(SlotLost, match="an older state was restored"):
            follower.stream()
        postgres.run(f"DROP PUBLICATION {follower.slot}_inserts")
        with pytest.raises(SlotLost, match="publication"):
            follower.stream()
        postgres.run(f"SELECT pg_drop_replication_slot('{follower.slot}')")
        with pytest.raises(SlotLost, match="does not exist") as caught:
            follower.stream()
    assert "load --replace" in caught.value.next_step


def test_dropping_leaves_nothing(postgres_each):
    postgres_each.run("CREATE TABLE t (k int PRIMARY KEY)")
    follower = Follower(postgres_each, {"t": "k"})
    assert drop_slot(postgres_each.address, follower.slot) == [
        f"replication slot {follower.slot}",
        f"publication {follower.slot}_full",
        f"publication {follower.slot}_inserts",
    ]
    assert drop_slot(postgres_each.address, follower.slot) == []
    assert postgres_each.run("SELECT count(*) FROM pg_publication") == [(0,)]
    with pytest.raises(psycopg.errors.UndefinedObject):
        postgres_each.run(f"SELECT pg_drop_replication_slot('{follower.slot}')")


def test_a_server_that_falls_silent_is_unreachable(postgres, monkeypatch):
    monkeypatch.setattr(replication, "_DEAF_AFTER_S", 0.5)
    monkeypatch.setattr(replication, "_LONGEST_SILENCE_S", 0.1)
    postgres.run("CREATE TABLE t (k int PRIMARY KEY)")
    with following(postgres, t="k") as follower:
        with follower.stream() as stream:
            groups = stream.groups()
            next(groups)  # asked ten times a second, it answers
            of_slot = f"FROM pg_replication_slots WHERE slot_name = '{follower.slot}'"
            ((sender,),) = postgres.run(f"SELECT active_pid {of_slot}")
            os.kill(sender, signal.SIGSTOP)
            try:
                with pytest.raises(SourceUnreachable, match="has not answered"):
                    list(groups)
            finally:
                os.kill(sender, signal.SIGCONT)
        postgres.end_sessions(f"pid IN (SELECT active_pid {of_slot} AND active)")
