"""Loads as they are remembered: allowed moves, every field there and back, and what cannot be read."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.source.conftest import make_plan
from tests.unit.checkpoint.documents_fake import FakeDocuments

from gridferry.checkpoint.runs import MOVES, ChunkRecord, LoadRun, RunState, RunStore
from gridferry.errors import CheckpointError
from gridferry.model.chunk import Chunk, ChunkKind, Snapshot
from gridferry.plan.plan import ContainerPlan, Finding, OnBadRow, OnDuplicate, Severity

TABLE = "public.t"
SNAPSHOT = Snapshot("00000003-1", "0/1A2B", "10:20:11,12", "2020-01-01T00:00:00Z")
CHUNKS = (
    Chunk(0, ChunkKind.PAGES, "public", "t", high="10", rows=5, storage="77"),
    Chunk(1, ChunkKind.KEYS, "public", "t", column="ä", low="'", high=None),
    Chunk(7, ChunkKind.RECENT, "public", "t", low="123", tree=True),
)
PLAN = replace(
    make_plan("t", "k v", key=("k",)),
    containers=(ContainerPlan("c_=null", None, 3), ContainerPlan("c_x", "x", 4)),
    split_by="v",
    aliases={"x": "c_x"},
    on_duplicate=OnDuplicate.LAST,
    on_bad_row=OnBadRow.QUARANTINE,
    order_by=("v",),
    findings=(Finding(Severity.RISK, "k", "message", "advice"),),
)
RUN = LoadRun(TABLE, RunState.LOADING, PLAN, SNAPSHOT, CHUNKS, options="fingerprint")


@pytest.fixture
def documents() -> FakeDocuments:
    return FakeDocuments()


@pytest.fixture
def runs(documents: FakeDocuments) -> RunStore:
    return RunStore(documents)


def test_a_load_comes_back_as_it_was_written(runs: RunStore) -> None:
    assert runs.get(TABLE) is None
    begun = runs.begin(RUN, before=None)
    assert runs.get(TABLE) == begun == replace(RUN, started_at=begun.started_at)
    runs.chunk_done(TABLE, ChunkRecord(0, 100, 3))
    runs.chunk_done(TABLE, ChunkRecord(7, 0, 0))
    found = runs.get(TABLE)
    assert found is not None
    assert found.finished == {0: ChunkRecord(0, 100, 3), 7: ChunkRecord(7, 0, 0)}
    resumed = runs.resume(found, snapshot=replace(SNAPSHOT, lsn="0/2"), chunks=CHUNKS[:2], dropped=[7])
    assert runs.get(TABLE) == resumed
    assert resumed.finished == {0: ChunkRecord(0, 100, 3)}
    done = runs.loaded(resumed, rows=100, notes=("a note",))
    assert runs.get(TABLE) == done
    assert (done.state, done.rows, done.notes) == (RunState.LOADED, 100, ("a note",))
    assert runs.all() == [done]


def test_a_load_that_begins_forgets_the_chunks_of_the_one_before(runs: RunStore) -> None:
    runs.begin(RUN, before=None)
    runs.chunk_done(TABLE, ChunkRecord(0, 1, 0))
    replacing = runs.begin(LoadRun(TABLE, RunState.REPLACING), before=runs.get(TABLE))
    assert runs.get(TABLE) == replacing
    assert replacing.finished == {}


def test_tables_do_not_mix(runs: RunStore) -> None:
    runs.begin(RUN, before=None)
    other = runs.begin(replace(RUN, table="public.t2", plan=replace(PLAN, table="t2")), before=None)
    runs.chunk_done("public.t2", ChunkRecord(1, 1, 1))
    found = runs.get(TABLE)
    assert found is not None
    assert found.finished == {}
    assert [run.table for run in runs.all()] == [TABLE, other.table]
    runs.forget("public.t2")
    assert [run.table for run in runs.all()] == [TABLE]


@pytest.mark.parametrize(("before", "after"), [*itertools.product([None, *RunState], RunState)])
def test_only_the_moves_of_the_table_are_possible(
    runs: RunStore, documents: FakeDocuments, before: RunState | None, after: RunState
) -> None:
    old = None if before is None else replace(RUN, state=before)
    new = replace(RUN, state=after)
    if after in MOVES[before]:
        runs.begin(new, before=old)
        assert documents.state.rows
    else:
        with pytest.raises(CheckpointError):
            runs.begin(new, before=old)
        assert not documents.state.rows


def test_what_is_loaded_only_goes_by_replace_and_nothing_is_loaded_without_loading() -> None:
    assert MOVES[RunState.LOADED] == {RunState.REPLACING}
    assert [s for s, moves in MOVES.items() if RunState.LOADED in moves] == [RunState.LOADING]


def _broken(change: dict[str, Any]) -> dict[str, Any]:
    documents = FakeDocuments()
    RunStore(documents).begin(RUN, before=None)
    return {**json.loads(documents.state.rows[f"load:{TABLE}", "run"]), **change}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 1}, "version 1"),
        ({"version": None}, "version None"),
        ({"state": "elsewhere"}, "not readable"),
        ({"chunks": [{}]}, "not readable"),
        ({"chunks": None}, "not readable"),
        ({"snapshot": {"name": 1}}, "not readable"),
        ({"plan": {}}, "not readable"),
    ],
)
def test_a_state_that_is_newer_or_broken_is_refused_by_name(
    runs: RunStore, documents: FakeDocuments, change: dict[str, Any], says: str
) -> None:
    documents.put(f"load:{TABLE}", {"run": _broken(change)})
    with pytest.raises(CheckpointError, match=says) as caught:
        runs.get(TABLE)
    assert TABLE in str(caught.value)
    assert "--replace" in caught.value.next_step
    runs.forget(TABLE)
    assert runs.get(TABLE) is None


def test_chunks_without_a_load_are_refused(runs: RunStore) -> None:
    runs.chunk_done(TABLE, ChunkRecord(0, 1, 0))
    with pytest.raises(CheckpointError, match="chunks but no load"):
        runs.get(TABLE)
