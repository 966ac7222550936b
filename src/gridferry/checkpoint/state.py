"""Everything that gridferry keeps in one target, in one hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gridferry.checkpoint.catalog import CATALOG_CONTAINER, Catalog
from gridferry.checkpoint.cursors import CursorStore
from gridferry.checkpoint.documents import STATE_CONTAINER, DocumentStore
from gridferry.checkpoint.history import HistoryStore
from gridferry.checkpoint.journal import JOURNAL_CONTAINER, Journal
from gridferry.checkpoint.lease import Lease, LeaseHolder, held, holder_of
from gridferry.checkpoint.lease_group import LeaseGroup
from gridferry.checkpoint.marks import MarkStore
from gridferry.checkpoint.origins import OriginStore
from gridferry.checkpoint.parts import PartsStore
from gridferry.checkpoint.positions import PositionStore
from gridferry.checkpoint.quarantine import QUARANTINE_CONTAINER, Quarantine
from gridferry.checkpoint.registry import Registry
from gridferry.checkpoint.repairs import RepairStore
from gridferry.checkpoint.runs import RunStore
from gridferry.checkpoint.standings import StandingStore
from gridferry.checkpoint.sync_failures import SyncFailureStore
from gridferry.checkpoint.tallies import TallyStore
from gridferry.checkpoint.verifications import VerificationStore
from gridferry.griddb import Store
from gridferry.model.migration import MigrationEntry

OWN_CONTAINERS = (CATALOG_CONTAINER, STATE_CONTAINER, QUARANTINE_CONTAINER, JOURNAL_CONTAINER)


class TargetState:
    """What gridferry keeps in a target database of one migration: all that is read and written here carries its key.

    `whose` finds the migration; it is asked when something is first read or written, and each time after that.
    gridferry's own containers are made when they are first written to.
    """

    def __init__(self, store: Store, whose: Callable[[], MigrationEntry]) -> None:
        self.store = store
        self.whose = whose
        shared = DocumentStore(store)
        self.registry = Registry(shared)
        self.documents = shared.of(self._key)
        self.runs = RunStore(self.documents)
        self.standings = StandingStore(self.documents)
        self.origins = OriginStore(self.documents)
        self.marks = MarkStore(self.documents)
        self.parts = PartsStore(self.documents)
        self.cursors = CursorStore(self.documents)
        self.positions = PositionStore(self.documents)
        self.tallies = TallyStore(self.documents)
        self.verifications = VerificationStore(self.documents)
        self.history = HistoryStore(self.documents)
        self.failures = SyncFailureStore(self.documents)
        self.catalog = Catalog(store, self._key)
        self.quarantine = Quarantine(store, self._key)
        self.repairs = RepairStore(self.documents)
        self.journal = Journal(store, self._key)

    def begin(self) -> MigrationEntry:
        """Enter the migration into the target's registry, before anything else of it is written there."""
        return self.registry.begin(self.whose())

    def lease(self, table: str, *, part: str = "", wait_s: float = 0.0, slot_held: bool = False) -> Lease:
        """The right to change a table's containers: see `Lease`. Also against a run of the slot that follows it.

        Args: slot_held: the caller has the right to follow that slot itself.
        """
        also = (lambda: "") if slot_held else (lambda: self._followed_by(table))
        return Lease(self.documents, table, part=part, also=also, wait_s=wait_s)

    def lease_group(
        self, tables: Sequence[str], *, wait_s: float = 0.0, patient: bool = True, slot_held: bool = False
    ) -> LeaseGroup:
        """The same for many tables at once, each of which may be refused alone: see `LeaseGroup`."""

        def also(tables: Sequence[str]) -> Mapping[str, str]:
            slots = {} if slot_held else self.runs.slots(tables, loaded=True)
            return {table: _lease_of(slot) for table, slot in slots.items() if slot}

        return LeaseGroup(self.documents, tables, also=also, wait_s=wait_s, patient=patient)

    def slot_lease(self, slot: str, *, wait_s: float = 0.0) -> Lease:
        """The right to follow all tables of a slot. Who has it asks `Lease.require_free` of each of them."""
        return Lease(self.documents, _lease_of(slot), wait_s=wait_s)

    def holder_of(self, table: str) -> LeaseHolder | None:
        """Who works on a table, or follows it with others; None where nobody does."""
        found = holder_of(self.documents, table)
        if found is None and (slot := self._followed_by(table)):
            found = holder_of(self.documents, slot)
        return found

    def free_of_runs(self, tables: Sequence[str]) -> set[str]:
        """Those of the tables on which nobody works, and which nobody follows; asked for at once.

        Where a lease says too little for that, as that of a process that has ended, its table is not among them:
        `holder_of` tells more.
        """
        taken = held(self.documents)
        slots = self.runs.slots(tables, loaded=True)
        return {t for t in tables if t not in taken and not (slots[t] and _lease_of(slots[t]) in taken)}

    def _followed_by(self, table: str) -> str:
        slot = self.runs.slots([table], loaded=True)[table]
        return _lease_of(slot) if slot else ""

    def of(self, entry: MigrationEntry) -> TargetState:
        """What the same target keeps of another migration."""
        return TargetState(self.store, lambda: entry)

    def _key(self) -> str:
        return self.whose().key


def _lease_of(slot: str) -> str:
    return f"the slot {slot}"
