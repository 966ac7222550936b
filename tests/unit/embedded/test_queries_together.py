"""Multi-queries that come one after the other are answered from one look at the rows, and as if they had come alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.noted import noted

from gridferry.embedded.answers.call import Node, Peer
from gridferry.embedded.catalog import Container
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.dispatch import Dispatcher
from gridferry.embedded.row_statements import put_many
from gridferry.griddb.schema import ContainerSchema
from gridferry.griddb.wire.frame import Frame
from gridferry.griddb.wire.multi_requests import MultiQuery
from gridferry.griddb.wire.octets import Writer
from gridferry.griddb.wire.row_requests import QueryTql, Transaction
from gridferry.griddb.wire.statement import SessionMode, Statement, TransactionMode

Make = Callable[..., Any]
CLIENT = bytes(range(16))
AGGREGATES = ("select count(*)", "select MIN(ts)", "select MAX(ts)", "select count(*) where v > 1", "select SUM(v)")


@pytest.fixture
def fleet(db: Database, schemas: dict[str, ContainerSchema], batch: Make) -> list[Container]:
    """Containers in three partitions, the first of each without rows, every second of another shape."""
    found = []
    for n in range(30):
        schema = schemas["series"] if n % 2 else schemas["keyed"]
        found.append(put_container(db, f"d{n}", schema, partition=n % 3))
    rows = [(c, n) for n, c in enumerate(found) if n >= 3]
    put_many(db, [(c, batch(c.schema, (n, float(n), "x"), (n + 5, 0.5, "y"))) for c, n in rows if n % 2])
    put_many(db, [(c, batch(c.schema, ("a", n, n), ("b", n, -n))) for c, n in rows if not n % 2])
    return found


def frame(number: int, partition: int, queries: list[tuple[Container, str]], **changes: Any) -> Frame:
    asked = []
    for container, text in queries:
        tx = Transaction(**{"version": container.version, "client": CLIENT, **changes})
        asked.append(QueryTql(container.id, tx, text))
    out = Writer()
    MultiQuery(asked, CLIENT).write(out)
    return Frame(Statement.EXECUTE_MULTIPLE_QUERIES, number, memoryview(out.getvalue()), partition=partition)


def frames_of(fleet: list[Container], texts: tuple[str, ...] = AGGREGATES) -> list[Frame]:
    asked = {
        partition: [
            (c, text)
            for text in texts
            for c in fleet
            if c.partition == partition and (text == "select count(*)" or "ts" in [s.name for s in c.schema.columns])
        ]
        for partition in range(3)
    }
    return [frame(10 + partition, partition, queries) for partition, queries in asked.items()]


def alone(db: Database, frames: list[Frame]) -> list[bytes]:
    dispatcher, peer = Dispatcher(db, Node("cluster", {})), Peer(logged_in=True, owner=True)
    return [b"".join(dispatcher.answer(peer, one) or []) for one in frames]


def together(db: Database, frames: list[Frame]) -> list[bytes]:
    dispatcher, peer = Dispatcher(db, Node("cluster", {})), Peer(logged_in=True, owner=True)
    return [b"".join(reply or []) for reply in dispatcher.answers(peer, frames)]


def looks(db: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that DuckDB answers from now on."""
    asked: list[str] = []
    monkeypatch.setattr(db.duck, "select", noted(asked, db.duck.select))
    return asked


def test_many_requests_are_answered_from_one_look_at_each_shape(
    db: Database, fleet: list[Container], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = frames_of(fleet)
    expected = alone(db, frames)
    asked = looks(db, monkeypatch)
    assert together(db, frames) == expected
    assert len(asked) == 3  # two shapes, and the condition of some queries


def test_they_see_what_was_put_before_them(db: Database, fleet: list[Container], batch: Make) -> None:
    late = fleet[1]
    put_many(db, [(late, batch(late.schema, (99, 1.0, "")))])
    frames = frames_of(fleet)
    found = together(db, frames)
    assert found == alone(db, frames)
    put_many(db, [(late, batch(late.schema, (100, 1.0, "")))])
    assert together(db, frames) != found


@pytest.mark.parametrize("text", ["select *", "select nonsense", "select count(*) from another", "select TIME_AVG(v)"])
def test_what_is_no_plain_aggregation_is_answered_by_itself(db: Database, fleet: list[Container], text: str) -> None:
    frames = [*frames_of(fleet), frame(20, 1, [(fleet[1], "select count(*)"), (fleet[1], text)])]
    assert together(db, frames) == alone(db, frames)


def test_a_container_that_is_gone_fails_its_own_request_only(db: Database, fleet: list[Container]) -> None:
    frames = frames_of(fleet)
    whole = alone(db, frames)
    db.catalog.remove(fleet[1])
    found = together(db, frames)
    assert found == alone(db, frames)
    assert [mine == before for mine, before in zip(found, whole, strict=True)] == [True, False, True]


def test_a_query_in_a_session_sees_its_transaction(db: Database, fleet: list[Container]) -> None:
    series = fleet[1]
    begin = {"session_id": 7, "session_mode": SessionMode.CREATE, "transaction_mode": TransactionMode.BEGIN}
    dispatcher, peer = Dispatcher(db, Node("cluster", {})), Peer(logged_in=True, owner=True)
    frames = [*frames_of(fleet), frame(1, series.partition, [(series, "select count(*)")], **begin)]
    assert all(reply for reply in dispatcher.answers(peer, frames))
    assert db.sessions.transactions(series)


def test_rows_of_many_containers_are_one_look_and_stand_in_their_own_order(
    db: Database, fleet: list[Container], monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed, series = [c for n, c in enumerate(fleet) if not n % 2], [c for n, c in enumerate(fleet) if n % 2]
    texts = ["select *", "select * order by v desc", "select * where v > 1"]
    db.settle()
    for containers in (keyed, series):
        for text in texts:
            asked = [(c, text) for c in containers if c.partition == 1]
            with monkeypatch.context() as patch:
                selects = looks(db, patch)
                (found,) = alone(db, [frame(1, 1, asked)])
            assert len(selects) == 1
            # The answers one by one, without the heads of their messages and of their lists.
            bodies = [alone(db, [frame(1, 1, [one])])[0] for one in asked]
            head = len(alone(db, [frame(1, 1, [])])[0])
            assert found[head:] == b"".join(body[head:] for body in bodies)
