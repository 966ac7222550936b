"""Who holds up a session that waits at the server: processes, and prepared transactions. Asks for no privilege."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from gridferry import numbers
from gridferry.errors import SourceError, TransactionOpen
from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.lock_holders import OpenTransaction

DEFAULT_LIMIT_S = 600.0
FIRST_LOOK_S = 2.0
_LOOK_EVERY_S = 5.0
_TELL_EVERY_S = 60.0

# A wait for the end of a transaction is a wait for the lock on its id, which a prepared transaction has too.
# What a role may not see of others' sessions is NULL: state and times.
_BLOCKERS = """
SELECT DISTINCT h.pid, coalesce(p.gid, ''), coalesce(a.usename::text, p.owner::text, ''),
       coalesce(a.application_name, ''), coalesce(a.datname::text, p.database::text, ''), coalesce(a.state, ''),
       extract(epoch FROM pg_catalog.clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.query_start)::float8
FROM pg_catalog.pg_locks w JOIN pg_catalog.pg_locks h ON h.granted
 AND (h.locktype, h.database, h.relation, h.page, h.tuple, h.virtualxid, h.transactionid, h.classid, h.objid)
  IS NOT DISTINCT FROM
     (w.locktype, w.database, w.relation, w.page, w.tuple, w.virtualxid, w.transactionid, w.classid, w.objid)
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = h.pid
LEFT JOIN pg_catalog.pg_prepared_xacts p ON h.pid IS NULL AND p.transaction = h.transactionid
WHERE w.pid = %(pid)s AND NOT w.granted AND h.pid IS DISTINCT FROM w.pid
ORDER BY 7 DESC NULLS LAST
"""
_STANDBY = "SELECT pg_catalog.pg_is_in_recovery()"


def fetch_blockers(address: PostgresAddress, pid: int) -> list[OpenTransaction] | None:
    """What the waiting session `pid` waits for, in a session of its own. None on a standby that waits for its primary.

    Raises: SourceError.
    """
    with connect(address) as connection, mapped("looking who is waited for"):
        found = [OpenTransaction(*row) for row in connection.execute(_BLOCKERS, {"pid": pid}).fetchall()]
        if not found and (connection.execute(_STANDBY).fetchone() or (False,))[0]:
            return None
    return found


class Patience:
    """How long a new slot may wait for the transactions that are open at the server, and who hears of them.

    Call `check` about every second while it waits. `tell` gets a sentence after about two seconds, once more whenever
    it is another transaction, and every minute. Belongs to one wait.
    """

    def __init__(
        self,
        address: PostgresAddress,
        *,
        limit_s: float,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._limit_s = limit_s
        self._tell = tell
        self._clock = clock
        self._began = clock()
        self._look_at = self._began + FIRST_LOOK_S
        self._told: frozenset[tuple[int | None, str]] = frozenset()
        self._tell_at = self._began
        self._seen: Sequence[OpenTransaction] | None = ()

    def check(self, pid: int) -> None:
        """Look, report, and give up. Raises: TransactionOpen once the limit is reached."""
        now = self._clock()
        over = now - self._began >= self._limit_s
        if now >= self._look_at or over:
            self._look_at = now + _LOOK_EVERY_S
            self._look(pid)
            if not over:
                self._say(now)
        if over:
            raise self._given_up()

    def _look(self, pid: int) -> None:
        with suppress(SourceError):  # no session is free for that look, maybe: one may be for the next
            self._seen = fetch_blockers(self._address, pid)

    def _say(self, now: float) -> None:
        names = frozenset((each.pid, each.gid) for each in self._seen or ())
        if names == self._told and now < self._tell_at:
            return
        self._told, self._tell_at = names, now + _TELL_EVERY_S
        limit = numbers.duration(self._limit_s)
        self._tell(
            "a new replication slot begins when the transactions that are open now have ended. "
            f"Waiting up to {limit} for {self._whom()}"
        )

    def _whom(self) -> str:
        if self._seen is None:
            return "the primary of this standby to write down which those are (SELECT pg_log_standby_snapshot() there)"
        return "; ".join(map(str, self._seen)) or "one that PostgreSQL does not name"

    def _given_up(self) -> TransactionOpen:
        outs = [each.way_out for each in self._seen or ()]
        return TransactionOpen(
            f"no replication slot could begin within {numbers.duration(self._limit_s)}: it waited for {self._whom()}",
            state="the slot that was being made is gone, and nothing was read",
            next_step=f"{' '.join(outs) or 'see pg_stat_activity and pg_prepared_xacts'} Then run the same command "
            "again; or give it more time with --wait-for-transactions",
        )
