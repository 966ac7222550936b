"""Airflow's SQL operators on a connection of type griddb: against a node in memory, and a real one if there is one."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.sql.operators.sql import (
    SQLColumnCheckOperator,
    SQLExecuteQueryOperator,
    SQLTableCheckOperator,
)
from tests.unit.griddb.sql.node import ID, SqlNode, pages

from gridferry.airflow import GridDBSqlHook
from gridferry.airflow.compat import AirflowException, AirflowFailException
from gridferry.griddb import sql
from gridferry.griddb.schema import GridType
from gridferry.griddb.sql import connect
from gridferry.griddb.wire.sql_rows import SqlColumn

REAL = os.environ.get("GRIDFERRY_TEST_GRIDDB", "")
TABLE = (SqlColumn("id", GridType.LONG, nullable=False), SqlColumn("at", GridType.TIMESTAMP_MS))


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> SqlNode:
    made = SqlNode(
        {"SELECT id FROM t": pages(ID, [{"id": 1}], [{"id": 2}]), "SELECT * FROM t LIMIT 0": pages(TABLE, [])},
        refuse={"SELEC 1": 240001, "SELECT busy": 10051},
    )
    document = {"conn_type": "griddb", "host": "node", "port": 10001, "schema": "c", "login": "admin", "password": "p"}
    monkeypatch.setenv("AIRFLOW_CONN_GRIDDB_DEFAULT", json.dumps(document))
    monkeypatch.setattr(sql, "connect", lambda address, **options: made.connection(**options))
    return made


def test_the_query_operator_gives_the_rows(node: SqlNode) -> None:
    operator = SQLExecuteQueryOperator(task_id="t", conn_id="griddb_default", sql="SELECT id FROM t")
    assert operator.execute({}) == [(1,), (2,)]
    assert not node.open_queries


def test_parameters_and_many_statements(node: SqlNode) -> None:
    hook = GridDBSqlHook()
    hook.run(["DELETE FROM t WHERE id = ?"], parameters=[5])
    hook.run("CREATE TABLE a (x LONG); DROP TABLE a;", split_statements=True)
    assert [request.text for request in node.asked if request.text] == [
        "DELETE FROM t WHERE id = ?",
        "CREATE TABLE a (x LONG)",
        "DROP TABLE a",
    ]


def test_rows_are_inserted_by_the_types_of_their_columns(node: SqlNode) -> None:
    rows = [(1, dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)), (2, None)]
    GridDBSqlHook().insert_rows("t", rows, replace=True)
    (values,) = node.values(2)
    assert [value.plain for value in values] == [1, 1704067200000, 2, None]
    assert str(node.asked[1].text).startswith("INSERT OR REPLACE INTO t")


def test_a_frame_comes_by_arrow(node: SqlNode) -> None:
    assert GridDBSqlHook().get_df("SELECT id FROM t")["id"].tolist() == [1, 2]


@pytest.mark.parametrize(("statement", "again"), [("SELEC 1", False), ("SELECT busy", True)])
def test_what_will_not_pass_is_not_tried_again(node: SqlNode, statement: str, again: bool) -> None:
    with pytest.raises(AirflowException) as caught:
        GridDBSqlHook().get_records(statement)
    assert isinstance(caught.value, AirflowFailException) is not again


@pytest.fixture
def real_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if not REAL:
        pytest.skip("GRIDFERRY_TEST_GRIDDB=host:port/cluster is not set")
    place, _, cluster = REAL.partition("/")
    host, _, port = place.partition(":")
    document: dict[str, Any] = {"conn_type": "griddb", "host": host, "port": int(port), "schema": cluster}
    monkeypatch.setenv("AIRFLOW_CONN_GRIDDB_DEFAULT", json.dumps({**document, "login": "admin", "password": "admin"}))
    name = f"air_{uuid.uuid4().hex[:8]}"
    with connect(f"griddb://admin@{REAL}", password="admin") as connection:
        connection.execute(f"CREATE TABLE {name} (id LONG PRIMARY KEY, at TIMESTAMP, temp DOUBLE)")
        yield name
        connection.execute(f"DROP TABLE {name}")


def test_the_operators_on_a_real_griddb(real_table: str) -> None:
    hook = GridDBSqlHook()
    at = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    hook.insert_rows(real_table, [(n, at, n / 2) for n in range(2500)], replace=True)
    query = SQLExecuteQueryOperator(
        task_id="q", conn_id="griddb_default", sql=f"SELECT count(*), max(temp) FROM {real_table} WHERE id >= :low",
        parameters={"low": 500},
    )  # fmt: skip
    assert query.execute({}) == [(2000, 1249.5)]
    SQLColumnCheckOperator(
        task_id="c", conn_id="griddb_default", table=real_table,
        column_mapping={"temp": {"null_check": {"equal_to": 0}, "max": {"less_than": 2000}}},
    ).execute({})  # fmt: skip
    SQLTableCheckOperator(
        task_id="k", conn_id="griddb_default", table=real_table,
        checks={"rows": {"check_statement": "COUNT(*) = 2500"}},
    ).execute({})  # fmt: skip
    assert hook.get_df(f"SELECT * FROM {real_table} ORDER BY id").shape == (2500, 3)
