"""Rows by row key: what the target holds for the keys of changes, and changes matched with rows in any order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.engine.rows.equality import same_rows
from gridferry.engine.rows.keys import Keys, key_codes
from gridferry.errors import SchemaConflict
from gridferry.griddb import Container, ContainerSchema, Store
from gridferry.model.repair import RowChange

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class KeyedRows:
    """What is stored somewhere for the n keys of some changes, end to end: key i has the row `places[i]` of `rows`.

    A place below 0 says that there is no row.
    """

    rows: pa.RecordBatch
    places: Positions

    @property
    def there(self) -> NDArray[np.bool_]:
        """(n,): which keys have a row."""
        found: NDArray[np.bool_] = self.places >= 0
        return found

    def part(self, start: int, length: int) -> KeyedRows:
        """Of the keys from `start` on."""
        return KeyedRows(self.rows, self.places[start : start + length])


def has_columns(changes: Sequence[RowChange], schema: ContainerSchema) -> bool:
    """Whether changes have the names and types of a container's columns."""
    wanted = [(field.name, field.type) for field in schema.arrow_schema]
    return all([(field.name, field.type) for field in change.rows.schema] == wanted for change in changes)


def keys_of(changes: Sequence[RowChange], schema: ContainerSchema) -> Keys:
    """The row keys of changes, end to end, with the split value of each as text."""
    names = [column.name for column in schema.key]
    batches = [change.rows.select(names).cast(schema.key_schema.arrow_schema) for change in changes]
    values = [value for change in changes for value in [change.value] * len(change)]
    return Keys(joined(batches, schema.key_schema), pa.array(values, pa.utf8()))


def matched(wanted: Keys, found: Keys) -> tuple[Positions, Positions]:
    """For each key wanted the first row of `found` with that key, -1 where there is none; and how many there are."""
    columns = [pa.concat_arrays([a, b]) for a, b in zip(wanted.keys.columns, found.keys.columns, strict=True)]
    names = wanted.keys.schema.names
    both = Keys(pa.RecordBatch.from_arrays(columns, names=names), _joined_split(wanted, found))
    codes = key_codes(both)
    of_wanted, of_found = codes[: len(wanted.keys)], codes[len(wanted.keys) :]
    place = np.full(int(codes.max(initial=0)) + 1, -1, np.int64)
    place[of_found[::-1]] = np.arange(len(of_found))[::-1]
    counts = np.bincount(of_found, minlength=len(place)).astype(np.int64)
    return place[of_wanted], counts[of_wanted]


def fetch_keyed(store: Store, changes: Sequence[RowChange], schema: ContainerSchema) -> KeyedRows:
    """What the target holds now for the keys of changes. A container that is not there has no rows.

    Raises: SchemaConflict for a container with other columns than `schema`.
    """
    opened = store.open_containers(list(dict.fromkeys(change.container for change in changes)))
    asked: list[tuple[Container, pa.RecordBatch]] = []
    values: list[str | None] = []
    for change in changes:
        container = opened[change.container]
        if container is None:
            continue
        if container.schema != schema:
            raise SchemaConflict(
                f'container "{change.container}" has other columns than the plan of its table',
                state="rows of earlier groups were changed as the journal says; none of this container were",
                next_step="give it the columns back, or load the table again with `gridferry load --replace`",
            )
        asked.append((container, keys_of([change], schema).keys))
        values.append(change.value)
    whole, owners = store.multi_get(asked, schema)
    found_values = pa.array(values, pa.utf8()).take(pa.array(owners))
    found_keys = Keys(whole.select([column.name for column in schema.key]), found_values)
    places, _ = matched(keys_of(changes, schema), found_keys)
    return KeyedRows(whole, places)


def agree(source: KeyedRows, target: KeyedRows, *, skipped: Collection[int] = ()) -> NDArray[np.bool_]:
    """(n,): both sides have the same row, or both have none. Args: skipped: places of columns that are not compared."""
    both = source.there & target.there
    same = ~source.there & ~target.there
    at = np.flatnonzero(both)
    compared = [place for place in range(source.rows.num_columns) if place not in skipped]
    left, right = (s.rows.take(pa.array(s.places[at])).select(compared) for s in (source, target))
    same[at] = same_rows(left, right)
    return same


def as_seen(seen: pa.RecordBatch | None, now: KeyedRows) -> NDArray[np.bool_]:
    """(n,): what is stored now is what was seen; where nothing was seen, nothing is stored."""
    same: NDArray[np.bool_] = now.there.copy()
    if seen is None:
        return ~same
    at = np.flatnonzero(same)
    same[at] = same_rows(seen.take(pa.array(at)), now.rows.take(pa.array(now.places[at])))
    return same


def joined(batches: Sequence[pa.RecordBatch], schema: ContainerSchema) -> pa.RecordBatch:
    """Batches of one schema as one."""
    if not batches:
        empty = [pa.array([], column.arrow_type) for column in schema.columns]
        return pa.RecordBatch.from_arrays(empty, schema=schema.arrow_schema)
    return pa.concat_batches([batch.cast(schema.arrow_schema) for batch in batches])


def _joined_split(wanted: Keys, found: Keys) -> pa.Array | None:
    return None if wanted.split is None or found.split is None else pa.concat_arrays([wanted.split, found.split])
