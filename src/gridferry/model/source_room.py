"""What a source has left for others: its slots, its walsenders and its sessions, at one look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Of `most` that there can be, `used` are in use. Both from the server's settings and views."""

    most: int
    used: int

    @property
    def free(self) -> int:
        """How many are left."""
        return max(0, self.most - self.used)


@dataclass(frozen=True)
class SourceRoom:
    """What one role may still take of a server.

    `slots`, `senders` and `sessions` are those of all roles and databases: max_replication_slots, max_wal_senders, and
    max_connections without what is kept for superusers and others. `own`: the sessions of the role itself, walsenders
    among them; None where it has no limit. Own sessions of the one who looks are not counted.
    """

    slots: Share
    senders: Share
    sessions: Share
    own: Share | None = None

    @property
    def free_sessions(self) -> int:
        """How many more sessions the role can have now."""
        return self.sessions.free if self.own is None else min(self.sessions.free, self.own.free)
