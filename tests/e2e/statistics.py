"""PostgreSQL's counts of writes, which come later than the writes."""

from __future__ import annotations

import time

from tests.conftest import Database


def wait_for_statistics(postgres: Database) -> None:
    """A session tells its writes when it has been idle for a moment; `pg_stat_force_next_flush` does not wait."""
    if postgres.version >= 15:
        postgres.run("SELECT pg_catalog.pg_stat_force_next_flush()")
        postgres.run("SELECT 1")
        return
    # There the collector hears of writes when the session is idle half a second after its last report, or ends.
    time.sleep(1.0)
    postgres.run("SELECT 1")
    time.sleep(1.0)
