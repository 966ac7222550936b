"""Statements that only GridDB's own client sends, as frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.embedded.peer import Client, code

from gridferry.embedded.catalog import Container
from gridferry.embedded.database import Database
from gridferry.griddb.wire.client_requests import AppendRow
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.octets import Reader
from gridferry.griddb.wire.row_requests import Transaction
from gridferry.griddb.wire.statement import SessionMode, TransactionMode

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
