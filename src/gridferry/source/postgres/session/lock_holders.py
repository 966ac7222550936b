"""Transactions of others, as they are named to a person, and who locks tables. Asks for no privilege."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from gridferry import numbers

# Modes that no reader takes. A prepared transaction has no process; it also holds the lock on its id.
_LOCKERS = """
SELECT l.pid, coalesce(max(p.gid), ''), coalesce(max(a.usename::text), max(p.owner::text), ''),
       coalesce(max(a.application_name), ''), pg_catalog.current_database()::text, coalesce(max(a.state), ''),
       extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(max(a.xact_start), max(p.prepared)))::float8,
       extract(epoch FROM pg_catalog.clock_timestamp() - max(a.query_start))::float8,
       string_agg(DISTINCT pg_catalog.format('%%I.%%I', n.nspname, c.relname), ', ')
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_catalog.pg_locks x
 ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
  AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND n.nspname NOT IN ('pg_catalog', 'pg_toast') AND c.relkind IN ('r', 'p', 'm', 'f')
GROUP BY l.pid, l.virtualtransaction ORDER BY 7 DESC NULLS LAST LIMIT %(most)s
"""
_MOST_LOCKERS = 3


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction that somebody waits for. `pid` None: a prepared one, `gid`. Ages in seconds; None: not known."""

    pid: int | None
    gid: str
    user: str
    application: str
    database: str
    state: str
    age_s: float | None
    query_age_s: float | None

    def __str__(self) -> str:
        age = "" if self.age_s is None else f", open for {numbers.duration(self.age_s)}"
        where = f"of {self.user or 'an unknown user'} in the database {self.database}"
        if self.pid is None:
            return f'the prepared transaction "{self.gid}" {where}{age}'
        name = f" ({self.application})" if self.application else ""
        last = (
            "" if self.query_age_s is None else f", its last statement began {numbers.duration(self.query_age_s)} ago"
        )
        return f"process {self.pid}{name} {where}, {self.state or 'at work'}{age}{last}"

    @property
    def way_out(self) -> str:
        """What ends it."""
        if self.pid is None:
            gid = sql.Literal(self.gid).as_string(None)
            return f"in {self.database}: COMMIT PREPARED {gid}; or ROLLBACK PREPARED {gid};"
        return f"let process {self.pid} commit or roll back, or end it: SELECT pg_terminate_backend({self.pid});"


def name_lockers(connection: psycopg.Connection[tuple[Any, ...]]) -> str:
    """Who locks tables of the database more than a reader does, for a message; "" where nobody does.

    For after a wait for a lock: PostgreSQL does not say what was waited for, so all of them are named, the oldest
    first. Raises: psycopg.Error.
    """
    found = connection.execute(_LOCKERS, {"most": _MOST_LOCKERS}).fetchall()
    return "; ".join(f"{OpenTransaction(*row[:-1])}, locks {row[-1]}" for row in found)
