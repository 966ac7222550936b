"""A batch of changes -> the last one of each row key, in the target's terms: rows to put, keys to delete.

A delete names the key that the row had, an insert the one that it has, an update both: put in the order in which they
were made, only the last event of each key decides what is stored. All of it is sorting and taking of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.engine.rows.keyed_rows import KeyedRows
from gridferry.engine.rows.keys import NOWHERE, Keys, Positions, key_codes
from gridferry.engine.sync.cdc.conflicts import ConflictingKeys, Conflicts, find_conflicts, first_events
from gridferry.engine.sync.cdc.key_events import KeyEvents
from gridferry.errors import DataError
from gridferry.model.change import ChangeBatch
from gridferry.plan.plan import TablePlan
from gridferry.transform.compiled import BadRows, CompiledTransform, compile_columns

ReadStored = Callable[[Keys], KeyedRows]  # what the target holds for keys


@dataclass(frozen=True)
class Folded:
    """What is left of a batch of changes; no key is in two of its parts.

    `puts` are rows of the container's schema with their `put_split`, `deletes` the keys whose rows go. `refused` are
    rows that the target cannot store, as positions in `source`, the new rows as they came; what was stored under their
    keys is among `deletes`. `unknown` are positions in `source` of rows with a value that was neither sent nor is
    stored. `conflicting` are keys that the stream does not decide.
    """

    puts: pa.RecordBatch
    put_split: pa.Array | None
    deletes: Keys
    refused: tuple[BadRows, ...]
    unknown: Positions
    source: pa.RecordBatch
    conflicting: ConflictingKeys | None = None


class Folder:
    """Folds batches of one table. Safe to share between threads.

    `proven`: two rows of the source cannot share a row key. Where that is not proven, changes are held against what is
    stored.
    """

    def __init__(self, plan: TablePlan, *, proven: bool = True) -> None:
        self._plan = plan
        self._proven = proven
        self._schema = plan.container_schema
        whole = compile_columns(plan)
        steps = whole.steps[: plan.key_length]
        self._keys = CompiledTransform(plan.qualified, self._schema.key_schema.arrow_schema, steps)
        self._needed = {*plan.key, *([plan.split_by] if plan.split_by is not None else [])}

    def fold(self, batch: ChangeBatch, read_stored: ReadStored) -> Folded:
        """The last change of each key. `read_stored` is asked only for rows with values that were not sent; where keys
        are not proven unique, for all.

        Raises: DataError if an update or delete does not carry the row key; what `read_stored` raises.
        """
        self._require_identity(batch)
        events = self._events(batch)
        rows, unknown = self._with_sent_values(batch, events)
        converted, lenient = self._convert(rows, unknown)
        good = np.zeros(len(rows), bool)
        good[np.arange(len(rows)) if converted.rows is None else converted.rows] = True
        conflicting = None
        last = events.last
        if not self._proven and len(last):
            judged = self._judge(batch, events, read_stored)
            last, conflicting = last[~judged.events[last]], judged.conflicting
        is_put = np.zeros(len(last), bool)
        of_row = events.row[last] >= 0
        is_put[of_row] = good[events.row[last[of_row]]]
        put_rows = np.sort(events.row[last[is_put]])
        known = converted.batch if converted.rows is None else _spread(converted.batch, converted.rows, len(rows))
        filled, missing = self._with_stored_values(known, lenient, put_rows, unknown, events, read_stored)
        final_bad = np.zeros(len(rows), bool)
        final_bad[events.row[last[of_row & ~is_put]]] = True
        final_bad[events.keyless] = True
        keep = np.setdiff1d(put_rows, missing, assume_unique=True)
        at = pa.array(keep)
        return Folded(
            puts=pa.RecordBatch.from_arrays([column.take(at) for column in filled], schema=self._schema.arrow_schema),
            put_split=None if (by := self._split(rows)) is None else by.take(at),
            deletes=events.keys.take(last[~is_put]),
            refused=_only(converted.bad, final_bad),
            unknown=missing,
            source=batch.rows,
            conflicting=conflicting,
        )

    def _judge(self, batch: ChangeBatch, events: KeyEvents, read_stored: ReadStored) -> Conflicts:
        stored = read_stored(events.keys.take(first_events(events)))
        return find_conflicts(self._plan, batch, events, stored=stored.rows, at=stored.places)

    def _require_identity(self, batch: ChangeBatch) -> None:
        missing = sorted(self._needed - set(batch.relation.key))
        if missing and (len(batch.old_changes) or (batch.operations > 1).any()):
            raise DataError(
                f"{self._plan.qualified}: an update or delete in the source does not carry {', '.join(missing)}, "
                "so its row cannot be found in the target",
                table=self._plan.qualified,
                column=missing[0],
                state="everything committed before that change is stored",
                next_step=f"run ALTER TABLE {self._plan.qualified} REPLICA IDENTITY FULL in the source, then "
                "`gridferry load --replace`",
            )

    def _events(self, batch: ChangeBatch) -> KeyEvents:
        new, new_at = self._key_columns(batch.rows)
        has_old = len(batch.old) > 0
        old, old_at = self._key_columns(batch.old) if has_old else (new.take(np.empty(0, np.int64)), new_at[:0])
        split = None if new.split is None or old.split is None else pa.concat_arrays([new.split, old.split])
        keys = Keys(
            pa.RecordBatch.from_arrays(
                [pa.concat_arrays([a, b]) for a, b in zip(new.keys.columns, old.keys.columns, strict=True)],
                schema=new.keys.schema,
            ),
            split,
        )
        # Of one update, the old key's event comes before the new one's.
        changes = np.concatenate([2 * batch.row_changes[new_at] + 1, 2 * batch.old_changes[old_at]])
        row = np.concatenate([new_at, np.full(len(old_at), NOWHERE, np.int64)])
        gone = np.concatenate([np.full(len(new_at), NOWHERE, np.int64), old_at])
        before = np.full(len(batch.operations), NOWHERE, np.int64)
        before[batch.row_changes[new_at]] = np.arange(len(new_at))
        before[batch.old_changes[old_at]] = len(new_at) + np.arange(len(old_at))
        keyless = np.setdiff1d(np.arange(len(batch.rows)), new_at, assume_unique=True)
        return KeyEvents(keys, row, gone, before[batch.row_changes], keyless, key_codes(keys), changes)

    def _key_columns(self, rows: pa.RecordBatch) -> tuple[Keys, Positions]:
        """The keys that can be stored at all, and their rows' positions."""
        converted = self._keys.transform(rows)
        at = np.arange(len(rows)) if converted.rows is None else converted.rows
        split = self._split(rows)
        if split is not None and converted.rows is not None:
            split = split.take(pa.array(at))
        return Keys(converted.batch, split), at

    def _split(self, rows: pa.RecordBatch) -> pa.Array | None:
        by = self._plan.split_by
        return None if by is None else rows.column(rows.schema.get_field_index(by))

    def _with_sent_values(
        self, batch: ChangeBatch, events: KeyEvents
    ) -> tuple[pa.RecordBatch, dict[str, NDArray[np.bool_]]]:
        """The new rows, with values that were not sent taken from earlier changes of the same row; and, by source
        column, which rows are still without one: all rows for a column that the table did not have yet.
        """
        rows = batch.rows
        columns = dict(zip(rows.schema.names, rows.columns, strict=True))
        absent = {c.source for c in self._plan.columns if c.source not in columns and not c.gone}
        masks = {**batch.unchanged, **{name: np.ones(len(rows), bool) for name in absent}}
        unknown = {}
        before = events.row_before(len(rows)) if masks else np.empty(0, np.int64)
        for name, mask in masks.items():
            root = _roots(mask, before)
            unknown[name] = mask[root]
            events.roots[name] = root
            if name not in absent:
                columns[name] = columns[name].take(pa.array(root))
        sent = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
        return sent, {name: mask for name, mask in unknown.items() if mask.any()}

    def _convert(
        self, rows: pa.RecordBatch, unknown: dict[str, NDArray[np.bool_]]
    ) -> tuple[_Converted, tuple[int, ...]]:
        """The rows in the container's terms, and which of its columns have values that are not known yet."""
        columns = self._plan.columns
        places = tuple(i for i, column in enumerate(columns) if column.source in unknown and not column.gone)
        present = [i for i, column in enumerate(columns) if column.gone or column.source in rows.schema.names]
        lenient = [
            replace(columns[i], target=replace(columns[i].target, nullable=True)) if i in places else columns[i]
            for i in present
        ]
        converted = compile_columns(replace(self._plan, columns=tuple(lenient))).transform(rows)
        arrays = dict(zip(present, converted.batch.columns, strict=True))
        schema = pa.schema([field.with_nullable(True) for field in self._schema.arrow_schema])
        whole = [
            arrays[i] if i in arrays else pa.nulls(len(converted.batch), field.type) for i, field in enumerate(schema)
        ]
        return _Converted(pa.RecordBatch.from_arrays(whole, schema=schema), converted.bad, converted.rows), places

    def _with_stored_values(
        self,
        rows: pa.RecordBatch,
        places: Sequence[int],
        wanted: Positions,
        unknown: dict[str, NDArray[np.bool_]],
        events: KeyEvents,
        read_stored: ReadStored,
    ) -> tuple[list[pa.Array], Positions]:
        """The columns of `rows`, those of the rows `wanted` filled from the target; and for which nothing is there."""
        arrays = list(rows.columns)
        asked = [(place, wanted[unknown[self._plan.columns[place].source][wanted]]) for place in places]
        asked = [(place, at) for place, at in asked if len(at)]
        if not asked:
            return arrays, np.empty(0, np.int64)
        # Where the row's last known version was; or, when changes come once more, where it is already.
        pairs = [(events.event_before(self._plan.columns[p].source, at), events.event_of(at)) for p, at in asked]
        every = np.unique(np.concatenate([event for pair in pairs for event in pair]))
        stored = read_stored(events.keys.take(every))
        missing = []
        for (place, at), (first, second) in zip(asked, pairs, strict=True):
            found = stored.places[np.searchsorted(every, first)]
            found = np.where(found >= 0, found, stored.places[np.searchsorted(every, second)])
            missing.append(at[found < 0])
            take = np.arange(len(rows))
            take[at[found >= 0]] = len(rows) + found[found >= 0]
            both = pa.concat_arrays([arrays[place], stored.rows.column(place)])
            arrays[place] = both.take(pa.array(take))
        return arrays, np.unique(np.concatenate(missing))


@dataclass(frozen=True)
class _Converted:
    batch: pa.RecordBatch
    bad: tuple[BadRows, ...]
    rows: Positions | None


def _roots(mask: NDArray[np.bool_], before: Positions) -> Positions:
    """For each row the one that has its value: itself, or, where `mask`, the nearest before it that was sent whole."""
    root = np.where(mask & (before >= 0), before, np.arange(len(mask)))
    for _ in range(len(mask).bit_length()):
        root = root[root]
    return root


def _spread(rows: pa.RecordBatch, places: Positions, count: int) -> pa.RecordBatch:
    """`rows` at their places among `count` rows, NULL in the others."""
    take = np.zeros(count, np.int64)
    absent = np.ones(count, bool)
    take[places] = np.arange(len(places))
    absent[places] = False
    return rows.take(pa.array(take, mask=absent))


def _only(bad: Sequence[BadRows], wanted: NDArray[np.bool_]) -> tuple[BadRows, ...]:
    kept = (replace(each, rows=each.rows[wanted[each.rows]]) for each in bad)
    return tuple(each for each in kept if len(each.rows))
