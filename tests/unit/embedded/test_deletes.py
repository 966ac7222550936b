"""Deletes that come one after the other are carried out together, and answered as if they had come alone."""

from __future__ import annotations

import pyarrow as pa
import pytest

from gridferry.embedded.answers.call import Node, Peer
from gridferry.embedded.catalog import Container
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.dispatch import Dispatcher
from gridferry.embedded.row_statements import put_rows, rows_exist
from gridferry.embedded.transactions import Transaction as OpenTransaction
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.encode import encode_keys
from gridferry.griddb.wire.frame import Frame, FrameReader, Role
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.replies import ErrorReply
from gridferry.griddb.wire.row_requests import Transaction, keyed_bodies
from gridferry.griddb.wire.statement import SessionMode, Statement, TransactionMode

SERIES = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False), ColumnSpec("v", GridType.DOUBLE)),
)
PAIRS = ContainerSchema(
    ContainerKind.COLLECTION,
    (ColumnSpec("a", GridType.STRING, nullable=False), ColumnSpec("b", GridType.INTEGER, nullable=False)),
    key_length=2,
)
WORDS = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("w", GridType.STRING, nullable=False),))
CLIENT = bytes(range(16))


class Deleting:
    """A client that sends deletes of one row each, as many at once as it is told."""

    def __init__(self, db: Database) -> None:
        self.dispatcher = Dispatcher(db, Node("cluster", {}))
        self.peer = Peer(logged_in=True, owner=True)

    def send(self, *bodies: tuple[Container, bytes], first: int = 10) -> list[bool | int]:
        """For each whether the row was there, or the number of the error. They are numbered from `first` on."""
        frames = [
            Frame(Statement.DELETE_ROW, first + n, memoryview(body), partition=container.partition)
            for n, (container, body) in enumerate(bodies)
        ]
        told: list[bool | int] = []
        reader = FrameReader(Role.CLIENT)
        for reply in self.dispatcher.answers(self.peer, frames):
            assert reply is not None
            reader.receive(b"".join(reply))
            answer = reader.next_frame()
            assert answer is not None
            assert answer.statement_id == first + len(told)
            body = Reader(answer.body)
            told.append(ErrorReply.read(body).code if answer.status else body.boolean())
        return told


def transaction_of(db: Database, container: Container) -> OpenTransaction:
    (found,) = db.sessions.transactions(container)
    return found


@pytest.fixture
def client(db: Database) -> Deleting:
    return Deleting(db)


def series(*times: int) -> pa.RecordBatch:
    stamps = pa.array(times, pa.int64()).cast(pa.timestamp("ms", "UTC"))
    return pa.RecordBatch.from_arrays([stamps, pa.array([0.5] * len(times))], schema=SERIES.arrow_schema)


def keys_of(container: Container, keys: pa.RecordBatch, **changes: int) -> list[tuple[Container, bytes]]:
    tx = Transaction(**{"version": container.version, "client": CLIENT, **changes})  # type: ignore[arg-type]
    return [(container, body) for body in keyed_bodies(container.id, tx, encode_keys(container.schema, keys))]


def made(db: Database, name: str, schema: ContainerSchema, rows: pa.RecordBatch, *, partition: int = 0) -> Container:
    container = put_container(db, name, schema, partition=partition)
    put_rows(db, container, rows)
    return container


def test_each_is_told_whether_its_row_was_there(db: Database, client: Deleting) -> None:
    one = made(db, "one", SERIES, series(1, 2, 3))
    two = made(db, "two", SERIES, series(2, 3), partition=5)
    wanted = [
        *keys_of(one, series(1).select([0])),
        *keys_of(two, series(1, 2, 2).select([0])),
        *keys_of(one, series(2, 9, 1).select([0])),
    ]
    assert client.send(*wanted) == [True, False, True, False, True, False, False]
    assert rows_exist(db, one, series(1, 2, 3).select([0])) == [False, False, True]
    assert rows_exist(db, two, series(2, 3).select([0])) == [False, True]


def test_rows_of_several_shapes_go_together(db: Database, client: Deleting) -> None:
    pairs = pa.record_batch([["a", "a", "b"], pa.array([1, 2, 1], pa.int32())], schema=PAIRS.arrow_schema)
    words = pa.record_batch([["x", "long " * 100]], schema=WORDS.arrow_schema)
    stamped = made(db, "one", SERIES, series(7))
    paired, worded = made(db, "pairs", PAIRS, pairs), made(db, "words", WORDS, words)
    wanted = [
        *keys_of(paired, pairs.slice(1)),
        *keys_of(worded, words.slice(1)),
        *keys_of(stamped, series(7).select([0])),
    ]
    assert client.send(*wanted) == [True, True, True, True]
    assert rows_exist(db, paired, pairs) == [True, False, False]
    assert rows_exist(db, worded, words) == [True, False]


def test_one_that_is_refused_does_not_hinder_the_others(db: Database, client: Deleting) -> None:
    container = made(db, "one", SERIES, series(1, 2))
    (first, second) = keys_of(container, series(1, 2).select([0]))
    (old,) = keys_of(container, series(1).select([0]), version=7)
    assert client.send(first, old, (container, b"short"), second)[:2] == [True, 10017]
    assert rows_exist(db, container, series(1, 2).select([0])) == [False, False]


def test_those_of_a_session_wait_for_its_commit(db: Database, client: Deleting) -> None:
    container = made(db, "one", SERIES, series(1, 2))
    inside = keys_of(
        container,
        series(1).select([0]),
        session_id=3,
        session_mode=SessionMode.CREATE,
        transaction_mode=TransactionMode.BEGIN,
    )
    (outside,) = keys_of(container, series(2).select([0]))
    assert client.send(*inside, outside) == [True, True]
    assert rows_exist(db, container, series(1, 2).select([0])) == [True, False]


def opened(db: Database, client: Deleting, container: Container) -> dict[str, int]:
    """A transaction that has deleted the row of the time 1, as statement 10. What goes on in it is to be sent with."""
    options = {"session_id": 3, "session_mode": SessionMode.CREATE, "transaction_mode": TransactionMode.BEGIN}
    assert client.send(*keys_of(container, series(1).select([0]), **options)) == [True]
    return {"session_id": 3, "session_mode": SessionMode.GET, "transaction_mode": TransactionMode.CONTINUE}


def test_those_of_one_transaction_go_together(db: Database, client: Deleting, monkeypatch: pytest.MonkeyPatch) -> None:
    container = made(db, "one", SERIES, series(1, 2, 3, 4))
    more = opened(db, client, container)
    alone: list[None] = []
    monkeypatch.setattr(client.dispatcher, "answer", lambda *_: alone.append(None))
    wanted = keys_of(container, series(2, 1, 4).select([0]), **more)
    assert client.send(*wanted, first=11) == [True, False, True]
    # Sent once more: they are done.
    assert client.send(*wanted, first=11) == [False, False, False]
    assert alone == []
    assert rows_exist(db, container, series(1, 2, 3, 4).select([0])) == [True] * 4
    assert rows_exist(db, container, series(1, 2, 3, 4).select([0]), transaction=transaction_of(db, container)) == [
        False, False, True, False,
    ]  # fmt: skip


def test_of_two_of_a_key_in_a_transaction_the_second_finds_nothing(db: Database, client: Deleting) -> None:
    container = made(db, "one", SERIES, series(1, 2))
    more = opened(db, client, container)
    assert client.send(*keys_of(container, series(2, 2).select([0]), **more), first=11) == [True, False]


def test_one_of_a_transaction_that_was_skipped_is_missed(db: Database, client: Deleting) -> None:
    container = made(db, "one", SERIES, series(1, 2, 3))
    more = opened(db, client, container)
    assert client.send(*keys_of(container, series(2, 3).select([0]), **more), first=12) == [110033, 110033]
    assert rows_exist(db, container, series(1, 2, 3).select([0])) == [True] * 3


def test_a_row_that_another_transaction_holds_is_waited_for(db: Database, client: Deleting) -> None:
    container = made(db, "one", SERIES, series(1, 2, 3))
    more = opened(db, client, container)
    db.lock_timeout_s = 0.01
    begins = {"session_id": 4, "session_mode": SessionMode.CREATE, "transaction_mode": TransactionMode.BEGIN}
    assert client.send(*keys_of(container, series(3).select([0]), **begins)) == [True]
    told = client.send(*keys_of(container, series(2, 3).select([0]), **more), first=11)
    assert told == [True, 60166]


def test_a_full_disk_deletes_none(db: Database, client: Deleting) -> None:
    container = made(db, "one", SERIES, series(1, 2))
    db.settle()
    db.faults.disk_full = True
    assert client.send(*keys_of(container, series(1, 2).select([0]))) == [1005, 1005]
    db.faults.disk_full = False
    assert rows_exist(db, container, series(1, 2).select([0])) == [True, True]
