"""Manual transactions: seen by nobody else until committed, gone after any error."""

from __future__ import annotations

import threading

import pytest
from tests.conformance.conftest import Place, Server
from tests.conformance.tables import batch, collection, keys, rows_of, series

from gridferry.errors import DataError, LocalProtocolError, RowExists, RowMissing
from gridferry.griddb import Container, PutMode

KEYED = collection("k LONG!, s STRING")
ROW = batch(KEYED, [(1, "a")])
OTHER = batch(KEYED, [(2, "b")])


@pytest.fixture
def made(place: Place) -> Container:
    return place.make(KEYED)


def test_commit(made: Container) -> None:
    with made.transaction() as tx:
        tx.put(ROW)
        assert rows_of(tx.query("select *")) == [(1, "a")]
        assert rows_of(made.scan()) == []
        tx.put(OTHER)
        assert tx.delete(keys(KEYED, [(1,), (7,)])) == 1
    assert rows_of(made.scan()) == [(2, "b")]


def test_commit_of_a_series(place: Place) -> None:
    schema = series("ts TIMESTAMP(3)!, v DOUBLE")
    made = place.make(schema)
    with made.transaction() as tx:
        tx.put(batch(schema, [(2, 2.0), (1, 1.0)]))
    assert rows_of(made.scan()) == [(1, 1.0), (2, 2.0)]


def test_an_error_inside_aborts(made: Container) -> None:
    made.put(OTHER)
    with pytest.raises(ZeroDivisionError), made.transaction() as tx:  # noqa: PT012 - both puts belong to the case
        tx.put(ROW)
        tx.delete(keys(KEYED, [(2,)]))
        raise ZeroDivisionError
    assert rows_of(made.scan()) == [(2, "b")]


def test_a_refused_statement_aborts(made: Container) -> None:
    made.put(OTHER)
    with pytest.raises(RowExists), made.transaction() as tx:  # noqa: PT012 - the first put must be undone
        tx.put(ROW)
        tx.put(OTHER, mode=PutMode.INSERT)
    assert rows_of(made.scan()) == [(2, "b")]


@pytest.mark.parametrize("first", [True, False])
def test_many_rows_are_deleted_and_statements_go_on_behind_them(made: Container, first: bool) -> None:
    many = [(n, "x") for n in range(600)]
    made.put(batch(KEYED, many))
    with made.transaction() as tx:
        if not first:
            tx.put(batch(KEYED, [(1000, "y")]))
        assert tx.delete(keys(KEYED, [(n,) for n in range(-3, 598)])) == 598
        tx.put(batch(KEYED, [(2000, "z")]))
        assert tx.delete(keys(KEYED, [(598,)])) == 1
    assert rows_of(made.scan()) == [(599, "x"), *([] if first else [(1000, "y")]), (2000, "z")]
    with pytest.raises(ZeroDivisionError), made.transaction() as tx:  # noqa: PT012 - the deletes must be undone
        assert tx.delete(keys(KEYED, [(599,), (2000,)])) == 2
        raise ZeroDivisionError
    assert rows_of(made.scan())[0] == (599, "x")


def test_update_of_a_row_that_is_not_there(made: Container) -> None:
    with pytest.raises(RowMissing), made.transaction() as tx:
        tx.put(ROW, mode=PutMode.UPDATE)


def test_a_refusal_that_was_caught_is_no_commit(made: Container) -> None:
    made.put(OTHER)
    with (  # noqa: PT012 - the error comes at the end of the block
        pytest.raises(LocalProtocolError, match="nothing was committed"),
        made.transaction() as tx,
    ):
        tx.put(ROW)
        with pytest.raises(RowExists):
            tx.put(OTHER, mode=PutMode.INSERT)
    assert rows_of(made.scan()) == [(2, "b")]


def test_statements_after_a_refusal_are_refused(made: Container) -> None:
    made.put(OTHER)
    with pytest.raises(LocalProtocolError, match="aborted"), made.transaction() as tx:  # noqa: PT012
        with pytest.raises(RowExists):
            tx.put(OTHER, mode=PutMode.INSERT)
        tx.put(ROW)


def test_a_bad_value_is_found_before_it_is_sent(made: Container) -> None:
    with made.transaction() as tx:
        tx.put(ROW)
        with pytest.raises(DataError):
            tx.put(batch(KEYED, [(3, "x" * 40_000)]))
    assert rows_of(made.scan()) == [(1, "a")]


def test_an_empty_transaction(made: Container) -> None:
    with made.transaction():
        pass
    assert made.count() == 0


def test_a_transaction_is_a_context(made: Container) -> None:
    with pytest.raises(LocalProtocolError, match="context"):
        made.transaction().put(ROW)


def test_two_transactions_on_two_rows(made: Container) -> None:
    with made.transaction() as first, made.transaction() as second:
        first.put(ROW)
        second.query("select *")
    assert rows_of(made.scan()) == [(1, "a")]


def test_other_connections_see_the_old_row(server: Server, made: Container) -> None:
    made.put(ROW)
    with server.connect() as elsewhere:
        other = elsewhere.open_container(made.name)
        assert other is not None
        with made.transaction() as tx:
            tx.put(batch(KEYED, [(1, "new")]))
            assert rows_of(other.scan()) == [(1, "a")]
            assert [r["s"] for r in other.get(keys(KEYED, [(1,)])).to_pylist()] == ["a"]
        assert rows_of(other.scan()) == [(1, "new")]


def test_a_writer_waits_for_the_lock(server: Server, made: Container) -> None:
    made.put(ROW)
    done = threading.Event()

    def write() -> None:
        with server.connect() as elsewhere:
            other = elsewhere.open_container(made.name)
            assert other is not None
            other.put(batch(KEYED, [(1, "second")]))
        done.set()

    writer = threading.Thread(target=write)
    with made.transaction() as tx:
        tx.put(batch(KEYED, [(1, "first")]))
        writer.start()
        assert not done.wait(0.3)
        assert rows_of(tx.query("select *")) == [(1, "first")]
    assert done.wait(20)
    writer.join()
    assert rows_of(made.scan()) == [(1, "second")]


@pytest.mark.parametrize("error", [None, KeyError], ids=["leaves", "raises"])
def test_a_lost_connection_frees_the_locks(made: Container, error: type[Exception] | None) -> None:
    made.put(ROW)
    expected = LocalProtocolError if error is None else error
    with pytest.raises(expected), made.transaction() as tx:  # noqa: PT012 - the connection is lost in the middle
        tx.put(batch(KEYED, [(1, "lost")]))
        connection = tx._open()
        connection._transport.close()
        connection.broken = True
        if error is not None:
            raise error
    made.put(batch(KEYED, [(1, "next")]))
    assert rows_of(made.scan()) == [(1, "next")]


def test_for_update_locks(server: Server, made: Container) -> None:
    made.put(ROW)
    with made.transaction() as tx:
        assert rows_of(tx.query("select * where k = 1", for_update=True)) == [(1, "a")]
        tx.put(batch(KEYED, [(1, "mine")]))
    assert rows_of(made.scan()) == [(1, "mine")]


def test_containers_and_indexes_are_made_while_a_transaction_is_open(made: Container, place: Place) -> None:
    # Had one of them the transaction's session, the real server would take it for a system error and shut down.
    with made.transaction() as tx:
        tx.put(ROW)
        others = place.store.create_containers(place.names(12), KEYED)
        for other in others:
            other.create_index(["s"])
        tx.put(OTHER)
    assert rows_of(made.scan()) == [(1, "a"), (2, "b")]
    assert [len(other.indexes()) > 0 for other in others] == [True] * 12
