from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.checkpoint.test_cursors import Documents

from gridferry.checkpoint.positions import CdcRecord, Gap, PositionStore
from gridferry.checkpoint.progress import RECORD_VERSION
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


@pytest.mark.parametrize("after", [None, Lsn(9)])
def test_a_gap_comes_back_as_it_was(after: Lsn | None) -> None:
    positions = store(Documents())
    saved = positions.save(
        replace(
            RECORD,
            gap=Gap(Lsn(3), after, "2026-01-01T00:00:00Z", 7, "1"),
            unseen="2024-05-01T00:00:00Z",
            unseen_horizon=3,
        )
    )
    assert positions.get("public.t") == saved


@pytest.mark.parametrize("name", ["gap", "unseen_horizon", "read", "position"])
def test_a_record_without_one_of_its_fields_is_refused_by_name(name: str) -> None:
    documents = Documents()
    store(documents).save(RECORD)
    del documents.kept["sync:public.t", "cursor"][name]
    with pytest.raises(CheckpointError, match=f"sync:public.t.*{name} is missing"):
        store(documents).get("public.t")


def test_the_record_of_another_mode_is_taken_over_with_its_counts() -> None:
    documents = Documents()
    positions = store(documents)
    assert positions.mode_of("public.t") is None
    documents.kept["sync:public.t", "cursor"] = {
        "version": RECORD_VERSION,
        "mode": "watermark",
        **dict.fromkeys(("runs", "written", "deleted", "superseded"), 0),
        "generation": 4,
        "read": 50,
    }
    assert positions.mode_of("public.t") == "watermark"
    taken = positions.take_over(replace(RECORD, read=0))
    assert (taken.generation, taken.read) == (5, 50)
    assert positions.get("public.t") == taken
    assert positions.save(taken.counted(read=1)).generation == 6
