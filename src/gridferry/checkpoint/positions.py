"""Where the cdc sync of each table stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from gridferry.checkpoint.documents import Document
from gridferry.checkpoint.progress import Progress, ProgressStore
from gridferry.model.position import LogOrigin, Lsn


@dataclass(frozen=True)
class CdcRecord(Progress):
    """How far a table's changes are stored, and what its runs have done.

    `position`: every change that was committed before it is on the target's disk. `as_of` is the source's time of the
    last commit stored, or of the last moment when nothing was left to do. `fresh` are columns that were added to the
    containers, and that changes from `position` on may not have yet. `origin` tells whose log `position` is in, None
    before the first run. `unseen`: updates and deletes made before that time were not published; or "".
    `adding` are those of `fresh` that not all containers may have, or not with the values of old rows.
    """

    mode: ClassVar[str] = "cdc"
    position: Lsn
    as_of: str = ""
    fresh: tuple[str, ...] = ()
    origin: LogOrigin | None = None
    unseen: str = ""
    adding: tuple[str, ...] = ()

    def document(self) -> Document:
        """See `Progress`."""
        return {**super().document(), "position": str(self.position)}

    @classmethod
    def of_document(cls, table: str, document: Document) -> Self:
        """See `Progress`."""
        origin = document["origin"]
        own = {
            "position": Lsn.parse(document["position"]),
            "fresh": tuple(document["fresh"]),
            "adding": tuple(document["adding"]),
            "origin": None if origin is None else LogOrigin(**origin),
        }
        return super().of_document(table, {**document, **own})


class PositionStore(ProgressStore[CdcRecord]):
    """The records of mode cdc."""

    kind = CdcRecord
