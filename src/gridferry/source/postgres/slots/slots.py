"""The replication slot: made with the snapshot that the load reads under, watched, kept moving, and dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from gridferry.errors import SlotLost, SourceRefused, SourceUnreachable
from gridferry.model.chunk import Snapshot
from gridferry.model.position import Lsn
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.session.blockers import DEFAULT_LIMIT_S, Patience
from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.replication_session import WAY_BACK, ReplicationSession
from gridferry.source.postgres.session.snapshot import hold_snapshot
from gridferry.source.postgres.session.transactions import begin
from gridferry.source.postgres.slots.publications import drop_publications
from gridferry.source.postgres.slots.slot_names import read_publications

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class NewSlot:
    """A slot that was just made. The stream from `start` holds every change that `snapshot` does not, and no other."""

    name: str
    start: Lsn
    snapshot: PostgresSnapshot


@dataclass(frozen=True)
class SlotFacts:
    """The state of a slot. Sizes in bytes, times in seconds; None where PostgreSQL does not say (older, or no limit).

    `restart`: from where log is kept for it; `confirmed`: up to where changes were confirmed. `lag_bytes`: log written
    since `confirmed`; `kept_bytes`: log that cannot be removed because of the slot. `wal_status` reserved, extended,
    unreserved or lost; `safe_bytes`: how much may still be written before the slot is in danger. `lag_s`: age of the
    newest change that is not confirmed, while a process reads the slot. `invalidated` says why it is lost, or "".
    `failover`: standbys keep the slot in step, so that one that takes over has it.
    """

    name: str
    plugin: str | None
    database: str | None
    active: bool
    restart: Lsn | None
    confirmed: Lsn | None
    current: Lsn
    lag_bytes: int | None
    kept_bytes: int | None
    wal_status: str | None
    safe_bytes: int | None
    lag_s: float | None
    invalidated: str
    failover: bool = False

    @property
    def lost(self) -> bool:
        """True when changes that were not confirmed are gone."""
        return self.wal_status == "lost" or self.restart is None or bool(self.invalidated)


PLUGIN = "pgoutput"
_STANDING = "SELECT p.pubname::text FROM pg_catalog.pg_publication p WHERE p.pubname = ANY(%s)"
_FACTS = """
SELECT s.slot_name, s.plugin, s.database, s.active, s.restart_lsn::text, s.confirmed_flush_lsn::text, w.lsn::text,
       (w.lsn - s.confirmed_flush_lsn)::int8, (w.lsn - s.restart_lsn)::int8, {status},
       (SELECT extract(epoch FROM r.flush_lag)::float8
        FROM pg_catalog.pg_stat_replication r WHERE r.pid = s.active_pid),
       {reason}, {failover}
FROM pg_catalog.pg_replication_slots s
CROSS JOIN (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) w
WHERE s.slot_name = %(name)s
"""


@contextmanager
def create_slot(address: PostgresAddress, name: str, *, patience: Patience | None = None) -> Iterator[NewSlot]:
    """Make a slot and hold the snapshot of its start until the block ends; the slot stays.

    Waits until all transactions that are open now have ended, as long as `patience` allows. The publications have to
    exist already.
    Raises: TransactionOpen; SourceRefused if the slot exists, if wal_level is not logical, if no slot is free, if the
    role may not replicate; SourceUnreachable.
    """
    with closing(ReplicationSession(address)) as session:
        failover = ", FAILOVER" if address.failover else ""
        export = f"(SNAPSHOT 'export'{failover})" if session.server_version >= 150000 else "EXPORT_SNAPSHOT"
        command = f'CREATE_REPLICATION_SLOT "{name}" LOGICAL pgoutput {export}'
        waiting = patience or Patience(address, limit_s=DEFAULT_LIMIT_S, tell=lambda text: None)
        ((_, start_text, exported, _),) = session.run(
            command, doing=f"making the replication slot {name}", meanwhile=waiting.check
        )
        if start_text is None or exported is None:
            raise SourceUnreachable(f"PostgreSQL made the replication slot {name} without a snapshot")
        start = start_text.decode()
        # A session of its own takes the snapshot over: the replication session cannot do anything else and keep it.
        with hold_snapshot(address, join=Snapshot(exported.decode(), start, "", "")) as held:
            session.close()
            held = replace(held, snapshot=replace(held.snapshot, lsn=start))
            yield NewSlot(name, Lsn.parse(start), PostgresSnapshot(address, held))


def keep_through_failover(address: PostgresAddress, name: str) -> bool:
    """Let standbys keep a slot in step where that is wished. Returns: whether it was changed. Raises: SlotInUse."""
    if not address.failover:
        return False
    with connect(address) as connection:
        facts = fetch_slot(connection, name)
        if facts is None or facts.failover or connection.info.server_version < 170000:
            return False
    with closing(ReplicationSession(address)) as session:
        session.run(f'ALTER_REPLICATION_SLOT "{name}" (FAILOVER true)', doing=f"setting failover of the slot {name}")
    return True


def fetch_slot(connection: Connection, name: str) -> SlotFacts | None:
    """The state of the slot now; None if there is none of that name."""
    version = connection.info.server_version
    status = "s.wal_status, s.safe_wal_size" if version >= 130000 else "NULL, NULL"
    reason = "coalesce(s.invalidation_reason, '')" if version >= 170000 else "''"
    with mapped(f"looking at the replication slot {name}"):
        statement = _FACTS.format(status=status, reason=reason, failover="s.failover" if version >= 170000 else "false")
        row = connection.execute(statement, {"name": name}).fetchone()
    if row is None:
        return None
    name, plugin, database, active, restart, confirmed, current, *rest = row
    positions = [None if text is None else Lsn.parse(text) for text in (restart, confirmed)]
    lag_bytes, kept_bytes, wal_status, safe_bytes, lag_s, invalidated, failover = rest
    return SlotFacts(
        name, plugin, database, active, positions[0], positions[1], Lsn.parse(current), lag_bytes, kept_bytes,
        wal_status, safe_bytes, lag_s, invalidated, failover,
    )  # fmt: skip


def foreign(facts: SlotFacts, *, database: str) -> str:
    """Why a slot of our name is not ours, or "". Slots of all databases of a server share their names."""
    if facts.plugin == PLUGIN and facts.database == database:
        return ""
    plugin = f"plugin {facts.plugin}" if facts.plugin else "no plugin"
    return (
        f"the replication slot {facts.name} is of somebody else: it has {plugin} and is in "
        f"{f'the database {facts.database}' if facts.database else 'no database'}"
    )


def check_slot(connection: Connection, name: str, *, start: Lsn, given: Sequence[str] = ()) -> SlotFacts:
    """The slot's facts, if the stream can go on from `start`, the last position that was applied and stored.

    Args: given: the publications that somebody else made for it.

    Raises: SourceRefused if the slot is of somebody else; SlotLost if it or a publication is gone, if it was read past
    `start` by somebody else, or if the server's log does not reach `start` (a standby that was promoted, a restored
    backup).
    """
    facts = fetch_slot(connection, name)
    if facts is not None and (whose := foreign(facts, database=connection.info.dbname)):
        raise _not_ours(whose)
    names = read_publications(name, given)
    with mapped("looking for the publications"):
        existing = {found for (found,) in connection.execute(_STANDING, (list(names),))}
    missing = [publication for publication in names if publication not in existing]
    if facts is None:
        raise _lost(f"the replication slot {name} does not exist any more")
    if facts.lost:
        raise _lost(
            f"the replication slot {name} has lost log that it needs ({facts.invalidated or 'wal_status lost'})"
        )
    if missing:
        raise _lost(f"the publication {missing[0]} does not exist any more")
    if facts.confirmed is not None and facts.confirmed > start:
        raise _lost(f"the replication slot {name} was read up to {facts.confirmed} by another process, not to {start}")
    if facts.current < start:
        raise _lost(
            f"the server's log ends at {facts.current}, before {start}, which was applied: an older state was restored"
        )
    return facts


def send_heartbeat(connection: Connection) -> Lsn:
    """Write an empty message into the log, which moves the slot of an idle database, and changes no table.

    Works in transactions of its own: one that is open is ended before, and none is left open.
    Returns: a position with everything committed before the call in front of it, already on the server's disk; to be
    used as `until` of a bounded run. On a standby, which cannot write, the last position replayed.
    """
    with mapped("writing a heartbeat into the log"):
        if connection.info.transaction_status is TransactionStatus.IDLE:
            begin(connection)
        if _one(connection, "SELECT pg_catalog.pg_is_in_recovery()"):
            replayed = Lsn.parse(_one(connection, "SELECT pg_catalog.pg_last_wal_replay_lsn()::text"))
            connection.commit()
            return replayed
        # A transactional message makes the commit wait for the disk, and all earlier commits with it.
        connection.execute("SET LOCAL synchronous_commit = local")
        connection.execute("SELECT pg_catalog.pg_logical_emit_message(true, 'gridferry', '')")
        connection.commit()
        begin(connection)
        flushed = Lsn.parse(_one(connection, "SELECT pg_catalog.pg_current_wal_flush_lsn()::text"))
        connection.commit()
        return flushed


def drop_slot(address: PostgresAddress, name: str) -> list[str]:
    """Drop the slot and its publications, so that PostgreSQL is as it was. Returns what there was, by name.

    Raises: SlotInUse while a process reads the slot, SourceRefused if it is of somebody else; nothing is dropped then.
    """
    dropped = []
    with connect(address) as connection:
        facts = fetch_slot(connection, name)
        if facts is not None and (whose := foreign(facts, database=connection.info.dbname)):
            raise _not_ours(whose)
    if facts is not None:
        with closing(ReplicationSession(address)) as session:
            session.run(
                f'DROP_REPLICATION_SLOT "{name}"',
                doing=f"dropping the replication slot {name}",
                in_use="nothing was dropped",
            )
        dropped.append(f"replication slot {name}")
    return [*dropped, *(f"publication {publication}" for publication in drop_publications(address, slot=name))]


def _lost(what: str) -> SlotLost:
    return SlotLost(
        what, state="changes since the last confirmed position are missing in the target", next_step=WAY_BACK
    )


def _not_ours(whose: str) -> SourceRefused:
    return SourceRefused(
        whose,
        state="nothing was read or changed",
        next_step="ask whose it is; where nobody needs it, drop it with pg_drop_replication_slot; then run this again",
    )


def _one(connection: Connection, statement: str) -> Any:
    row = connection.execute(sql.SQL(statement)).fetchone()
    if row is None:
        raise SourceUnreachable("PostgreSQL answered a question with nothing")
    return row[0]
