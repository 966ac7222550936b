"""SQL on every server: every type out and in, pages, cursors side by side, errors, limits of time, and what GridDB
answers to some hundred statements."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.conformance.conftest import Server
from tests.conformance.sql_table import QUESTIONS, REFUSED, ask, fill, recorded

from gridferry.griddb import sql
from gridferry.griddb.sql.session import SqlSession

AT = dt.datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=dt.timezone.utc)
COLUMNS: dict[str, tuple[str, Any]] = {
    "b": ("BOOL", True),
    "y": ("BYTE", -128),
    "h": ("SHORT", 32767),
    "i": ("INTEGER", -(2**31)),
    "l": ("LONG", 2**63 - 1),
    "f": ("FLOAT", 0.5),
    "d": ("DOUBLE", 0.1),
    "t": ("TIMESTAMP", AT.replace(microsecond=678000)),
    "u": ("TIMESTAMP(6)", AT),
    "n": ("TIMESTAMP(9)", np.datetime64("2024-01-02T03:04:05.678901234")),
    "s": ("STRING", "größe ' \" ?"),
    "o": ("BLOB", bytes(range(256)) * 300),
}


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[sql.Connection]:
    with sql.connect(server.address, timeout_s=60) as opened:
        yield opened


@pytest.fixture
def table(connection: sql.Connection) -> Iterator[str]:
    name = f"sql_{uuid.uuid4().hex[:10]}"
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
    connection.execute(f"CREATE TABLE {name} (id LONG PRIMARY KEY, {columns})")
    yield name
    connection.execute(f"DROP TABLE {name}")


def insert(connection: sql.Connection, table: str, rows: list[list[Any]]) -> int:
    marks = ", ".join("?" * (1 + len(COLUMNS)))
    return connection.cursor().executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows).rowcount


def test_every_type_comes_back_to_the_last_digit(connection: sql.Connection, table: str) -> None:
    values = [value for _, value in COLUMNS.values()]
    assert insert(connection, table, [[1, *values], [2, *[None] * len(values)]]) == 2
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY id")
    assert cursor.fetchall() == [(1, *values), (2, *[None] * len(values))]
    labels = [str(column[1]) for column in cursor.description or ()]
    assert labels[1:] == ["TIMESTAMP(3)" if kind == "TIMESTAMP" else kind for kind, _ in COLUMNS.values()]


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "o"])
def test_a_parameter_of_every_type_finds_its_row(connection: sql.Connection, table: str, column: str) -> None:
    values = [value for _, value in COLUMNS.values()]
    insert(connection, table, [[1, *values], [2, *[None] * len(values)]])
    found = connection.execute(f"SELECT id, {column} FROM {table} WHERE {column} = :it", {"it": COLUMNS[column][1]})
    assert found.fetchall() == [(1, COLUMNS[column][1])]


def test_a_result_of_many_pages_beside_others(connection: sql.Connection, table: str) -> None:
    count = 30_000
    many = connection.cursor().executemany(
        f"INSERT INTO {table} (s, id) VALUES (:s, :id)", [{"id": n, "s": f"text {n}"} for n in range(count)]
    )
    assert many.rowcount == count
    first = connection.execute(f"SELECT id, s, NULL FROM {table} ORDER BY id")
    assert first.fetchmany(3)[2][0] == 2
    second = connection.execute(f"SELECT id FROM {table}").fetch_arrow_table()
    assert sorted(second.column("id").to_pylist()) == list(range(count))
    assert [row[0] for row in first] == list(range(3, count))


def test_errors_leave_the_connection_usable(connection: sql.Connection, table: str) -> None:
    connection.execute(f"INSERT INTO {table} (id) VALUES (1)")
    for statement, kind in {
        "SELEC 1": sql.ProgrammingError,
        "SELECT * FROM no_such_table": sql.ProgrammingError,
        f"SELECT no_such_column FROM {table}": sql.ProgrammingError,
        f"INSERT INTO {table} (id) VALUES (1)": sql.IntegrityError,
        f"INSERT INTO {table} (id, y) VALUES (2, 1000)": sql.DataError,
        "BEGIN": sql.NotSupportedError,
    }.items():
        with pytest.raises(kind) as caught:
            connection.execute(statement)
        assert type(caught.value) is kind
        assert statement not in caught.value.message
    assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)


def test_a_statement_without_variable_columns_that_looked_at_one(connection: sql.Connection, table: str) -> None:
    connection.cursor().executemany(f"INSERT INTO {table} (id, s) VALUES (?, ?)", [(1, "a"), (2, "b")])
    assert connection.execute(f"SELECT count(*) FROM {table} WHERE s = ?", ["a"]).fetchone() == (1,)


def test_a_statement_that_takes_too_long_is_cancelled(connection: sql.Connection, table: str) -> None:
    rows = [[n, *[None] * len(COLUMNS)] for n in range(3000)]
    insert(connection, table, rows)
    cursor = connection.cursor()
    cursor.timeout_s = 0.5
    with pytest.raises(sql.OperationalError, match="was cancelled"):
        cursor.execute(f"SELECT count(*) FROM {table} a, {table} b, {table} c WHERE a.id + b.id + c.id > 7")
    assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_statements_are_answered_as_griddb_does(server: Server, connection: sql.Connection) -> None:
    prefix = f"sqlq_{uuid.uuid4().hex[:8]}"
    names = {short: f"{prefix}_{short}" for short in ("things", "series", "new")}
    fill(connection, names["things"], names["series"])
    session = SqlSession(server.address)
    wrong = []
    try:
        for question, wanted in recorded():
            answer = ask(session, question, names)
            if answer != wanted and not (question in REFUSED and answer == "error 240000" and not server.real):
                wrong.append(f"{question}\n  {answer}\n  GridDB: {wanted}")
    finally:
        session.close()
        for name in names.values():
            connection.execute(f"DROP TABLE IF EXISTS {name}")
    assert not wrong, "\n".join(wrong)


def test_every_recorded_answer_is_asked_for() -> None:
    assert [question for question, _ in recorded()] == QUESTIONS


def test_the_port_of_another_service_is_named(server: Server) -> None:
    (host, port), *_ = server.address.members
    with pytest.raises(sql.InternalError, match="is the port of the node's transaction service"):
        sql.connect(replace(server.address, sql=((host, port),)))
