"""Where rows come from: the server, its timeline, the database and the table; and whether two answers mean one source.

A cursor and a position in the log mean something at the source they were read from, and nowhere else. The system
identifier differs between clusters, but a base backup that was started as a server of its own has the same one, and the
same OIDs: the start of the server's process says whether it is the very process that was seen before.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gridferry.model.forms import Count, Digits, LogEnd, Moment, Name, Oid
from gridferry.model.moment import shown
from gridferry.model.position import Lsn


class Lineage(str, Enum):
    """What two looks at a source say of each other."""

    SAME = "same"  # the very server process: no other can have answered
    UNPROVEN = "unproven"  # another process at the same address, and nothing else differs: a restart, or a copy
    MOVED = "moved"  # another address and a later timeline: a failover, or a restored copy; only the log can tell
    OTHER = "other"


@dataclass(frozen=True)
class SourceOrigin:
    """What a source says of itself.

    `system` is the cluster's system identifier, "" where the role may not ask for it; `timeline` the one that is
    written, 0 on a standby; `table_oid` 0 for a table that is not there. `address` is host:port/database as the
    config has it, `server` what the server calls its own address, "" for a Unix socket. `started` is when its process
    began, ISO 8601, UTC, in microseconds; `log_end` up to where its log was on disk (on a standby: replayed), as text.
    """

    system: Digits
    timeline: Count
    database_oid: Oid
    table_oid: Oid
    database: Name
    address: Name
    server: Name
    started: Moment
    standby: bool
    log_end: LogEnd

    def __str__(self) -> str:
        """For people: the database, where it is, and what identifies its server."""
        system = f"system identifier {self.system}" if self.system else "system identifier not known"
        line = f", timeline {self.timeline}" if self.timeline > 1 else ""
        return f"{self.address} (database {self.database}, oid {self.database_oid}, {system}{line})"


def is_other_table(known: SourceOrigin, now: SourceOrigin) -> bool:
    """Whether it is the table alone that is gone or another one, in the database that it is from."""
    place = known.address == now.address if not known.system else known.system == now.system
    return place and known.database_oid == now.database_oid and known.table_oid != now.table_oid


def compare(known: SourceOrigin, now: SourceOrigin) -> tuple[Lineage, str]:
    """How the source of now relates to the known one, and why it is not the same (for people, "" where it is).

    What cannot be known (no system identifier, a standby's timeline) is nothing against it.
    """
    why = _another(known, now)
    if why:
        return Lineage.OTHER, why
    if known.started == now.started:
        return Lineage.SAME, ""
    if known.timeline and now.timeline and now.timeline < known.timeline:
        return Lineage.OTHER, f"its log is on timeline {now.timeline}, that one was on {known.timeline}"
    later = bool(known.timeline) and now.timeline > known.timeline
    if known.address != now.address and not _same_place(known, now):
        said = "it has another address, and its server was started at another time"
        return (Lineage.MOVED if later else Lineage.OTHER), said
    same_log = not now.standby and not known.standby and now.timeline == known.timeline
    if same_log and Lsn.parse(now.log_end) < Lsn.parse(known.log_end):
        return (
            Lineage.OTHER,
            f"its log ends at {now.log_end}, before {known.log_end}: it was restored to an older state",
        )
    return Lineage.UNPROVEN, f"its server was started at {shown(now.started)} UTC"


def _same_place(known: SourceOrigin, now: SourceOrigin) -> bool:
    """Whether one host leads to one server's address by two ports: through a proxy or a tunnel."""
    hosts = {origin.address.removesuffix(f"/{origin.database}").rpartition(":")[0] for origin in (known, now)}
    return len(hosts) == 1 and bool(known.server) and known.server == now.server


def _another(known: SourceOrigin, now: SourceOrigin) -> str:
    """What proves another source, whatever else is the same; "" where nothing does."""
    if known.system and now.system and known.system != now.system:
        return "it is another server"
    if known.database_oid != now.database_oid:
        return "it is another database"
    if known.table_oid != now.table_oid:
        if not now.table_oid:
            return "it has no table of that name"
        return "the table is another one: it was dropped and created again, or another was given its name"
    return ""
