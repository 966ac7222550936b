"""Changes that the stream has not brought: what a record notes of them, and when it may forget.

Only a full verification ends a note: one that found both sides equal, under a snapshot of the source in which every
transaction had ended that can have made such changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gridferry.checkpoint.documents import Document
from gridferry.checkpoint.positions import CdcRecord, Gap
from gridferry.checkpoint.state import TargetState
from gridferry.errors import LeaseHeld
from gridferry.model.decoding import decoded, readable
from gridferry.model.forms import Moment, TransactionId
from gridferry.model.moment import shown
from gridferry.model.verification import STORED_ARE_EQUAL, TableVerification

UNSEEN = "updates and deletes made before {} UTC were not published: run `gridferry repair` once"
GAP = "changes committed between {} and {} were not followed: run `gridferry repair` once"
GIVEN_UP = "its place in the log was given up at {}: changes since then are missing: run `gridferry resync {}`"
PENDING = "a new slot is being made, or that was interrupted: run `gridferry sync --new-slot` again"


def notes_of(record: CdcRecord) -> Iterator[str]:
    """What a record says of changes that were not seen, a sentence each."""
    if record.unseen:
        yield UNSEEN.format(shown(record.unseen))
    if record.gap is not None:
        yield PENDING if record.gap.after is None else GAP.format(record.gap.before, record.gap.after)


def proven(record: CdcRecord, verifications: Sequence[TableVerification]) -> CdcRecord:
    """The record without the notes that one of the verifications answers."""
    gap = record.gap
    if gap is not None and any(_answers_gap(found, gap) for found in verifications):
        record = replace(record, gap=None)
    horizon = record.unseen_horizon
    if record.unseen and any(found.is_equal_after(record.unseen, horizon=horizon) for found in verifications):
        record = replace(record, unseen="", unseen_horizon=0)
    return record


def has_notes(record: CdcRecord) -> bool:
    """Whether a verification may be waited for."""
    return bool(record.unseen) or (record.gap is not None and record.gap.after is not None)


def clear_unseen(state: TargetState, found: TableVerification) -> None:
    """Take the notes that a verification answers out of the table's record.

    While another run works on the table, nothing is written: a sync does it itself, see `proven`.
    """
    if found.verdict not in STORED_ARE_EQUAL:
        return
    record = state.positions.readable(found.table)
    if record is None or proven(record, [found]) == record or state.holder_of(found.table) is not None:
        return
    try:
        with state.lease(found.table) as lease:
            record = state.positions.get(found.table)
            if record is not None and proven(record, [found]) != record:
                lease.check()
                state.positions.save(proven(record, [found]))
    except LeaseHeld:
        return  # a run began just now: it looks at the verification when it begins


def notes_to_keep(state: TargetState, table: str) -> Document | None:
    """What a table's record notes of changes that were not seen, to be noted again if a repair is undone."""
    record = _record(state, table)
    if record is None or not (record.unseen or record.gap):
        return None
    gap = None if record.gap is None else record.gap.document()
    return {"unseen": record.unseen, "unseen_horizon": record.unseen_horizon, "gap": gap}


@dataclass(frozen=True)
class _Kept:
    """What `notes_to_keep` returned, read again."""

    unseen: Moment
    unseen_horizon: TransactionId
    gap: Gap | None


def note_again(state: TargetState, table: str, kept: Document) -> None:
    """Note again what `notes_to_keep` returned, where nothing newer is noted. Only under the table's lease."""
    record = _record(state, table)
    if record is None:
        return
    found = readable(
        f"what a repair of {table} noted of its sync",
        lambda: decoded(_Kept, kept),
        next_step="forget the repair with `gridferry forget RUN`; `gridferry repairs` lists them",
    )
    if found.unseen and not record.unseen:
        record = replace(record, unseen=found.unseen, unseen_horizon=found.unseen_horizon)
    if found.gap is not None and record.gap is None:
        record = replace(record, gap=found.gap)
    state.positions.save(record)


def _record(state: TargetState, table: str) -> CdcRecord | None:
    return state.positions.get(table) if state.positions.mode_of(table) is CdcRecord.mode else None


def _answers_gap(found: TableVerification, gap: Gap) -> bool:
    if gap.after is None or not found.is_equal_after(gap.at, horizon=gap.horizon):
        return False
    system = found.snapshot_origin.partition("/")[0]
    return not system or not gap.system or system == gap.system
