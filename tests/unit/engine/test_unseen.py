"""When a note of changes that were not seen may go: only after a look that can have seen them all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gridferry.checkpoint.positions import CdcRecord, Gap
from gridferry.engine.sync.cdc.gaps import has_notes, notes_of, proven
from gridferry.model.position import Lsn
from gridferry.model.verification import Depth, TableVerification, Verdict

GAP = Gap(Lsn(10), Lsn(20), "2026-05-01T10:00:00.000001Z", 700, "77")
RECORD = CdcRecord(
    "public.t", Lsn(20), gap=GAP, unseen="2026-05-01T09:00:00.000+00:00", unseen_horizon=600
)  # fmt: skip
EQUAL = TableVerification(
    "public.t",
    Depth.FULL,
    "2026-05-01T10:00:05.000+00:00",
    1.0,
    "0/0",
    "2026-05-01T10:00:05.000000Z",
    snapshot_visible="700:703:701",
    snapshot_origin="77/5",
)


def test_a_full_verification_after_it_ends_every_note() -> None:
    assert len(list(notes_of(RECORD))) == 2
    done = proven(RECORD, [EQUAL])
    assert (done.gap, done.unseen, list(notes_of(done)), has_notes(done)) == (None, "", [], False)


@pytest.mark.parametrize(
    "change",
    [
        {"depth": Depth.QUICK},
        {"verdict": Verdict.DIFFERENT},
        {"verdict": Verdict.UNSETTLED},
        {"snapshot_at": "2026-05-01T10:00:00.000001Z"},
        {"snapshot_visible": "699:703:699"},
        {"snapshot_visible": ""},
        {"snapshot_origin": "78/5"},
    ],
)
def test_another_one_leaves_the_gap(change: dict[str, Any]) -> None:
    assert proven(RECORD, [replace(EQUAL, **change)]).gap == GAP


def test_a_slot_that_is_being_made_is_no_note_that_a_verification_ends() -> None:
    pending = replace(RECORD, gap=Gap(Lsn(10)), unseen="")
    assert proven(pending, [EQUAL]) == pending
    assert not has_notes(pending)
    assert "--new-slot" in next(notes_of(pending))
