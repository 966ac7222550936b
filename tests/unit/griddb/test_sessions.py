"""No two statements that open a session share one: the server shuts down when one session is seen at two partitions."""

from __future__ import annotations

from gridferry.griddb.address import GridDBAddress
from gridferry.griddb.handle import Handle, put_container
from gridferry.griddb.net.cluster import Cluster, Topology
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.transaction import ContainerTransaction
from gridferry.griddb.wire.container_requests import PutContainer
from gridferry.griddb.wire.statement import Option

SCHEMA = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("k", GridType.LONG, nullable=False),))


def test_each_creation_and_each_transaction_has_a_session_of_its_own() -> None:
    cluster = Cluster(GridDBAddress("c", members=(("127.0.0.1", 1),)))
    cluster._topology = Topology(("127.0.0.1", 1), 128, 0, 0)
    used = []
    for number in range(3):
        transaction = ContainerTransaction(cluster, Handle("c", 1, 1, 1, SCHEMA))
        used.append(transaction._session)
        message = put_container(cluster, f"c{number}", SCHEMA, modify=False).message
        assert isinstance(message, PutContainer)
        session, client = message.options[Option.CLIENT_ID]
        assert client == cluster.client
        used.append(session)
    assert sorted(used) == list(range(1, 7))
