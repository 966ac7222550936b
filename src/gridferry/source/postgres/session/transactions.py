"""The transactions in which every statement runs: read-only, in UTC, in ISO forms, with a search path of our own.

A session may be shared with the application, by a pooler that hands it to another client at the end of a transaction.
So nothing is ever set for longer than a transaction: each begins with its settings, by SET LOCAL, and ends with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import Row
from typing_extensions import Self

from gridferry.source.postgres.session.failures import mapped

# A name without a schema means what PostgreSQL itself has: nobody who may create objects somewhere can put a function,
# an operator or a type in front. pg_temp is named because it would come first otherwise, for types and tables.
SEARCH_PATH = "pg_catalog, pg_temp"
SET_PATH = f"SET LOCAL search_path = {SEARCH_PATH}"
OWN_NAME = "gridferry"  # the application_name of every session

# How long to wait for a lock: an ALTER TABLE of a few seconds is waited out, and whoever waits longer hears for whom.
LOCK_WAIT_S = 60

# Every text that PostgreSQL sends has one form, whatever the server's, the database's or the role's defaults are.
# row_security = off turns rows hidden by a policy into an error: otherwise they would be missing in silence.
# quote_all_identifiers = off: format_type() would give names of types that nobody knows.
# tcp_keepalives_*: where this process, or the network, is gone without a word, the server ends the session (and the
# snapshot it holds) after about two minutes.
SETTINGS = {
    "application_name": OWN_NAME,
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "datestyle": "ISO, YMD",
    "extra_float_digits": "3",
    "intervalstyle": "iso_8601",
    "lc_monetary": "C",
    "lock_timeout": f"{LOCK_WAIT_S}s",
    "quote_all_identifiers": "off",
    "row_security": "off",
    "standard_conforming_strings": "on",
    "tcp_keepalives_count": "4",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "15",
    "timezone": "UTC",
    "xmloption": "content",
}
# Limits of the database or the role that a long read cannot keep, and the version that brought each.
LIMITS = {"statement_timeout": 0, "idle_in_transaction_session_timeout": 0, "transaction_timeout": 170000}
# Not where rows are read: who pauses there, because the target does, would be taken for dead.
_ANSWERED_AT_ONCE = {"tcp_user_timeout": "120s"}


class Work(Enum):
    """What a transaction is for.

    SHORT: catalog and control statements. The limits that the DBA set for the database or the role hold.
    LONG: statements that read whole tables, or wait: no limit of time.
    SNAPSHOT: as LONG, and all statements see one state.
    WRITE: as SHORT, and not read-only: publications.
    """

    SHORT = "short"
    LONG = "long"
    SNAPSHOT = "snapshot"
    WRITE = "write"

    @property
    def lifted(self) -> bool:
        """Whether it runs without the limits in `LIMITS`."""
        return self in (Work.LONG, Work.SNAPSHOT)

    @property
    def modes(self) -> str:
        """What follows BEGIN or SET TRANSACTION: all of it, since a role may have defaults of its own."""
        isolation = "REPEATABLE READ" if self is Work.SNAPSHOT else "READ COMMITTED"
        return f"ISOLATION LEVEL {isolation}, READ {'WRITE' if self is Work.WRITE else 'ONLY'}, NOT DEFERRABLE"


def settings_of(work: Work, server_version: int) -> dict[str, str]:
    """The settings of a transaction on a server of this version (as 160004), without the search path."""
    if not work.lifted:
        return {**SETTINGS, **_ANSWERED_AT_ONCE}
    return {**SETTINGS, **{name: "0" for name, since in LIMITS.items() if server_version >= since}}


def begin_text(work: Work, server_version: int) -> str:
    """Statements, to be sent as one, that begin a transaction with its settings.

    None of them calls a function or an operator: until the path is set, those may be anybody's.
    """
    settings = {"search_path": SEARCH_PATH, **settings_of(work, server_version)}
    return "; ".join(
        [f"BEGIN {work.modes}", *(f"SET LOCAL {name} = {_value(name, v)}" for name, v in settings.items())]
    )


def settings_select(work: Work, server_version: int, *, local: bool = True) -> str:
    """One query that sets what `begin_text` sets, where the search path is set already; for sessions that read rows.

    PostgreSQL gives up where a row of a database in SQL_ASCII holds no UTF-8, without saying which. Such sessions get
    the bytes as they are: the transform tells the rows apart.

    Args: local: for the transaction; else for the session, which nobody else may ever get.
    """
    kept = "true" if local else "false"
    calls = (
        f"pg_catalog.set_config({sql.Literal(name).as_string(None)}, {_setting(name, value)}, {kept})"
        for name, value in settings_of(work, server_version).items()
    )
    return "SELECT " + ", ".join(f"{call} AS s{place}" for place, call in enumerate(calls))


def _setting(name: str, value: str) -> str:
    text = sql.Literal(value).as_string(None)
    if name != "client_encoding":
        return text
    ascii_only = "pg_catalog.current_setting('server_encoding') = 'SQL_ASCII'"
    return f"CASE WHEN {ascii_only} THEN 'SQL_ASCII' ELSE {text} END"


class Session(psycopg.Connection[Row]):
    """A session whose statements all run inside transactions that `begin` began.

    `lockers` names who locks tables, for the error after a wait for a lock. One that is `kept` is used again.
    """

    lockers: Callable[[], str] | None = None
    kept = False

    def __exit__(self, *raised: Any) -> None:
        """End the transaction, and the session if it is not kept. Raises: SourceError, where that fails."""
        with mapped("ending a transaction"):
            if not self.kept or self.closed:
                super().__exit__(*raised)
            elif raised[0] is not None:
                try:
                    self.rollback()
                except psycopg.Error:  # what ended the transaction is the error to be told
                    self.close()
            else:
                self.commit()


class GuardedCursor(psycopg.Cursor[Row]):
    """Runs statements inside a transaction that `begin` began, and none outside: it would run without the settings."""

    def execute(self, *args: Any, **kwargs: Any) -> Self:
        """See psycopg. Raises: psycopg.InterfaceError outside a transaction."""
        self._check()
        try:
            return super().execute(*args, **kwargs)
        except psycopg.errors.LockNotAvailable as error:
            error.__dict__["lockers"] = getattr(self.connection, "lockers", None)  # `failures.mapped` asks it
            raise

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Row]:
        """See psycopg. Raises: psycopg.InterfaceError outside a transaction."""
        self._check()
        return super().stream(*args, **kwargs)

    def _check(self) -> None:
        if self.connection.info.transaction_status is TransactionStatus.IDLE:
            raise psycopg.InterfaceError("a statement outside the transactions that gridferry begins")


def begin(connection: psycopg.Connection[Any], work: Work = Work.SHORT) -> None:
    """Begin a transaction; the one before has to have ended. Raises: psycopg.Error."""
    text = begin_text(work, connection.info.server_version)
    with psycopg.Cursor(connection) as cursor:
        cursor.execute(text.encode())


def _value(name: str, value: str) -> str:
    return value if name == "search_path" else sql.Literal(value).as_string(None)
