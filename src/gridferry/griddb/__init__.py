"""A GridDB driver in pure Python and numpy, Arrow in and out: useful without the rest of gridferry.

from gridferry.griddb import connect

with connect("griddb://admin@127.0.0.1:10001/myCluster/public", password="...") as store:
    for batch in store.open_container("device1").query("select * where temp > 20").batches():
        ...
"""

from gridferry.griddb.address import GridDBAddress, SslMode, parse_address
from gridferry.griddb.container import Container
from gridferry.griddb.net.connection import Timing
from gridferry.griddb.results import QueryResult
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.griddb.store import Store, connect
from gridferry.griddb.transaction import ContainerTransaction
from gridferry.griddb.wire.statement import PutMode
from gridferry.griddb.writer import BulkWriter

__all__ = [
    "BulkWriter",
    "ColumnSpec",
    "Container",
    "ContainerKind",
    "ContainerSchema",
    "ContainerTransaction",
    "GridDBAddress",
    "GridType",
    "PutMode",
    "QueryResult",
    "SslMode",
    "Store",
    "Timing",
    "connect",
    "parse_address",
]
