"""What is asked of a table beside its rows: its columns, its slot, its quarantine, its repairs, who writes to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gridferry import numbers
from gridferry.checkpoint.state import TargetState
from gridferry.engine.cutover.table import LookedAt
from gridferry.engine.repair.undo import list_repairs
from gridferry.engine.slots import guard
from gridferry.errors import FerryError
from gridferry.model import coverage_words
from gridferry.model.coverage_words import COLUMNS_STEP, QUARANTINE_STEP, named
from gridferry.model.cutover import Accepted, CutoverCheck
from gridferry.model.repair import RepairState
from gridferry.model.verification import STORED_ARE_EQUAL, TableVerification, Verdict
from gridferry.plan.sync_options import SyncMode, SyncOptions
from gridferry.source.postgres.catalog.activity import Activity
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.replication_session import WAY_BACK

_AGAIN = "then run `gridferry cutover` again"
_QUIET = f"stop what writes to the table (the application), {_AGAIN}"
_UNTOLD = "a view or foreign table does not show whether anything was written"
_UNTOLD_STEP = "stop what writes to the tables behind it, then `gridferry verify`: equal is all that can be known of it"


def check_verified(table: LookedAt) -> None:
    """Note whether every value is equal."""
    if table.verified is not None:
        table.checks.append(_verified(table.verified))
    elif not table.has_check("verified"):
        table.check("verified", False, "not verified, because the above is missing", "gridferry cutover")


def check_slot(table: LookedAt, feed: ChangeFeed) -> None:
    """Note whether the slot of a table in mode cdc is there, and keeps no more log than it may."""
    if table.mode is not SyncMode.CDC or table.run is None or not table.run.slot:
        return
    facts = feed.facts(table.run.slot)
    if facts is None or facts.lost:
        why = "is gone" if facts is None else f"is of no use: {facts.invalidated or 'it lost its log'}"
        table.check("slot", False, f"the slot {table.run.slot} {why}", WAY_BACK.removeprefix("run "))
        return
    try:
        warnings = list(guard(facts, table.options.sync or SyncOptions(mode=SyncMode.CDC)))
    except FerryError as error:
        table.check("slot", False, error.message, error.next_step)
        return
    detail = "; ".join(warnings) or f"healthy, confirmed up to {facts.confirmed}"
    table.check("slot", not warnings, detail, f"gridferry sync, {_AGAIN}")


def check_columns(table: LookedAt, accepted: Accepted) -> None:
    """Note whether all columns of the source are in the target, or somebody said why not."""
    if table.run is None or table.run.plan is None:
        return
    covered = table.coverage
    unconfirmed = covered.unconfirmed
    if unconfirmed and accepted.columns:
        table.accepted.append(f"columns that are not in GridDB: {named(unconfirmed)}")
        unconfirmed = ()
    detail = f"{coverage_words.columns(covered)} in GridDB"
    if covered.left_out:
        detail += f"; not there: {named(covered.left_out)}"
    table.check("columns", not unconfirmed, detail, f"{COLUMNS_STEP}; or give --accept-excluded")


def check_state(table: LookedAt, state: TargetState, accepted: Accepted) -> None:
    """Note rows in the quarantine, and repairs that were interrupted."""
    held = sum(state.quarantine.counts(table.name).values())
    detail = f"{numbers.plural(held, 'row')} in quarantine, not in the containers" if held else "empty"
    if held and accepted.quarantined:
        table.accepted.append(detail)
        held = 0
    table.check("quarantine", not held, detail, f"{QUARANTINE_STEP}; or give --accept-quarantined")
    open_ones = [
        status
        for status in list_repairs(state, frozenset({table.name}))
        if status.record.state in (RepairState.WRITING, RepairState.UNDOING)
    ]
    detail = "; ".join(f"{s.record.run} is {s.note}" for s in open_ones) or "none is open"
    undoing = [s for s in open_ones if s.record.state is RepairState.UNDOING]
    step = f"gridferry undo {undoing[0].record.run}" if undoing else "gridferry repair"
    table.check("repairs", not open_ones, detail, step)


def check_quiet(table: LookedAt, after: Activity, late: int) -> None:
    """Note whether anything was written since the look began, or may be committed yet.

    Args: after: of now; late: changes that a sync has read since the drain.
    """
    written = max(late, after.writes - table.before.writes)
    detail = f"{numbers.plural(written, 'row') if written else 'nothing was'} written while this looked"
    if after.told:
        table.check("quiet", not written, detail, _QUIET)
    else:
        table.check("quiet", False, _UNTOLD, _UNTOLD_STEP)
    writers = [holder for holder in after.holders if holder.writes]
    detail = "; ".join(f"uncommitted changes of {holder}" for holder in writers) or "nobody has uncommitted changes"
    table.check("sessions", not writers, detail, f"let them commit or end, {_AGAIN}")


def remarks(table: LookedAt, after: Activity) -> Iterator[str]:
    """What is worth knowing, and stops nothing."""
    yield from coverage_words.remarks(replace(table.coverage, left_out=()))  # those have a check of their own
    yield f"{after.sessions:,} other sessions are connected to the source database"
    for holder in after.holders:
        if not holder.writes:
            yield f"reads the table: {holder}"
    if table.mode is None:
        yield "the table is not followed: what is written after the verification does not come"
    if table.mode is SyncMode.WATERMARK:
        yield "mode watermark sees no updates and deletes; the verification does"


def _verified(found: TableVerification) -> CutoverCheck:
    rows = numbers.plural(max(found.source_rows, found.target_rows), "row")
    if found.verdict in STORED_ARE_EQUAL:
        # Whether rows may stay in the quarantine is a check of its own.
        covered = found.coverage
        values, rows = coverage_words.all_values(covered), coverage_words.rows(covered, otherwise=found.target_rows)
        of_stored = "of the stored rows " if found.verdict is Verdict.INCOMPLETE else ""
        return CutoverCheck("verified", True, f"{of_stored}{values[0].lower()}{values[1:]} are equal ({rows})")
    if found.verdict is Verdict.UNSETTLED:
        detail = f"{found.unsettled:,} of {rows} not yet synced"
        return CutoverCheck("verified", False, detail, _QUIET)
    detail = f"{found.differences:,} of {rows} different"
    return CutoverCheck("verified", False, detail, f"gridferry repair, {_AGAIN}")
