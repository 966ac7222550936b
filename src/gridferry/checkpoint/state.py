"""Everything that gridferry keeps in one target, in one hand."""

from __future__ import annotations

from gridferry.checkpoint.catalog import CATALOG_CONTAINER, Catalog
from gridferry.checkpoint.cursors import CursorStore
from gridferry.checkpoint.documents import STATE_CONTAINER, DocumentStore
from gridferry.checkpoint.history import HistoryStore
from gridferry.checkpoint.journal import JOURNAL_CONTAINER, Journal
from gridferry.checkpoint.positions import PositionStore
from gridferry.checkpoint.quarantine import QUARANTINE_CONTAINER, Quarantine
from gridferry.checkpoint.repairs import RepairStore
from gridferry.checkpoint.runs import RunStore
from gridferry.checkpoint.tallies import TallyStore
from gridferry.checkpoint.verifications import VerificationStore
from gridferry.griddb import Store

OWN_CONTAINERS = (CATALOG_CONTAINER, STATE_CONTAINER, QUARANTINE_CONTAINER, JOURNAL_CONTAINER)


class TargetState:
    """A target database with gridferry's own containers in it. They are made when first written to."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.documents = DocumentStore(store)
        self.runs = RunStore(self.documents)
        self.cursors = CursorStore(self.documents)
        self.positions = PositionStore(self.documents)
        self.tallies = TallyStore(self.documents)
        self.verifications = VerificationStore(self.documents)
        self.history = HistoryStore(self.documents)
        self.catalog = Catalog(store)
        self.quarantine = Quarantine(store)
        self.repairs = RepairStore(self.documents)
        self.journal = Journal(store)
