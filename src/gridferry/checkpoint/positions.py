"""How far the cdc sync of each table is: its position."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from typing_extensions import Self

from gridferry.checkpoint.documents import Document
from gridferry.checkpoint.progress import Progress, ProgressStore
from gridferry.model.decoding import decoded
from gridferry.model.forms import ColumnName, Digits, Moment, TransactionId
from gridferry.model.position import LogOrigin, Lsn
from gridferry.plan.sync_options import SyncMode


@dataclass(frozen=True)
class Gap:
    """Changes that no slot has brought: those committed between two positions of the log.

    `after` is where the new slot's stream begins, None while it is being made: then nothing may be read from it. `at`
    is the source's clock when it had been made, and `horizon` a transaction id: what the gap holds was written by
    lower ones. `system` is the system identifier of the server of `after`.
    """

    before: Lsn
    after: Lsn | None = None
    at: Moment = ""
    horizon: TransactionId = 0
    system: Digits = ""

    def document(self) -> Document:
        """As JSON can hold it."""
        after = None if self.after is None else str(self.after)
        return {**asdict(self), "before": str(self.before), "after": after}

    @classmethod
    def of_document(cls, document: Document) -> Self:
        """The gap that `document` made. Raises: Malformed for a broken one."""
        return decoded(cls, document)


@dataclass(frozen=True)
class CdcRecord(Progress):
    """How far a table's changes are stored, and what its runs have done.

    `position`: every change that was committed before it is on the target's disk. `as_of` is the source's time of the
    last commit stored, or of the last moment when nothing was left to do. `fresh` are columns that were added to the
    containers, and that changes from `position` on may not have yet. `origin` says whose log `position` is in, None
    before the first run. `unseen`: updates and deletes made before that time were not published; or "". Transactions
    below `unseen_horizon` made them. `gap` are changes that a lost slot took along. Both stay until a verification
    finds both sides equal.
    `adding` are those of `fresh` that not all containers may have, or not with the values of old rows; `refill`: for
    them all rows have to be put again.
    """

    mode: ClassVar[SyncMode] = SyncMode.CDC
    position: Lsn
    as_of: Moment = ""
    fresh: tuple[ColumnName, ...] = ()
    origin: LogOrigin | None = None
    unseen: Moment = ""
    adding: tuple[ColumnName, ...] = ()
    unseen_horizon: TransactionId = 0
    gap: Gap | None = None
    refill: bool = False

    def document(self) -> Document:
        """See `Progress`."""
        gap = None if self.gap is None else self.gap.document()
        return {**super().document(), "position": str(self.position), "gap": gap}


class PositionStore(ProgressStore[CdcRecord]):
    """The records of mode cdc."""

    kind = CdcRecord
