"""The emulator: one database behind two ports, that of NoSQL and that of SQL, as a GridDB node has them."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from gridferry.embedded.answers.call import Node
from gridferry.embedded.database import Database
from gridferry.embedded.dispatch import Dispatcher
from gridferry.embedded.faults import Faults
from gridferry.embedded.listener import Listener
from gridferry.embedded.peer_connection import Idle
from gridferry.embedded.sql.service import SqlService
from gridferry.errors import ConfigError
from gridferry.griddb.address import DEFAULT_PORT, DEFAULT_SQL_PORT

__all__ = ["Idle", "Server", "password_digest", "serve"]


def password_digest(password: str) -> str:
    """The digest that a login sends: lowercase hex SHA-256."""
    return hashlib.sha256(password.encode()).hexdigest()


def serve(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    sql_port: int | None = None,
    path: Path | None = None,
    user: str = "admin",
    password: str = "admin",  # noqa: S107 - GridDB's own default, for a development server
    users: dict[str, str] | None = None,
    cluster: str = "myCluster",
    faults: Faults | None = None,
    flush_interval_s: float | None = 1.0,
    lock_timeout_s: float = 300.0,
    idle: Idle | None = None,
) -> Server:
    """A started server. `users` (name -> password digest) replaces `user` and `password`. Stop it in the end.

    Args: port 0 takes a free one; sql_port None takes 20001 beside port 10001, where clients look for it, else a free
        one; path None keeps everything in memory; idle: how long connections may say nothing.
    Raises: ConfigError if an address or the folder cannot be used.
    """
    known = users if users is not None else {user: password_digest(password)}
    faults = faults if faults is not None else Faults()
    if sql_port is None:
        sql_port = DEFAULT_SQL_PORT if port == DEFAULT_PORT else 0
    database = Database(path, faults=faults, flush_interval_s=flush_interval_s, lock_timeout_s=lock_timeout_s)
    try:
        server = Server(database, host=host, ports=(port, sql_port), users=known, cluster=cluster, idle=idle or Idle())
    except ConfigError:
        database.close()
        raise
    server.start()
    return server


class Server:
    """A GridDB-protocol server over one database, which it closes when it stops. `ports` are those of NoSQL and SQL.

    Raises: ConfigError if an address cannot be used.
    """

    def __init__(
        self,
        database: Database,
        *,
        host: str,
        ports: tuple[int, int],
        users: dict[str, str],
        cluster: str,
        idle: Idle,
    ) -> None:
        self.database = database
        self.cluster = cluster
        node = Node(cluster, users)
        self._stopping = False
        self._lock = threading.Lock()
        dispatcher, service = Dispatcher(database, node), SqlService(database, node)
        self._nosql = Listener((host, ports[0]), dispatcher, self.faults, idle=idle, option="--port")
        try:
            self._sql = Listener((host, ports[1]), service, self.faults, idle=idle, option="--sql-port")
        except ConfigError:
            self._nosql.close()
            raise

    @property
    def faults(self) -> Faults:
        """The switches of this server."""
        return self.database.faults

    @property
    def address(self) -> tuple[str, int]:
        """Host (IPv4) and port that clients reach it at."""
        return self._nosql.address

    @property
    def sql_address(self) -> tuple[str, int]:
        """Host (IPv4) and port of the SQL service."""
        return self._sql.address

    def start(self) -> None:
        """Take connections."""
        self._nosql.start()
        self._sql.start()

    def stop(self) -> None:
        """End all connections, make everything durable, and close. A second call does nothing."""
        if self._disconnect():
            self.database.close()

    def kill(self) -> None:
        """End as a crash would: connections break, and what was not written is lost."""
        if self._disconnect():
            self.database.kill()

    def _disconnect(self) -> bool:
        with self._lock:
            if self._stopping:
                return False
            self._stopping = True
        connections = [*self._nosql.close(), *self._sql.close()]
        self.database.give_up_waiting()
        for connection in connections:
            connection.join()
        return True
