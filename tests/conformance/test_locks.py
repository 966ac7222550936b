"""What a client that was killed inside a transaction leaves behind, and how the next one gets past it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.conformance.conftest import Place, Server
from tests.conformance.tables import batch, collection, keys, rows_of

from gridferry.errors import LockConflict
from gridferry.griddb import Container, ContainerTransaction, PutMode, Store, Timing

KEYED = collection("k LONG!, s STRING")


@pytest.fixture
def made(place: Place) -> Container:
    made = place.make(KEYED)
    made.put(batch(KEYED, [(1, "a"), (2, "b")]))
    return made


@contextmanager
def client_inside(server: Server, container: Container) -> Iterator[subprocess.Popen[str]]:
    """A process that has put key 1 and has not committed. It is killed in the end."""
    address = server.address
    url = f"griddb://{address.user}@{address.members[0][0]}:{address.members[0][1]}/{address.cluster}"
    environment = {**os.environ, "GRIDFERRY_TEST_PASSWORD": address.password}
    command = [sys.executable, "-m", "tests.conformance.killed_client", url, container.name]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "inside\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def killed(server: Server, made: Container) -> Container:
    """A container with what a killed client has left there."""
    with client_inside(server, made):
        pass
    return made


def next_client(server: Server, told: list[str] | None = None, *, lock_s: float = 30.0) -> Store:
    store = server.connect(timing=Timing(lock_s=lock_s))
    if told is not None:
        store.cluster.on_lock = told.append
    return store


def test_a_container_that_exists_is_opened_without_a_wait(server: Server, killed: Container) -> None:
    with next_client(server, lock_s=0.0) as store:
        again = store.create_container(killed.name, KEYED)
        assert again.handle == killed.handle
        assert sorted(rows_of(again.scan())) == [(1, "a"), (2, "b")]
        again.put(batch(KEYED, [(2, "c"), (3, "d")]))  # nobody has locked these rows
        again.flush()


def put(container: Container) -> None:
    container.put(batch(KEYED, [(1, "z")]))


def put_new(container: Container) -> None:
    with pytest.raises(Exception, match="60154"):
        container.put(batch(KEYED, [(1, "z")]), mode=PutMode.INSERT)


def delete(container: Container) -> None:
    assert container.delete(keys(KEYED, [(1,)])) == 1


def in_transaction(container: Container) -> None:
    def work(tx: ContainerTransaction) -> None:
        assert rows_of(tx.query("select * where k = 1", for_update=True)) == [(1, "a")]
        tx.put(batch(KEYED, [(1, "z")]))

    container.in_transaction(work)


@pytest.mark.parametrize("work", [put, put_new, delete, in_transaction])
def test_the_next_client_waits_until_the_server_has_ended_it(
    server: Server, killed: Container, work: Callable[[Container], None]
) -> None:
    with next_client(server) as store:
        found = store.open_container(killed.name)
        assert found is not None
        work(found)
        lefts: dict[Callable[[Container], None], tuple[int, str] | None] = {
            put: (1, "z"),
            put_new: (1, "a"),
            delete: None,
            in_transaction: (1, "z"),
        }
        left = lefts[work]
        assert sorted(rows_of(found.scan())) == [row for row in (left, (2, "b")) if row is not None]


def test_a_drop_waits_too(server: Server, killed: Container) -> None:
    with next_client(server) as store:
        store.drop_container(killed.name)
        assert store.open_container(killed.name) is None


def test_a_lock_that_stays_is_told_once_and_ends_with_who_may_hold_it(server: Server, made: Container) -> None:
    told: list[str] = []
    with made.transaction(timeout_s=60) as holding, next_client(server, told, lock_s=1.0) as store:
        holding.put(batch(KEYED, [(1, "mine")]))
        found = store.open_container(made.name)
        assert found is not None
        with pytest.raises(LockConflict, match=rf'to put 1 rows into "{made.name}"') as caught:
            put(found)
        assert caught.value.exit_code == 75
        assert "a gridferry run that ended without closing its own" in caught.value.next_step
        assert len(told) == 1
        assert made.name in told[0]
        assert "within 11 s" in told[0]


def test_an_index_that_exists_is_not_created_again(server: Server, made: Container) -> None:
    made.create_index(["s"])
    with client_inside(server, made):
        pass
    with next_client(server, lock_s=0.0) as store:
        found = store.open_container(made.name)
        assert found is not None
        found.create_index(["s"])
