"""Is the source the one that a table is from? Asked before anything is read of it or written for it.

A cursor, a position and a repair's rows are of one source. Of another one they say nothing: its rows would be lost in
silence, or would take the place of the right ones. So whatever may be another source is refused, with the one way on:
`gridferry sync --new-source`, which compares everything (`engine.repair.new_source`, docs/adr/0024).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Protocol

from gridferry.checkpoint.origins import OriginRecord
from gridferry.checkpoint.positions import CdcRecord
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.state import TargetState
from gridferry.engine.ownership.marks import why_not_marked
from gridferry.errors import CheckpointError, OtherSource, OtherTable, SlotLost, SourceUnreachable
from gridferry.model.origin import Lineage, SourceOrigin, compare, is_other_table
from gridferry.model.position import Lsn
from gridferry.plan.advice import load_again
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.connection import PostgresAddress


class KnowsOrigin(Protocol):
    """A source that says which one it is."""

    @property
    def address(self) -> PostgresAddress:
        """Where it is."""

    def fetch_table_origin(self, schema: str, table: str) -> SourceOrigin:
        """The origin of a table. Raises: SourceError."""

    def fetch_table_name(self, oid: int) -> str:
        """The name that the table of an origin has now, "" where it is gone. Raises: SourceError."""


@dataclass(frozen=True)
class Checked:
    """A source that nothing speaks against: as it was known, as it is now, how the two relate, and why not the same."""

    record: OriginRecord
    now: SourceOrigin
    lineage: Lineage
    why: str = ""

    def require_still(self, now: SourceOrigin) -> None:
        """Return if `now` is from the server that was checked. Raises: SourceUnreachable where two answer in turn."""
        if compare(self.now, now)[0] is not Lineage.SAME:
            raise two_servers(self.record.table, self.now, now)


def known_origin(state: TargetState, table: str) -> OriginRecord:
    """The origin that a loaded table has. Raises: CheckpointError where none is written, or a broken one."""
    record = state.origins.get(table)
    if record is None:
        raise CheckpointError(
            f"the state of {table} does not say from which source it is",
            state="nothing was read or changed",
            next_step="load the table again with --replace, or restore the container from a backup",
        )
    return record


def check_origin(state: TargetState, source: KnowsOrigin, options: TableOptions, run: LoadRun, *, left: str) -> Checked:
    """What is known of the source of a loaded table.

    Raises: OtherTable where the table is gone or another has its name; OtherSource for another source, with the way
        back; SourceError where it cannot be asked.
    """
    record = known_origin(state, run.table)
    now = source.fetch_table_origin(options.schema_name, options.table_name)
    lineage, why = compare(record.origin, now)
    if lineage is Lineage.MOVED:
        against = _not_by_log(state, source, record.origin, run)
        lineage, why = (lineage, why) if not against else (Lineage.OTHER, f"{why}; {against}")
    elif lineage is Lineage.UNPROVEN and run.slot and now.timeline == record.origin.timeline:
        # A standby that took over need not have got the mark, and its timeline tells what it has.
        against = why_not_marked(state, ChangeFeed(source.address), run)
        lineage, why = (lineage, why) if not against else (Lineage.OTHER, f"{why}, and {against}")
    if is_other_table(record.origin, now):
        raise other_table(source, record.origin, now, options=options, left=left)
    if lineage is Lineage.OTHER:
        raise other_source(record.origin, now, why, options=options, left=left)
    return Checked(record, now, lineage, why)


def other_source(known: SourceOrigin, now: SourceOrigin, why: str, *, options: TableOptions, left: str) -> OtherSource:
    """The error for a source that is not, or may not be, the one that a table is from."""
    return OtherSource(
        f"{options.schema_name}.{options.table_name} is from another source: {why}. It is from {known}; "
        f"the config's source is {now}",
        state=left,
        next_step=way_back(options),
    )


def other_table(
    source: KnowsOrigin, known: SourceOrigin, now: SourceOrigin, *, options: TableOptions, left: str
) -> OtherTable:
    """The error for a table that is not the loaded one, in the database that it is from. Raises: SourceError."""
    if now.table_oid:
        return OtherTable(
            f"{options.qualified} is not the table that was loaded: that one was dropped or renamed, and another one "
            "has its name now",
            state=left,
            next_step=f"run `{command_of(options)}`: it compares everything, repairs what differs, and goes on from "
            f"there; or {load_again(options.table)}",
        )
    name = source.fetch_table_name(known.table_oid)
    kept = "what was loaded of it stays in the target"
    forget = f"gridferry forget {shlex.quote(options.table)}"
    if name:
        return OtherTable(
            f"{options.qualified} is now {name}: the table was renamed in the source",
            state=left,
            next_step=f"give it its name back; or put {name} in its place in the config, with a container of its own, "
            f"load it with `gridferry load`, and forget the old name with `{forget}`: {kept}",
        )
    return OtherTable(
        f"{options.qualified} is not in the source any more: it was dropped, and no other table has its name",
        state=left,
        next_step=f"if that was a mistake, restore it, and {load_again(options.table)}; or take it out of the config, "
        f"and run `{forget}`: {kept}",
    )


def other_log(known: str, now: str, *, options: TableOptions) -> OtherSource:
    """The error for a log of a server with another system identifier: what no role could be asked for before."""
    return OtherSource(
        f"{options.schema_name}.{options.table_name} is from another source: from the server with the system "
        f"identifier {known}, and this one has {now}",
        state="nothing was read or changed",
        next_step=way_back(options),
    )


def command_of(options: TableOptions) -> str:
    """The command that accepts a source in another's place."""
    return f"gridferry sync --new-source --table {options.table}"


def way_back(options: TableOptions) -> str:
    """What to do where the source is another one: the two cases that there are."""
    return (
        "if the address is wrong, put it right in the config; if this source took the other's place, run "
        f"`{command_of(options)}`: it compares everything, repairs what differs, and goes on from there"
    )


def unfinished(options: TableOptions) -> OtherSource:
    """The error for a table whose source was accepted in another's place, until both sides were compared."""
    return OtherSource(
        f"{options.schema_name}.{options.table_name} is being taken over by a new source, and both sides were not "
        "found equal yet: that is under way, or was interrupted",
        state="nothing was read or changed",
        next_step=f"run `{command_of(options)}` again",
    )


def two_servers(table: str, first: SourceOrigin, second: SourceOrigin) -> SourceUnreachable:
    """The error for an address behind which more than one server answers."""
    return SourceUnreachable(
        f"two servers answered at {first.address} within one run on {table}: one was started at {first.started}, the "
        f"other at {second.started}",
        state="nothing was read or changed",
        next_step="give an address behind which one server answers, not a pool of several; after a failover, run the "
        "same command again",
    )


def _not_by_log(state: TargetState, source: KnowsOrigin, known: SourceOrigin, run: LoadRun) -> str:
    """Why the log does not prove that a server at another address continues the known one; "" where it does.

    It does if the table's slot is there and holds what comes next, and the known timeline ended behind the position.
    """
    if not run.slot:
        return "only a slot that came along would prove that it continues the other's log"
    record = state.positions.get(run.table) if state.positions.mode_of(run.table) is CdcRecord.mode else None
    position = Lsn.parse(run.start) if record is None else record.position
    feed = ChangeFeed(source.address)
    origin = feed.origin()
    ended = feed.timeline_ends(origin.timeline).get(known.timeline)
    if ended is None or ended < position:
        return left_before(origin.timeline, known.timeline, ended, position)
    try:
        feed.check(run.slot, start=position)
    except SlotLost as error:
        return f"{error.message}; a slot comes along only as a failover slot (PostgreSQL 17 and newer)"
    return ""


def left_before(now: int, before: int, ended: Lsn | None, position: Lsn) -> str:
    """That a timeline does not continue what was stored."""
    where = "never was on" if ended is None else f"left at {ended}, before"
    return (
        f"the source writes timeline {now}, which {where} position {position} of timeline {before}: it was restored "
        "to an older state, or a standby took over that had not got all"
    )
