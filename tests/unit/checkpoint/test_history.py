"""The history of a table's sync: bounded, coarser towards its beginning, nothing lost in its counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.checkpoint.documents_fake import FakeDocuments

from gridferry.checkpoint.history import MOST_SAMPLES, HistoryStore, Sample, bounded
from gridferry.errors import CheckpointError


def sample(second: int, **counts: int) -> Sample:
    return Sample(at=f"2026-03-14T09:{second // 60:02d}:{second % 60:02d}.000+00:00", as_of="", lag_s=second, **counts)


def test_what_was_added_is_there_in_order() -> None:
    store = HistoryStore(FakeDocuments())
    samples = [sample(1, read=3, runs=1), sample(2, written=4)]
    for each in samples:
        store.add("public.t", each)
    assert store.get("public.t") == tuple(samples)
    assert store.get("public.other") == ()


def test_forgotten_is_gone() -> None:
    store = HistoryStore(FakeDocuments())
    store.add("public.t", sample(1))
    store.forget("public.t")
    assert store.get("public.t") == ()


@given(st.integers(0, 1_500))
def test_it_stays_bounded_and_loses_no_count(number: int) -> None:
    kept: tuple[Sample, ...] = ()
    for second in range(number):
        kept = bounded((*kept, sample(second, read=1, runs=1, deleted=second)), most=40)
    assert len(kept) <= 40
    assert sum(each.read for each in kept) == sum(each.runs for each in kept) == number
    assert sum(each.deleted for each in kept) == sum(range(number))
    assert [each.at for each in kept] == sorted(each.at for each in kept)
    if number:
        assert kept[-1] == sample(number - 1, read=1, runs=1, deleted=number - 1)
        assert max(each.lag_s or 0 for each in kept) == number - 1


def test_most_runs_write_the_newest_alone() -> None:
    documents = FakeDocuments()
    store = HistoryStore(documents)
    for second in range(60):
        store.add("public.t", sample(second, runs=1))
        scope = documents.items("history:public.t")
        assert len(scope["newest"]["samples"]) < 20
    assert [each.lag_s for each in store.get("public.t")] == list(range(60))
    assert sum(len(document["samples"]) for document in documents.items("history:public.t").values()) == 60


def test_not_all_tables_write_their_older_ones_at_once() -> None:
    documents = FakeDocuments()
    store = HistoryStore(documents)
    tables = [f"public.t{number}" for number in range(40)]
    counts = []
    for second in range(12):
        for table in tables:
            store.add(table, sample(second))
        counts.append(sum("history" in documents.items(f"history:{table}") for table in tables))
    assert counts[8] == 0
    assert 0 < counts[10] < counts[11] < len(tables)


@pytest.mark.slow
def test_a_document_holds_no_more_than_its_bound() -> None:
    store = HistoryStore(FakeDocuments())
    for second in range(MOST_SAMPLES + 1):
        store.add("public.t", sample(second))
    assert MOST_SAMPLES // 2 < len(store.get("public.t")) <= MOST_SAMPLES


@pytest.mark.parametrize("document", [{"version": 9}, {"version": 1}, {"version": 1, "samples": [[1]]}])
@pytest.mark.parametrize("item", ["history", "newest"])
def test_what_is_not_readable_is_refused(document: dict[str, object], item: str) -> None:
    documents = FakeDocuments()
    documents.put("history:public.t", {item: document})
    with pytest.raises(CheckpointError):
        HistoryStore(documents).get("public.t")
