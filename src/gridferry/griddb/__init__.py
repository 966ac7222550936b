"""A GridDB driver in pure Python and numpy, Arrow in and out: useful without the rest of gridferry.

from gridferry.griddb import connect

with connect("griddb://admin@127.0.0.1:10001/myCluster/public", password="...") as store:
    for batch in store.open_container("device1").query("select * where temp > 20").batches():
        ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridferry.griddb.address import Authentication, GridDBAddress, Route, SslMode, parse_address
    from gridferry.griddb.container import Container
    from gridferry.griddb.net.connection import Timing
    from gridferry.griddb.results import QueryResult
    from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
    from gridferry.griddb.store import Store, connect
    from gridferry.griddb.transaction import ContainerTransaction
    from gridferry.griddb.wire.statement import PutMode
    from gridferry.griddb.writer import BulkWriter

__all__ = [
    "Authentication",
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
    "Route",
    "SslMode",
    "Store",
    "Timing",
    "connect",
    "parse_address",
]

_MODULES = {
    "Authentication": "gridferry.griddb.address",
    "BulkWriter": "gridferry.griddb.writer",
    "ColumnSpec": "gridferry.griddb.schema",
    "Container": "gridferry.griddb.container",
    "ContainerKind": "gridferry.griddb.schema",
    "ContainerSchema": "gridferry.griddb.schema",
    "ContainerTransaction": "gridferry.griddb.transaction",
    "GridDBAddress": "gridferry.griddb.address",
    "GridType": "gridferry.griddb.schema",
    "PutMode": "gridferry.griddb.wire.statement",
    "QueryResult": "gridferry.griddb.results",
    "Route": "gridferry.griddb.address",
    "SslMode": "gridferry.griddb.address",
    "Store": "gridferry.griddb.store",
    "Timing": "gridferry.griddb.net.connection",
    "connect": "gridferry.griddb.store",
    "parse_address": "gridferry.griddb.address",
}


def __getattr__(name: str) -> Any:
    """A public name, loaded on first use: who only reads an address or a type does not wait for Arrow and numpy."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
