"""Addresses of PostgreSQL, and sessions on it, each inside a transaction of `transactions`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.pq import TransactionStatus

from gridferry.errors import ConfigError, NoSessionFree, SourceError, SourceRefused
from gridferry.plan.addresses import ENCODING, malformed_url
from gridferry.source.postgres.session.failures import connect_failure, mapped
from gridferry.source.postgres.session.lock_holders import name_lockers
from gridferry.source.postgres.session.transactions import OWN_NAME, SETTINGS, GuardedCursor, Session, Work, begin

S = TypeVar("S")
OLDEST_VERSION = 120000
CONNECT_TIMEOUT_S = 15
_PLACE_LIMIT_S = 5.0
_PLACE_PAUSE_S = 0.1
_kept: ContextVar[dict[str, Session[tuple[Any, ...]]] | None] = ContextVar("kept_sessions", default=None)


@dataclass(frozen=True)
class PostgresAddress:
    """Where a database is. `conninfo` may hold a password and is never shown; `display` is for people.

    Without a password in it, PGPASSWORD or the password file gives one, as with every libpq program. `direct` is the
    server itself, where this is a pooler's address; None where it is the same. `publications` are those that somebody
    else made for mode cdc; without one gridferry makes its own. `failover`: slots are to survive a failover.
    """

    conninfo: str = field(repr=False)
    host: str
    port: str
    database: str
    user: str
    direct: PostgresAddress | None = None
    publications: tuple[str, ...] = ()
    failover: bool = False

    @property
    def for_changes(self) -> PostgresAddress:
        """Where slots and publications are made and read."""
        if self.direct is None:
            return self
        return replace(self.direct, publications=self.publications, failover=self.failover)

    @property
    def display(self) -> str:
        """`host:port/database`."""
        return f"{self.host}:{self.port}/{self.database}"


def parse_address(dsn: str, *, replication: str = "") -> PostgresAddress:
    """The address that a URI (`postgresql://...`) or `key=value` text names; PG* variables fill what it leaves out.

    Args: replication: the address of the server itself, where `dsn` is that of a pooler.
    Raises: ConfigError if it is not readable. The message never repeats the text: it may hold a password.
    """
    example = "write it as postgresql://USER@HOST:5432/DATABASE, the password in PGPASSWORD or ~/.pgpass"
    text = dsn.strip()
    if not text:
        raise ConfigError("the source address is empty", next_step=example)
    # What cannot be read is never shown, not even the part that looks like a scheme, a host or a port: it may be a
    # piece of a password.
    if "://" in text and not text.startswith(("postgresql://", "postgres://")) and "=" not in text.partition("://")[0]:
        raise ConfigError("the source address is a URL, but not one of postgresql://", next_step=example)
    if malformed_url(text) and text.startswith(("postgresql://", "postgres://")):
        raise ConfigError("the source address is not a URL that can be read", next_step=f"{example}; {ENCODING}")
    given = _given(text)
    if given is None:
        # Raised out here: libpq's own error repeats parts of the address, and must not be this one's context.
        raise ConfigError("the source address is not readable", next_step=f"{example}; {ENCODING}")
    if not all(part.strip().isdigit() for part in given.get("port", "0").split(",") if part.strip()):
        raise ConfigError("the port in the source address is not a number", next_step=f"{example}; {ENCODING}")
    host = given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST") or "localhost"
    port = given.get("port") or os.environ.get("PGPORT") or "5432"
    user = given.get("user") or os.environ.get("PGUSER") or _login_name()
    database = given.get("dbname") or os.environ.get("PGDATABASE") or user
    _require_plain(host, port, database, user, example)
    defaults: dict[str, Any] = {
        "connect_timeout": os.environ.get("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT_S),
        "keepalives_idle": 60,  # a session that holds a snapshot is silent for long; routers forget silent ones
        "keepalives_interval": 15,
        "keepalives_count": 4,
        "tcp_user_timeout": 120_000,  # milliseconds that what was sent may stay without an answer from the network
    }
    return PostgresAddress(
        conninfo=conninfo.make_conninfo(**{**defaults, **given}),
        host=host,
        port=port,
        database=database,
        user=user,
        direct=parse_address(replication) if replication else None,
    )


def _given(text: str) -> dict[str, str] | None:
    """What an address gives, by libpq's names; None where it cannot be read."""
    try:
        return {name: str(value) for name, value in conninfo.conninfo_to_dict(text).items() if value is not None}
    except psycopg.ProgrammingError:
        return None


def _require_plain(host: str, port: str, database: str, user: str, example: str) -> None:
    """Raises: ConfigError where a part is itself an address: its password would be shown as a name."""
    if not all(part.strip().isdigit() for part in port.split(",") if part.strip()):
        raise ConfigError("PGPORT is not a number", next_step="set it to one, or unset it")
    for what, part in (("host", host), ("database", database), ("user", user)):
        if "://" in part or "password=" in part or (what == "host" and "@" in part):
            raise ConfigError(
                f"what stands for the {what} in the source address, or in PGHOST, PGDATABASE or PGUSER, is itself an "
                "address",
                next_step=example,
            )


def connect(address: PostgresAddress, work: Work = Work.SHORT) -> psycopg.Connection[tuple[Any, ...]]:
    """A session inside a transaction for `work`. The next one, after a commit, is begun by `transactions.begin`.

    Nothing stays in the session when the transaction has ended: no setting, no prepared statement. So inside
    `one_session` a session that has come to the end of its transaction is used again.
    Raises: SourceUnreachable or SourceRefused; SourceRefused also for a server older than PostgreSQL 12.
    """
    kept = _kept.get()
    if kept is None:
        return _open(address, work)
    found = kept.get(address.conninfo)
    if found is not None and not found.closed:
        if found.info.transaction_status is not TransactionStatus.IDLE:
            return _open(address, work)  # it is in use further out
        try:
            with mapped(f"setting up a transaction on {address.display}"):
                begin(found, work)
        except SourceError:
            found.close()  # it was ended while nobody used it
        else:
            return found
    opened = _open(address, work)
    opened.kept = True
    kept[address.conninfo] = opened
    return opened


@contextmanager
def one_session() -> Iterator[None]:
    """Let calls of `connect` inside the block, in this thread, use one session for each address after another."""
    if _kept.get() is not None:
        yield
        return
    sessions: dict[str, Session[tuple[Any, ...]]] = {}
    token = _kept.set(sessions)
    try:
        yield
    finally:
        _kept.reset(token)
        for session in sessions.values():
            session.kept = False  # whoever still uses it ends it
            if session.info.transaction_status is TransactionStatus.IDLE:
                session.close()


def _open(address: PostgresAddress, work: Work) -> Session[tuple[Any, ...]]:
    connection = admitted(
        # From the start: psycopg has no codec for some encodings that a server may have (EUC_TW).
        lambda: Session.connect(
            address.conninfo,
            autocommit=True,
            prepare_threshold=None,
            client_encoding=SETTINGS["client_encoding"],
            application_name=OWN_NAME,
            cursor_factory=GuardedCursor,
        ),
        address,
    )
    connection.lockers = partial(lockers, address)
    try:
        check_version(connection.info.server_version)
        with mapped(f"setting up a session on {address.display}"):
            begin(connection, work)
    except BaseException:
        connection.close()
        raise
    return connection


def lockers(address: PostgresAddress) -> str:
    """Who locks tables, asked in a session of its own: see `name_lockers`. "" also where it cannot be asked."""
    with suppress(SourceError, psycopg.Error), connect(address) as connection:
        return name_lockers(connection)
    return ""


def admitted(open_session: Callable[[], S], address: PostgresAddress) -> S:
    """The session that `open_session` opens. Where the server or the role has no place left, it waits a few seconds:
    a session that was closed, one of ours too, keeps its place until its process at the server has ended.

    Raises: NoSessionFree when the wait was in vain; SourceUnreachable, SourceRefused.
    """
    from adbc_driver_manager import Error as AdbcError

    deadline = time.monotonic() + _PLACE_LIMIT_S
    while True:
        try:
            return open_session()
        except (psycopg.Error, AdbcError) as error:
            failed = connect_failure(str(error), display=address.display, user=address.user)
        if not isinstance(failed, NoSessionFree) or time.monotonic() > deadline:
            raise failed
        time.sleep(_PLACE_PAUSE_S)


def is_pooled(connection: psycopg.Connection[Any], backend_pid: int) -> bool:
    """Whether a pooler is between: it gives its clients a process id of its own making, for their cancel requests.

    Args: backend_pid: what pg_backend_pid() says there.
    """
    return connection.info.backend_pid != backend_pid


def check_version(server_version: int) -> None:
    """Raises: SourceRefused unless `server_version` (as 160004) is PostgreSQL 12 or newer."""
    if server_version < OLDEST_VERSION:
        raise SourceRefused(
            f"the server is PostgreSQL {server_version // 10000}, and gridferry reads PostgreSQL 12 and newer",
            next_step="upgrade the server, or restore a dump of the tables into a newer one and load from there",
        )


def _login_name() -> str:
    """The account's name, which libpq takes for the user; "" where it has none."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
