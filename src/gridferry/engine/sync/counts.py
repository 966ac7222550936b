"""What a run of a sync has done: in all, since its last checkpoint, and by container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from gridferry.checkpoint.tallies import TallyStore
from gridferry.engine.events import TableSync
from gridferry.griddb.handle import Handle
from gridferry.model.change import Operation
from gridferry.model.outcomes import SyncOutcome


@dataclass
class Counts:
    """Rows or changes read, of these the kinds, and what became of them. The names are those of `Checkpointed`."""

    read: int = 0
    written: int = 0
    deleted: int = 0
    superseded: int = 0
    quarantined: int = 0
    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    truncates: int = 0
    created: int = 0

    def add(self, more: Counts) -> None:
        """Add other counts."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(more, each.name))

    def since(self, before: Counts) -> Counts:
        """What is counted here and was not before."""
        return Counts(**{each.name: getattr(self, each.name) - getattr(before, each.name) for each in fields(self)})

    def kinds(self, operations: NDArray[np.uint8]) -> None:
        """Count changes of (n,) `Operation` values."""
        found = np.bincount(operations, minlength=Operation.DELETE + 1)
        self.read += len(operations)
        self.inserts += int(found[Operation.INSERT])
        self.updates += int(found[Operation.UPDATE])
        self.deletes += int(found[Operation.DELETE])


@dataclass
class ContainerCounts:
    """Rows put into containers and deletes sent to them, by name, and not yet in the state."""

    written: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)

    def put(self, handles: Sequence[Handle], bounds: NDArray[np.int64]) -> None:
        """Count rows that were put: from `bounds[i]` up to `bounds[i + 1]` into `handles[i]`."""
        _count(self.written, handles, bounds)

    def delete(self, handles: Sequence[Handle], bounds: NDArray[np.int64]) -> None:
        """Count deletes in the same way."""
        _count(self.deleted, handles, bounds)

    def add(self, more: ContainerCounts) -> None:
        """Add other counts."""
        self.written.update(more.written)
        self.deleted.update(more.deleted)

    def save(self, tallies: TallyStore, table: str) -> None:
        """Write what was counted since the last call into the state."""
        names = sorted({*self.written, *self.deleted})
        tallies.add(table, {name: (self.written[name], self.deleted[name]) for name in names})
        self.written.clear()
        self.deleted.clear()


def sum_of_runs(before: TableSync, now: TableSync) -> TableSync:
    """What two runs of a table did, one after the other."""
    return replace(
        now,
        outcome=now.outcome if now.outcome is not SyncOutcome.NOTHING_NEW else before.outcome,
        read=before.read + now.read,
        rows=before.rows + now.rows,
        octets=before.octets + now.octets,
        seconds=before.seconds + now.seconds,
        quarantined=before.quarantined + now.quarantined,
        superseded=before.superseded + now.superseded,
        deleted=before.deleted + now.deleted,
        touched=max(before.touched, now.touched),
        created=before.created + now.created,
        notes=tuple(dict.fromkeys(before.notes + now.notes)),
    )


def _count(counts: Counter[str], handles: Sequence[Handle], bounds: NDArray[np.int64]) -> None:
    for handle, rows in zip(handles, np.diff(bounds).tolist(), strict=True):
        counts[handle.name] += rows
