"""Who works on a table in PostgreSQL, and how much was written to it. Only looks; asks for no privilege."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.transactions import OWN_NAME
from gridferry.source.postgres.sql.names import relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

# The table, and the partitions and children below it.
_TREE = """
WITH RECURSIVE tree AS (
    SELECT pg_catalog.to_regclass(%(relation)s)::oid AS oid
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree t ON i.inhparent = t.oid
)
"""
_WRITES = (
    _TREE
    + """
SELECT coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::int8,
       NOT coalesce(bool_or(c.relkind IN ('v', 'f')), false)
FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid
LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = t.oid
"""
)
# A prepared transaction has locks and no process. The modes are those that a statement takes which changes rows.
_HOLDERS = (
    _TREE
    + """
SELECT l.pid, coalesce(a.usename::text, ''), coalesce(a.application_name, ''), coalesce(a.state, ''),
       bool_or(l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')),
       coalesce(pg_catalog.to_char(min(a.xact_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '')
FROM pg_catalog.pg_locks l JOIN tree t ON l.relation = t.oid
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
  AND (l.pid IS NULL OR (a.backend_type = 'client backend' AND a.application_name <> %(own)s))
GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1
"""
)
_OTHERS = """
SELECT count(*) FROM pg_catalog.pg_stat_activity a
WHERE a.datname = pg_catalog.current_database() AND a.backend_type = 'client backend' AND a.application_name <> %(own)s
"""


@dataclass(frozen=True)
class LockHolder:
    """A session that holds a lock on a table; `pid` None: a prepared transaction. `since` its transaction's start."""

    pid: int | None
    user: str
    application: str
    state: str
    writes: bool
    since: str

    def __str__(self) -> str:
        if self.pid is None:
            return "a prepared transaction"
        name = f" ({self.application})" if self.application else ""
        user = self.user or "an unknown user"
        return f"process {self.pid} of {user}{name}, {self.state or 'at work'} since {self.since}"


@dataclass(frozen=True)
class Activity:
    """One look at a table. `writes` counts rows that were ever written there, as PostgreSQL's statistics say.

    They lag behind by a second or so, and have nothing of views and foreign tables: `told` is False then. `holders` are
    other sessions with a lock on it now, `sessions` the number of all other sessions of the database.
    """

    writes: int
    told: bool
    holders: tuple[LockHolder, ...]
    sessions: int


def fetch_activity(address: PostgresAddress, schema: str, table: str) -> Activity:
    """One look, in a session of its own. Raises: SourceUnreachable, SourceRefused."""
    asked = {"relation": relation_sql(schema, table).as_string(None), "own": OWN_NAME}
    with connect(address) as connection, mapped(f"looking who works on {schema}.{table}"):
        ((writes, told),) = connection.execute(_WRITES, asked).fetchall()
        holders = tuple(LockHolder(*row) for row in connection.execute(_HOLDERS, asked).fetchall())
        ((sessions,),) = connection.execute(_OTHERS, asked).fetchall()
    return Activity(writes, told, holders, sessions)
