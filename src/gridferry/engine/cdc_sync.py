"""Mode cdc as the sync sees it: its runs, and how a table and its slot stand."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.positions import CdcRecord
from gridferry.checkpoint.runs import LoadRun
from gridferry.engine.cdc import MODE, CdcRun
from gridferry.engine.events import SyncStatus, TableSync
from gridferry.engine.follower import Follower, Loaded, age_s
from gridferry.engine.slots import guard
from gridferry.errors import FerryError, SlotLost
from gridferry.model.position import Lsn
from gridferry.model.publishing import Published
from gridferry.plan.config import SyncMode, SyncOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.slots import SlotFacts

_LOST = "changes since {} are lost: the slot {} {}. Compare and repair, or `gridferry load --replace`"


class CdcSync(Follower):
    """`Follower` of mode cdc."""

    mode: ClassVar[str] = MODE
    endless: ClassVar[bool] = True

    def _run(self, lease: Lease, loaded: Loaded, *, follow: bool) -> TableSync:
        run = loaded.run
        if not run.slot:
            raise SlotLost(
                f"{run.table} has no replication slot: it was dropped, or the table was loaded without mode cdc",
                state="the target is as it was; changes since then cannot be read any more",
                next_step="run `gridferry load --replace`, which makes a slot and loads anew",
            )
        cdc = CdcRun(self._state, lease, self._source, options=self._options, settings=self._settings, tell=self._tell)
        return cdc.run(run, loaded.plan, self._record(run), follow=follow)

    def _record(self, run: LoadRun) -> CdcRecord:
        return self._state.positions.get(run.table) or CdcRecord(run.table, Lsn.parse(run.start))

    def _standing(self, run: LoadRun) -> SyncStatus:
        if not run.slot:
            note = "it has no replication slot: see `gridferry load --replace`"
            return SyncStatus(MODE, "not followed", notes=(note,))
        record = self._record(run)
        return replace(
            self._report(record),
            position=str(record.position),
            as_of=record.as_of,
            lag_seconds=age_s(record.as_of),
            slot=run.slot,
        )

    def _asked(self, standing: SyncStatus, run: LoadRun) -> SyncStatus:
        if not run.slot:
            return standing
        return self._with_slot(standing, ChangeFeed(self._source.address).facts(run.slot))

    def _with_slot(self, status: SyncStatus, facts: SlotFacts | None) -> SyncStatus:
        if facts is None:
            return replace(status, state="lost", notes=(_LOST.format(status.position, status.slot, "is gone"),))
        notes: list[str] = []
        if facts.lost:
            why = facts.invalidated or "lost its log"
            notes.append(_LOST.format(status.position, facts.name, f"is of no use: {why}"))
        else:
            notes += self._guarded(facts)
        publishing = ChangeFeed(self._source.address).publishing(self._options.schema_name, self._options.table_name)
        if publishing.published is Published.INSERTS:
            notes.append(f"only inserts are followed: {publishing.reason}. For the rest: {publishing.advice}")
        return replace(
            status,
            state="lost" if facts.lost else status.state,
            confirmed="" if facts.confirmed is None else str(facts.confirmed),
            lag_bytes=max(0, facts.current.value - Lsn.parse(status.position).value),
            kept_bytes=facts.kept_bytes,
            wal_status=facts.wal_status or "",
            notes=tuple(notes),
        )

    def _guarded(self, facts: SlotFacts) -> list[str]:
        try:
            return list(guard(facts, self._options.sync or SyncOptions(mode=SyncMode.CDC)))
        except FerryError as error:
            return [error.message]
