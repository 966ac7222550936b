"""Addresses of PostgreSQL, and sessions on it: read-only, in UTC, in ISO forms, without time limits."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo, sql

from gridferry.errors import ConfigError, SourceRefused
from gridferry.source.postgres.failures import connect_failure, mapped

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection as AdbcConnection

OLDEST_VERSION = 120000
CONNECT_TIMEOUT_S = 15

# Every text that PostgreSQL sends has one form, whatever the server's, the database's or the role's defaults are.
# row_security = off turns rows hidden by a policy into an error: otherwise they would be missing in silence.
# quote_all_identifiers = off: format_type() would give names of types that nobody knows.
# lock_timeout: whoever waits for an ALTER TABLE or VACUUM FULL of somebody else should be told so, rather than nothing.
# A name that a version does not know is left out (see `SET_SESSION`).
SESSION = {
    "application_name": "gridferry",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "datestyle": "ISO, YMD",
    "default_transaction_read_only": "on",
    "extra_float_digits": "3",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "intervalstyle": "iso_8601",
    "lock_timeout": "60s",
    "quote_all_identifiers": "off",
    "row_security": "off",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "timezone": "UTC",
    "transaction_timeout": "0",
    "xmloption": "content",
}

SET_SESSION = sql.SQL(
    "SELECT pg_catalog.set_config(s.name, w.value, false)"
    " FROM (VALUES {}) AS w(name, value) JOIN pg_catalog.pg_settings AS s ON pg_catalog.lower(s.name) = w.name"
).format(
    sql.SQL(", ").join(sql.SQL("({}, {})").format(sql.Literal(k), sql.Literal(v)) for k, v in SESSION.items())
)  # fmt: skip


@dataclass(frozen=True)
class PostgresAddress:
    """Where a database is. `conninfo` may hold a password and is never shown; `display` is for people.

    Without a password in it, PGPASSWORD or the password file gives one, as with every libpq program.
    """

    conninfo: str = field(repr=False)
    host: str
    port: str
    database: str
    user: str

    @property
    def display(self) -> str:
        """`host:port/database`."""
        return f"{self.host}:{self.port}/{self.database}"


def parse_address(dsn: str) -> PostgresAddress:
    """The address that a URI (`postgresql://...`) or `key=value` text names; PG* variables fill what it leaves out.

    Raises: ConfigError if it is not readable. The message never repeats the text: it may hold a password.
    """
    example = "write it as postgresql://USER@HOST:5432/DATABASE, the password in PGPASSWORD or ~/.pgpass"
    text = dsn.strip()
    if not text:
        raise ConfigError("the source address is empty", next_step=example)
    scheme, separator, _ = text.partition("://")
    if separator and scheme not in ("postgresql", "postgres"):
        raise ConfigError(f"the source address begins with {scheme}://, not with postgresql://", next_step=example)
    try:
        given = {name: str(value) for name, value in conninfo.conninfo_to_dict(text).items() if value is not None}
    except psycopg.ProgrammingError:
        # Neither chained nor quoted: libpq's message repeats parts of the address.
        raise ConfigError("the source address is not readable", next_step=example) from None
    if not all(part.strip().isdigit() for part in given.get("port", "0").split(",") if part.strip()):
        raise ConfigError(f"the source address has the port {given['port']!r}, not a number", next_step=example)
    host = given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST") or "localhost"
    user = given.get("user") or os.environ.get("PGUSER") or _login_name()
    defaults: dict[str, Any] = {
        "connect_timeout": os.environ.get("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT_S),
        "keepalives_idle": 60,  # a session that holds a snapshot is silent for long; routers forget silent ones
        "keepalives_interval": 15,
    }
    return PostgresAddress(
        conninfo=conninfo.make_conninfo(**{**defaults, **given}),
        host=host,
        port=given.get("port") or os.environ.get("PGPORT") or "5432",
        database=given.get("dbname") or os.environ.get("PGDATABASE") or user,
        user=user,
    )


def connect(address: PostgresAddress) -> psycopg.Connection[tuple[Any, ...]]:
    """A session for catalog and control statements: autocommit, read-only, with the settings of `SESSION`.

    Raises: SourceUnreachable or SourceRefused; SourceRefused also for a server older than PostgreSQL 12.
    """
    try:
        # From the start: psycopg has no codec for some encodings that a server may have (EUC_TW).
        connection = psycopg.connect(address.conninfo, autocommit=True, client_encoding=SESSION["client_encoding"])
    except psycopg.Error as error:
        raise connect_failure(str(error), display=address.display, user=address.user) from None
    try:
        check_version(connection.info.server_version)
        with mapped(f"setting up a session on {address.display}"):
            connection.execute(SET_SESSION)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_arrow(address: PostgresAddress) -> AdbcConnection:
    """A session that answers in Arrow: autocommit (transactions are begun by statement), with `SESSION`'s settings.

    Raises: SourceUnreachable or SourceRefused.
    """
    connection, quoting = _open_arrow(address, address.conninfo)
    if quoting:
        # The driver asks for the names of all types when it connects, and knows none of them in quotes.
        connection.close()
        options = conninfo.conninfo_to_dict(address.conninfo).get("options", "")
        plain = conninfo.make_conninfo(address.conninfo, options=f"{options} -c quote_all_identifiers=off")
        connection, _ = _open_arrow(address, plain)
    return connection


def _open_arrow(address: PostgresAddress, dsn: str) -> tuple[AdbcConnection, bool]:
    """A session, and whether the server began it with all names in quotes."""
    from adbc_driver_manager.dbapi import Error
    from adbc_driver_postgresql import dbapi

    try:
        connection: AdbcConnection = dbapi.connect(dsn, autocommit=True)
    except Error as error:
        raise connect_failure(str(error), display=address.display, user=address.user) from None
    try:
        with mapped(f"setting up a session on {address.display}"), connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.quote_ident('a') <> 'a'")
            (row,) = cursor.fetchall()
            cursor.execute(SET_SESSION.as_string(None))
            cursor.fetchall()
    except BaseException:
        connection.close()
        raise
    return connection, row[0] is not False  # nor is a value whose type the driver does not know


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
