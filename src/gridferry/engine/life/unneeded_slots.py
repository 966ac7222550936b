"""Slots of this migration that nothing needs any more: they keep the source's log for nobody.

A slot is known as the migration's own by its name, which is derived of a table, the target and the migration, or by the
mark that a run of the migration has left at it. No other slot is ever looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.standings import StandingKind
from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.slots import leave_slot
from gridferry.errors import GridDBError, SourceError
from gridferry.source.postgres.slots.slot_names import publication_names


@dataclass(frozen=True)
class UnneededSlot:
    """A slot in the source; `table` is the one that it was for, "" where it is for all or that is not known."""

    name: str
    table: str
    kept_bytes: int | None
    active: bool

    @property
    def sql(self) -> str:
        """What drops it by hand, in the source's database."""
        return drop_sql(self.name)


def drop_sql(slot: str) -> str:
    """What drops a slot and its publications by hand."""
    drops = "; ".join(f'DROP PUBLICATION IF EXISTS "{name}"' for name in publication_names(slot))
    return f"SELECT pg_drop_replication_slot('{slot}'); {drops}"


def unneeded_slots(ends: Endpoints, state: TargetState) -> list[UnneededSlot]:
    """Those that are there, by name. Raises: SourceError; GridDBError; CheckpointError."""
    feed = ends.feed
    standing = feed.own_slots()
    if not standing:
        return []
    of = _derived(ends, state)
    marked = set(state.marks.slots())
    needed = set(_needed(ends, state))
    found = []
    for name in sorted(standing):
        if name in needed or not (name in of or name in marked):
            continue
        facts = feed.facts(name)
        if facts is not None:
            found.append(UnneededSlot(name, of.get(name, ""), facts.kept_bytes, facts.active))
    return found


def drop_unneeded(ends: Endpoints) -> list[str]:
    """Drop them, with their publications. Returns: what there was.

    Raises: SlotInUse, SourceError; GridDBError where the target is away, with what drops each by hand.
    """
    try:
        state = ends.state
        found = unneeded_slots(ends, state)
    except GridDBError as error:
        error.state = "nothing was dropped: without the target it is not known which slots are needed"
        by_hand = "; ".join(drop_sql(name) for name in sorted(set(_derived(ends, None)) & ends.feed.own_slots()))
        error.next_step = (
            f"try again; or, where nobody needs them, drop the migration's slots in the source by hand: {by_hand}"
            if by_hand
            else "the source has no slot of this migration"
        )
        raise
    dropped = []
    for slot in found:
        for table, run in state.runs.each():  # those that the config has no more, or that were removed
            if isinstance(run, LoadRun) and run.slot == slot.name:
                with state.lease(table):
                    leave_slot(ends.feed, state, run)
        dropped += ends.feed.drop(slot.name)
        state.marks.forget(slot.name)
    return dropped


def _derived(ends: Endpoints, state: TargetState | None) -> dict[str, str]:
    """The names that slots of this migration may have, each with its table."""
    tables = set()
    with suppress(SourceError):
        tables |= {str(name) for name in ends.source.fetch_table_names()}
    tables |= {options.qualified for options in ends.config.tables}
    if state is not None:
        tables |= {*state.runs.tables(), *state.standings.all()}
    whose, target = ends.session.whose(), str(ends.config.target)
    names = {name: table for table in tables for name in ends.feed.slots_for(table, target, whose)}
    return {**names, ends.stream_slot(): ""}


def _needed(ends: Endpoints, state: TargetState) -> Iterator[str]:
    """The slots that a table of the config needs, or one whose state is not readable: of that nothing is known."""
    wanted = {options.qualified for options in ends.known()}
    standings = state.standings.all()
    for table, run in state.runs.each():
        if not isinstance(run, LoadRun):
            yield from (*ends.feed.slots_for(table, str(ends.config.target), state.whose()), ends.stream_slot())
            continue
        standing = standings.get(table)
        removed = standing is not None and standing.kind is StandingKind.REMOVED
        if table in wanted and not removed:
            yield from (run.slot, run.spare)
