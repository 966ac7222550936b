"""What mode cdc needs of PostgreSQL before and beside the stream: the slot of a load, and how much log it may keep."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gridferry.checkpoint.positions import Gap
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import DROP_SLOT, try_each
from gridferry.engine.events import Level, Listener, Note
from gridferry.engine.ownership.lineage import KnowsOrigin, check_origin
from gridferry.errors import (
    CheckpointError,
    DataError,
    FerryError,
    GridDBError,
    OtherSource,
    OtherTable,
    SlotLost,
    SourceError,
    SourceRefused,
)
from gridferry.model.position import Lsn
from gridferry.model.publishing import ChangeAccess, Published
from gridferry.model.table import Table
from gridferry.plan.planner import require_open
from gridferry.plan.sync_options import SyncOptions
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.session.blockers import Patience
from gridferry.source.postgres.slots.slots import NewSlot, SlotFacts
from gridferry.source.postgres.source import PostgresSource


def slots_of(feed: ChangeFeed, state: TargetState, table: str) -> tuple[str, str]:
    """The two slots that may follow a table into this target for this migration; no other is read or dropped.

    Their names are derived, not read: what is stored of them is compared with these.
    """
    return feed.slots_for(table, str(state.store.cluster.address), state.whose())


def patience_for(source: PostgresSource, table: str, tell: Listener) -> Patience:
    """How long a new slot waits for open transactions; whose they are is told as of `table`."""
    return Patience(
        source.address,
        limit_s=source.transactions_s,
        tell=lambda text: tell(Note(table, text, Level.WARNING)),
    )


def stream_slot_of(feed: ChangeFeed, state: TargetState) -> str:
    """The slot that follows all tables of this migration into this target."""
    return feed.stream_slot(str(state.store.cluster.address), state.whose())


def require_own_slot(feed: ChangeFeed, state: TargetState, run: LoadRun, *, left: str) -> None:
    """Return if the slots that are stored with a load are the table's own. Raises: CheckpointError."""
    own = (*slots_of(feed, state, run.table), stream_slot_of(feed, state))
    for slot in (run.slot, run.spare):
        if slot not in ("", *own):
            raise CheckpointError(
                f"the stored load of {run.table} names the replication slot {slot}; its own are {', '.join(own)}",
                state=left,
                next_step="write the target's address as it was when the slot was made; or make the slot again with "
                f"`gridferry sync --new-slot`, and drop {slot} with pg_drop_replication_slot if nobody else needs it",
            )


class SlotOfLoad:
    """The slot under which one table is loaded, so that the stream goes on where the load's snapshot ends."""

    shared = False  # whether it follows other tables too

    def __init__(
        self, source: PostgresSource, names: Sequence[str], tell: Listener, *, standing: str = "", stream: str = ""
    ) -> None:
        """Args: names: those that the table's slots may have, the one to be made first; standing: one that it has;
        stream: the one that may follow it with other tables.
        """
        self.name, *self._others = names
        self._stream = stream
        self._source = source
        self._feed = ChangeFeed(source.address)
        self._tell = tell
        self._standing = standing

    def beside(self, run: LoadRun | None) -> SlotOfLoad:
        """The slot of another load, that can be made while the one of `run` is still there."""
        names = [self.name, *self._others]
        standing = "" if run is None else run.slot
        first = sorted(names, key=lambda n: n == standing)
        return SlotOfLoad(self._source, first, self._tell, standing=standing, stream=self._stream)

    def access(self, table: Table) -> ChangeAccess:
        """What the source allows; the slot's own place counts as free."""
        (access,) = self._feed.access([(table.schema, table.name, self.name)])
        if not self._standing:
            return access
        obstacles = tuple(
            replace(
                each,
                message=f"{each.message}: its slot {self._standing} stays until the new load has one of its own",
                advice=f"{each.advice}; or free the table's own place with `gridferry drop-slot --table "
                f"{table.qualified}`: what was loaded stays, and is not followed until it is loaded again",
            )
            if each.of_slots
            else each
            for each in access.obstacles
        )
        return replace(access, obstacles=obstacles)

    @contextmanager
    def open(self, table: Table) -> Iterator[NewSlot]:
        """Make publications and slot again; their snapshot is held until the block ends.

        Waits for the transactions that are open at the source, and says whose they are.
        Raises: TransactionOpen where one stays open; PlanError for what the source does not allow, before anything is
        made; SourceRefused, SlotInUse; see `ChangeFeed.new_slot`.
        """
        self._require_open(table)
        patience = patience_for(self._source, table.qualified, self._tell)
        with self._feed.new_slot(self.name, tables=[(table.schema, table.name)], patience=patience) as made:
            yield made

    def _require_open(self, table: Table) -> None:
        access = self.access(table)
        require_open(table, access)
        publishing = access.publishing
        if publishing is not None and publishing.published is Published.INSERTS:
            said = (
                f"only inserts can be followed: {publishing.reason}. For updates and deletes too: {publishing.advice}"
            )
            self._tell(Note(table.qualified, said, Level.WARNING))

    def check(self, run: LoadRun) -> None:
        """Return if an interrupted load can go on with its slot. Raises: SlotLost; CheckpointError if it has none."""
        if not run.slot:
            raise CheckpointError(
                f"the load of {run.table} was begun without a replication slot",
                state="nothing was changed",
                next_step="load it again with --replace, or take `sync` out of the config until it is loaded",
            )
        try:
            if run.slot not in (self.name, *self._others, self._stream):
                own = " or ".join((self.name, *self._others))
                raise SlotLost(f"the load of {run.table} names the replication slot {run.slot}, not {own}")
            self._feed.check(run.slot, start=Lsn.parse(run.start))
        except SlotLost as error:
            raise SlotLost(
                error.message,
                state="the load is not finished, and changes since it began are lost",
                next_step="run `gridferry load --replace`, which makes a new slot and begins again",
            ) from error

    def drop(self) -> None:
        """Drop slot and publications."""
        self._feed.drop(self.name)

    def drop_others(self, tell: Listener, table: str) -> None:
        """Drop the slots of earlier loads. One that cannot be dropped now is reported."""
        for name in {*self._others_left(), self._standing} - {self.name, self._stream, ""}:
            try:
                self._feed.drop(name)
            except SourceRefused as error:
                tell(Note(table, f"{error.message}, and was left as it is: {error.next_step}", Level.WARNING))
            except SourceError as error:
                step = "`gridferry drop-slot` drops it with the table's own"
                tell(
                    Note(
                        table,
                        f"the slot {name} of an earlier load is still there ({error.message}): {step}",
                        Level.WARNING,
                    )
                )

    def drop_spare(self) -> None:
        """Drop what a run left that was killed between two slots: those of the table's own that the load has not."""
        for name in (self.name, *self._others_left()):
            if name not in (self._standing, self._stream) and self._feed.facts(name) is not None:
                self._feed.drop(name)

    def _others_left(self) -> Sequence[str]:
        """Those of the table's other slots that may be there."""
        return self._others


class SharedSlotOfLoad(SlotOfLoad):
    """The slot of all tables of a migration, and the snapshot under which some of them are loaded now.

    It is there already, and stays whatever becomes of one table.
    """

    shared = True

    def __init__(
        self,
        source: PostgresSource,
        names: Sequence[str],
        tell: Listener,
        *,
        slot: str,
        start: Lsn,
        view: PostgresSnapshot,
        check: Callable[[], None],
        access: ChangeAccess,
        left: Collection[str],
    ) -> None:
        """Args: names: the two that the table's own slots may have; start: a position that the slot holds, with nothing
        in front of it that `view` does not show; check: raises where others may follow the slot again; access: what the
        source allowed before the slot was made; left: slots, its own among them, of which something is left.
        """
        super().__init__(source, (slot, *names), tell, stream=slot)
        self._check = check
        self._access = access
        self._left = left
        self._start = start
        self._view = view

    def access(self, table: Table) -> ChangeAccess:
        """What the source allows: asked for all tables at once."""
        return self._access

    def _others_left(self) -> Sequence[str]:
        return [name for name in self._others if name in self._left]

    def beside(self, run: LoadRun | None) -> SharedSlotOfLoad:
        """See `SlotOfLoad`: it is the same for every load."""
        self._standing = "" if run is None else run.slot
        return self

    @contextmanager
    def open(self, table: Table) -> Iterator[NewSlot]:
        """The slot as it is, with the snapshot. Raises: PlanError for what the source does not allow; LeaseHeld."""
        self._check()
        self._require_open(table)
        yield NewSlot(self.name, self._start, self._view)

    def drop(self) -> None:
        """Nothing: other tables need it."""


def refuse_elsewhere(state: Callable[[], TargetState], source: KnowsOrigin, options: TableOptions) -> None:
    """Return unless the target says that a table is from another source: nothing of ours is at this one to be dropped.

    A target that is away, or does not know the table, says nothing. Raises: OtherSource; SourceError.
    """
    run = None
    try:
        known = state()
        run = known.runs.get(f"{options.schema_name}.{options.table_name}")
        if run is None or run.plan is None:
            return
        check_origin(known, source, options, run, left="nothing was dropped")
    except (GridDBError, OtherTable):  # the slot of a table that is gone keeps log as any other
        return
    except OtherSource as error:
        if run is not None and run.slot:
            free = f"SELECT pg_drop_replication_slot('{run.slot}')"
            error.next_step = f"{error.next_step}; to free a server that is not the source any more, run in it: {free}"
        raise


def drop_slots(
    source: KnowsOrigin,
    feed: ChangeFeed,
    state: Callable[[], TargetState],
    chosen: Sequence[TableOptions],
    *,
    slots: Callable[[TableOptions], Sequence[str]],
    stream: str,
    tell: Listener,
) -> list[str]:
    """Drop the slots and publications of tables: at the source first, which is to be clean even without the target.

    Args: state: connects to the target, when it is needed; stream: the slot that follows them with others where these
        are all tables, else "". Returns: what there was.
    Raises: the error of the only table; SomeTablesFailed after all others, its `done` what was dropped.
    """
    dropped: list[str] = []

    def at_source(options: TableOptions) -> TableOptions:
        refuse_elsewhere(state, source, options)
        strange: SourceRefused | None = None
        for slot in slots(options):
            try:
                dropped.extend(feed.drop(slot))
            except SourceRefused as error:  # of somebody else; the table's other one may be its own
                strange = strange or error
        if strange is not None:
            raise strange
        return options

    def known(options: TableOptions) -> TableOptions:
        try:
            dropped.extend(drop_known(feed, state(), options.qualified))
        except FerryError as error:
            what = f"dropped at the source: {', '.join(dropped)}" if dropped else "nothing was dropped"
            error.state = f"{what}; {error.state}" if error.state else what
            raise
        return options

    first = try_each(chosen, at_source, name=lambda o: o.qualified, doing=DROP_SLOT, tell=tell)
    if stream and not first.failures:
        dropped.extend(feed.drop(stream))
    second = try_each(first.done, known, name=lambda o: o.qualified, doing=DROP_SLOT, tell=tell)
    replace(second, failures=first.failures + second.failures, not_tried=first.not_tried + second.not_tried).require(
        DROP_SLOT, result=dropped
    )
    return dropped


def drop_known(feed: ChangeFeed, state: TargetState, table: str) -> list[str]:
    """Drop the slot that a table's load knows of, and let the load forget it. Returns what there was.

    Raises: LeaseHeld while another run works on the table; SlotInUse, and nothing is dropped; SourceError.
    """
    run = state.runs.get(table)
    if run is None or not (run.slot or run.spare):
        return []
    with state.lease(table):
        require_own_slot(feed, state, run, left="that slot was not dropped")
        own = {run.slot, run.spare} - {"", stream_slot_of(feed, state)}
        dropped = [what for name in own for what in feed.drop(name)]
        dropped += leave_slot(feed, state, run)
        for name in own:
            state.marks.forget(name)
    return [*dropped, *drop_unused(feed, state, run)]


def leave_slot(feed: ChangeFeed, state: TargetState, run: LoadRun) -> list[str]:
    """Write that no slot follows a table any more, and take it out of the publications of the slot of all tables.

    What was committed since its position is noted as not followed. Only under a lease that covers the table; slots of
    its own have been dropped by then. Returns: what it was taken out of.
    """
    position = state.positions.readable(run.table)
    if position is not None:
        gap = Gap(position.position if position.gap is None else position.gap.before)
        state.positions.save(replace(position, gap=gap))
    state.runs.without_slot(run)
    stream = stream_slot_of(feed, state)
    others = stream in state.runs.slots(state.runs.tables()).values()
    if run.slot != stream or run.plan is None or not others or feed.facts(stream) is None:
        return []
    feed.publish(stream, leave=[(run.plan.schema, run.plan.table)])
    return [f"{run.table} from the publications of {stream}"]


def drop_unused(feed: ChangeFeed, state: TargetState, left: LoadRun) -> list[str]:
    """Drop the slot of all tables once the last of them has `left` it: it would keep log for nobody.

    Raises: SlotInUse; SourceError.
    """
    stream = stream_slot_of(feed, state)
    if left.slot != stream or stream in state.runs.slots(state.runs.tables()).values():
        return []
    state.marks.forget(stream)
    return feed.drop(stream)


def drop_spare(feed: ChangeFeed, state: TargetState, run: LoadRun) -> LoadRun:
    """Drop the slot of a load that was to take this one's place and never began. Only under the table's lease."""
    if not run.spare:
        return run
    require_own_slot(feed, state, run, left="that slot was not dropped")
    feed.drop(run.spare)
    return state.runs.without_spare(run)


@dataclass(frozen=True)
class LogHolder:
    """The table that needs the oldest log of a slot, and where it is."""

    table: str
    position: Lsn


def guard(facts: SlotFacts | None, sync: SyncOptions, holder: LogHolder | None = None) -> Iterator[str]:
    """Warnings about the log that PostgreSQL keeps for a slot.

    Args: holder: the table for which it is kept, where that is known. Where that needs less than `stop_lag`, something
        else holds the log, as a transaction that is open, or PostgreSQL is to remove it soon: only told.
    Raises: DataError from `stop_lag` on: the log fills the source's disk, and a person has to decide.
    """
    if facts is None or facts.kept_bytes is None:
        return
    kept = f"PostgreSQL keeps {facts.kept_bytes / (1 << 20):,.0f} MB of log for the slot {facts.name}"
    if facts.kept_bytes >= sync.stop_lag and (holder is None or needs(facts, holder.position) >= sync.stop_lag):
        whose = "" if holder is None else f"; {holder.table} holds it, which is at {holder.position}"
        raise DataError(
            f"{kept}, more than `stop_lag`{whose}",
            state="nothing is lost: the slot still holds every change",
            next_step="raise `stop_lag` and sync to catch up; or free the source's disk with `gridferry drop-slot`, "
            "and go on later with `gridferry sync --new-slot` and `gridferry repair`",
        )
    if facts.wal_status == "unreserved":
        yield f"{kept}, and may remove it at any checkpoint: raise max_slot_wal_keep_size, or sync without delay"
    elif facts.kept_bytes >= sync.warn_lag:
        yield f"{kept}, more than `warn_lag`"


def needs(facts: SlotFacts, position: Lsn) -> int:
    """How many bytes of log a table at this position needs."""
    return max(0, facts.current.value - position.value)
