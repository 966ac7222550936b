"""Manual transactions: what their own session sees, what others see, and who waits for whom."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gridferry.embedded.catalog import Container
from gridferry.embedded.containers import drop_container, put_container
from gridferry.embedded.database import Database
from gridferry.embedded.queries import plan, run
from gridferry.embedded.refusal import Refusal
from gridferry.embedded.row_statements import PutMode, delete_rows, get_rows, put_rows
from gridferry.embedded.sessions import Session
from gridferry.embedded.transactions import Transaction

Make = Callable[..., Any]
OWNER = object()


def begin(db: Database, container: Container, number: int = 1, *, deadline: float = 1e18) -> Transaction:
    session: Session = db.sessions.create((bytes(16), number, container.partition), container, OWNER)
    session.transaction = Transaction(container, deadline=deadline)
    return session.transaction


def end(db: Database, container: Container, number: int = 1, *, commit: bool = True) -> None:
    key = (bytes(16), number, container.partition)
    transaction = db.sessions.get(key, container).transaction
    if commit and transaction is not None:
        with db.writing():
            transaction.write(db.rows)
    db.sessions.close(key)
    db.released()


@pytest.mark.parametrize("commit", [True, False])
def test_only_the_session_sees_its_changes_until_it_commits(
    db: Database, series: Container, batch: Make, keys: Make, ask: Make, as_tuples: Make, commit: bool
) -> None:
    before = [(1, 1.0, "a"), (2, 2.0, "b"), (3, 3.0, "c")]
    put_rows(db, series, batch(series.schema, *before))
    tx = begin(db, series)
    put_rows(db, series, batch(series.schema, (2, 8.0, "x"), (4, 4.0, "d"), (4, 5.0, "e")), transaction=tx)
    assert delete_rows(db, series, keys(series.schema, (1,), (9,)), transaction=tx) == [True, False]
    put_rows(db, series, batch(series.schema, (2, 9.0, "y")), transaction=tx)
    after = [(2, 9.0, "y"), (3, 3.0, "c"), (4, 5.0, "e")]
    assert ask(series, "select *", transaction=tx) == after
    assert ask(series, "select sum(v)", transaction=tx)[1] == 17.0
    assert as_tuples(get_rows(db, series, keys(series.schema, (2,)), transaction=tx)) == [(2, 9.0, "y")]
    assert ask(series, "select *") == before
    end(db, series, commit=commit)
    assert ask(series, "select *") == (after if commit else before)
    put_rows(db, series, batch(series.schema, (4, 0.0, "z")))
    assert ask(series, "select count(*) where v = 0")[1] == 1


def test_row_ids_are_kept_and_order_is_that_of_puts(db: Database, keyed: Container, batch: Make, ask: Make) -> None:
    put_rows(db, keyed, batch(keyed.schema, ("a", 1, 1), ("b", 1, 2)))
    tx = begin(db, keyed)
    put_rows(db, keyed, batch(keyed.schema, ("c", 1, 3), ("a", 1, 9)), transaction=tx)
    expected = [("a", 1, 9), ("b", 1, 2), ("c", 1, 3)]
    assert ask(keyed, "select *", transaction=tx) == expected
    end(db, keyed)
    assert ask(keyed, "select *") == expected


def test_a_session_that_changed_nothing_sees_what_others_committed(
    db: Database, series: Container, batch: Make, ask: Make
) -> None:
    put_rows(db, series, batch(series.schema, (1, 1.0, "a")))
    tx = begin(db, series)
    assert ask(series, "select *", transaction=tx, for_update=True) == [(1, 1.0, "a")]
    put_rows(db, series, batch(series.schema, (2, 2.0, "b")))
    assert ask(series, "select *", transaction=tx) == [(1, 1.0, "a"), (2, 2.0, "b")]
    end(db, series)
    assert ask(series, "select *") == [(1, 1.0, "a"), (2, 2.0, "b")]


def test_a_locked_row_refuses_and_other_rows_do_not(
    db: Database, series: Container, batch: Make, keys: Make, ask: Make
) -> None:
    put_rows(db, series, batch(series.schema, (1, 1.0, "")))
    tx = begin(db, series)
    put_rows(db, series, batch(series.schema, (1, 2.0, "")), transaction=tx)
    for write in (
        lambda: put_rows(db, series, batch(series.schema, (1, 3.0, ""))),
        lambda: delete_rows(db, series, keys(series.schema, (1,))),
        lambda: put_rows(db, series, batch(series.schema, (1, 3.0, "")), transaction=begin(db, series, 2)),
    ):
        with pytest.raises(Refusal) as refused:
            write()
        assert refused.value.code == 60166
    put_rows(db, series, batch(series.schema, (5, 5.0, "")))
    end(db, series)
    assert ask(series, "select *") == [(1, 2.0, ""), (5, 5.0, "")]


def test_rows_read_for_update_are_locked(db: Database, series: Container, batch: Make, keys: Make) -> None:
    put_rows(db, series, batch(series.schema, (1, 1.0, ""), (2, 2.0, ""), (3, 3.0, "")))
    tx = begin(db, series)
    run(db, series, plan(series, "select * where v > 2"), transaction=tx, for_update=True)
    get_rows(db, series, keys(series.schema, (1,)), transaction=tx, for_update=True)
    put_rows(db, series, batch(series.schema, (2, 0.0, "")))
    for key in (1, 3):
        with pytest.raises(Refusal):
            put_rows(db, series, batch(series.schema, (key, 0.0, "")))


def test_a_writer_waits_until_the_row_is_free(series: Container, db: Database, batch: Make, ask: Make) -> None:
    db.lock_timeout_s = 60.0
    tx = begin(db, series)
    put_rows(db, series, batch(series.schema, (1, 1.0, "")), transaction=tx)
    done = threading.Event()

    def write() -> None:
        put_rows(db, series, batch(series.schema, (1, 2.0, "")))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    end(db, series)
    assert done.wait(30)
    writer.join()
    assert ask(series, "select *") == [(1, 2.0, "")]


def test_put_modes_look_at_the_transactions_own_rows(db: Database, series: Container, batch: Make) -> None:
    tx = begin(db, series)
    put_rows(db, series, batch(series.schema, (1, 1.0, "")), transaction=tx, mode=PutMode.INSERT)
    put_rows(db, series, batch(series.schema, (1, 2.0, "")), transaction=tx, mode=PutMode.UPDATE)
    with pytest.raises(Refusal) as refused:
        put_rows(db, series, batch(series.schema, (1, 3.0, "")), transaction=tx, mode=PutMode.INSERT)
    assert refused.value.code == 60154


def test_time_ends_a_transaction(series: Container, db: Database, batch: Make) -> None:
    now = [0.0]
    db.clock = lambda: now[0]
    tx = begin(db, series, deadline=300.0)
    put_rows(db, series, batch(series.schema, (1, 1.0, "")), transaction=tx)
    now[0] = 299.0
    db.expire_transactions()
    assert db.sessions.transactions(series) == [tx]
    now[0] = 300.0
    db.expire_transactions()
    assert db.sessions.transactions(series) == []
    put_rows(db, series, batch(series.schema, (1, 2.0, "")))


def test_sessions_end_with_their_connection_or_container(db: Database, series: Container, keyed: Container) -> None:
    begin(db, series)
    begin(db, keyed, 2)
    with pytest.raises(Refusal) as refused:
        begin(db, series)
    assert refused.value.code == 110016
    with pytest.raises(Refusal) as refused:
        db.sessions.get((bytes(16), 2, keyed.partition), series)
    assert refused.value.code == 110003
    drop_container(db, "series", partition=1)
    assert db.sessions.transactions(series) == []
    db.sessions.leave(OWNER)
    assert len(db.sessions.transactions(keyed)) == 1
    db.sessions.expire(math.inf)
    assert db.sessions.transactions(keyed) == []
    begin(db, keyed, 2)


def test_a_container_that_exists_is_not_opened_by_making_it_while_a_transaction_has_changed_it(
    db: Database, series: Container, batch: Make
) -> None:
    tx = begin(db, series)
    assert put_container(db, "series", series.schema, partition=1) is series
    put_rows(db, series, batch(series.schema, (1, 1.0, "")), transaction=tx)
    for call in (
        lambda: put_container(db, "series", series.schema, partition=1),
        lambda: drop_container(db, "series", partition=1),
    ):
        with pytest.raises(Refusal) as refused:
            call()
        assert refused.value.code == 60166


def test_a_container_in_use_is_not_altered(db: Database, series: Container, batch: Make) -> None:
    tx = begin(db, series)
    put_rows(db, series, batch(series.schema, (1, 1.0, "")), transaction=tx)
    wider = type(series.schema)(series.schema.kind, series.schema.columns[:2])
    with pytest.raises(Refusal) as refused:
        put_container(db, "series", wider, partition=1, modifiable=True)
    assert refused.value.code == 60166
