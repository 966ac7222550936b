"""Who waits for a lock of somebody else is told so; what waits for open transactions waits as long as it takes."""

from __future__ import annotations

import threading
import time

import pytest

from gridferry.errors import SourceUnreachable
from gridferry.source.postgres.log.window import open_log_window
from gridferry.source.postgres.session import transactions
from gridferry.source.postgres.slots.publications import align_publications
from gridferry.source.postgres.slots.slots import create_slot, drop_slot


@pytest.fixture
def impatient(monkeypatch):
    """A tenth of a second instead of a minute."""
    assert "lock_timeout" in transactions.SETTINGS
    monkeypatch.setitem(transactions.SETTINGS, "lock_timeout", "100ms")


def test_a_table_that_is_locked_for_long_is_told_with_who_locks_it(postgres, plan, impatient):
    postgres.run("CREATE TABLE t (a int)")
    with postgres.source.open_snapshot() as snapshot, snapshot.open_reader() as reader:
        (chunk,) = snapshot.plan_chunks(snapshot.fetch_tables(["t"])[0], rows_per_chunk=10)
        postgres.run("CREATE TABLE other (a int)")
        with postgres.connect() as altering:
            altering.autocommit = False
            altering.execute("SET application_name = 'migration'; LOCK TABLE other IN ACCESS EXCLUSIVE MODE")
            pid = altering.info.backend_pid
            for read in (
                lambda: snapshot.count_rows(plan("other", "a")),
                lambda: list(reader.read_chunk(chunk, plan("other", "a"))),
            ):
                with pytest.raises(SourceUnreachable, match=r"public\.other: .*lock timeout") as caught:
                    read()
                assert caught.value.exit_code == 75
                said = f"process {pid} (migration) of postgres in the database {postgres.name}, idle in transaction"
                assert said in caught.value.next_step
                assert "locks public.other" in caught.value.next_step


def test_a_prepared_transaction_that_locks_a_table_is_named(postgres, plan, impatient):
    postgres.run("CREATE TABLE other (a int)")
    with postgres.source.open_snapshot() as snapshot:
        postgres.run("BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'half done'")
        try:
            with pytest.raises(SourceUnreachable) as caught:
                snapshot.count_rows(plan("other", "a"))
        finally:
            postgres.run("ROLLBACK PREPARED 'half done'")
    assert 'the prepared transaction "half done" of postgres' in caught.value.next_step


def test_a_slot_waits_for_open_transactions_longer_than_for_a_lock(postgres, impatient):
    postgres.run("CREATE TABLE t (a int PRIMARY KEY)")
    slot = "gridferry_patient"
    align_publications(postgres.address, slot=slot, tables=[("public", "t")])
    with postgres.connect() as busy:
        busy.autocommit = False
        busy.execute("INSERT INTO t VALUES (1)")
        ending = threading.Timer(1.0, busy.rollback)
        ending.start()
        began = time.monotonic()
        with create_slot(postgres.address, slot) as made:
            assert made.name == slot
            # What it reads after that is as everywhere.
            with open_log_window(postgres.address, followed=slot, wanted={}, patience_s=60) as window:
                transactions.begin(window._connection)
                assert window._connection.execute("SHOW lock_timeout").fetchone() == ("100ms",)
        drop_slot(postgres.address, slot)
        assert time.monotonic() - began > 0.5
        ending.join()
