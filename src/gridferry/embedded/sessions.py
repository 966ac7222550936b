"""Sessions of clients, and the transactions open in them."""

from __future__ import annotations

from dataclasses import dataclass

from gridferry.embedded.catalog import Container
from gridferry.embedded.refusal import Code, Refusal
from gridferry.embedded.transactions import Key, Transaction

SessionKey = tuple[bytes, int, int]


@dataclass(eq=False)
class Session:
    """A client's session with one container. `owner` is whatever names one connection among others.

    `last_statement` is the number of the last statement that succeeded in it. A write with that number or a lower
    one was done before, and is not done again; a statement inside a transaction may not skip a number.
    """

    key: SessionKey
    container: Container
    owner: object
    transaction: Transaction | None = None
    last_statement: int = 0


class Sessions:
    """All sessions, by (client UUID, session id, partition). Callers hold the database's lock."""

    def __init__(self) -> None:
        self._open: dict[SessionKey, Session] = {}

    def create(self, key: SessionKey, container: Container, owner: object) -> Session:
        """Open a session. Raises: 110016 if one with that key is open."""
        if key in self._open:
            raise Refusal(Code.TM_SESSION_UUID_UNMATCHED, f"session {key[1]} is open already")
        session = Session(key, container, owner)
        self._open[key] = session
        return session

    def get(self, key: SessionKey, container: Container) -> Session:
        """The session. Raises: 110003 if there is none, or if it belongs to another container."""
        session = self._open.get(key)
        if session is None or session.container is not container:
            raise Refusal(Code.TM_SESSION_NOT_FOUND, f"no session {key[1]} with container {container.name}")
        return session

    def close(self, key: SessionKey) -> None:
        """Close a session; its open transaction is dropped. Closing what is not open is fine."""
        self._open.pop(key, None)

    def leave(self, owner: object) -> None:
        """A connection has ended: its sessions with it, but for those with an open transaction, which outlive it."""
        for key, session in list(self._open.items()):
            if session.owner is owner:
                session.owner = None
                if session.transaction is None:
                    del self._open[key]

    def close_all(self, container: Container) -> None:
        """Close every session with a container."""
        for key, session in list(self._open.items()):
            if session.container is container:
                del self._open[key]

    def expire(self, now: float) -> None:
        """Drop every transaction whose time is over, and the session too if its connection has ended."""
        for key, session in list(self._open.items()):
            if session.transaction is not None and session.transaction.deadline <= now:
                session.transaction = None
                if session.owner is None:
                    del self._open[key]

    def transactions(self, container: Container) -> list[Transaction]:
        """The transactions open on a container."""
        return [s.transaction for s in self._open.values() if s.container is container and s.transaction is not None]

    def holder(self, container: Container, keys: set[Key] | None, mine: Transaction | None) -> Transaction | None:
        """Another transaction that holds one of the keys (None: any row) of the container."""
        for other in self.transactions(container):
            if other is not mine and (other.locked if keys is None else not other.locked.isdisjoint(keys)):
                return other
        return None
