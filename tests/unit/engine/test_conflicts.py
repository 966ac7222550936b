"""Where row keys are not proven unique: which changes the stream decides, and which keys are asked at the source."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.engine.test_fold import PLAN, Row, Target, batch_of

from gridferry.engine.sync.cdc.fold import Folder
from gridferry.model.change import Operation
from gridferry.plan.plan import OnDuplicate

Change = tuple[Operation, Row | None, Row | None, frozenset[str]]
NAMES = ("k", "a", "b", "d")
ALL = frozenset[str]()


def row(k: int, a: str = "a", b: int = 1) -> Row:
    return {"d": "x", "k": k, "a": a, "b": b}


STORED = Target({("x", 1): row(1)})


def insert(new: Row) -> Change:
    return Operation.INSERT, new, None, ALL


def update(old: Row, new: Row) -> Change:
    return Operation.UPDATE, new, old, ALL


def delete(old: Row) -> Change:
    return Operation.DELETE, None, old, ALL


def conflicts(*changes: Change, policy: OnDuplicate = OnDuplicate.ERROR) -> list[int]:
    """The keys that the stream does not decide, where row 1 is stored and all columns are the identity."""
    folder = Folder(replace(PLAN, on_duplicate=policy), proven=False)
    folded = folder.fold(batch_of(list(changes), key=NAMES), STORED.read)
    assert folded.conflicting is not None
    decided = [r["k"] for r in folded.puts.to_pylist()] + folded.deletes.keys.column(0).to_pylist()
    undecided: list[int] = folded.conflicting.keys.keys.column(0).to_pylist()
    assert not set(decided) & set(undecided)
    assert len(folded.conflicting) == len(undecided)
    return undecided


@pytest.mark.parametrize(
    "changes",
    [
        [insert(row(2))],
        [delete(row(1))],
        [update(row(1), row(1, "new"))],
        [update(row(1), row(1, "new")), update(row(1, "new"), row(1, "newer")), delete(row(1, "newer"))],
        [update(row(1), row(2))],
        [insert(row(1))],  # it comes once more
        [insert(row(1, "older")), update(row(1, "older"), row(1))],
    ],
    ids=["new", "delete", "update", "chain", "move", "again", "again by an update"],
)
def test_changes_that_fit_what_is_stored_are_decided(changes: list[Change]) -> None:
    assert conflicts(*changes) == []


@pytest.mark.parametrize(
    "changes",
    [
        [insert(row(1, "another"))],
        [delete(row(1, "another"))],
        [update(row(1, "another"), row(1, "new"))],
        [update(row(1), row(1, "new")), delete(row(1, "another"))],
        [insert(row(1, "another")), delete(row(1))],
    ],
    ids=["insert", "delete", "update", "broken chain", "the stored row goes"],
)
def test_changes_of_another_row_of_the_key_are_asked_at_the_source(changes: list[Change]) -> None:
    assert conflicts(*changes, insert(row(3))) == [1]


def test_a_move_onto_a_key_that_is_taken_leaves_only_that_key_open() -> None:
    assert conflicts(insert(row(2)), update(row(2), row(1, "moved"))) == [1]


@pytest.mark.parametrize("policy", [OnDuplicate.FIRST, OnDuplicate.LAST, OnDuplicate.QUARANTINE])
def test_where_rows_may_be_hidden_only_new_keys_are_decided(policy: OnDuplicate) -> None:
    assert conflicts(insert(row(2)), insert(row(1)), policy=policy) == []
    assert conflicts(update(row(1), row(1, "new")), insert(row(2)), policy=policy) == [1]
    assert conflicts(delete(row(1)), policy=policy) == [1]
    assert conflicts(insert(row(1, "another")), policy=policy) == [1]
