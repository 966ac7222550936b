"""Sessions that answer in Arrow, through ADBC.

Its driver asks the catalog as soon as it is opened, before anything can be said to it, in statements that leave it to
the search path whose operators they mean. Where the server is reached directly, the path is given with the login. A
pooler takes no such options; there it is made sure before that nobody has put anything in front of PostgreSQL's own.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING

import psycopg
from psycopg import conninfo

from gridferry.errors import SourceRefused
from gridferry.source.postgres.session.connection import PostgresAddress, admitted, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.transactions import OWN_NAME, SET_PATH, SETTINGS, Work, settings_select

if TYPE_CHECKING:
    from collections.abc import Callable

    from gridferry.source.postgres.session.arrow_answers import ArrowSession
    from gridferry.source.postgres.session.kept_databases import KeptDatabase, KeptDatabases

# The driver asks for the names of all types, and knows none of them in quotes.
_OPTIONS = {"search_path": "pg_catalog,pg_temp", "quote_all_identifiers": "off"}
# What the driver's statements use: the operator <> on the first four, version(), and a cast to text. Whatever is an
# extension's own, or compares types of its own that none of ours turns into, is not in front of anything.
_SHADOWS = """
WITH used AS (
    SELECT t.oid FROM pg_catalog.pg_type t
    WHERE t.typnamespace = 'pg_catalog'::regnamespace
      AND t.typname IN ('regproc', 'oid', 'int4', 'char', 'text', 'name', 'unknown')
), reached AS (
    SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace
    UNION SELECT c.casttarget FROM pg_catalog.pg_cast c JOIN used u ON u.oid = c.castsource WHERE c.castcontext = 'i'
)
SELECT 'the operator ' || o.oid::regoperator::text FROM pg_catalog.pg_operator o
JOIN reached l ON l.oid = o.oprleft JOIN reached r ON r.oid = o.oprright
WHERE o.oprname IN ('<>', '=') AND o.oprnamespace <> 'pg_catalog'::regnamespace
UNION ALL
SELECT 'the function ' || p.oid::regprocedure::text FROM pg_catalog.pg_proc p
WHERE p.proname = 'version' AND p.pronargs = p.pronargdefaults AND p.pronamespace <> 'pg_catalog'::regnamespace
UNION ALL
SELECT 'the type ' || t.oid::regtype::text FROM pg_catalog.pg_type t
WHERE t.typname = 'text' AND t.typnamespace <> 'pg_catalog'::regnamespace
"""

# Which server and database a session is in, as far as every role may ask.
_WHERE = """
SELECT current_setting('server_version_num')::int, pg_postmaster_start_time()::text, d.oid::text
FROM pg_catalog.pg_database d WHERE d.datname = current_database()
"""

_lock = threading.Lock()
_takes_options: dict[str, bool] = {}


def connect_arrow(address: PostgresAddress, *, join: Callable[[ArrowSession], None] | None = None) -> ArrowSession:
    """A session inside a transaction for `Work.SNAPSHOT`, with its settings; `join` may join a snapshot first.

    Raises: SourceUnreachable or SourceRefused; what `join` raises.
    """
    dsn = conninfo.make_conninfo(
        address.conninfo, client_encoding=SETTINGS["client_encoding"], application_name=OWN_NAME
    )
    if takes_options(address):
        dsn = conninfo.make_conninfo(dsn, options=_options(address))
    else:
        _refuse_shadows(address)
    while True:
        database, session = admitted(lambda: _open(dsn), address)
        try:
            with mapped(f"setting up a session on {address.display}"):
                session.ask(f"SET TRANSACTION {Work.SNAPSHOT.modes}")
                session.ask(SET_PATH)
            if join is not None:
                join(session)
            with mapped(f"setting up a session on {address.display}"):
                here = session.ask(_WHERE)
                if database.known is None:
                    database.known = here
                if database.known == here:
                    session.ask(settings_select(Work.SNAPSHOT, int(here[0])))
                    return session
        except BaseException:
            session.close()
            raise
        # Another server has the address now, or the database was made again: its types may have other numbers.
        session.close()
        _kept().forget(dsn, database)


def _open(dsn: str) -> tuple[KeptDatabase, ArrowSession]:
    from gridferry.source.postgres.session.arrow_answers import ArrowSession  # loads the driver, when it is needed

    database, connection = _kept().open(dsn)
    return database, ArrowSession(database, connection)


@functools.cache
def _kept() -> KeptDatabases:
    from gridferry.source.postgres.session.kept_databases import KeptDatabases

    return KeptDatabases()


def takes_options(address: PostgresAddress) -> bool:
    """Whether settings that are given with the login hold there; asked once a process. Raises: as `connect`."""
    with _lock:
        known = _takes_options.get(address.conninfo)
        if known is None:
            known = _takes_options[address.conninfo] = _ask_for_options(address)
    return known


def _options(address: PostgresAddress) -> str:
    given = conninfo.conninfo_to_dict(address.conninfo).get("options") or ""
    return " ".join([str(given), *(f"-c {name}={value}" for name, value in _OPTIONS.items())]).strip()


def _ask_for_options(address: PostgresAddress) -> bool:
    def log_in() -> psycopg.Connection[tuple[object, ...]] | None:
        try:
            return psycopg.connect(
                address.conninfo,
                autocommit=True,
                client_encoding=SETTINGS["client_encoding"],
                application_name=OWN_NAME,
                options=_options(address),
            )
        except psycopg.OperationalError as error:
            if "startup parameter" in str(error):  # as PgBouncer refuses it
                return None
            raise

    connection = admitted(log_in, address)
    if connection is None:
        return False
    with connection, mapped(f"asking for the search path of {address.display}"):
        row = connection.execute("SHOW search_path").fetchone()
    return row == (_OPTIONS["search_path"],)


def _refuse_shadows(address: PostgresAddress) -> None:
    with connect(address) as connection, mapped("looking for objects that hide PostgreSQL's own"):
        found = [str(name) for (name,) in connection.execute(_SHADOWS).fetchall()]
    if found:
        raise SourceRefused(
            f"a pooler is in front of {address.display}, so the search path cannot be given with the login, and the "
            f"database has {', '.join(found[:3])}, which the driver might run instead of PostgreSQL's own",
            state="nothing was read",
            next_step="give the server's own address as the source, or drop what has PostgreSQL's name",
        )
