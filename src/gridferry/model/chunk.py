"""The unit of reading and of resuming: a part of a table, and the snapshot it is read under."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gridferry.model.forms import ColumnName, Count, Digits, LsnText, Moment, Name, SnapshotName, SnapshotText

_MOST_PAGE = (1 << 32) - 1  # PostgreSQL, block.h: MaxBlockNumber and one more, which bounds it from above
_MOST_XID = (1 << 64) - 1
_MOST_DIGITS = 20


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

    number: Count
    kind: ChunkKind
    schema: ColumnName
    relation: ColumnName
    column: ColumnName = ""
    low: str | None = None
    high: str | None = None
    rows: Count = 0
    storage: Digits = ""
    tree: bool = False

    def __post_init__(self) -> None:
        most = {ChunkKind.PAGES: _MOST_PAGE, ChunkKind.RECENT: _MOST_XID}.get(self.kind)
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        if most is not None and not all(_is_number(bound, most) for bound in bounds):
            raise ValueError(f"the bounds of a chunk of kind {self.kind.value} are whole numbers")
        if (self.kind is ChunkKind.KEYS) is not bool(self.column):
            raise ValueError(f"a chunk of kind {self.kind.value} has {'a' if self.column else 'no'} column")


@dataclass(frozen=True)
class Snapshot:
    """An exported snapshot, usable while the session that exported it lives.

    `name` for SET TRANSACTION SNAPSHOT; `lsn` the WAL position at export, as text; `visible` pg_current_snapshot()
    as text (xmin:xmax:xip_list); `taken_at` the source's clock, ISO 8601, UTC; `origin` identifies the database: the
    cluster's system identifier, where the role may ask for it, and the database's oid.
    """

    name: SnapshotName
    lsn: LsnText
    visible: SnapshotText
    taken_at: Moment
    origin: Name = ""


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text) <= most
