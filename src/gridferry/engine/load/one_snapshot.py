"""Tables in mode cdc that are loaded for the first time: under one snapshot, with one slot that follows them all.

While they are loaded nobody follows that slot, so its log is kept from before the snapshot. Where a sync follows it
just now, each table is loaded with a slot of its own instead, and joins the others when it has caught up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
from gridferry.plan.table_options import SyncMode, TableOptions
from gridferry.source.postgres.one_snapshot import PostgresSnapshot


@dataclass(frozen=True)
class OneSnapshot:
    """What tables are loaded under together. `slots` by `schema.table`; `slot_held`: nobody else may follow it."""

    slots: Mapping[str, SharedSlotOfLoad] = field(default_factory=dict)
    slot_held: bool = False


ALONE = OneSnapshot()


@contextmanager
def one_snapshot(ends: Endpoints, chosen: Sequence[TableOptions], load: LoadOptions) -> Iterator[OneSnapshot]:
    """The slot and snapshot for those of the chosen tables that begin a load in mode cdc.

    Nothing for tables that go on with a load, or that cannot be followed (which their own load says); nothing at all
    where the config has one table in mode cdc only. Slot and snapshot are held until the block ends; a slot that no
    load has taken by then is dropped again.
    Raises: TransactionOpen, SourceError where the slot cannot be made: no load has begun.
    """
    fresh = [o for o in chosen if o.sync_mode is SyncMode.CDC and _begins(ends.state, o, load)]
    if not fresh or not ends.follows_many:
        yield ALONE
        return
    slot = stream_slot_of(ends.feed, ends.state)
    with ExitStack() as stack:
        allowed = _allowed(ends, slot, fresh)
        lease = _take(ends, slot, allowed, load, stack) if allowed else None
        if lease is None:
            yield ALONE
            return
        opened = _open(ends, slot, allowed, stack)
        if opened is None:
            yield OneSnapshot(slot_held=True)
            return
        start, view = opened
        slots = {
            options.qualified: SharedSlotOfLoad(
                ends.source,
                slots_of(ends.feed, ends.state, options.qualified),
                ends.tell,
                slot=slot,
                start=start,
                view=view,
                check=lease.check,
            )
            for options in allowed
        }
        yield OneSnapshot(slots, slot_held=True)


def _begins(state: TargetState, options: TableOptions, load: LoadOptions) -> bool:
    try:
        run = state.runs.get(options.qualified)
    except CheckpointError:
        return load.replace
    return run is None or load.replace or run.state is RunState.REPLACING


def _allowed(ends: Endpoints, slot: str, fresh: Sequence[TableOptions]) -> list[TableOptions]:
    """The tables that can be followed; of the others their own load says why not."""
    access = ends.feed.access([(o.schema_name, o.table_name, slot) for o in fresh])
    pairs = zip(fresh, access, strict=True)
    return [options for options, found in pairs if not found.obstacles and found.publishing is not None]


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
