"""A batch of changes cut at a position: what was committed from there on, and the rows that belong to it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from gridferry.model.change import ChangeBatch, ChangedRelation, Operation, ReplicaIdentity
from gridferry.model.position import Lsn

RELATION = ChangedRelation(1, "public", "t", ReplicaIdentity.DEFAULT, ())


def batch_of(operations: list[int], commits: list[int]) -> ChangeBatch:
    """Change i has the row i, an update or delete the old row -i; updates left their value where it is."""
    kinds = np.array(operations, np.uint8)
    rows, old = np.flatnonzero(kinds != Operation.DELETE), np.flatnonzero(kinds != Operation.INSERT)
    return ChangeBatch(
        RELATION,
        kinds,
        np.arange(len(kinds)),
        np.array(commits, np.uint64),
        rows=pa.record_batch([pa.array(rows, pa.int64())], ["n"]),
        row_changes=rows,
        old=pa.record_batch([pa.array(-old, pa.int64())], ["n"]),
        old_changes=old,
        unchanged={"n": kinds[rows] == Operation.UPDATE},
    )


@given(st.lists(st.tuples(st.sampled_from(Operation), st.integers(1, 5))), st.integers(0, 6))
def test_only_what_was_committed_from_there_on_is_left(changes: list[tuple[int, int]], position: int) -> None:
    changes = sorted(changes, key=lambda change: change[1])
    whole = batch_of([kind for kind, _ in changes], [commit for _, commit in changes])
    cut = whole.committed_from(Lsn(position))
    kept = [i for i, (_, commit) in enumerate(changes) if commit >= position]
    assert cut.order.tolist() == kept
    assert [(int(kind), int(commit)) for kind, commit in zip(cut.operations, cut.commits, strict=True)] == [
        changes[i] for i in kept
    ]
    # Each row still belongs to the change that it came with.
    assert cut.order[cut.row_changes].tolist() == cut.rows.column(0).to_pylist()
    assert (-cut.order[cut.old_changes]).tolist() == cut.old.column(0).to_pylist()
    assert cut.unchanged["n"].tolist() == (cut.operations[cut.row_changes] == Operation.UPDATE).tolist()
