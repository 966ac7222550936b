"""What a load and a sync take of the source, and whether it is there: told once for all tables. Pure.

The sessions are those of docs/source-role.md: a load or a verification has one for its snapshot and one a worker, a
sync in mode cdc a walsender and up to two sessions beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gridferry import numbers
from gridferry.model.source_room import Share, SourceRoom
from gridferry.plan.plan import Finding, Severity

LEAST_SESSIONS = 2  # one holds the snapshot, one reads
_OF_SYNC = 2  # beside the walsender
# Bytes of the tables a second: what the load of the README reaches, and a fifth of that for a server that is busy.
_FAST = 40e6
_SLOW = _FAST / 5
_BRIEF_S = 10.0


@dataclass(frozen=True)
class Wanted:
    """What the tables of a plan ask for.

    `slots` follow those in mode cdc, `new_slots` of them are to be made yet; `shared`: one is to follow all of them.
    `octets` is how large all tables are in PostgreSQL.
    """

    workers: int
    slots: int = 0
    new_slots: int = 0
    shared: bool = False
    octets: int = 0


def needs_findings(wanted: Wanted, room: SourceRoom, *, role: str) -> Iterator[Finding]:
    """What is needed of the source, what is too little of it, and what a load holds up there."""
    yield Finding(Severity.INFO, "source", f"{_needs(wanted)}. Free now: {_free(wanted, room)}")
    yield from _scarce(wanted, room, role)
    yield Finding(Severity.INFO, "snapshot", _held_up(wanted))


def _needs(wanted: Wanted) -> str:
    workers = numbers.plural(wanted.workers, "worker")
    words = f"a load or a verification takes up to {wanted.workers + 1} sessions with {workers}"
    if wanted.slots:
        count = wanted.slots
        slots = f"{numbers.plural(count, 'replication slot')}, {numbers.plural(count, 'walsender')}"
        words += f", a sync {slots} and up to {count * _OF_SYNC} more sessions"
    if wanted.shared:
        words += "; a table that is added or brought back takes one more slot and walsender until it has caught up"
    return words


def _free(wanted: Wanted, room: SourceRoom) -> str:
    parts = [_left(room.sessions, "session", "max_connections")]
    if room.own is not None:
        parts.append(f"{room.own.free} of {room.own.most} that the role may have")
    if wanted.slots:
        parts += [
            _left(room.slots, "replication slot", "max_replication_slots"),
            _left(room.senders, "walsender", "max_wal_senders"),
        ]
    return ", ".join(parts)


def _left(share: Share, noun: str, setting: str) -> str:
    return f"{share.free} of {numbers.plural(share.most, noun)} ({setting})"


def _scarce(wanted: Wanted, room: SourceRoom, role: str) -> Iterator[Finding]:
    """What is missing. Of slots and walsenders, what stops a table is the table's problem; here it is the next one."""
    free, wished = room.free_sessions, wanted.workers + 1
    limit = room.own.most if room.own is not None else None
    raised = f"ALTER ROLE {role} CONNECTION LIMIT"
    if limit is not None and limit < LEAST_SESSIONS:
        yield Finding(
            Severity.PROBLEM,
            "sessions",
            f"the role may have {limit} at a time: {LEAST_SESSIONS} are needed, and one more for each further worker "
            "of a load",
            f"{raised} {wished}; or more, at least {LEAST_SESSIONS}",
        )
    elif free < LEAST_SESSIONS:
        yield Finding(
            Severity.RISK,
            "sessions",
            f"{free} more can be opened now, and {LEAST_SESSIONS} are needed: until then gridferry ends with exit code "
            "75, and nothing is changed",
            "try again when others have ended; see pg_stat_activity",
        )
    elif free < wished:
        yield Finding(
            Severity.RISK,
            "sessions",
            f"{free} more can be opened now: a load then goes on with {free - 1} of its "
            f"{numbers.plural(wanted.workers, 'worker')}, and takes longer",
            f"{raised} {wished};" if limit is not None and limit < wished else "",
        )
    if wanted.shared and room.slots.free == wanted.new_slots:
        yield Finding(
            Severity.RISK,
            "slots",
            "none is left for a table that comes later, or is brought back by `gridferry resync`: it needs one of its "
            "own until it has caught up",
            "drop a slot that nobody needs (see pg_replication_slots), or raise max_replication_slots and restart "
            "PostgreSQL",
        )


def _held_up(wanted: Wanted) -> str:
    least, most = wanted.octets / _FAST, wanted.octets / _SLOW
    if most < _BRIEF_S:
        long = "for a few seconds"
    else:
        long = f"for about {_roughly(least)} to {_roughly(most)}, by the size of the tables"
    words = (
        f"a load holds one {long}: so long vacuum removes no row of this database that has been deleted since, and "
        "TRUNCATE, DROP, VACUUM FULL and an ALTER TABLE that rewrites wait, each with what comes behind it on its table"
    )
    return f"{words}. In mode cdc the slot keeps the log from there on until it is synced" if wanted.slots else words


def _roughly(seconds: float) -> str:
    """A duration without the digits that an estimate does not have."""
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{round(seconds / 3600)} h"
