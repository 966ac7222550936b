"""PostgreSQL's failures, as psycopg, ADBC and Arrow report them, mapped once to gridferry's errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from gridferry.errors import NoSessionFree, PasswordRefused, SnapshotGone, SourceError, SourceRefused, SourceUnreachable

_SECRET = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)|(://[^:/@\s]*:)[^@\s]*(?=@)", re.IGNORECASE)

# What stands in quotes in the text of a failed connection is shown behind these words only. All else may be a value of
# the address, a service file or a PG* variable that libpq could not use ("invalid port number"), so a piece of a
# password; so may the name of a service.
_NAMED = re.compile(
    r"(?:\b(?:server at|(?:on|domain) socket|host|host name|user|role|database|file|files|directory|library"
    r"|certificate for|permission denied for|connection option|configuration parameter)|port \d+ at) $",
    re.IGNORECASE,
)
_OPENED = re.compile(r"""(?:^|(?<=[\s(:=,]))["']|\"""")

# SQLSTATE, or its two-digit class, of failures that may not come again. PostgreSQL, appendix A.
_TRANSIENT = (
    "08",
    "40",
    "53",
    "55006",
    "55P03",
    "57014",
    "57P01",
    "57P02",
    "57P03",
    "57P05",
    "58030",
    "25P03",
    "25P04",
)
# Of the server, the database, the role; the last two are PgBouncer's.
_FULL = (
    "too many (clients|connections)|remaining connection slots|no more connections allowed|query_wait_timeout"
    "|max_client_conn"
)
_FULL_STEP = "try again when others have ended, use fewer workers, or raise the limit that is reached"
_NOTHING_READ = "nothing was read"
_STATEMENT_POOLING = "transaction blocks not allowed in statement pooling mode"
_AGAIN = "run the same command again: it goes on where it stopped"
_LOCKED = (
    "another session locks the table, for an ALTER TABLE or VACUUM FULL maybe: pg_locks shows which; run the same "
    "command again when it has ended"
)
# A prepared statement or a cursor is gone, or another's is there: the session changed hands.
_OTHERS_SESSION = ("26000", "42P05", "34000", "25P01")
_OTHERS_STEP = "run the same command again; if it comes again, a pooler is in front: give the server's own address"
_UNKNOWN = ("42P01", "42703", "3F000", "42704", "42883")  # a table, column, schema, type, function or operator
_UNKNOWN_STEP = (
    "correct the name in the config file; a condition finds PostgreSQL's own names by themselves, and all others with "
    "their schema only, as public.f(x), x::public.citext or x OPERATOR(public.=) y"
)
_REPLAY = "conflict with recovery"
_REPLAY_STEP = (
    "run the same command again: it goes on where it stopped. The standby ends reads that hold up its replay; on it, "
    "set hot_standby_feedback = on, and raise max_standby_streaming_delay"
)
_SNAPSHOT = ("72000",)  # snapshot too old

_BAD_CERTIFICATE = (
    "root certificate|certificate verify failed|server certificate for|does not match host name|unknown ca"
    "|certificate (has )?(expired|revoked|unknown)|bad certificate|certificate is not yet valid"
    "|host name could not be verified|unsupported certificate"
)

_WRONG_LOGIN = "password authentication failed|no password supplied"

# What libpq's text of a failed connection says (it carries no SQLSTATE), whether that is a refusal, and what to do.
_AT_CONNECT: tuple[tuple[str, bool, str], ...] = (
    ("password authentication failed", True, "set the right password in PGPASSWORD or ~/.pgpass, or another user"),
    ("no password supplied", True, "set PGPASSWORD, or add the server to ~/.pgpass"),
    ("no pg_hba.conf entry", True, "allow this host and user in the server's pg_hba.conf, or try sslmode=require"),
    ("peer authentication failed", True, "give host=127.0.0.1 to log in by password, or run as that user"),
    ("database .* does not exist", True, "correct the database's name in the source address; `psql -l` lists them"),
    ("role .* does not exist", True, "correct the user's name in the source address"),
    ("not permitted to log in", True, "ALTER ROLE {user} LOGIN; or give another user"),
    ("permission denied for database", True, "GRANT CONNECT ON DATABASE ... TO {user};"),
    (
        _BAD_CERTIFICATE,
        True,
        "set sslrootcert, the host name that the certificate has, or another sslmode in the source address",
    ),
    (
        "valid client certificate|certificate (file|authentication)|private key file|could not load .*certificate",
        True,
        "set sslcert, sslkey, sslrootcert and sslmode in the source address as the server wants them",
    ),
    (
        "definition of service|service file",
        True,
        "correct the service's name in the source address or PGSERVICE, or the file that PGSERVICEFILE names",
    ),
    ("server does not support ssl", True, "set sslmode=prefer in the source address"),
    ("could not translate host name|name or service not known", False, "check the host's name in the source address"),
    ("connection refused|no such file or directory", False, "check host and port, and that the server runs there"),
    ("timeout expired|timed out", False, "check host and port, and that no firewall is in between"),
    (
        "starting up|shut(ting)? down|recovery mode|database system is not (yet )?accepting|terminating connection",
        False,
        "try again when the server is up",
    ),
    (
        # What a server without memory or time says; then PgBouncer, of the server behind it.
        "canceling authentication|out of (shared )?memory|server login has been failing|client_login_timeout",
        False,
        "try again when the server has less to do",
    ),
)


def connect_failure(text: str, *, display: str, user: str) -> SourceError:
    """The error for a connection that did not come about. `text` is libpq's message."""
    reason = without_values(plain(text))
    if re.search(_FULL, reason, re.IGNORECASE):
        return NoSessionFree(
            f"no connection to PostgreSQL at {display} as {user}: {reason}", state=_NOTHING_READ, next_step=_FULL_STEP
        )
    refused, step = "FATAL:" in text, "check the source address, and that the server runs there"
    for pattern, is_refusal, advice in _AT_CONNECT:
        if re.search(pattern, reason, re.IGNORECASE):
            refused, step = is_refusal, advice
            break
    kind: type[SourceError] = SourceRefused if refused else SourceUnreachable
    if re.search(_WRONG_LOGIN, reason, re.IGNORECASE):
        kind = PasswordRefused
    error = kind(
        f"no connection to PostgreSQL at {display} as {user}: {reason}",
        state="nothing was read",
        next_step=step.format(user=user),
    )
    error.concerns_all = True
    return error


def _step_of_passing(sqlstate: str | None, text: str, lockers: Callable[[], str]) -> str:
    if _REPLAY in text:
        return _REPLAY_STEP
    return _locked_step(lockers()) if sqlstate == "55P03" else _AGAIN


def _locked_step(found: str) -> str:
    return f"{found}: run the same command again when that has ended" if found else _LOCKED


def failure(sqlstate: str | None, text: str, *, doing: str, lockers: Callable[[], str] = lambda: "") -> SourceError:
    """The error for a statement that failed.

    Args: `doing` says what was tried, as `reading public.device`; `lockers`, asked after a wait for a lock that was in
    vain, who holds locks.
    """
    if "query_wait_timeout" in text:
        return NoSessionFree(f"the pooler gave no session for {doing}: {plain(text)}", next_step=_FULL_STEP)
    if _STATEMENT_POOLING in text:
        return SourceRefused(
            f"the pooler hands sessions on after every statement, and gridferry works in transactions: {plain(text)}",
            state="nothing was read or changed",
            next_step="set pool_mode to transaction or session there, or give the server's own address as the source",
        )
    message = f"PostgreSQL failed while {doing}: {plain(text)}"
    if sqlstate is None or sqlstate.startswith(_TRANSIENT) or _REPLAY in text:
        return SourceUnreachable(message, next_step=_step_of_passing(sqlstate, text, lockers))
    if sqlstate.startswith(_SNAPSHOT):
        return SnapshotGone(message, next_step="run the same command again: it takes a new snapshot")
    if sqlstate == "22021" or "invalid byte sequence" in text or 'no equivalent in encoding "UTF8"' in text:
        step = "the column holds bytes that are no text in UTF-8: leave it out, or correct it in PostgreSQL"
        return SourceRefused(message, next_step=step)
    if sqlstate == "42501":
        return SourceRefused(message, next_step=_privilege_step(text))
    if sqlstate in _OTHERS_SESSION:
        return SourceUnreachable(message, next_step=_OTHERS_STEP)
    if sqlstate in _UNKNOWN:
        return SourceRefused(message, next_step=_UNKNOWN_STEP)
    if sqlstate[:2] in ("42", "22"):
        return SourceRefused(message, next_step="correct the condition in the config file")
    return SourceError(message, next_step="see the PostgreSQL server's log, and check the condition in the config file")


@contextmanager
def mapped(doing: str, *, lockers: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turn every psycopg, ADBC or Arrow stream failure inside into a `SourceError`. Args: as for `failure`."""
    from adbc_driver_manager import Error as AdbcError

    try:
        yield
    except psycopg.Error as error:
        lost = error.sqlstate is None and not isinstance(error, psycopg.OperationalError)
        sqlstate = "XX000" if lost else error.sqlstate
        asks = getattr(error, "lockers", None) or lockers
        raise failure(sqlstate, error.diag.message_primary or str(error), doing=doing, lockers=asks) from error
    except AdbcError as error:
        raise failure(error.sqlstate, str(error), doing=doing, lockers=lockers) from error


def plain(text: str) -> str:
    """The part that says why of a driver's message: one line, without the statement, and never with a password."""
    telling = re.split(r"Query was:|LINE \d+:", text)[0]
    fatal = re.search(r"(?:FATAL|ERROR):\s*(.*)", telling, re.DOTALL)
    line = " ".join((fatal.group(1) if fatal else telling).split())
    line = re.sub(r"\.? SQLSTATE: \w{5}$", "", line)
    return _SECRET.sub(lambda m: (m.group(1) or m.group(3) or "") + "***", line).rstrip(" .")


def without_values(text: str) -> str:
    """The text of a failed connection with what it names, and "***" for any other thing in quotes.

    A value may have quotes in it, so what is not shown goes up to the last quote of its kind.
    """
    shown = ""
    while opened := _OPENED.search(text):
        before, quote, rest = text[: opened.start()], opened.group(), text[opened.end() :]
        if not _NAMED.search(before):
            value, option, option_name = rest.rpartition('" for connection option "')
            tail = option + option_name if option and value else quote + rest.rpartition(quote)[2]
            return f"{shown}{before}{quote}***{tail}"
        value, _, text = rest.partition(quote)
        shown += f"{before}{quote}{value}{quote}"
    return shown + text


def _privilege_step(text: str) -> str:
    if "row-level security" in text:
        return "use the table's owner or a role with BYPASSRLS: rows behind a policy would be missing"
    found = re.search(r"permission denied for (table|view|materialized view|foreign table|relation) (.+)", plain(text))
    if found:
        return f"GRANT SELECT ON {found.group(2)} TO the role that gridferry logs in as"
    found = re.search(r"permission denied for schema (.+)", plain(text))
    if found:
        return f"GRANT USAGE ON SCHEMA {found.group(1)} TO the role that gridferry logs in as"
    return "grant the privilege to the role that gridferry logs in as"
