"""What ADBC's driver has learned of a database, kept for the next session.

The driver reads all of pg_type and of pg_attribute before it opens its first session: 60 ms of its own CPU in an empty
database, a second where there are thousands of tables. What it keeps of it says which Arrow type a column has; a type
that is newer comes as bytes of a type without a name, which the reader asks for as text.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import adbc_driver_postgresql
from adbc_driver_manager import AdbcConnection, AdbcDatabase

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 4  # each holds about a megabyte, and a source has one login; more are for tests and for passwords that change


class KeptDatabase:
    """The driver's database, open until it is retired and its last session has ended.

    `known` is what the first session said of its server.
    """

    def __init__(self, dsn: str) -> None:
        """Raises: ADBC's errors: the driver logs in to ask for the types."""
        self._database = AdbcDatabase(driver=adbc_driver_postgresql._driver_path(), uri=dsn)
        self._lock = threading.Lock()
        self._sessions = 0
        self._retired = False
        self.known: Any = None

    def open(self) -> AdbcConnection | None:
        """A session, after which `ended` is to be called; None of one that is retired. Raises: ADBC's errors."""
        with self._lock:
            if self._retired:
                return None
            self._sessions += 1
        try:
            return AdbcConnection(self._database)
        except BaseException:
            self.ended()
            raise

    def ended(self) -> None:
        """One session less."""
        with self._lock:
            self._sessions -= 1
            self._close_with_the_last()

    def retire(self) -> None:
        """Close it with its last session: no other one is opened of it."""
        with self._lock:
            self._retired = True
            self._close_with_the_last()

    def _close_with_the_last(self) -> None:
        if self._retired and self._sessions == 0:
            self._database.close()


class KeptDatabases:
    """The databases of a process, by conninfo: the last few that were used."""

    def __init__(self, *, most: int = _MOST, make: Callable[[str], KeptDatabase] = KeptDatabase) -> None:
        self._most = most
        self._make = make
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, KeptDatabase] = OrderedDict()

    def open(self, dsn: str) -> tuple[KeptDatabase, AdbcConnection]:
        """A session, and the database that it is of. Raises: ADBC's errors."""
        while True:
            with self._lock:
                database = self._kept.get(dsn)
                if database is not None:
                    self._kept.move_to_end(dsn)
            if database is None:  # not under the lock: a server may let others wait
                database = self._keep(dsn, self._make(dsn))
            session = database.open()
            if session is not None:
                return database, session

    def forget(self, dsn: str, database: KeptDatabase) -> None:
        """Open no more sessions of this database."""
        with self._lock:
            if self._kept.get(dsn) is database:
                del self._kept[dsn]
        database.retire()

    def _keep(self, dsn: str, made: KeptDatabase) -> KeptDatabase:
        with self._lock:
            kept = self._kept.setdefault(dsn, made)  # another thread may have been first
            gone = [made] if kept is not made else []
            while len(self._kept) > self._most:
                gone.append(self._kept.popitem(last=False)[1])
        for each in gone:
            each.retire()
        return kept
