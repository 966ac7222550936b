from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gridferry.checkpoint.cursors import CursorStore, SyncRecord
from gridferry.errors import CheckpointError, LeaseHeld
from gridferry.model.watermark import Cursor, Mark, Step


class Documents:
    """Documents in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Any] = {}

    def get(self, scope: str, item: str) -> Any:
        return copy.deepcopy(self.kept.get((scope, item)))

    def put(self, scope: str, items: Mapping[str, Any]) -> None:
        self.kept.update({(scope, item): json.loads(json.dumps(document)) for item, document in items.items()})

    def get_each(self, scopes: Sequence[str], item: str) -> dict[str, Any]:
        return {scope: self.get(scope, item) for scope in scopes if (scope, item) in self.kept}

    def put_each(self, documents: Mapping[str, Any], item: str) -> None:
        for scope, document in documents.items():
            self.put(scope, {item: document})

    def insert_each(self, documents: Mapping[str, Any], item: str) -> bool:
        if any((scope, item) in self.kept for scope in documents):
            return False
        self.put_each(documents, item)
        return True

    def delete_scope(self, scope: str) -> None:
        self.kept = {key: document for key, document in self.kept.items() if key[0] != scope}


@pytest.fixture
def documents() -> Documents:
    return Documents()


@pytest.fixture
def cursors(documents: Documents) -> CursorStore:
    return CursorStore(documents)  # type: ignore[arg-type]


CURSOR = Cursor(
    "ts",
    (Step(2**40), Step(2**40 + 5, "2024-05-01 00:00:00.999999")),
    2**39,
    floor="2024-04-30 23:45:00.000001",
    marks=(Mark(2**40 + 9, "2024-05-01 00:00:00.999998"),),
    snapshot="1:2:",
    clock="2024-05-01T00:00:01.000001Z",
    position="2024-05-01 00:00:00.999999",
)
RECORD = SyncRecord("public.t", CURSOR, runs=3, read=9, written=8, superseded=1)


def test_a_record_comes_back_as_it_was_to_the_microsecond(cursors: CursorStore) -> None:
    saved = cursors.save(RECORD)
    assert saved == replace(RECORD, generation=1)
    assert cursors.get("public.t") == saved
    assert cursors.get("public.other") is None


def test_a_write_that_is_repeated_is_the_same_write(cursors: CursorStore) -> None:
    """Its answer may have been lost on the way."""
    first = cursors.save(RECORD)
    assert cursors.save(RECORD) == first
    assert cursors.save(first.counted(read=1)).generation == 2


def test_a_run_that_was_overtaken_cannot_write(cursors: CursorStore) -> None:
    mine = cursors.save(RECORD)
    theirs = cursors.save(mine.counted(read=5))
    with pytest.raises(LeaseHeld, match="took over"):
        cursors.save(mine.counted(read=1))
    assert cursors.get("public.t") == theirs


def test_a_first_write_meets_no_other(cursors: CursorStore) -> None:
    cursors.save(RECORD.counted(read=1))
    with pytest.raises(LeaseHeld):
        cursors.save(RECORD)
    cursors.forget("public.t")
    assert cursors.save(RECORD).generation == 1


def test_heights_stand_beside_the_record_and_go_with_it(cursors: CursorStore) -> None:
    assert cursors.max_values("public.t") == {}
    cursors.save(RECORD)
    cursors.save_max_values("public.t", {"t_a": 5, "t_b": 1.5})
    assert cursors.max_values("public.t") == {"t_a": 5, "t_b": 1.5}
    assert cursors.get("public.t") is not None
    cursors.forget("public.t")
    assert (cursors.max_values("public.t"), cursors.get("public.t")) == ({}, None)


def test_the_last_run_counts_for_itself() -> None:
    record = RECORD.begun().counted(read=4, written=3, superseded=1).counted(read=1, written=1)
    assert (record.last_read, record.read, record.written, record.superseded) == (5, 14, 12, 2)
    assert record.last_finished == ""
    assert record.ended().last_finished
    assert (record.ended().runs, record.ended().begun().last_read) == (4, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"mode": "cdc"},
        {"cursor": None},
        {"cursor": {"column": "ts", "steps": [], "swept_xmin": 1, "marks": []}},
        {"unknown": 1},
    ],
)
def test_a_record_of_another_version_or_a_broken_one_is_refused(
    cursors: CursorStore, documents: Documents, change: dict[str, Any]
) -> None:
    cursors.save(RECORD)
    documents.kept["sync:public.t", "cursor"].update(change)
    with pytest.raises(CheckpointError) as caught:
        cursors.get("public.t")
    assert "--replace" in caught.value.next_step


def test_a_first_write_of_a_run_that_stood_still_before_it_does_not_cover_anothers(
    cursors: CursorStore, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = RECORD.counted(read=5)
    insert = documents.insert_each

    def late(written: Mapping[str, Any], item: str) -> bool:
        monkeypatch.setattr(documents, "insert_each", insert)
        cursors.save(theirs)
        return insert(written, item)

    monkeypatch.setattr(documents, "insert_each", late)
    with pytest.raises(LeaseHeld, match="took over"):
        cursors.begin(RECORD)
    assert cursors.get("public.t") == replace(theirs, generation=1)


def test_the_table_whose_first_record_is_anothers_is_the_one_that_is_named(
    cursors: CursorStore, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(RECORD, table="public.other")
    insert = documents.insert_each

    def late(written: Mapping[str, Any], item: str) -> bool:
        monkeypatch.setattr(documents, "insert_each", insert)
        cursors.save(other.counted(read=5))
        return insert(written, item)

    monkeypatch.setattr(documents, "insert_each", late)
    with pytest.raises(LeaseHeld, match=r"public\.other"):
        cursors.begin_all([RECORD, other])


def test_a_first_record_whose_answer_was_lost_is_this_runs_own(
    cursors: CursorStore, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = documents.insert_each

    def repeated(written: Mapping[str, Any], item: str) -> bool:
        monkeypatch.setattr(documents, "insert_each", insert)
        insert(written, item)
        return insert(written, item)

    monkeypatch.setattr(documents, "insert_each", repeated)
    begun = cursors.begin(RECORD)
    assert cursors.get("public.t") == begun
