from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.checkpoint.test_cursors import Documents

from gridferry.checkpoint.positions import CdcRecord, PositionStore
from gridferry.errors import CheckpointError, LeaseHeld
from gridferry.model.position import LogOrigin, Lsn

RECORD = CdcRecord(
    "public.t",
    Lsn.parse("16/B374D848"),
    "2024-05-01T00:00:00.000001Z",
    ("b", "c"),
    LogOrigin("7", 2),
    read=7,
    deleted=2,
)


def store(documents: Documents) -> PositionStore:
    return PositionStore(documents)  # type: ignore[arg-type]


def test_a_record_comes_back_as_it_was() -> None:
    positions = store(Documents())
    saved = positions.save(RECORD)
    assert saved == replace(RECORD, generation=1)
    assert positions.get("public.t") == saved


def test_a_run_that_begins_ends_the_right_of_earlier_ones_to_write() -> None:
    positions = store(Documents())
    first = positions.begin(RECORD)
    assert (first.last_started != "", first.last_finished) == (True, "")
    second = positions.begin(first)
    with pytest.raises(LeaseHeld):
        positions.save(first.counted(read=1))
    positions.save(second.counted(read=1))


@pytest.mark.parametrize("change", [{"mode": "watermark"}, {"version": 1}, {"position": "nowhere"}, {"fresh": None}])
def test_a_broken_record_is_refused(change: dict[str, Any]) -> None:
    documents = Documents()
    store(documents).save(RECORD)
    documents.kept["sync:public.t", "cursor"].update(change)
    with pytest.raises(CheckpointError):
        store(documents).get("public.t")
