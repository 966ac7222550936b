"""Whose rows a target holds: a migration, and the database that it loads from."""

from __future__ import annotations

from dataclasses import dataclass, field

from gridferry.model.forms import Moment, Name, Oid


@dataclass(frozen=True)
class DatabaseOrigin:
    """A PostgreSQL database, whatever address it is reached by.

    `system` is its server's system identifier, or `host:port` where the role may not ask for that; `oid` is the
    database's in that server. `name` is for people: a database keeps its origin when it is renamed.
    """

    system: Name
    oid: Oid
    name: Name = field(default="", compare=False)

    def __str__(self) -> str:
        server = self.system if ":" in self.system else f"system identifier {self.system}"
        return f'the database "{self.name}" ({server}, OID {self.oid})'


@dataclass(frozen=True)
class MigrationEntry:
    """A migration as the target knows it. All that gridferry keeps there of it carries `key`.

    `name` is the config's, "" where it gives none. `created_at` (ISO 8601, UTC) is "" while nothing of it is written.
    """

    key: str
    name: Name
    origin: DatabaseOrigin
    created_at: Moment = ""

    def __str__(self) -> str:
        return f'the migration "{self.name}" of {self.origin}' if self.name else f"the migration of {self.origin}"
