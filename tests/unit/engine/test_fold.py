"""Folding a batch of changes gives what applying them one by one gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.profiles import MANY

from gridferry.engine.rows.keyed_rows import KeyedRows
from gridferry.engine.rows.keys import Keys
from gridferry.engine.sync.cdc.fold import Folder
from gridferry.errors import DataError
from gridferry.griddb.schema import ColumnSpec, ContainerKind, GridType
from gridferry.model.change import ChangeBatch, ChangedColumn, ChangedRelation, Operation, ReplicaIdentity
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs, TablePlan
from gridferry.transform.refusals import Reason

TOO_LONG = "x" * 31745
Row = dict[str, Any]
Key = tuple[str, int]


def column(name: str, kind: GridType, kernel: Kernel, *, nullable: bool = True) -> ColumnPlan:
    spec = ColumnSpec(name, kind, nullable=nullable)
    return ColumnPlan(name, "", spec, ReadAs.PLAIN, kernel, Fidelity.EXACT, "")


PLAN = TablePlan(
    schema="public",
    table="t",
    columns=(
        column("k", GridType.INTEGER, Kernel.SAME, nullable=False),
        column("a", GridType.STRING, Kernel.TEXT, nullable=False),
        column("b", GridType.LONG, Kernel.SAME),
    ),
    kind=ContainerKind.COLLECTION,
    key_length=1,
    key=("k",),
    containers=(),
    split_by="d",
    naming="t_{value}",
)
TYPES = {"k": pa.int32(), "a": pa.utf8(), "b": pa.int64(), "d": pa.utf8()}


def relation(*key: str) -> ChangedRelation:
    return ChangedRelation(
        1, "public", "t", ReplicaIdentity.DEFAULT, tuple(ChangedColumn(name, 0, -1, name in key) for name in TYPES)
    )


def rows_of(rows: list[Row], names: tuple[str, ...]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([r[n] for r in rows], TYPES[n]) for n in names], names=list(names))


def batch_of(
    changes: list[tuple[Operation, Row | None, Row | None, frozenset[str]]],
    *,
    names: tuple[str, ...] = ("k", "a", "b", "d"),
    key: tuple[str, ...] = ("k", "d"),
) -> ChangeBatch:
    """Changes as (operation, new row, old key, columns that were not sent)."""
    new = [(i, row, unsent) for i, (_, row, _, unsent) in enumerate(changes) if row is not None]
    old = [(i, row) for i, (_, _, row, _) in enumerate(changes) if row is not None]
    sent = [{n: None if n in unsent else row[n] for n in names} for _, row, unsent in new]
    masks = {n: np.array([n in unsent for _, _, unsent in new], bool) for n in names}
    return ChangeBatch(
        relation=relation(*key),
        operations=np.array([operation for operation, *_ in changes], np.uint8),
        order=np.arange(len(changes)),
        commits=np.zeros(len(changes), np.uint64),
        rows=rows_of(sent, names),
        row_changes=np.array([i for i, *_ in new], np.int64),
        old=rows_of([row for _, row in old], key),
        old_changes=np.array([i for i, _ in old], np.int64),
        unchanged={n: mask for n, mask in masks.items() if mask.any()},
    )


class Target:
    """Containers as a dictionary."""

    def __init__(self, rows: dict[Key, Row]) -> None:
        self.rows = dict(rows)

    def read(self, keys: Keys) -> KeyedRows:
        assert keys.split is not None
        wanted = list(zip(keys.split.to_pylist(), keys.keys.column(0).to_pylist(), strict=True))
        there = [key for key in dict.fromkeys(wanted) if key in self.rows]
        places = np.array([there.index(key) if key in self.rows else -1 for key in wanted], np.int64)
        rows = [{n: self.rows[key][n] for n in ("k", "a", "b")} for key in there]
        return KeyedRows(pa.RecordBatch.from_pylist(rows, schema=PLAN.container_schema.arrow_schema), places)

    def apply(self, batch: ChangeBatch) -> list[int]:
        """Returns the positions of rows that were refused."""
        folded = Folder(PLAN).fold(batch, self.read)
        assert folded.put_split is not None
        assert folded.deletes.split is not None
        puts = list(zip(folded.put_split.to_pylist(), folded.puts.to_pylist(), strict=True))
        gone = list(zip(folded.deletes.split.to_pylist(), folded.deletes.keys.column(0).to_pylist(), strict=True))
        touched = [(d, row["k"]) for d, row in puts] + gone
        assert len(set(touched)) == len(touched), "a key stands in two parts"
        for key in gone:
            self.rows.pop(key, None)
        for d, row in puts:
            self.rows[(d, row["k"])] = {**row, "d": d}
        assert not len(folded.unknown)
        return sorted({int(p) for bad in folded.refused for p in bad.rows})


texts = st.sampled_from(["", "a", "ß", TOO_LONG])
keys = st.tuples(st.sampled_from(["x", "y"]), st.integers(0, 3))


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[Key, Row], list[Any], dict[Key, Row]]:
    """A source table with a history: its rows before, the changes, its rows after."""
    before = {
        key: {"d": key[0], "k": key[1], "a": draw(st.sampled_from(["", "a"])), "b": draw(st.integers(0, 9))}
        for key in draw(st.sets(keys, max_size=5))
    }
    now = dict(before)
    changes: list[Any] = []
    for _ in range(draw(st.integers(0, 12))):
        there = sorted(now)
        kind = draw(st.sampled_from(["insert", "update", "move", "delete"]))
        target = draw(keys)
        if kind == "insert" and target not in now:
            row = {"d": target[0], "k": target[1], "a": draw(texts), "b": draw(st.none() | st.integers(0, 9))}
            now[target] = row
            changes.append((Operation.INSERT, row, None, frozenset()))
        elif kind in ("update", "move") and there:
            old = draw(st.sampled_from(there))
            new = target if kind == "move" and target not in now else old
            keeps = draw(st.booleans()) and now[old]["a"] != TOO_LONG
            row = {**now.pop(old), "d": new[0], "k": new[1], "b": draw(st.integers(0, 9))}
            row["a"] = row["a"] if keeps else draw(texts)
            now[new] = row
            tells = new != old or draw(st.booleans())  # REPLICA IDENTITY FULL always tells
            unsent = frozenset({"a"}) if keeps else frozenset[str]()
            changes.append((Operation.UPDATE, row, {"d": old[0], "k": old[1]} if tells else None, unsent))
        elif kind == "delete" and there:
            old = draw(st.sampled_from(there))
            del now[old]
            changes.append((Operation.DELETE, None, {"d": old[0], "k": old[1]}, frozenset()))
    return before, changes, now


@given(histories(), st.integers(0, 12))
@settings(max_examples=MANY)
def test_a_fold_ends_where_the_history_ends(history: Any, cut: int) -> None:
    before, changes, after = history
    target = Target(before)
    for part in (changes[:cut], changes[cut:]):
        target.apply(batch_of(part))
    assert target.rows == {key: row for key, row in after.items() if row["a"] != TOO_LONG}


@given(histories())
def test_only_rows_that_stay_are_refused(history: Any) -> None:
    before, changes, after = history
    refused = Target(before).apply(batch_of(changes))
    bad = [key for key, row in after.items() if row["a"] == TOO_LONG]
    assert len(refused) == len(bad)


def test_changes_from_before_a_column_was_added_keep_what_the_target_has_of_it() -> None:
    target = Target({("x", 1): {"d": "x", "k": 1, "a": "old", "b": 7}})
    row = {"d": "x", "k": 1, "a": "new"}
    target.apply(batch_of([(Operation.UPDATE, row, None, frozenset())], names=("k", "a", "d")))
    assert target.rows == {("x", 1): {"d": "x", "k": 1, "a": "new", "b": 7}}


def test_a_value_that_was_neither_sent_nor_is_stored_is_told() -> None:
    row = {"d": "x", "k": 1, "a": None, "b": 1}
    batch = batch_of([(Operation.UPDATE, row, None, frozenset({"a"}))])
    folded = Folder(PLAN).fold(batch, Target({}).read)
    assert folded.unknown.tolist() == [0]
    assert (len(folded.puts), len(folded.deletes.keys), folded.refused) == (0, 0, ())


def test_a_key_that_no_container_can_hold_is_refused_and_deletes_nothing() -> None:
    row = {"d": "x", "k": None, "a": "a", "b": 1}
    folded = Folder(PLAN).fold(batch_of([(Operation.INSERT, row, None, frozenset())]), Target({}).read)
    assert [(bad.reason, bad.rows.tolist()) for bad in folded.refused] == [(Reason.NULL, [0])]
    assert (len(folded.puts), len(folded.deletes.keys)) == (0, 0)


@pytest.mark.parametrize("operation", [Operation.UPDATE, Operation.DELETE])
def test_an_identity_without_the_key_is_an_error_for_all_but_inserts(operation: Operation) -> None:
    row = {"d": "x", "k": 1, "a": "a", "b": 1}
    Folder(PLAN).fold(batch_of([(Operation.INSERT, row, None, frozenset())], key=("k",)), Target({}).read)
    change = (operation, None, {"k": 1}, frozenset[str]())
    if operation is Operation.UPDATE:
        change = (operation, row, None, frozenset[str]())  # type: ignore[assignment]
    with pytest.raises(DataError, match="does not carry d") as told:
        Folder(PLAN).fold(batch_of([change], key=("k",)), Target({}).read)
    assert "REPLICA IDENTITY FULL" in told.value.next_step
