"""Statements that only GridDB's own client sends, as frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.embedded.peer import Client, code

from gridferry.embedded.catalog import Container
from gridferry.embedded.database import Database
from gridferry.embedded.row_statements import put_rows
from gridferry.griddb.wire.client_requests import AppendRow, DeleteRowById, InterpolateRow, QuerySampling, UpdateRowById
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.multi_requests import MultiQuery
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.requests import Request
from gridferry.griddb.wire.row_replies import QueryReply, read_multi_query
from gridferry.griddb.wire.row_requests import Abort, Commit, QueryHead, QueryTql, Transaction
from gridferry.griddb.wire.statement import Option, SessionMode, TransactionMode

Make = Callable[..., Any]
PLAIN = Transaction(0)
BEGIN = Transaction(0, 7, bytes(16), SessionMode.CREATE, TransactionMode.BEGIN)
GO_ON = Transaction(0, 7, bytes(16), SessionMode.GET, TransactionMode.CONTINUE)


@pytest.fixture
def client(db: Database) -> Client:
    found = Client(db)
    assert found.login().status == 0
    return found


@pytest.fixture
def image(batch: Make) -> Make:
    def make(container: Container, *row: Any) -> bytes:
        rows = encode_rows(container.schema, batch(container.schema, row), check=False)
        return b"".join(bytes(part) for part in rows.image())

    return make


def test_an_appended_row_stands_at_the_time_of_now(
    client: Client, series: Container, image: Make, ask: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(value: float) -> bool:
        request = AppendRow(series.id, PLAIN, image(series, 5, value, "x"))
        answer = client.send(request, partition=series.partition)
        assert answer.status == 0
        return Reader(answer.body).boolean()

    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_999_999)
    assert not append(1.0)
    assert append(2.0), "a second row of one millisecond replaces the first"
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_124_000_000)
    assert not append(3.0)
    assert ask(series, "select *") == [(1_700_000_000_123, 2.0, "x"), (1_700_000_000_124, 3.0, "x")]


def test_only_a_series_has_a_time_to_append_at(client: Client, keyed: Container, image: Make) -> None:
    request = AppendRow(keyed.id, PLAIN, image(keyed, "a", 1, 1))
    assert code(client.send(request, partition=keyed.partition)) == 60026


@pytest.fixture
def send(client: Client) -> Make:
    """Sends a statement about a container; gives the error's number, or 0."""

    def ask(container: Container, message: Request, number: int = 1) -> int:
        answer = client.send(message, partition=container.partition, number=number)
        return code(answer) if answer.status else 0

    return ask


@pytest.mark.parametrize("tx", [PLAIN, BEGIN])
@pytest.mark.parametrize("which", ["keyed", "keyless"])
def test_a_row_is_updated_in_its_place_and_deleted_by_its_id(
    request: pytest.FixtureRequest,
    db: Database,
    batch: Make,
    image: Make,
    ask: Make,
    send: Make,
    which: str,
    tx: Transaction,
) -> None:
    container: Container = request.getfixturevalue(which)
    key = (lambda k: (str(k), k)) if which == "keyed" else (lambda k: ())
    put_rows(db, container, batch(container.schema, *((*key(k), k) for k in range(4))))
    assert send(container, UpdateRowById(container.id, tx, 1, image(container, *key(1), 11)), 1) == 0
    go_on = PLAIN if tx is PLAIN else GO_ON
    assert send(container, DeleteRowById(container.id, go_on, 2), 2) == 0
    assert send(container, DeleteRowById(container.id, go_on, 2), 3) == 0, "none there: nothing to do"
    assert send(container, UpdateRowById(container.id, go_on, 77, image(container, *key(7), 7)), 4) == 0
    if tx is BEGIN:
        assert ask(container, "select *") == [(*key(k), k) for k in range(4)]
        assert send(container, Commit(container.id, 7, bytes(16)), 5) == 0
    assert ask(container, "select *") == [(*key(0), 0), (*key(1), 11), (*key(3), 3)]


def test_an_aborted_update_leaves_the_row(
    db: Database, keyless: Container, batch: Make, image: Make, ask: Make, send: Make
) -> None:
    put_rows(db, keyless, batch(keyless.schema, (1,), (2,)))
    assert send(keyless, UpdateRowById(keyless.id, BEGIN, 0, image(keyless, 9)), 1) == 0
    assert ask(keyless, "select *") == [(1,), (2,)]
    assert send(keyless, Abort(keyless.id, 7, bytes(16)), 2) == 0
    assert ask(keyless, "select *") == [(1,), (2,)]


def test_updates_that_are_refused(
    db: Database, keyed: Container, series: Container, batch: Make, image: Make, ask: Make, send: Make
) -> None:
    put_rows(db, keyed, batch(keyed.schema, ("a", 1, 1), ("b", 2, 2)))
    put_rows(db, series, batch(series.schema, (1, 1.0, "")))
    assert send(keyed, UpdateRowById(keyed.id, PLAIN, 0, image(keyed, "b", 1, 5))) == 60049
    assert send(keyed, UpdateRowById(keyed.id, PLAIN, 0, image(keyed, "a\0", 1, 5))) == 60079
    assert send(keyed, UpdateRowById(keyed.id, Transaction(3), 0, image(keyed, "a", 1, 5))) == 10017
    assert send(series, UpdateRowById(series.id, PLAIN, 1, image(series, 1, 2.0, ""))) == 60026
    assert send(series, DeleteRowById(series.id, PLAIN, 1)) == 60026
    assert ask(keyed, "select *") == [("a", 1, 1), ("b", 2, 2)]
    assert ask(series, "select *") == [(1, 1.0, "")]


FOR_UPDATE = Transaction(0, 7, bytes(16), SessionMode.CREATE, TransactionMode.BEGIN, {Option.FOR_UPDATE: True})


@pytest.mark.parametrize("head", [QueryHead(), QueryHead(fetch_size=1)], ids=["whole", "paged"])
def test_rows_fetched_for_update_are_held(
    db: Database, keyless: Container, batch: Make, image: Make, send: Make, head: QueryHead
) -> None:
    put_rows(db, keyless, batch(keyless.schema, (1,), (2,), (3,)))
    assert send(keyless, QueryTql(keyless.id, FOR_UPDATE, "select * where v <= 2", head), 1) == 0
    for row_id in (0, 1):
        assert send(keyless, UpdateRowById(keyless.id, PLAIN, row_id, image(keyless, 9))) == 60166
        assert send(keyless, DeleteRowById(keyless.id, PLAIN, row_id)) == 60166
    assert send(keyless, DeleteRowById(keyless.id, PLAIN, 2)) == 0
    assert send(keyless, DeleteRowById(keyless.id, GO_ON, 1), 2) == 0


@pytest.mark.parametrize("tql", ["select count(*)", "select MAX_ROWS(v)", "explain select *"])
def test_only_plain_rows_can_be_fetched_for_update(keyless: Container, send: Make, tql: str) -> None:
    assert send(keyless, QueryTql(keyless.id, FOR_UPDATE, tql)) == 150017


def _sampling(container: Container, *columns: int, **changes: Any) -> QuerySampling:
    asked = {"tx": PLAIN, "start": 0, "end": 1000, "interval": 1, "unit": 6, "mode": 0, **changes}
    return QuerySampling(container.id, columns=columns, **asked)


def _count(answer: QueryReply) -> int:
    return 0 if answer.rows is None else answer.rows.count


SAMPLINGS: list[tuple[dict[str, Any], int]] = [
    ({}, 901),  # from the first row on
    ({"unit": 5}, 0),
    ({"end": 100}, 1),
    ({"interval": 100}, 10),
    ({"interval": 50, "mode": 1}, 21),
    ({"head": QueryHead(limit=5)}, 5),
    # What comes before the first row, or behind the limit, is not counted one by one.
    ({"end": 253_402_300_799_999, "head": QueryHead(limit=3)}, 3),
    ({"end": 253_402_300_799_999, "mode": 1, "head": QueryHead(limit=3)}, 3),
    ({"end": 400, "mode": 9}, 301),
]


@pytest.mark.parametrize(("changes", "rows"), SAMPLINGS)
def test_samples_are_counted(
    client: Client, db: Database, series: Container, batch: Make, changes: dict[str, Any], rows: int
) -> None:
    put_rows(db, series, batch(series.schema, (100, 1.0, ""), (300, 3.0, "")))
    asked = _sampling(series, **changes)
    answer = client.send(asked, partition=series.partition)
    assert _count(QueryReply.read(Reader(answer.body))) == rows
    many = client.send(MultiQuery([asked, asked]), partition=series.partition)
    assert [_count(reply) for reply in read_multi_query(Reader(many.body))] == [rows, rows]


def test_samples_come_in_pages(client: Client, db: Database, series: Container, batch: Make) -> None:
    put_rows(db, series, batch(series.schema, (100, 1.0, ""), (300, 3.0, "")))
    asked = _sampling(series, end=200, head=QueryHead(fetch_size=7))
    answer = QueryReply.read(Reader(client.send(asked, partition=series.partition).body))
    assert _count(answer) == 7
    assert answer.partial is not None
    assert answer.partial.total == 101


SAMPLINGS_REFUSED: list[tuple[tuple[int, ...], dict[str, Any], int]] = [
    ((3,), {}, 60102),
    ((-1,), {}, 60102),
    ((0,), {}, 60075),
    ((2,), {}, 60075),
    ((1,), {"mode": 1}, 60076),
    ((), {"unit": 1}, 60074),
    ((), {"unit": 7}, 60074),
    ((), {"interval": 0}, 70004),
    ((), {"interval": -1}, 70004),
    ((), {"tx": Transaction(0, options={Option.FOR_UPDATE: True})}, 10012),
    ((), {"start": -1}, 70007),
    ((), {"end": 253_402_300_800_000}, 70007),
    ((), {"end": 10_000_000}, 152012),  # more rows than this server makes up in one answer
]


@pytest.mark.parametrize(("columns", "changes", "expected"), SAMPLINGS_REFUSED)
def test_samplings_that_are_refused(
    db: Database,
    series: Container,
    batch: Make,
    send: Make,
    columns: tuple[int, ...],
    changes: dict[str, Any],
    expected: int,
) -> None:
    put_rows(db, series, batch(series.schema, (0, 1.0, "")))
    assert send(series, _sampling(series, *columns, **changes)) == expected


def test_only_a_series_has_rows_between_rows(keyed: Container, series: Container, send: Make) -> None:
    assert send(keyed, _sampling(keyed)) == 60026
    assert send(keyed, InterpolateRow(keyed.id, PLAIN, 5, 1)) == 60026
    assert send(series, InterpolateRow(series.id, PLAIN, 5, 3)) == 70006
    assert send(series, InterpolateRow(series.id, PLAIN, 5, 2)) == 60075
    assert send(series, InterpolateRow(series.id, PLAIN, -5, 1)) == 70007
