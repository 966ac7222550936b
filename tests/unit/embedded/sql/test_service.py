"""The SQL service: who is answered, queries and their pages, and rows that SQL and NoSQL share."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from gridferry.embedded.answers.call import Node, Peer
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import PARTITIONS, Database
from gridferry.embedded.queries import plan
from gridferry.embedded.queries import run as run_tql
from gridferry.embedded.refusal import Refusal
from gridferry.embedded.results import Rows
from gridferry.embedded.row_statements import put_rows
from gridferry.embedded.server import password_digest
from gridferry.embedded.sql.service import SqlService
from gridferry.embedded.transactions import Transaction
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.frame import Frame, FrameReader, Role
from gridferry.griddb.wire.names import container_key, partition_of
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.replies import ErrorReply
from gridferry.griddb.wire.requests import Connect, Login, Logout, Request
from gridferry.griddb.wire.sql_replies import SqlOutcome, SqlReply
from gridferry.griddb.wire.sql_requests import CancelSql, ExecuteSql
from gridferry.griddb.wire.sql_values import Value, bind_table
from gridferry.griddb.wire.statement import SQL_PROTOCOL_VERSION, Option, SessionMode, SqlOperation

CLIENT = bytes(range(16))
LONG = GridType.LONG


class Client:
    """A peer of the SQL service without a socket."""

    def __init__(self, db: Database, service: SqlService | None = None) -> None:
        self.service = service or SqlService(db, Node("cluster", {"admin": password_digest("admin")}))
        self.peer = Peer()
        self.numbers = itertools.count(1)

    def login(self, **options: object) -> Client:
        known = {Option[name]: value for name, value in options.items()}
        answer = self.send(Login("admin", password_digest("admin"), "cluster", options=known))
        assert answer is not None
        assert answer.status == 0
        return self

    def send(self, message: Request, *, partition: int = 7) -> Frame | None:
        out = Writer()
        message.write(out)
        frame = Frame(message.statement, 1, memoryview(out.getvalue()), partition=partition)
        [parts] = self.service.answers(self.peer, [frame])
        reader = FrameReader(Role.CLIENT)
        reader.receive(b"".join(parts or []))
        return reader.next_frame()

    def ask(self, request: ExecuteSql) -> SqlReply:
        answer = self.send(request)
        assert answer is not None
        if answer.status:
            raise AssertionError(ErrorReply.read(Reader(answer.body)).message)
        return SqlReply.read(Reader(answer.body))

    def refused(self, message: Request) -> int:
        answer = self.send(message)
        assert answer is not None
        assert answer.status
        return ErrorReply.read(Reader(answer.body)).code

    def run(self, text: str) -> SqlOutcome:
        request = ExecuteSql(CLIENT, SqlOperation.EXECUTE, next(self.numbers), text=text)
        return self.ask(request).outcomes[0]

    def rows(self, text: str) -> list[tuple[object, ...]]:
        page = self.run(text).page
        assert page is not None
        return [tuple(row.values()) for row in page.batch().to_pylist()]

    def code(self, text: str) -> int:
        return self.refused(ExecuteSql(CLIENT, SqlOperation.EXECUTE, next(self.numbers), text=text))


@pytest.fixture
def client(db: Database) -> Client:
    return Client(db).login()


def test_nothing_is_answered_before_a_login(db: Database) -> None:
    client = Client(db)
    assert client.code("SELECT 1") == 10006
    assert client.refused(Connect(15)) == 10054
    assert client.send(Connect(SQL_PROTOCOL_VERSION)) is not None
    client.login()
    assert client.rows("SELECT 1") == [(1,)]


def test_what_the_real_server_does_not_answer_is_not_answered(client: Client) -> None:
    assert client.send(ExecuteSql(CLIENT, SqlOperation.EXECUTE, 1, text="SELECT 1"), partition=10_000) is None
    assert client.send(CancelSql(CLIENT, 77)) is None
    assert client.send(Logout()) is None
    assert client.code("SELECT 1") == 10006


def test_a_result_comes_in_pages_and_ends(client: Client) -> None:
    client.run("CREATE TABLE many (id LONG PRIMARY KEY, s STRING)")
    values = ",".join(f"({n}, '{'x' * 90}')" for n in range(64))
    client.run(f"INSERT INTO many VALUES {values}")
    for doubled in range(6, 15):
        client.run(f"INSERT INTO many SELECT id + {1 << doubled}, s FROM many")
    query = ExecuteSql(CLIENT, SqlOperation.QUERY, 9, text="SELECT * FROM many ORDER BY id")
    pages = [client.ask(query).outcomes[0].page]
    fetch = ExecuteSql(CLIENT, SqlOperation.FETCH, 9, mode=SessionMode.GET)
    while pages[-1] is not None and pages[-1].more:
        pages.append(client.ask(fetch).outcomes[0].page)
    assert len(pages) == 2
    ids = [n for page in pages if page is not None for n in page.batch().column(0).to_pylist()]
    assert ids == list(range(1 << 15))
    assert client.refused(fetch) == 200007


def test_a_query_belongs_to_its_connection(db: Database, client: Client) -> None:
    client.run("CREATE TABLE t (id LONG PRIMARY KEY)")
    prepare = ExecuteSql(CLIENT, SqlOperation.PREPARE, 5, text="SELECT id FROM t WHERE id = ?")
    assert client.ask(prepare).outcomes[0].parameters == 1
    run = ExecuteSql(CLIENT, SqlOperation.QUERY, 5, mode=SessionMode.GET, bind=bind_table([[Value(LONG, 1)]]))
    assert client.ask(run).outcomes[0].page is not None
    other = Client(db, client.service).login()
    assert other.refused(run) == 200007
    client.service.leave(client.peer)
    assert client.refused(run) == 200007


def test_requests_that_do_not_fit_their_statement(client: Client) -> None:
    client.run("CREATE TABLE t (id LONG PRIMARY KEY)")
    assert client.refused(ExecuteSql(CLIENT, SqlOperation.UPDATE, 5, text="SELECT 1")) == 200024
    assert client.refused(ExecuteSql(CLIENT, SqlOperation.QUERY, 5, text="DELETE FROM t")) == 200024
    assert client.code("SELECT ?") == 240001
    client.ask(ExecuteSql(CLIENT, SqlOperation.PREPARE, 6, text="INSERT INTO t VALUES (?)"))
    assert client.refused(ExecuteSql(CLIENT, SqlOperation.EXECUTE, 6, mode=SessionMode.GET)) == 250002
    assert client.refused(ExecuteSql(CLIENT, SqlOperation.PREPARE, 8, text="SELECT nosuch FROM t")) == 240008
    assert client.code('SELECT TABLE_NAME FROM "#_driver_tables"') == 240007
    asked = ExecuteSql(CLIENT, SqlOperation.PRAGMA, 7, text='SELECT TABLE_NAME FROM "#_driver_tables"')
    page = client.ask(asked).outcomes[0].page
    assert page is not None
    assert page.batch().to_pylist() == [{"TABLE_NAME": "t"}]


def test_a_query_is_stopped(client: Client) -> None:
    client.run("CREATE TABLE t (id LONG PRIMARY KEY)")
    client.run(f"INSERT INTO t VALUES {','.join(f'({n})' for n in range(3000))}")
    long = ExecuteSql(
        CLIENT, SqlOperation.QUERY, 50, text="SELECT COUNT(*) FROM t a, t b, t c WHERE a.id + b.id + c.id > 7"
    )
    found: list[int] = []
    worker = threading.Thread(target=lambda: found.append(client.refused(long)))
    worker.start()
    while (CLIENT, 50) not in client.service._queries:
        worker.join(0.01)
    client.send(CancelSql(CLIENT, 50))
    worker.join(30)
    assert found == [260014]
    assert client.rows("SELECT COUNT(*) FROM t") == [(3000,)]


def schema(*columns: ColumnSpec, kind: ContainerKind = ContainerKind.COLLECTION, key: int = 1) -> ContainerSchema:
    return ContainerSchema(kind, columns, key)


def partition(name: str) -> int:
    return partition_of(container_key(name), PARTITIONS)


def test_a_container_of_nosql_is_a_table_and_the_other_way_round(db: Database, client: Client) -> None:
    made = put_container(
        db,
        "Things",
        schema(ColumnSpec("id", LONG, nullable=False), ColumnSpec("a", GridType.INTEGER, array=True)),
        partition=partition("Things"),
    )
    put_rows(db, made, pa.RecordBatch.from_arrays([pa.array([1, 2]), pa.array([[1], None], pa.list_(pa.int32()))],
                                                  schema=made.schema.arrow_schema))  # fmt: skip
    assert client.rows("SELECT * FROM things ORDER BY id") == [(1, None), (2, None)]
    assert client.code("INSERT INTO things (id) VALUES (3)") == 240000
    assert client.code('SELECT * FROM "things"') == 280005
    assert client.rows('SELECT COLUMN_NAME, TYPE_NAME FROM "#columns" ORDER BY ORDINAL_POSITION') == [
        ("id", "LONG"),
        ("a", "INTEGER_ARRAY"),
    ]
    client.run("CREATE TABLE series (ts TIMESTAMP PRIMARY KEY, v DOUBLE) USING TIMESERIES")
    client.run("INSERT INTO series VALUES (TO_TIMESTAMP_MS(5), 1.5), (TO_TIMESTAMP_MS(9), NULL)")
    series = db.catalog.find(0, partition("series"), "series")
    assert series is not None
    assert series.schema.kind is ContainerKind.TIME_SERIES
    found = run_tql(db, series, plan(series, "select * where v > 1"))
    assert isinstance(found, Rows)
    assert found.batch.column(1).to_pylist() == [1.5]


def test_a_row_that_a_transaction_holds_is_waited_for(db: Database, client: Client) -> None:
    client.run("CREATE TABLE t (id LONG PRIMARY KEY, v LONG)")
    client.run("INSERT INTO t VALUES (1, 1), (2, 2)")
    container = db.catalog.find(0, partition("t"), "t")
    assert container is not None
    session = db.sessions.create((bytes(16), 1, container.partition), container, object())
    session.transaction = Transaction(container, deadline=1e18)
    row = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([9])], schema=container.schema.arrow_schema)
    put_rows(db, container, row, transaction=session.transaction)
    for statement in ("UPDATE t SET v = 5 WHERE id = 1", "DELETE FROM t", "INSERT OR REPLACE INTO t VALUES (1, 7)"):
        assert client.code(statement) == 60166
    assert client.run("UPDATE t SET v = 5 WHERE id = 2").changed == 1
    assert client.rows("SELECT * FROM t ORDER BY id") == [(1, 1), (2, 5)]


def test_a_renamed_column_keeps_its_values_and_indexes(db: Database, client: Client) -> None:
    client.run("CREATE TABLE t (id LONG PRIMARY KEY, v LONG)")
    client.run("CREATE INDEX ix ON t (v)")
    client.run("INSERT INTO t VALUES (1, 7)")
    client.run("ALTER TABLE t RENAME COLUMN v TO w")
    client.run("ALTER TABLE t ADD COLUMN x STRING NOT NULL")
    assert client.rows("SELECT w, x FROM t") == [(7, "")]
    assert client.rows("SELECT COLUMN_NAME FROM \"#index_info\" WHERE INDEX_NAME = 'ix'") == [("w",)]


def test_views_outlive_a_restart(tmp_path: Path) -> None:
    database = Database(tmp_path, flush_interval_s=None)
    client = Client(database).login()
    client.run("CREATE TABLE t (id LONG PRIMARY KEY)")
    client.run("INSERT INTO t VALUES (3)")
    client.run("CREATE VIEW v AS SELECT id + 1 AS n FROM t")
    database.close()
    database = Database(tmp_path, flush_interval_s=None)
    assert Client(database).login().rows("SELECT n FROM v") == [(4,)]
    database.close()


def test_a_time_zone_of_the_login_is_that_of_texts_and_calendars(db: Database) -> None:
    client = Client(db).login(TIME_ZONE_OFFSET=9 * 3_600_000)
    assert client.rows(
        "SELECT CAST(TO_TIMESTAMP_MS(0) AS STRING), EXTRACT(HOUR, TO_TIMESTAMP_MS(0)),"
        " TO_EPOCH_MS(TIMESTAMP_TRUNC(DAY, TIMESTAMP('1970-01-02T00:00:00Z')))"
    ) == [("1970-01-01T09:00:00.000+09:00", 9, 15 * 3_600_000)]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE TABLE p (a LONG PRIMARY KEY) PARTITION BY HASH (a) PARTITIONS 3", "partitioned tables"),
        ("SELECT ROW_NUMBER() OVER (ORDER BY 1)", "window functions"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("SELECT STRFTIME('%Y', NOW())", "STRFTIME"),
        ("CREATE USER u", "USER"),
        ('SELECT * FROM "#sqls"', "#sqls"),
        ("SELECT id, COUNT(*) FROM t", '"id"'),
    ],
)
def test_what_is_left_out_is_refused_by_name(db: Database, client: Client, statement: str, what: str) -> None:
    client.run("CREATE TABLE t (id LONG PRIMARY KEY)")
    answer = client.send(ExecuteSql(CLIENT, SqlOperation.EXECUTE, 99, text=statement))
    assert answer is not None
    error = ErrorReply.read(Reader(answer.body))
    assert (error.code, "emulator" in error.message, what in error.message) == (240000, True, True)


def test_nothing_of_a_statement_reaches_the_database(db: Database, client: Client) -> None:
    """Names and texts with quotes, and functions of DuckDB's own."""
    client.run('CREATE TABLE t ("id" LONG PRIMARY KEY, s STRING)')
    client.run("INSERT INTO t VALUES (1, 'a'';DROP TABLE x;--')")
    assert client.rows("SELECT s AS \"o0\"\"; x\" FROM t WHERE s = 'a'';DROP TABLE x;--'") == [("a';DROP TABLE x;--",)]
    assert client.code("SELECT read_csv('/etc/passwd')") == 240010
    assert client.code("SELECT * FROM rows_x") == 280005
    assert client.code("SELECT * FROM gridferry_containers") == 280005
    assert client.code("SELECT id FROM t, LATERAL (SELECT 1) q") in (240000, 240001, 280005)
    with pytest.raises(Refusal):
        db.duck.select("SELECT * FROM read_text('/etc/passwd')")
