"""Connections, logins and databases."""

from __future__ import annotations

import hmac

from gridferry.embedded.answers.call import Call
from gridferry.embedded.catalog import PUBLIC
from gridferry.embedded.checks import check_application_name
from gridferry.embedded.containers import drop_database, put_database
from gridferry.embedded.database import PARTITIONS
from gridferry.embedded.refusal import Code, Refusal
from gridferry.griddb.wire.octets import Writer
from gridferry.griddb.wire.replies import ConnectReply, LoginReply, PartitionAddress, write_databases
from gridferry.griddb.wire.requests import (
    Connect,
    DropDatabase,
    GetDatabases,
    GetPartitionAddress,
    Login,
    Logout,
    PutDatabase,
)
from gridferry.griddb.wire.statement import PROTOCOL_VERSION, Option, Status


def connect(_: Call, request: Connect, out: Writer) -> None:
    """Agree on the protocol version. Raises: 10054."""
    if request.version != PROTOCOL_VERSION:
        raise Refusal(
            Code.TXN_CLIENT_VERSION_NOT_ACCEPTABLE,
            f"(connectClientVersion={request.version}, serverVersion={PROTOCOL_VERSION})",
        )
    ConnectReply().write(out)


def login(call: Call, request: Login, out: Writer) -> None:
    """Log in. Raises: 10005 user, password or database; 10053 cluster name; 1008 application name."""
    if request.cluster and request.cluster != call.node.cluster:
        raise Refusal(
            Code.TXN_CLUSTER_NAME_INVALID,
            f"cluster name invalid (input={request.cluster}, current={call.node.cluster})",
            status=Status.DENY,
        )
    check_application_name(request.options.get(Option.APPLICATION_NAME, ""))
    digest = call.node.users.get(request.user)
    database = request.options.get(Option.DATABASE_NAME, PUBLIC)
    known = digest is not None and hmac.compare_digest(digest.encode(), request.digest.lower().encode())
    if request.auth_mode != 0 or not known:
        raise Refusal(Code.TXN_AUTH_FAILED, f"invalid user or password (user name = {request.user})")
    if database not in call.db.catalog.databases:
        raise Refusal(Code.TXN_AUTH_FAILED, f"database does not exist (database name = {database})")
    call.peer.logged_in = True
    call.peer.owner = request.owner
    call.peer.database = database
    call.peer.database_id = call.db.catalog.databases[database]
    call.peer.time_zone_ms = request.options.get(Option.TIME_ZONE_OFFSET, 0)
    call.peer.transaction_timeout_s = request.options.get(Option.TRANSACTION_TIMEOUT, 300)
    LoginReply(database_id=call.peer.database_id).write(out)


def logout(call: Call, _: Logout, __: Writer) -> None:
    """End the login; the connection stays, for another."""
    call.peer.close()
    call.peer.logged_in = False


def partition_address(call: Call, request: GetPartitionAddress, out: Writer) -> None:
    """This node owns every partition, and leads the cluster."""
    address = call.peer.address
    if request.master:
        PartitionAddress(PARTITIONS, master_asked=True, is_master=True, master=address).write(out)
    else:
        PartitionAddress(PARTITIONS, owners=(address,)).write(out)


def get_databases(call: Call, _: GetDatabases, out: Writer) -> None:
    """List the databases."""
    write_databases(out, list(call.db.catalog.databases))


def make_database(call: Call, request: PutDatabase, _: Writer) -> None:
    """Make a database."""
    put_database(call.db, request.name)


def remove_database(call: Call, request: DropDatabase, _: Writer) -> None:
    """Drop the database that the connection is logged in to."""
    drop_database(call.db, request.name, connected_to=call.peer.database)
