"""Changes of the source, as the engine gets them: columns for each table, in groups that say how far they reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.model.position import Lsn


class Operation(IntEnum):
    """What a change did to a row; the values of `ChangeBatch.operations`."""

    INSERT = 1
    UPDATE = 2
    DELETE = 3


class ReplicaIdentity(str, Enum):
    """What an update or delete has of the row as it was (REPLICA IDENTITY); the letters of pg_class.relreplident."""

    DEFAULT = "d"  # the primary key
    INDEX = "i"  # the columns of one unique index
    FULL = "f"  # every column
    NOTHING = "n"


@dataclass(frozen=True)
class ChangedColumn:
    """A column as the stream describes it. `type_oid` and `typmod` are pg_attribute's; `key`: part of the identity."""

    name: str
    type_oid: int
    typmod: int
    key: bool


@dataclass(frozen=True)
class ChangedRelation:
    """A table as the stream describes it, in force until the stream describes it again. `oid` is pg_class.oid.

    Changes of a partition come under the name of the partitioned table. `former`: it is a description from before a
    change that was followed already, and its columns have the names of now.
    """

    oid: int
    schema: str
    name: str
    identity: ReplicaIdentity
    columns: tuple[ChangedColumn, ...]
    former: bool = False

    @property
    def qualified(self) -> str:
        """`schema.name`."""
        return f"{self.schema}.{self.name}"

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that an old row holds."""
        return tuple(c.name for c in self.columns if c.key)


@dataclass(frozen=True)
class ChangeBatch:
    """n changes of one table, in the order of their transactions' commits and, within one, as they were made.

    `operations` (n,) uint8 of `Operation`. `order` (n,) int64: rising; compares with `order` of the other batches of
    the same group. `commits` (n,) uint64: the commit record's position of each change's transaction.
    `rows` holds the rows of the m inserts and updates as they now are, and `row_changes` (m,) int64 says which change
    each belongs to. Its columns are the wanted ones, of the types that the snapshot reader yields.
    `old` holds the rows as they were, of the k deletes and of the updates that sent one (their identity changed, or it
    is FULL), with `old_changes` (k,). Its columns are all of the identity's. An update without one kept its identity.
    `unchanged` maps columns of `rows` to masks (m,): where true the source did not send the value, which was stored
    out of line and is as it was; `rows` has NULL there, and the target has to keep the value that it holds.
    """

    relation: ChangedRelation
    operations: NDArray[np.uint8]
    order: NDArray[np.int64]
    commits: NDArray[np.uint64]
    rows: pa.RecordBatch
    row_changes: NDArray[np.int64]
    old: pa.RecordBatch
    old_changes: NDArray[np.int64]
    unchanged: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.operations)

    def committed_from(self, position: Lsn) -> ChangeBatch:
        """The changes of transactions that were committed at `position` or behind it."""
        later = self.commits >= position.value
        if later.all():
            return self
        kept, place = np.flatnonzero(later), np.cumsum(later) - 1
        rows, old = np.flatnonzero(later[self.row_changes]), np.flatnonzero(later[self.old_changes])
        return ChangeBatch(
            self.relation,
            self.operations[kept],
            self.order[kept],
            self.commits[kept],
            rows=self.rows.take(pa.array(rows)),
            row_changes=place[self.row_changes[rows]],
            old=self.old.take(pa.array(old)),
            old_changes=place[self.old_changes[old]],
            unchanged={name: mask[rows] for name, mask in self.unchanged.items()},
        )


@dataclass(frozen=True)
class RelationChange:
    """The stream describes a table for the first time (`before` is None), or otherwise than before."""

    now: ChangedRelation
    before: ChangedRelation | None = None


@dataclass(frozen=True)
class Truncation:
    """Tables that were emptied by one TRUNCATE."""

    relations: tuple[ChangedRelation, ...]
    cascade: bool
    restart_identity: bool
    commit: Lsn


ChangePart = ChangeBatch | RelationChange | Truncation


@dataclass(frozen=True)
class ChangeGroup:
    """What is to be applied before `position` may be confirmed. Parts are in order; batches of one stretch, between
    two other parts, are of different tables and may be applied in any order.

    `position`: everything committed before it is in this group or in an earlier one; None if no commit is, as within
    a large transaction. `complete` says that the group ends on a commit: otherwise the rest of a transaction follows,
    which comes again from its beginning if the stream ends first. Without parts a group only moves the position.
    `committed_at_us`: when the last commit in it was made, microseconds since 1970 UTC by the source's clock; or None.
    """

    parts: tuple[ChangePart, ...]
    position: Lsn | None
    complete: bool
    transactions: int = 0
    committed_at_us: int | None = None

    @property
    def changes(self) -> int:
        """How many row changes it holds."""
        return sum(len(part) for part in self.parts if isinstance(part, ChangeBatch))
