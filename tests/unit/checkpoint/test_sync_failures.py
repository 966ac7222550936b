"""How a sync failed: kept once, whatever the tries; gone with the next that ends well."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.checkpoint.documents_fake import FakeDocuments

from gridferry.checkpoint.sync_failures import SyncFailureStore
from gridferry.errors import CheckpointError, DataError, SourceUnreachable
from gridferry.model.sync_failure import MOST_CHARACTERS, sync_failure

EARLY, LATE = "2026-03-14T09:00:00.000+00:00", "2026-03-14T10:00:00.000+00:00"


def test_the_same_failure_again_is_no_change() -> None:
    store = SyncFailureStore(FakeDocuments())
    store.met("public.t", sync_failure(SourceUnreachable("port 5432 refused, after 17 ms"), now=EARLY))
    store.met("public.t", sync_failure(SourceUnreachable("port 5432 refused, after 3 ms"), now=LATE))
    kept = store.get("public.t")
    assert kept is not None
    assert (kept.since, kept.message, kept.try_again, kept.exit_code) == (
        EARLY, "port 5432 refused, after 17 ms", True, 75
    )  # fmt: skip
    store.met("public.t", sync_failure(DataError("too long", next_step="shorten it"), now=LATE))
    other = store.get("public.t")
    assert other is not None
    assert (other.since, other.type, other.next_step, other.try_again) == (LATE, "DataError", "shorten it", False)
    assert store.get("public.other") is None


def test_the_next_success_takes_it_away() -> None:
    store = SyncFailureStore(FakeDocuments())
    store.clear("public.t")
    store.met("public.t", sync_failure(DataError("too long"), now=EARLY))
    store.clear("public.t")
    assert store.get("public.t") is None


def test_a_broken_one_is_told_and_written_over() -> None:
    documents = FakeDocuments()
    store = SyncFailureStore(documents)
    for broken in ({"version": 99}, {"version": 1, "since": 3}):
        documents.put("failure:public.t", {"failure": broken})
        with pytest.raises(CheckpointError):
            store.get("public.t")
        store.met("public.t", sync_failure(DataError("too long"), now=EARLY))
        assert store.get("public.t") is not None
        documents.put("failure:public.t", {"failure": broken})
        store.clear("public.t")
        assert store.get("public.t") is None


@given(st.text(st.characters(), max_size=3_000))
def test_any_text_of_an_error_is_kept_and_read_again(text: str) -> None:
    store = SyncFailureStore(FakeDocuments())
    store.met("public.t", sync_failure(DataError(text, state=text, next_step=text), now=EARLY))
    kept = store.get("public.t")
    assert kept is not None
    assert len(kept.message) <= MOST_CHARACTERS
    assert "\0" not in kept.message
