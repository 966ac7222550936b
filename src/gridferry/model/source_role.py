"""The role that gridferry logs in as, and what the server lets it do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gridferry.model.source_room import SourceRoom


@dataclass(frozen=True)
class SourceRole:
    """A role at a source.

    `extra` names attributes beyond reading (`SUPERUSER`, `BYPASSRLS`, `CREATEDB`, `CREATEROLE`, `REPLICATION`).
    `owned` are (schema, table) that it owns itself or through a role that it is a member of; () for a superuser.
    `limits`: settings that end a session or a statement, as PostgreSQL writes them, without those that are off.
    `lock_wait`: where the role is to wait for locks for a shorter time than gridferry does, the two times.
    `room` is what the server has left for it, where that was asked. `pooled`: a pooler is between. `knows_system`: it
    may ask for the server's system identifier.
    """

    name: str
    database: str
    extra: tuple[str, ...] = ()
    owned: tuple[tuple[str, str], ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)
    lock_wait: tuple[str, str] | None = None
    room: SourceRoom | None = None
    pooled: bool = False
    knows_system: bool = True
