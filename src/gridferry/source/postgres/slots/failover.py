"""Whether a slot will be there after a failover, as far as the primary server can say."""

from __future__ import annotations

from typing import Any

import psycopg

from gridferry.source.postgres.session.failures import mapped

Connection = psycopg.Connection[tuple[Any, ...]]

_FACTS = """
SELECT (SELECT s.failover FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = %(slot)s),
       pg_catalog.current_setting('synchronized_standby_slots', true),
       (SELECT count(*) FROM pg_catalog.pg_replication_slots s WHERE s.slot_type = 'physical' AND s.active)
"""


def fetch_unsynced(connection: Connection, slot: str) -> str:
    """Why a slot may not be on a standby that takes over, or behind what was read of it; "" where nothing says so.

    The slot is on a standby only where that has sync_replication_slots = on, which only the standby knows.
    """
    if connection.info.server_version < 170000:
        return "`failover` needs PostgreSQL 17 or newer: after a failover the slot is not there"
    with mapped(f"looking at the standbys of the slot {slot}"):
        has_it, waits_for, standbys = connection.execute(_FACTS, {"slot": slot}).fetchall()[0]
    if has_it is False:
        return f"the slot {slot} was made without failover: the next sync sets it"
    if not standbys:
        return (
            "no standby reads from this server through a slot of its own, so none has the slot in step: on the standby "
            "set primary_slot_name, hot_standby_feedback = on, sync_replication_slots = on, and dbname in "
            "primary_conninfo"
        )
    if not waits_for:
        return (
            "synchronized_standby_slots is empty on this server: a standby that takes over may lack changes that were "
            "followed already, and the sync would stop then; name the standby's slot there"
        )
    return ""
