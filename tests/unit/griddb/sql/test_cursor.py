"""Connections and cursors of PEP 249 against a node in memory: what is sent, what is given, what stays open."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.griddb.net.memory import refused
from tests.unit.griddb.sql.node import ID, SqlNode, pages

from gridferry.errors import Transient
from gridferry.griddb import sql
from gridferry.griddb.schema import GridType
from gridferry.griddb.sql.errors import LoginRefused, MayPass
from gridferry.griddb.wire.frame import Frame
from gridferry.griddb.wire.sql_rows import SqlColumn
from gridferry.griddb.wire.sql_values import Value
from gridferry.griddb.wire.statement import SQL_PROTOCOL_VERSION

THREE = {"SELECT id FROM t": pages(ID, [{"id": 1}, {"id": 2}], [{"id": 3}], [])}
TABLE = (
    SqlColumn("id", GridType.LONG, nullable=False),
    SqlColumn("n", GridType.SHORT),
    SqlColumn("s", GridType.STRING),
    SqlColumn("at", GridType.TIMESTAMP_MS),
)
SHAPE = {"SELECT * FROM t LIMIT 0": pages(TABLE, [])}


def test_the_module_says_what_it_is() -> None:
    assert (sql.apilevel, sql.threadsafety, sql.paramstyle) == ("2.0", 1, "qmark")
    assert issubclass(sql.ProgrammingError, sql.DatabaseError)
    assert issubclass(sql.DatabaseError, sql.Error)
    assert issubclass(sql.InterfaceError, sql.Error)
    assert not issubclass(sql.InterfaceError, sql.DatabaseError)
    assert sql.Connection.OperationalError is sql.OperationalError


def test_a_member_at_the_port_of_nosql_is_asked_at_that_of_sql() -> None:
    node = SqlNode()
    node.connection()
    assert (node.dialled, node.versions) == ([("node", 20001)], {SQL_PROTOCOL_VERSION})


def test_pages_are_fetched_as_they_are_read() -> None:
    node = SqlNode(THREE)
    cursor = node.connection().cursor().execute("SELECT id FROM t")
    assert (cursor.rowcount, cursor.fetchone(), node.operations) == (-1, (1,), ["EXECUTE", "FETCH"])
    assert cursor.fetchmany(5) == [(2,), (3,)]
    assert (cursor.fetchone(), cursor.fetchall()) == (None, [])
    assert node.operations == ["EXECUTE", "FETCH", "FETCH"]
    assert not node.open_queries
    assert cursor.description == [("id", "LONG", None, None, None, None, False)]
    assert cursor.description[0][1] == sql.NUMBER
    assert cursor.description[0][1] != sql.STRING


def test_all_of_a_query_has_one_partition_and_cursors_do_not_meet() -> None:
    node = SqlNode({**THREE, "SELECT 1": pages(ID, [{"id": 1}])})
    connection = node.connection()
    first, second = connection.execute("SELECT id FROM t"), connection.execute("SELECT id FROM t")
    assert (list(second), list(first)) == ([(1,), (2,), (3,)],) * 2
    assert len(node.partitions) == 1


def test_a_result_that_is_left_is_closed_at_the_server() -> None:
    node = SqlNode(THREE)
    connection = node.connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM t")
        assert node.open_queries
    assert not node.open_queries
    other = connection.execute("SELECT id FROM t")
    other.execute("CREATE TABLE x")
    assert (other.rowcount, other.description, node.open_queries) == (1, None, set())


def test_a_statement_with_parameters_is_prepared_once() -> None:
    node = SqlNode({"SELECT id FROM t WHERE id = ?": pages(ID, [{"id": 7}])})
    cursor = node.connection().cursor()
    for _ in range(2):
        assert cursor.execute("SELECT id FROM t WHERE id = :id", {"id": 7}).fetchall() == [(7,)]
    assert node.operations == ["PREPARE", "EXECUTE", "EXECUTE"]
    assert node.values() == [(Value(GridType.LONG, 7),)]
    cursor.close()
    assert not node.open_queries


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("SELECT ?", [], "has 1 parameters, and 0 values"),
        ("SELECT '?'", [1], "has 0 parameters, and 1 values"),
        ("SELECT ?, ?", [1], "has 2 parameters, and 1 values"),
        ("SELECT :a", {"b": 1}, "the parameter :a of the statement is not given"),
        ("SELECT ?", {"b": 1}, "the statement has [?] and its parameters have names"),
        ("SELECT ?", "x", "parameters are a sequence"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_before_anything_is_sent(text: str, given: object, said: str) -> None:
    node = SqlNode()
    with pytest.raises(sql.ProgrammingError, match=said):
        node.connection().execute(text, given)  # type: ignore[arg-type]
    assert node.asked == []


def test_many_rows_go_in_statements_of_a_thousand() -> None:
    node = SqlNode(dict(SHAPE), changes=500)
    rows = [(i, i % 100, None if i % 3 else f"é{i}", dt.datetime(2024, 1, 1)) for i in range(2500)]
    cursor = node.connection().cursor().executemany("insert or replace into t values (?, ?, ?, ?)", rows)
    assert cursor.rowcount == 1500
    assert node.operations == ["EXECUTE", "PREPARE", "EXECUTE", "EXECUTE", "CLOSE", "PREPARE", "EXECUTE", "CLOSE"]
    assert str(node.asked[1].text).startswith("insert or replace into t values (?,?,?,?),(")
    sent = [value for number in (2, 3, 6) for value in node.values(number)[0]]
    assert len(sent) == 10000
    assert sent[0:4] == [
        Value(GridType.LONG, 0),
        Value(GridType.SHORT, 0),
        Value(GridType.STRING, "é0"),
        Value(GridType.TIMESTAMP_MS, 1704067200000),
    ]
    assert sent[4 * 2401 + 2].type is None
    assert sent[-4] == Value(GridType.LONG, 2499)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((1, 1.5, "a", None), 'column "n", row 1: the number has a fraction'),
        ((1, 70000, "a", None), 'column "n", row 1: the number does not fit SHORT'),
        ((1, True, "a", None), 'column "n", row 1: a value of the Python type bool does not fit SHORT'),
        ((1, 1, 5, None), 'column "s", row 1: a value of the Python type int does not fit STRING'),
        ((1, 1, "a", dt.datetime(2024, 1, 1, 0, 0, 0, 1)), 'column "at", row 1: the time is finer than'),
        ((1, 1, "a"), "row 1 has 3 values, and the statement 4 parameters"),
        ((1, 1, "\ud800", None), "half of a surrogate pair"),
    ],
)
def test_a_value_that_its_column_would_change_is_not_sent(row: tuple[object, ...], said: str) -> None:
    node = SqlNode(dict(SHAPE))
    with pytest.raises(sql.Error, match=said):
        node.connection().cursor().executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [(0, 0, "", None), row])
    assert node.operations == ["EXECUTE"]


def test_columns_of_an_insert_may_be_named_in_another_order() -> None:
    node = SqlNode(dict(SHAPE))
    node.connection().cursor().executemany("INSERT INTO t (S, id) VALUES (:text, :id)", [{"id": 5, "text": "x"}])
    assert node.values(2) == [(Value(GridType.STRING, "x"), Value(GridType.LONG, 5))]
    with pytest.raises(sql.ProgrammingError, match="has no column nope"):
        node.connection().cursor().executemany("INSERT INTO t (nope) VALUES (?)", [(5,)])
    with pytest.raises(sql.ProgrammingError, match="has 4 columns, and a row of the statement 2"):
        node.connection().cursor().executemany("INSERT INTO t VALUES (?, ?)", [(5, 6)])


def test_another_statement_with_many_parameters_runs_with_each() -> None:
    node = SqlNode(changes=2)
    cursor = node.connection().cursor().executemany("UPDATE t SET n = ? WHERE id = ?", [(1, 2), (3, 4)])
    assert (cursor.rowcount, node.operations) == (4, ["PREPARE", "EXECUTE", "EXECUTE"])
    assert cursor.executemany("UPDATE t SET n = ?", []).rowcount == 0


def test_arrow_comes_page_by_page() -> None:
    node = SqlNode(THREE)
    connection = node.connection()
    reader = connection.execute("SELECT id FROM t").fetch_record_batch()
    assert node.operations == ["EXECUTE"]
    assert [batch.num_rows for batch in reader] == [2, 1, 0]
    table = connection.execute("SELECT id FROM t").fetch_arrow_table()
    assert table.schema == pa.schema([pa.field("id", pa.int64(), nullable=False)])
    assert table.column("id").to_pylist() == [1, 2, 3]


def test_nanoseconds_and_microseconds_come_to_the_last_digit() -> None:
    columns = (SqlColumn("n", GridType.TIMESTAMP_NS), SqlColumn("", GridType.TIMESTAMP_US))
    at = 1704164645678901234
    node = SqlNode({"SELECT 1": pages(columns, [{"n": at, "column_2": at // 1000}, {"n": None, "column_2": None}])})
    cursor = node.connection().execute("SELECT 1")
    time = dt.datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=dt.timezone.utc)
    assert cursor.fetchall() == [(np.datetime64(at, "ns"), time), (None, None)]
    assert [column[0] for column in cursor.description or ()] == ["n", "column_2"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (240001, sql.ProgrammingError),
        (280005, sql.ProgrammingError),
        (240000, sql.NotSupportedError),
        (60154, sql.IntegrityError),
        (305010, sql.DataError),
        (60079, sql.DataError),
        (260014, MayPass),
        (10051, MayPass),
        (10005, LoginRefused),
        (10006, sql.OperationalError),
    ],
)
def test_a_refusal_has_the_error_of_its_code_and_not_the_statement(code: int, kind: type[sql.Error]) -> None:
    node = SqlNode(refuse={"SELECT 'private'": code})
    connection = node.connection()
    with pytest.raises(kind) as caught:
        connection.execute("SELECT 'private'")
    assert type(caught.value) is kind
    assert caught.value.code == (0 if kind is LoginRefused else code)
    assert isinstance(caught.value, Transient) is (kind is MayPass)
    assert str(code) in caught.value.message
    assert "private" not in caught.value.message
    assert connection.execute("CREATE TABLE x").rowcount == 1


def test_a_prepared_statement_that_is_refused_is_closed() -> None:
    node = SqlNode(refuse={"SELECT ?": 305010})
    cursor = node.connection().cursor()
    with pytest.raises(sql.DataError):
        cursor.execute("SELECT ?", [1])
    assert not node.open_queries


def test_a_statement_that_takes_too_long_is_cancelled_and_the_connection_goes_on() -> None:
    node = SqlNode(silent={"SELECT slow"})
    connection = node.connection(timeout_s=3)
    waiting: list[object] = []

    def ended(request: object) -> list[bytes]:
        waiting.append(request)
        number = 3  # connect, login, and the statement
        return [refused(Frame(400, number, memoryview(b"")), 260014)]

    node.on_cancel = ended
    with pytest.raises(sql.OperationalError, match="did not end within 3 s, and was cancelled"):
        connection.execute("SELECT slow")
    assert len(waiting) == 1
    assert node.cancelled[0].query_id == node.asked[0].query_id
    node.silent.clear()
    assert connection.execute("CREATE TABLE x").rowcount == 1


def test_without_transactions_commit_does_nothing_and_rollback_says_so() -> None:
    connection = SqlNode().connection()
    connection.commit()
    with pytest.raises(sql.NotSupportedError, match="no transactions"):
        connection.rollback()
    with pytest.raises(sql.NotSupportedError, match="no stored procedures"):
        connection.cursor().callproc("x")


def test_what_is_closed_says_so() -> None:
    node = SqlNode(THREE)
    connection = node.connection()
    cursor = connection.cursor()
    with pytest.raises(sql.ProgrammingError, match="no result to fetch"):
        cursor.fetchone()
    cursor.close()
    cursor.close()
    with pytest.raises(sql.InterfaceError, match="the cursor is closed"):
        cursor.execute("SELECT 1")
    with connection:
        assert connection.is_alive()
    for ask in (connection.cursor, connection.commit, connection.rollback):
        with pytest.raises(sql.InterfaceError, match="the connection is closed"):
            ask()
    assert not connection.is_alive()


def test_a_login_that_is_refused_is_no_temporary_failure() -> None:
    node = SqlNode(refuse_login=10005)
    with pytest.raises(LoginRefused, match="10005") as caught:
        node.connection()
    assert caught.value.exit_code == 2
    assert caught.value.next_step == "check user, password and database of the target"


def test_a_column_without_a_type_of_its_own_that_changes_between_pages() -> None:
    empty, full = (SqlColumn("x", None),), (SqlColumn("x", GridType.LONG),)
    first, second = pages(empty, [{"x": None}], [])[0], pages(full, [{"x": 1}])[0]
    node = SqlNode({"SELECT x": [first, second]})
    assert node.connection().execute("SELECT x").fetchall() == [(None,), (1,)]
    with pytest.raises(sql.DataError, match="other values in a later page"):
        node.connection().execute("SELECT x").fetch_arrow_table()
