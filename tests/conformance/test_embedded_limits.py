"""What one client can make the emulator take: memory before a login, the size of a query's SQL, time in silence."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pyarrow as pa
import pytest

from gridferry.embedded.server import Idle, Server, serve
from gridferry.embedded.tql_query import compiled
from gridferry.errors import StatementError
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType, Store, connect
from gridferry.griddb.net.transport import SocketTransport
from gridferry.griddb.wire.frame import MAGIC

SCHEMA = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("id", GridType.INTEGER, nullable=False),
        ColumnSpec("n", GridType.LONG),
        ColumnSpec("ts", GridType.TIMESTAMP_MS),
        ColumnSpec("many", GridType.LONG, array=True),
    ),
    key_length=1,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    found = serve(port=0, idle=Idle(hello_s=0.5, silent_s=1.0))
    yield found
    found.stop()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    host, port = server.address
    with connect(f"griddb://admin@{host}:{port}/myCluster", password="admin") as found:
        made = found.create_container("limits", SCHEMA)
        rows = {"id": [1, 2], "n": [7, 1], "ts": [86_400_000, 0], "many": [[3, 4], [5]]}
        made.put(pa.record_batch(rows, schema=SCHEMA.arrow_schema))
        yield found


def _nested(template: str, inner: str, times: int) -> str:
    for _ in range(times):
        inner = template.format(inner)
    return inner


@pytest.mark.parametrize(
    ("template", "inner", "compared"),
    [
        ("(60 / {})", "n", "> 0"),
        ("(60 % {})", "(n + 100)", ">= 0"),
        ("TIMESTAMPADD(MONTH, {}, 1)", "ts", "> TIMESTAMP('1970-02-01T00:00:00Z')"),
        ("TIMESTAMPADD(DAY, {}, 1)", "ts", "> TIMESTAMP('1970-01-03T00:00:00Z')"),
        ("ELEMENT({} - 3, many)", "(n - 4)", "= 3"),
    ],
)
def test_the_sql_of_nested_operands_grows_with_their_number(template: str, inner: str, compared: str) -> None:
    few, more = (
        len(str(compiled(f"select * where {_nested(template, inner, times)} {compared}", SCHEMA))) for times in (8, 16)
    )
    assert few < more < 3 * few


def test_deeply_nested_divisions_have_the_right_value(store: Store) -> None:
    # 60/(60/(...(60/7))): by turns 8 and 7, as whole numbers.
    divided = _nested("(60 / {})", "n", 16)
    container = store.open_container("limits")
    assert container is not None
    found = container.query(f"select * where id = 1 and {divided} = 8").read_all()
    assert found.num_rows + container.query(f"select * where id = 1 and {divided} = 7").read_all().num_rows == 1


def test_a_division_by_zero_is_found_at_every_depth(store: Store) -> None:
    container = store.open_container("limits")
    assert container is not None
    with pytest.raises(StatementError, match="Divide by 0"):
        container.query("select * where (1 / (n + (5 / (n - n)))) = 1").read_all()


def test_a_query_that_is_too_long(store: Store) -> None:
    container = store.open_container("limits")
    assert container is not None
    with pytest.raises(StatementError, match="is the limit"):
        container.query("select * where " + " or ".join(["n = 1"] * 200_000)).read_all()


def test_no_file_can_be_read_or_written(server: Server) -> None:
    for statement in ("SELECT * FROM read_text('/etc/hostname')", "COPY (SELECT 1) TO 'file.csv'", "INSTALL httpfs"):
        with pytest.raises(Exception, match=r"(?i)disabled|permission"):
            server.database.duck.run(statement)


def _head(size: int) -> bytes:
    return struct.pack("<i4siiI", MAGIC, bytes(4), 0, -1, size)


@pytest.mark.parametrize("size", [(1 << 31) - 1, 1 << 20])
def test_a_large_frame_before_the_login_ends_the_connection(server: Server, size: int) -> None:
    with socket.create_connection(server.address, timeout=10) as client:
        client.sendall(_head(size) + bytes(1000))
        assert client.recv(1) == b""


def test_a_connection_that_never_logs_in_is_closed(server: Server) -> None:
    with socket.create_connection(server.address, timeout=10) as client:
        client.sendall(_head(100)[:5])
        assert client.recv(1) == b""


def test_a_connection_that_says_nothing_any_more_is_closed_and_the_driver_makes_another(store: Store) -> None:
    node = store.cluster.topology().master
    with store.cluster.connection(node) as connection:
        assert not connection.stale()
        transport = connection._transport
        assert isinstance(transport, SocketTransport)
        socket_ = transport._socket
        socket_.settimeout(10)
        assert socket_.recv(1) == b""
    assert "limits" in store.container_names()
