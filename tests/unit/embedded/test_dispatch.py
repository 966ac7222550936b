"""Frames in, frames out: nothing a peer sends may end the server or go unanswered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.profiles import MANY
from tests.unit.embedded.peer import Client, code

from gridferry.embedded.catalog import Container
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.dispatch import HANDLERS
from gridferry.embedded.row_statements import put_rows
from gridferry.embedded.server import password_digest
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.wire.container_requests import DropContainer, GetContainerProperties, PutContainer
from gridferry.griddb.wire.encode import encode_rows
from gridferry.griddb.wire.multi_requests import MultiPut, MultiQuery, PutEntry
from gridferry.griddb.wire.names import ContainerKey, container_key
from gridferry.griddb.wire.octets import Reader, Writer
from gridferry.griddb.wire.replies import ContainerReply, ErrorReply
from gridferry.griddb.wire.requests import (
    REQUESTS,
    Connect,
    GetPartitionAddress,
    PutDatabase,
)
from gridferry.griddb.wire.row_replies import QueryReply, read_multi_query, read_value
from gridferry.griddb.wire.row_requests import (
    AggregateSeries,
    Commit,
    CreateSession,
    FetchRowSet,
    PutRows,
    QueryRange,
    QueryTql,
    Transaction,
)
from gridferry.griddb.wire.schema_image import TimeSeriesProperties
from gridferry.griddb.wire.statement import Option, Property, SessionMode, Statement, TransactionMode

SCHEMA = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        ColumnSpec("v", GridType.DOUBLE),
        ColumnSpec("s", GridType.STRING),
        ColumnSpec("a", GridType.STRING, array=True),
    ),
)
UUID = bytes(range(16))


@pytest.fixture
def client(db: Database) -> Client:
    found = Client(db)
    assert found.login().status == 0
    return found


@pytest.fixture
def container(db: Database) -> Container:
    return put_container(db, "c", SCHEMA, partition=0)


def rows(*times: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array(times, pa.int64()).cast(pa.timestamp("ms", "UTC")),
            pa.array([1.5] * len(times)),
            pa.array(["text"] * len(times)),
            pa.array([["a", "bc"]] * len(times)),
        ],
        schema=SCHEMA.arrow_schema,
    )


def image(*times: int) -> bytes:
    return b"".join(bytes(b) for b in encode_rows(SCHEMA, rows(*times), check=False).image())


def count(client: Client) -> int:
    answer = client.send(QueryTql(0, Transaction(0), "select count(*)"))
    aggregate = QueryReply.read(Reader(answer.body)).aggregate
    assert aggregate is not None
    assert isinstance(aggregate.value, int)
    return aggregate.value


def test_every_request_known_to_the_wire_has_a_handler() -> None:
    of_sql = {Statement.EXECUTE_SQL, Statement.CANCEL_SQL}  # another service, which the embedded server does not have
    assert set(REQUESTS) - {Statement.DISCONNECT} - of_sql <= set(HANDLERS)


LOGINS: dict[str, tuple[dict[str, Any], int]] = {
    "user": ({"user": "nobody"}, 10005),
    "password": ({"digest": password_digest("no")}, 10005),
    "password in clear": ({"digest": "admin"}, 10005),
    "other mode": ({"auth_mode": 2}, 10005),
    "database": ({"options": {Option.DATABASE_NAME: "no"}}, 10005),
    "cluster": ({"cluster": "other"}, 10053),
    "application": ({"options": {Option.APPLICATION_NAME: "a b"}}, 1008),
}


@pytest.mark.parametrize(("changes", "expected"), LOGINS.values(), ids=LOGINS.keys())
def test_logins_that_are_refused(db: Database, changes: dict[str, Any], expected: int) -> None:
    client = Client(db)
    answer = client.login(**changes)
    assert code(answer) == expected
    assert answer.status == (3 if expected == 10053 else 1)
    assert code(client.send(QueryTql(0, Transaction(0), "select *"))) == 10005


def test_what_needs_no_login(db: Database) -> None:
    client = Client(db)
    assert client.send(Connect()).status == 0
    assert client.send(GetPartitionAddress(), partition=127).status == 0
    refused = ErrorReply.read(Reader(client.send(Connect(version=14)).body))
    assert refused.code == 10054
    assert "serverVersion=15" in refused.message


def test_a_login_that_may_not_write(db: Database, container: Container) -> None:
    client = Client(db)
    assert client.login(owner=False).status == 0
    assert count(client) == 0
    assert code(client.send(PutRows(0, Transaction(0), 1, image(1)))) == 10033


@pytest.mark.parametrize("number", [0, 99, 106, 110, 164, 299, 5000, -1, 2**31 - 1])
def test_unknown_statements(client: Client, number: int) -> None:
    assert code(client.raw(number, b"")) == 10055


@pytest.mark.parametrize("partition", [-1, 128, 2**31 - 1])
def test_partitions_that_are_not_there(client: Client, partition: int) -> None:
    assert code(client.send(QueryTql(0, Transaction(0), "select *"), partition=partition)) == 10007


@pytest.mark.usefixtures("container")
def test_schema_version_and_container_id_are_checked(client: Client) -> None:
    assert code(client.send(QueryTql(0, Transaction(9), "select *"))) == 10017
    assert code(client.send(QueryTql(7, Transaction(0), "select *"))) == 60157
    assert code(client.send(FetchRowSet(0, Transaction(0), 5, 0, 10))) == 60132


def test_containers_that_are_refused(client: Client, db: Database) -> None:
    micro = Writer()
    PutContainer(container_key("t"), SCHEMA).write(micro)
    body = bytearray(micro.getvalue())
    place = body.index(b"ts") + 2
    body[place] = GridType.TIMESTAMP_US
    assert code(client.raw(Statement.PUT_CONTAINER, bytes(body))) == 60015
    assert code(client.send(PutContainer(ContainerKey("a b"), SCHEMA))) == 1008
    expiring = TimeSeriesProperties(expiration_time=5)
    assert code(client.send(PutContainer(container_key("e"), SCHEMA, time_series=expiring))) == 1007
    packed = TimeSeriesProperties(compression=1)
    assert code(client.send(PutContainer(container_key("e"), SCHEMA, time_series=packed))) == 1007
    assert code(client.send(PutContainer(container_key("o", 100), SCHEMA))) == 10098
    assert db.catalog.containers == []


def test_a_fine_schema_is_told_to_those_who_can_read_it(client: Client, db: Database) -> None:
    fine = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("u", GridType.TIMESTAMP_US),), 0)
    put_container(db, "fine", fine, partition=0)
    asked = (container_key("fine"),)
    assert code(client.send(GetContainerProperties(asked, (Property.SCHEMA,)))) == 10054
    assert client.send(GetContainerProperties(asked, (Property.ID,))).status == 0
    able = {Option.ACCEPTABLE_FEATURE_VERSION: 7}
    assert client.send(GetContainerProperties(asked, (Property.SCHEMA,), able)).status == 0


def test_databases_keep_their_containers_apart(client: Client, db: Database) -> None:
    assert client.send(PutDatabase("other")).status == 0
    assert client.login(options={Option.DATABASE_NAME: "other"}).status == 0
    assert code(client.send(PutContainer(container_key("x"), SCHEMA))) == 10098
    answer = client.send(PutContainer(container_key("x", 100), SCHEMA))
    made = ContainerReply.read(Reader(answer.body), SCHEMA.kind)
    assert made.key.database_id == 100
    client.login()
    assert code(client.send(QueryTql(made.container_id, Transaction(0), "select *"))) == 10098
    assert client.send(DropContainer(container_key("x"))).status == 0
    assert len(db.catalog.containers) == 1


def malformed() -> Iterator[tuple[str, int, bytes]]:
    good = bytearray(image(1, 2))
    fixed = 8 + 1 + 8 + 8
    yield "cut short", 2, bytes(good[:-1])
    yield "too long", 2, bytes(good) + b"\0"
    yield "more rows than there are", 3, bytes(good)
    yield "fewer rows than there are", 1, bytes(good)
    yield "a negative count", -1, bytes(good)
    for at, value, what in (
        (0, 1, "first offset"),
        (fixed, 1, "second offset"),
        (fixed, 255, "offset far out"),
        (2 * fixed, 3, "wrong count of variable columns"),
        (2 * fixed, 15, "too many variable columns"),
        (2 * fixed + 1, 251, "a value longer than the message"),
        (2 * fixed + 6, 255, "an array longer than the message"),
    ):
        broken = bytearray(good)
        broken[at] = value
        yield what, 2, bytes(broken)


@pytest.mark.parametrize(("what", "number", "broken"), [*malformed()], ids=[m[0] for m in malformed()])
@pytest.mark.usefixtures("container")
def test_malformed_rows_are_refused_and_store_nothing(client: Client, what: str, number: int, broken: bytes) -> None:
    assert code(client.send(PutRows(0, Transaction(0), number, broken))) in (60159, 60079), what
    entry = PutEntry(0, 0, number, broken)
    assert code(client.send(MultiPut((SCHEMA,), [PutEntry(0, 0, 1, image(7)), entry]))) in (60159, 60079), what
    assert count(client) == 1


@pytest.mark.usefixtures("container")
def test_a_multi_put_names_the_container_that_differs(client: Client) -> None:
    other = ContainerSchema(SCHEMA.kind, SCHEMA.columns[:3])
    answer = ErrorReply.read(Reader(client.send(MultiPut((other,), [PutEntry(0, 0, 0, b"")])).body))
    assert (answer.code, answer.parameters) == (60015, {"container": "c"})
    session = PutEntry(0, 0, 1, image(1), session_id=5, session_mode=SessionMode.CREATE)
    assert code(client.send(MultiPut((SCHEMA,), [session]))) == 110016


def test_multi_query(client: Client, db: Database, container: Container) -> None:
    put_rows(db, container, rows(1, 2, 3))
    texts = ["select MAX(ts)", "select *", "select count(*)"]
    answer = client.send(MultiQuery([QueryTql(0, Transaction(0), t) for t in texts]))
    newest, everything, counted = read_multi_query(Reader(answer.body))
    assert newest.aggregate is not None
    assert newest.aggregate.value == 3
    assert everything.rows is not None
    assert everything.rows.count == 3
    assert counted.aggregate is not None
    assert counted.aggregate.value == 3


def test_multi_query_of_ranges_of_times(client: Client, db: Database, container: Container) -> None:
    """As GridDB's own client asks in `fetchAll`."""
    put_rows(db, container, rows(1, 2, 3))
    ranges = [QueryRange(0, Transaction(0), 2, 3, descending) for descending in (False, True)]
    answer = client.send(MultiQuery([ranges[0], QueryTql(0, Transaction(0), "select count(*)"), ranges[1]]))
    up, counted, down = read_multi_query(Reader(answer.body))
    assert counted.aggregate is not None
    assert counted.aggregate.value == 3
    assert up.rows is not None
    assert down.rows is not None
    assert (up.rows.count, down.rows.count) == (2, 2)
    assert up.rows.image != down.rows.image


@pytest.mark.parametrize(("operation", "expected"), [(4, 2 / 3), (5, (2 / 3) ** 0.5), (3, 2.0)])
def test_variance_over_a_range_is_of_the_population(
    client: Client, db: Database, operation: int, expected: float
) -> None:
    """As 5.9.0 answers; in TQL it is of a sample."""
    schema = ContainerSchema(
        ContainerKind.TIME_SERIES,
        (ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False), ColumnSpec("v", GridType.DOUBLE)),
    )
    made = put_container(db, "v", schema, partition=0)
    times = pa.array([1, 2, 3], pa.int64()).cast(pa.timestamp("ms", "UTC"))
    put_rows(db, made, pa.RecordBatch.from_arrays([times, pa.array([1.0, 2.0, 3.0])], schema=schema.arrow_schema))
    answer = client.send(AggregateSeries(made.id, Transaction(0), 0, 10, 1, operation))
    source = Reader(answer.body)
    assert source.boolean()
    assert read_value(source).value == pytest.approx(expected)


def block(session: int, session_mode: SessionMode, mode: TransactionMode, **options: Any) -> Transaction:
    return Transaction(0, session, UUID, session_mode, mode, options.get("options", {}))


CREATE, GET = SessionMode.CREATE, SessionMode.GET
BEGIN, CONTINUE = TransactionMode.BEGIN, TransactionMode.CONTINUE


@pytest.mark.usefixtures("container")
def test_statements_of_a_session_are_counted(client: Client) -> None:
    """Seen on GridDB CE 5.9.0: a put of n rows takes n numbers; a write with a used number is answered, not done."""
    assert client.send(PutRows(0, block(1, CREATE, BEGIN), 3, image(1, 2, 3)), number=1).status == 0
    assert client.send(PutRows(0, block(1, GET, CONTINUE), 1, image(4)), number=2).status == 0
    assert client.send(Commit(0, 1, UUID), number=3).status == 0
    assert count(client) == 0
    assert code(client.send(Commit(0, 1, UUID), number=5)) == 110033
    assert client.send(Commit(0, 1, UUID), number=4).status == 0
    assert count(client) == 3
    assert code(client.send(Commit(0, 1, UUID), number=5)) == 110005


@pytest.mark.usefixtures("container")
def test_an_error_rolls_everything_back(client: Client) -> None:
    assert client.send(PutRows(0, block(1, CREATE, BEGIN), 1, image(1)), number=1).status == 0
    insert = block(1, GET, CONTINUE, options={Option.PUT_MODE: 1})
    assert code(client.send(PutRows(0, insert, 1, image(1)), number=2)) == 60154
    assert code(client.send(Commit(0, 1, UUID), number=2)) == 110005
    assert client.send(Commit(0, 1, UUID), number=1).status == 0
    assert count(client) == 0


@pytest.mark.usefixtures("container")
def test_an_open_transaction_outlives_its_connection_until_its_time_is_over(client: Client, db: Database) -> None:
    now = [0.0]
    db.clock = lambda: now[0]
    other = Client(db)
    other.login()
    assert other.send(PutRows(0, block(1, CREATE, BEGIN), 1, image(1)), number=1).status == 0
    assert code(client.send(PutRows(0, Transaction(0), 1, image(1)))) == 60166
    assert other.send(CreateSession(0, 2, UUID), number=1).status == 0
    other.dispatcher.leave(other.peer)
    assert code(client.send(PutRows(0, Transaction(0), 1, image(1)))) == 60166
    assert code(client.send(Commit(0, 2, UUID), number=2)) == 110003
    now[0] = 301.0
    assert client.send(PutRows(0, Transaction(0), 1, image(1))).status == 0
    assert code(client.send(Commit(0, 1, UUID), number=2)) == 110003


SESSION_MISTAKES = {
    "no session": (block(9, GET, CONTINUE), 110003),
    "transaction without session": (block(0, SessionMode.AUTO, BEGIN), 110031),
    "a mode that does not exist": (Transaction(0, 1, UUID, 7, 0), 110031),
}


@pytest.mark.parametrize(("tx", "expected"), SESSION_MISTAKES.values(), ids=SESSION_MISTAKES.keys())
@pytest.mark.usefixtures("container")
def test_mistakes_with_sessions(client: Client, tx: Transaction, expected: int) -> None:
    assert code(client.send(PutRows(0, tx, 1, image(1)))) == expected


@settings(max_examples=MANY, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(statement=st.sampled_from(sorted(HANDLERS)), body=st.binary(max_size=200), partition=st.integers(-1, 129))
def test_no_body_goes_unanswered(client: Client, statement: int, body: bytes, partition: int) -> None:
    answer = client.raw(statement, body, partition=partition)
    if answer.status:
        assert code(answer) != 1041, "an internal error"


@settings(max_examples=MANY, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.usefixtures("container")
def test_no_damaged_put_is_an_internal_error(client: Client, data: st.DataObject) -> None:
    good = bytearray(image(1, 2, 3))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    answer = client.send(PutRows(0, Transaction(0), 3, bytes(good)))
    if answer.status:
        assert code(answer) in (60159, 60079)
