"""What a run of a stream did to one table: in all, and since its last checkpoint, which is all that may come again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

from gridferry.checkpoint.positions import CdcRecord
from gridferry.checkpoint.tallies import TallyStore
from gridferry.engine.events import BatchStored, Checkpointed, ChunkDone, Level, Listener, Note, TableSync
from gridferry.engine.sync.cdc.apply import Applied
from gridferry.engine.sync.counts import ContainerCounts, Counts
from gridferry.model.change import ChangeBatch
from gridferry.model.outcomes import SyncOutcome
from gridferry.model.position import Lsn
from gridferry.plan.sync_options import SyncMode
from gridferry.target.table import TableTarget

_TALLY_EVERY_S = 30.0


class TableCounts:
    """The counts and notes of one table, told to a listener as they grow. `table` is `schema.name`."""

    def __init__(self, table: str, tallies: TallyStore, tell: Listener) -> None:
        self.notes: list[str] = []
        self._table = table
        self._tallies = tallies
        self._tell = tell
        self._started = time.monotonic()
        self._changes = 0  # since the last checkpoint, as all of `_since` and `_sent`
        self._since = Counts()
        self._sent = ContainerCounts()
        self._all = Counts()
        self._containers = ContainerCounts()  # and not yet in the state
        self._tallied_at = self._started
        self._touched: set[str | None] = set()
        self._created: list[str] = []

    def warn(self, words: Sequence[str]) -> None:
        """Report sentences, now and in what the run returns."""
        self.notes += words
        for text in words:
            self._tell(Note(self._table, text, Level.WARNING))

    def stored(self, batch: ChangeBatch, done: Applied, *, created: int) -> None:
        """A batch was stored, and so many containers were made for it."""
        self._tell(BatchStored(self._table, done.put_s, done.flush_s))
        self._since.kinds(batch.operations)
        self._since.created += created
        self._since.written += done.written
        self._since.deleted += done.deleted
        self._since.quarantined += done.quarantined
        self._sent.add(done.containers)
        self._changes += len(batch)

    def emptied(self) -> None:
        """A TRUNCATE was followed."""
        self._since.truncates += 1

    def rewind(self) -> None:
        """Forget what was counted since the last checkpoint: it comes again."""
        self._since, self._sent, self._changes = Counts(), ContainerCounts(), 0

    def checkpointed(self, record: CdcRecord) -> None:
        """Tell what a checkpoint covers, and now and then write what each container got."""
        done, self._since = self._since, Counts()
        self._all.add(done)
        self._containers.add(self._sent)
        self._sent = ContainerCounts()
        position = str(record.position)
        self._tell(Checkpointed(self._table, SyncMode.CDC, position=position, as_of=record.as_of, **asdict(done)))
        if self._changes:
            self._tell(ChunkDone(self._table, record.runs, self._changes, 0))
        self._changes = 0
        if time.monotonic() - self._tallied_at >= _TALLY_EVERY_S:
            self._tallied_at = time.monotonic()
            self._containers.save(self._tallies, self._table)

    def left(self, target: TableTarget) -> None:
        """A target was written to, and is not any more."""
        self._touched |= target.touched
        self._created += target.created

    def ended(self, record: CdcRecord) -> TableSync:
        """The run is over, and its record is written. Returns what it did."""
        self._containers.add(self._sent)
        self._containers.save(self._tallies, self._table)
        outcome = SyncOutcome.SYNCED if self._all.read else SyncOutcome.NOTHING_NEW
        return self.done(outcome, position=record.position, as_of=record.as_of)

    def done(self, outcome: SyncOutcome, *, position: Lsn, as_of: str) -> TableSync:
        """What the run has done until now."""
        return TableSync(
            table=self._table,
            mode=SyncMode.CDC,
            outcome=outcome,
            read=self._all.read,
            rows=self._all.written,
            deleted=self._all.deleted,
            quarantined=self._all.quarantined,
            seconds=time.monotonic() - self._started,
            position=str(position),
            as_of=as_of,
            touched=len(self._touched),
            created=tuple(self._created),
            notes=tuple(self.notes),
        )
