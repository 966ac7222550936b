"""Which row keys the source's log has: keys that came and went between two looks at the source, and keys whose
changes are still to be stored.

No snapshot shows rows that came and went, but the target may have held them meanwhile. And a row whose key no change
waits for has to be in the target as the snapshot shows it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.compare.digest import row_words
from gridferry.model.change import ChangeBatch, ChangePart, Operation, RelationChange
from gridferry.model.position import Lsn
from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.log.window import LogWindow
from gridferry.transform.compiled import CompiledTransform, compile_columns
from gridferry.transform.split import split_codes


class LoggedKeys:
    """Row keys as hashes; of a few that were not added, by chance of a hash, it says that they were."""

    def __init__(self, plan: TablePlan) -> None:
        self._split_by = plan.split_by
        # Of a generated key the hash alone: which number a row has is not known before the source is asked.
        self._length = 1 if plan.numbered else plan.key_length
        schema = pa.schema(list(plan.container_schema.arrow_schema)[: self._length])
        self._keys = CompiledTransform(plan.qualified, schema, compile_columns(plan).steps[: self._length])
        self._words: list[NDArray[np.uint64]] = []

    def add(self, rows: pa.RecordBatch) -> None:
        """Add the keys of rows of the source; those that cannot be stored have none."""
        converted = self._keys.transform(rows)
        of: list[str | None] = [None] * len(rows)
        if self._split_by is not None:
            places, texts = split_codes(rows.column(rows.schema.get_field_index(self._split_by)))
            of = [texts[place] for place in places.tolist()]
        if converted.rows is not None:
            of = [of[place] for place in converted.rows.tolist()]
        self._words.append(self._hashed(converted.batch.columns, of))

    def among(self, keys: list[pa.Array], values: list[str | None]) -> NDArray[np.bool_]:
        """(n,): whether a key was added.

        Args: keys: the row key's columns as they are stored; values (n,): the split value of each as text.
        """
        mine = self._hashed(keys[: self._length], values)
        return np.isin(mine, np.concatenate(self._words)) if self._words else np.zeros(len(mine), bool)

    def _hashed(self, keys: list[pa.Array], values: list[str | None]) -> NDArray[np.uint64]:
        split = [] if self._split_by is None else [pa.array(values, pa.utf8())]
        return row_words([*split, *keys])


class WindowKeys:
    """The keys that inserts and updates brought while a window of the log is open."""

    def __init__(self, window: LogWindow, plan: TablePlan) -> None:
        self._window = window
        self._keys = LoggedKeys(plan)

    def among(self, keys: list[pa.Array], values: list[str | None]) -> NDArray[np.bool_]:
        """(n,): whether a key was brought until now. Args: as of `LoggedKeys.among`. Raises: SourceError."""
        for batch in self._window.changes():
            self._keys.add(batch.rows)
        return self._keys.among(keys, values)


def waiting_keys(parts: Iterable[ChangePart], plan: TablePlan, *, position: Lsn) -> LoggedKeys | None:
    """The keys of all changes that were committed behind `position`; None where the log does not have them all.

    It does not after a TRUNCATE; nor, of updates and deletes, where row key or split value are not part of the replica
    identity, or are stored out of line and were not sent.
    """
    found = LoggedKeys(plan)
    needed = {*plan.key, *(() if plan.split_by is None else (plan.split_by,))}
    for part in parts:
        if isinstance(part, RelationChange):
            continue
        if not isinstance(part, ChangeBatch):
            return None
        later = part.commits >= position.value
        if not later.any():
            continue
        inserts = bool((part.operations[later] == Operation.INSERT).all())
        sent = {*part.relation.key, *(part.old.schema.names if plan.numbered else ())}
        if not inserts and not needed <= sent:
            return None
        if not needed <= set(part.rows.schema.names) or any(
            part.unchanged[n].any() for n in needed & set(part.unchanged)
        ):
            return None
        for rows, changes in ((part.rows, part.row_changes), (part.old, part.old_changes)):
            which = np.flatnonzero(later[changes])
            if len(which):
                found.add(rows.take(pa.array(which)))
    return found
