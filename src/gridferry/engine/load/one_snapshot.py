"""Tables in mode cdc that are loaded for the first time: under one snapshot, with one slot that follows them all.

While they are loaded nobody follows that slot, so its log is kept from before the snapshot. Where a sync follows it
just now, each table is loaded with a slot of its own instead, and joins the others when it has caught up.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.runs import RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Note
from gridferry.engine.load.copying import LoadOptions
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.slots import SharedSlotOfLoad, patience_for, slots_of, stream_slot_of
from gridferry.errors import CheckpointError, FerryError, LeaseHeld
from gridferry.model.position import Lsn
from gridferry.model.publishing import ChangeAccess
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.one_snapshot import PostgresSnapshot


@dataclass(frozen=True)
class OneSnapshot:
    """What tables are loaded under together. `slots` by `schema.table`; `slot_held`: nobody else may follow it; `view`:
    their snapshot.
    """

    slots: Mapping[str, SharedSlotOfLoad] = field(default_factory=dict)
    slot_held: bool = False
    view: PostgresSnapshot | None = None


ALONE = OneSnapshot()


class SlotOfMany:
    """The slot of those of the chosen tables that begin a load in mode cdc, if one slot can follow them.

    Taken before the tables' leases, opened under them. None for tables that go on with a load, or that cannot be
    followed (which their own load says); none at all where the config has one table in mode cdc only.
    """

    def __init__(self, ends: Endpoints, chosen: Sequence[TableOptions], load: LoadOptions, stack: ExitStack) -> None:
        """Keep others from following the slot until `stack` ends. Raises: SourceError; GridDBError."""
        self._ends, self._stack = ends, stack
        self.begins = [o for o in chosen if o.sync_mode is SyncMode.CDC and _begins(ends.state, o, load)]
        self._allowed: dict[str, tuple[TableOptions, ChangeAccess]] = {}
        self._lease: Lease | None = None
        if self.begins and ends.follows_many:
            self._slot = stream_slot_of(ends.feed, ends.state)
            self._allowed = _allowed(ends, self._slot, self.begins)
        if self._allowed:
            self._lease = _take(ends, self._slot, [o for o, _ in self._allowed.values()], load, stack)

    @property
    def held(self) -> bool:
        """Whether nobody else may follow it."""
        return self._lease is not None

    @property
    def tables(self) -> set[str]:
        """Those that it is to follow, as `schema.table`."""
        return set(self._allowed) if self.held else set()

    def open(self, leased: Container[str]) -> OneSnapshot:
        """The slot, and a snapshot that goes with it, for those of its tables whose lease is held; until the stack
        ends. A slot that no load has taken by then is dropped again.

        Raises: TransactionOpen, SourceError where the slot cannot be made: no load has begun.
        """
        lease, ends = self._lease, self._ends
        allowed = {table: found for table, found in self._allowed.items() if table in leased}
        if lease is None or not allowed:
            return OneSnapshot(slot_held=self.held)
        opened = _open(ends, self._slot, [options for options, _ in allowed.values()], self._stack)
        if opened is None:
            return OneSnapshot(slot_held=True)
        start, view = opened
        own = {table: slots_of(ends.feed, ends.state, table) for table in allowed}
        left = ends.feed.left_of([name for names in own.values() for name in names])
        slots = {
            table: SharedSlotOfLoad(
                ends.source,
                own[table],
                ends.tell,
                slot=self._slot,
                start=start,
                view=view,
                check=lease.check,
                access=access,
                left=left,
            )
            for table, (_, access) in allowed.items()
        }
        return OneSnapshot(slots, slot_held=True, view=view)


def _begins(state: TargetState, options: TableOptions, load: LoadOptions) -> bool:
    try:
        run = state.runs.get(options.qualified)
    except CheckpointError:
        return load.replace
    return run is None or load.replace or run.state is RunState.REPLACING


def _allowed(ends: Endpoints, slot: str, fresh: Sequence[TableOptions]) -> dict[str, tuple[TableOptions, ChangeAccess]]:
    """The tables that can be followed; of the others their own load says why not."""
    access = ends.feed.access([(o.schema_name, o.table_name, slot) for o in fresh])
    pairs = zip(fresh, access, strict=True)
    return {
        options.qualified: (options, found)
        for options, found in pairs
        if not found.obstacles and found.publishing is not None
    }


def _take(
    ends: Endpoints, slot: str, allowed: Sequence[TableOptions], load: LoadOptions, stack: ExitStack
) -> Lease | None:
    """Keep others from following the slot. Returns: None where a sync follows it now."""
    try:
        return stack.enter_context(ends.state.slot_lease(slot, wait_s=load.wait_s))
    except LeaseHeld:
        said = f"a sync follows the slot {slot} now: each table is loaded with a slot of its own, and joins later"
        ends.tell(Note(allowed[0].qualified, said))
        return None


def _open(
    ends: Endpoints, slot: str, allowed: Sequence[TableOptions], stack: ExitStack
) -> tuple[Lsn, PostgresSnapshot] | None:
    """Where the slot's log is held from, and a snapshot that shows all before. None where tables have lost the slot:
    their sync says so, and what to do.
    """
    feed, state = ends.feed, ends.state
    tables = [(o.schema_name, o.table_name) for o in allowed]
    facts = feed.facts(slot)
    if facts is not None and not facts.lost:
        feed.publish(slot, add=tables)
        start, _ = feed.now()
        return start, stack.enter_context(ends.source.open_snapshot())
    followed = {table for table, name in state.runs.slots(state.runs.tables()).items() if name == slot}
    if followed - {o.qualified for o in allowed}:
        return None
    stack.callback(_drop_unused, ends, slot, allowed[0].qualified)
    patience = patience_for(ends.source, allowed[0].qualified, ends.tell)
    made = stack.enter_context(feed.new_slot(slot, tables=tables, patience=patience))
    return made.start, made.snapshot


def _drop_unused(ends: Endpoints, slot: str, table: str) -> None:
    """Drop a slot that no load has taken: it would keep log for nobody. One that cannot be dropped now is reported."""
    try:
        if slot not in ends.state.runs.slots(ends.state.runs.tables()).values():
            ends.feed.drop(slot)
    except FerryError as error:
        said = f"the slot {slot} may be of no use, and is still there ({error.message}): `gridferry load` takes it up"
        ends.tell(Note(table, f"{said}, `gridferry drop-slot` drops it", Level.WARNING))
