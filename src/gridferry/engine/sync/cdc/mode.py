"""Mode cdc as the sync sees it: its runs, and the state of a table and its slot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import ClassVar

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.positions import CdcRecord
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.engine.each_table import SYNC
from gridferry.engine.events import TableSync
from gridferry.engine.ownership.lineage import KnowsOrigin, check_origin
from gridferry.engine.ownership.origin_check import Loaded
from gridferry.engine.ownership.parts import notes_of_parts
from gridferry.engine.slots import guard, require_own_slot
from gridferry.engine.standing import SyncStatus
from gridferry.engine.sync.cdc.gaps import GIVEN_UP, has_notes, notes_of, proven
from gridferry.engine.sync.cdc.renew_slot import SlotRenewal
from gridferry.engine.sync.cdc.run import CdcRun
from gridferry.engine.sync.cdc.shared_stream import SharedStream
from gridferry.engine.sync.cdc.source_checks import HARMED
from gridferry.engine.sync.cdc.table import FollowedTable
from gridferry.engine.sync.cdc.wishes import Wishes
from gridferry.engine.sync.counts import sum_of_runs
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.left_out import LeftOut
from gridferry.errors import CheckpointError, ConfigError, FerryError, LeaseHeld, SlotLost
from gridferry.model.moment import age_s
from gridferry.model.origin import Lineage
from gridferry.model.outcomes import SyncState
from gridferry.model.position import Lsn
from gridferry.model.publishing import Published
from gridferry.model.table import Table
from gridferry.plan.advice import load_again
from gridferry.plan.generated_key import INSTEAD_OF_CDC, NO_CDC
from gridferry.plan.sync_options import SyncMode, SyncOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.replication_session import WAY_BACK
from gridferry.source.postgres.slots.publications import Membership
from gridferry.source.postgres.slots.slots import SlotFacts

_LOST = f"the slot {{0}} {{2}}: changes since {{1}} are lost: {WAY_BACK}"


class Place(Enum):
    """By which slot a table is followed: one of its own, or the one of all tables."""

    NOT_LOADED = "not loaded"
    OWN = "own"
    STREAM = "stream"


class CdcSync(Follower):
    """`Follower` of mode cdc."""

    mode: ClassVar[SyncMode] = SyncMode.CDC
    endless: ClassVar[bool] = True

    def run(self, *, follow: bool = False) -> TableSync:
        """See `Follower`. A table whose slot follows others too is followed by that slot alone, and they wait."""
        if self.is_member and not self._settings.new_slot:
            tried = self.stream.run([self], follow=follow)
            tried.require(SYNC)
            return tried.done[0]
        return super().run(follow=follow)

    @property
    def stream(self) -> SharedStream:
        """What follows all tables of the migration."""
        return SharedStream(self._state, self._source, settings=self._settings, listener=self._listener)

    @property
    def place(self) -> Place:
        """By which slot the table is followed."""
        run = self._state.runs.get(self.table)
        if run is None or run.state is not RunState.LOADED:
            return Place.NOT_LOADED
        return Place.STREAM if run.slot == self.stream.slot else Place.OWN

    @property
    def is_member(self) -> bool:
        """Whether the slot of all tables follows this one."""
        slot = self._state.runs.slots([self.table])[self.table]
        return bool(slot) and slot == self.stream.slot

    @staticmethod
    def members_of(followers: Sequence[CdcSync]) -> set[str]:
        """Those of some tables of one migration that `is_member`; asked for at once."""
        if not followers:
            return set()
        first, stream = followers[0], followers[0].stream.slot
        slots = first._state.runs.slots([each.table for each in followers])
        return {table for table, slot in slots.items() if slot and slot == stream}

    @property
    def name(self) -> str:
        """The table as the config has it."""
        return self._options.table

    def member(self, lease: Lease, described: Table | None, source: KnowsOrigin) -> FollowedTable:
        """The table, to be followed with others by the slot that the lease is of.

        Args: described: as the catalog has it; None where the catalog is to be asked; source: says which it is.
        Raises: as `followed` and `take_up`.
        """
        if described is None:
            self._loaded()  # says what became of a table that is gone
            (described,) = self._source.fetch_tables([self._options.table])
        self.let_in = True
        return self.followed(lease, self._taken_up(described, source), described)

    def finished(self, table: FollowedTable, done: TableSync, *, follow: bool, held: int) -> TableSync:
        """Keep, and report, that the table's part in a stream has come to its end; `held` rows are quarantined."""
        done = self.covered(done, table.described, held=held)
        self._history.ended(done, last=self.endless or not follow or self._settings.stop())
        self.ended(done)
        return done

    def join(self) -> TableSync:
        """Store what was committed before now, and let the slot of all tables follow this one from here on.

        Where another run follows that slot just now, it stays with its own. A slot that was made again for one that is
        lost serves until the table has joined: there may be no places for a slot a table.
        """
        if self._settings.new_slot:
            done = self.run()
            if self.is_member:
                return done
            settings = replace(self._settings, new_slot=False)
            plain = CdcSync(
                source=self._source,
                state=self._state,
                options=self._options,
                settings=settings,
                listener=self._listener,
            )
            return sum_of_runs(done, plain.join())
        try:
            return self.stream.join(self, schema=self._options.schema_name, name=self._options.table_name)
        except LeaseHeld:
            return self.run()

    def _run(self, lease: Lease, loaded: Loaded, *, follow: bool) -> TableSync:
        (described,) = self._source.fetch_tables([self._options.table])
        table = self.followed(lease, loaded, described)
        shared = table.run.slot == self.stream.slot
        wishes = Wishes(
            self._state,
            ChangeFeed(self._source.address),
            left_out=self._left_out(),
            shared=self.stream.slot if shared else "",
            kept=self.stream.kept_without([self.table]) if shared else {},
        )
        cdc = CdcRun(
            self._state,
            lease,
            self._source,
            slot=table.run.slot,
            tables=[table],
            settings=self._settings,
            tell=self._tell,
            wishes=wishes,
        )
        (done,) = cdc.run(follow=follow)
        return done

    def _left_out(self) -> LeftOut:
        if self._settings.resyncing:
            return LeftOut(self._state, self._tell, but=self.table)
        return self._settings.left_out or LeftOut(self._state, self._tell)

    def followed(self, lease: Lease, loaded: Loaded, described: Table) -> FollowedTable:
        """The loaded table, with a slot that has what comes next. Under a lease that covers the table.

        Raises: ConfigError for a generated key that the log cannot follow; SlotLost where it has no such slot;
            CheckpointError for a slot that is not its own; SourceError.
        """
        run = loaded.run
        against = ChangeFeed(self._source.address).why_not_hashed() if loaded.plan.numbered else ""
        if against:
            raise ConfigError(
                f"{run.table}: {NO_CDC}: {against}",
                state="nothing was changed",
                next_step=f"{INSTEAD_OF_CDC}, and {load_again(self._options.table)}",
            )
        if loaded.source.lineage is not Lineage.SAME:
            # What the log and the slot say of another server is asked below, by the position.
            lease.check()
            self._state.origins.save(replace(loaded.source.record, origin=loaded.source.now))
        if self._settings.new_slot:
            renewal = SlotRenewal(self._state, lease, self._source, options=self._options, tell=self._tell)
            run = renewal.run(run, loaded.plan)
        if not run.slot:
            raise SlotLost(
                f"{run.table} has no replication slot: it was dropped, or the table was loaded without mode cdc",
                state="the target is as it was; changes since then cannot be read any more",
                next_step=WAY_BACK,
            )
        require_own_slot(ChangeFeed(self._source.address), self._state, run, left="nothing was changed")
        record = self._record(run)
        if record.gap is not None and record.gap.after is None:
            raise SlotLost(
                f"the new slot of {run.table} is not ready: making it was interrupted",
                state=f"the target holds what was committed before {record.gap.before}",
                next_step="run `gridferry sync --new-slot` again",
            )
        return FollowedTable(
            self._state,
            self._source,
            run=run,
            described=described,
            record=record,
            options=self._options,
            settings=self._settings,
            tell=self._tell,
            history=self._history,
            check=lease.check,
            failed=self.failed,
        )

    def _record(self, run: LoadRun) -> CdcRecord:
        found = self._state.positions.get(run.table)
        if found is None:
            return CdcRecord(run.table, Lsn.parse(run.start))
        return proven(found, self._state.verifications.readable(run.table)) if has_notes(found) else found

    def _standing(self, run: LoadRun) -> SyncStatus:
        if not run.slot:
            record = self._state.positions.readable(run.table)
            gap = None if record is None else record.gap
            notes: tuple[str, ...] = (f"it has no replication slot: {WAY_BACK}",)
            if gap is not None and gap.after is None:
                notes += (GIVEN_UP.format(gap.before, run.table),)
            return SyncStatus(self.mode, SyncState.NOT_FOLLOWED, notes=notes)
        record = self._record(run)
        return replace(
            self._report(record),
            position=str(record.position),
            as_of=record.as_of,
            lag_seconds=age_s(record.as_of),
            slot=run.slot,
            notes=(*notes_of(record), *notes_of_parts(self._state, run.table)),
        )

    def _asked(self, standing: SyncStatus, run: LoadRun) -> SyncStatus:
        if not run.slot or run.plan is None:
            return standing
        check_origin(self._state, self._source, self._options, run, left="nothing was changed")
        feed = ChangeFeed(self._source.address)
        try:
            require_own_slot(feed, self._state, run, left="")
        except CheckpointError as error:
            return replace(
                standing, state=SyncState.LOST, notes=(*standing.notes, f"{error.message}: {error.next_step}")
            )
        member = feed.membership(run.slot, schema=run.plan.schema, table=run.plan.table)
        notes = [*standing.notes, *_published(member)]
        facts = feed.facts(run.slot)
        if facts is None:
            return replace(
                standing, state=SyncState.LOST, notes=(*notes, _LOST.format(run.slot, standing.position, "is gone"))
            )
        if facts.lost:
            why = f"is of no use: {facts.invalidated or 'it lost its log'}"
            notes.append(_LOST.format(run.slot, standing.position, why))
        else:
            notes += self._guarded(facts)
            unsynced = feed.unsynced(run.slot)
            notes += [unsynced] if unsynced else []
        return replace(
            standing,
            state=SyncState.LOST if facts.lost else standing.state,
            confirmed="" if facts.confirmed is None else str(facts.confirmed),
            lag_bytes=max(0, facts.current.value - Lsn.parse(standing.position).value),
            kept_bytes=facts.kept_bytes,
            wal_status=facts.wal_status or "",
            notes=tuple(notes),
        )

    def _guarded(self, facts: SlotFacts) -> list[str]:
        try:
            return list(guard(facts, self._options.sync or SyncOptions(mode=SyncMode.CDC)))
        except FerryError as error:
            return [error.message]


def _published(member: Membership | None) -> Iterator[str]:
    """What the publications leave out."""
    if member is None:
        yield "a publication of the slot is gone: changes are lost. See `gridferry sync`"
    elif member.harmful:
        yield (
            f"{HARMED}. Run `gridferry sync` at once: it takes the table out of that publication; or give it an "
            f"identity again: {member.publishing.advice}"
        )
    elif member.mend:
        yield f"somebody changed the publications, and changes are left out. See `gridferry sync`: {member.mend}"
    elif member.published is Published.INSERTS and member.publishing.published is Published.ALL:
        yield "it has a replica identity now: its updates and deletes will be followed from the next sync on"
    elif member.published is Published.INSERTS:
        publishing = member.publishing
        yield f"only inserts are followed: {publishing.reason}. For the rest: {publishing.advice}"
