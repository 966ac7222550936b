"""One statement on its way: who asks, of which partition, and the session it runs in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gridferry.embedded.catalog import PUBLIC, Container
from gridferry.embedded.database import Database
from gridferry.embedded.queries import Pages
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.sessions import Session
from gridferry.embedded.transactions import Transaction
from gridferry.griddb.schema import ContainerKind
from gridferry.griddb.wire.names import ContainerKey, container_key
from gridferry.griddb.wire.octets import Writer
from gridferry.griddb.wire.row_requests import Transaction as TransactionBlock
from gridferry.griddb.wire.statement import Option, SessionMode, TransactionMode


@dataclass(frozen=True)
class Node:
    """What the server says about itself. `users` gives each user's password digest."""

    cluster: str
    users: dict[str, str]


@dataclass(eq=False)
class Peer:
    """One connection: where it reached the server (IPv4, port), what it logged in to, the results it has open."""

    address: tuple[str, int] = ("127.0.0.1", 10001)
    logged_in: bool = False
    database: str = PUBLIC
    database_id: int = 0
    owner: bool = False
    transaction_timeout_s: int = 300
    time_zone_ms: int = 0
    next_result: int = 1
    results: dict[int, Pages] = field(default_factory=dict)

    def keep(self, pages: Pages) -> int:
        """Keep a result for later pages. Returns its id."""
        number = self.next_result
        self.next_result += 1
        self.results[number] = pages
        return number

    def drop_result(self, number: int) -> None:
        """Let go of a result; one that is not there is fine."""
        pages = self.results.pop(number, None)
        if pages is not None:
            pages.close()

    def close(self) -> None:
        """Let go of everything."""
        for number in list(self.results):
            self.drop_result(number)


@dataclass(frozen=True)
class Scope:
    """What a statement runs in: a transaction, or None; the first `done` of its rows were put before."""

    transaction: Transaction | None = None
    done: int = 0


@dataclass(frozen=True)
class Call:
    """A statement being answered."""

    db: Database
    node: Node
    peer: Peer
    partition: int
    statement_id: int

    def key_of(self, container: Container) -> ContainerKey:
        """A container's key as it is sent."""
        return container_key(container.name, container.database_id)

    def name_of(self, key: ContainerKey) -> str:
        """The name that a key sent by the peer means. Raises: 10098 for another database's."""
        if key.database_id != self.peer.database_id:
            raise Refusal(
                Code.TXN_DATABASE_UNMATCH,
                f"the key names database {key.database_id}, the login {self.peer.database_id}",
            )
        return key.name

    def find(self, key: ContainerKey) -> Container | None:
        """The container with that key, if there is one."""
        return self.db.catalog.find(self.peer.database_id, self.partition, self.name_of(key))

    def container(self, container_id: int) -> Container:
        """The container with that id, of the login's database. Raises: 60157."""
        found = self.db.catalog.get(self.partition, container_id)
        if found.database_id != self.peer.database_id:
            raise Refusal(Code.TXN_DATABASE_UNMATCH, f"container {container_id} belongs to another database")
        return found

    def container_at(self, container_id: int, version: int) -> Container:
        """The container, if it still has that schema version. Raises: 10017, 60157."""
        found = self.container(container_id)
        if found.version != version:
            raise Refusal(
                Code.TXN_CONTAINER_SCHEMA_UNMATCH,
                f"(containerId={container_id}, expectedVer={version}, actualVer={found.version})",
            )
        return found

    def series_at(self, container_id: int, version: int) -> Container:
        """The container, if it is a TIME_SERIES of that schema version. Raises: 10017, 60026, 60157."""
        container = self.container_at(container_id, version)
        if container.schema.kind is not ContainerKind.TIME_SERIES:
            raise Refusal(Code.DS_DS_CONTAINER_TYPE_INVALID, f"{container.name} is no TIME_SERIES")
        return container

    @contextmanager
    def inside(self, container: Container, block: TransactionBlock, *, count: int = 1) -> Iterator[Scope]:
        """What a statement of `count` numbers (one a row) runs in; an error in the block rolls a transaction back.

        Raises: 110003 no such session, 110005 no transaction, 110010 one is open, 110016 the session is open already,
        110031 modes that do not exist, 110033 a statement number was skipped.
        """
        self.db.expire_transactions()
        session = self._session(container, block)
        if session is None:
            yield Scope()
            return
        done = 0
        if block.session_mode == SessionMode.GET:
            if block.transaction_mode == TransactionMode.CONTINUE:
                self.check_number(session)
            done = max(0, min(count, session.last_statement - self.statement_id + 1))
        transaction = self._transaction(session, block)
        try:
            yield Scope(transaction, done)
        except BaseException:
            session.transaction = None
            self.db.released()
            raise
        session.last_statement = max(session.last_statement, self.statement_id + count - 1)

    def check_number(self, session: Session) -> None:
        """Raise 110033 if a statement of the session's transaction is missing before this one."""
        if self.statement_id - session.last_statement > 1:
            raise Refusal(
                Code.TM_STATEMENT_INVALID, f"(lastStmtId={session.last_statement}, stmtId={self.statement_id})"
            )

    def _session(self, container: Container, block: TransactionBlock) -> Session | None:
        key = (block.client, block.session_id, self.partition)
        with self.db.lock:
            if block.session_mode == SessionMode.AUTO and block.transaction_mode == TransactionMode.AUTO:
                return None
            if block.session_mode == SessionMode.CREATE:
                return self.db.sessions.create(key, container, self.peer)
            if block.session_mode == SessionMode.GET:
                return self.db.sessions.get(key, container)
        raise Refusal(
            Code.TM_TRANSACTION_MODE_INVALID,
            f"sessionMode={block.session_mode}, txnMode={block.transaction_mode}",
        )

    def _transaction(self, session: Session, block: TransactionBlock) -> Transaction | None:
        if block.transaction_mode == TransactionMode.AUTO:
            if session.transaction is not None:
                raise Refusal(Code.TM_TRANSACTION_ALREADY_BEGIN, f"session {block.session_id} has an open transaction")
            return None
        if block.transaction_mode == TransactionMode.BEGIN and session.transaction is None:
            limit = block.options.get(Option.TRANSACTION_TIMEOUT, self.peer.transaction_timeout_s)
            deadline = self.db.clock() + limit
            session.transaction = Transaction(session.container, deadline=deadline)
        if session.transaction is None:
            raise Refusal(Code.TM_TRANSACTION_NOT_FOUND, f"session {block.session_id} has no open transaction")
        return session.transaction


# A handler reads its request's fields and writes the answer's body.
Handler = Callable[[Call, Any, Writer], None]
