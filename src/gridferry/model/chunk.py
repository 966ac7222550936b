"""The unit of reading and of resuming: a part of a table, and the snapshot it is read under."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ChunkKind(str, Enum):
    """How a chunk is cut out of its relation."""

    PAGES = "pages"  # ctid from page `low` up to, not including, page `high`
    KEYS = "keys"  # `column` from `low` up to, not including, `high` (text literals of its type; None is unbounded)
    WHOLE = "whole"
    RECENT = "recent"  # rows that a past snapshot may not have shown: what moved behind finished chunks


@dataclass(frozen=True)
class Chunk:
    """A part of a table. `schema`.`relation` is the table or the partition leaf that is read.

    `low` and `high` are page numbers or key values as text. `rows` is an estimate. For RECENT, `low` is the
    past snapshot's xmin, a 64-bit transaction id as text. `storage` is the relation's file node when the chunk was
    planned ("" where it has none): when it has changed, the rows were moved and page numbers mean nothing any more.
    `tree` says that the relations below this one (partitions, children) are read with it, not as chunks of their own.
    """

    number: int
    kind: ChunkKind
    schema: str
    relation: str
    column: str = ""
    low: str | None = None
    high: str | None = None
    rows: int = 0
    storage: str = ""
    tree: bool = False


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot, usable while the session that exported it lives.

    `name` for SET TRANSACTION SNAPSHOT; `lsn` the WAL position at export, as text; `visible` pg_current_snapshot()
    as text (xmin:xmax:xip_list); `taken_at` the source's clock, ISO 8601, UTC; `origin` tells databases apart: the
    cluster's system identifier, where the role may ask for it, and the database's oid.
    """

    name: str
    lsn: str
    visible: str
    taken_at: str
    origin: str = ""
