"""Differences in the form of a file: one Arrow schema for all tables, values as text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from gridferry.compare.value_text import texts
from gridferry.compare.values import differing
from gridferry.model.verification import ColumnDifference, Difference, DifferenceKind, DifferentRows

DIFFERENCE_SCHEMA = pa.schema(
    [
        pa.field("table", pa.utf8(), nullable=False),
        pa.field("container", pa.utf8(), nullable=False),
        pa.field("value", pa.utf8()),  # the split value as text; NULL for NULL, or where there is no split
        pa.field("kind", pa.utf8(), nullable=False),  # missing, extra, different or doubled
        pa.field("time", pa.timestamp("us", tz="UTC")),  # the first time in the row key, where there is one
        pa.field("key", pa.list_(pa.struct([("name", pa.utf8()), ("value", pa.utf8())])), nullable=False),
        pa.field(
            "columns",
            pa.list_(pa.struct([("name", pa.utf8()), ("source", pa.utf8()), ("target", pa.utf8())])),
            nullable=False,
        ),
    ]
)


def differences(rows: DifferentRows, *, key_length: int, most: int | None = None) -> list[Difference]:
    """The first `most` rows, or all, as differences; `key_length` columns are the row key."""
    count = len(rows) if most is None else min(most, len(rows))
    source = None if rows.source is None else rows.source.slice(0, count)
    target = None if rows.target is None else rows.target.slice(0, count)
    key_side = source if source is not None else target
    if key_side is None or not count:
        return []
    names = key_side.schema.names
    keys = list(zip(*(texts(column).to_pylist() for column in key_side.columns[:key_length]), strict=True))
    columns = list(_columns(rows.kind, source, target, key_length=key_length, count=count))
    return [
        Difference(
            rows.table,
            rows.container,
            rows.value,
            rows.kind,
            key=tuple(zip(names[:key_length], keys[row], strict=True)),
            columns=tuple(ColumnDifference(name, s[row], t[row]) for name, s, t, mask in columns if mask[row]),
        )
        for row in range(count)
    ]


def difference_batch(found: list[Difference], times: pa.Array) -> pa.RecordBatch:
    """Differences as a batch of DIFFERENCE_SCHEMA; `times` are their buckets' times (n,)."""
    columns = [
        pa.array([d.table for d in found], pa.utf8()),
        pa.array([d.container for d in found], pa.utf8()),
        pa.array([d.value for d in found], pa.utf8()),
        pa.array([d.kind.value for d in found], pa.utf8()),
        times,
        pa.array([[{"name": n, "value": v} for n, v in d.key] for d in found], DIFFERENCE_SCHEMA.field("key").type),
        pa.array(
            [[{"name": c.name, "source": c.source, "target": c.target} for c in d.columns] for d in found],
            DIFFERENCE_SCHEMA.field("columns").type,
        ),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=DIFFERENCE_SCHEMA)


def key_times(rows: DifferentRows, *, key_length: int) -> pa.Array:
    """The first time in the row key, in microseconds (n,); all NULL where the key has none."""
    side = rows.source if rows.source is not None else rows.target
    wanted = DIFFERENCE_SCHEMA.field("time").type
    for column in [] if side is None else side.columns[:key_length]:
        if pa.types.is_timestamp(column.type):
            return column.cast(wanted)
    return pa.nulls(len(rows), wanted)


def _columns(
    kind: DifferenceKind,
    source: pa.RecordBatch | None,
    target: pa.RecordBatch | None,
    *,
    key_length: int,
    count: int,
) -> Iterator[tuple[str, list[str | None], list[str | None], list[bool]]]:
    """For each column behind the key: its name, both sides as text, and in which rows it is to be shown."""
    side = source if source is not None else target
    if side is None:
        return
    for place in range(key_length, side.num_columns):
        both = [None if s is None else s.column(place) for s in (source, target)]
        shown = np.ones(count, bool)
        if kind is DifferenceKind.DIFFERENT and both[0] is not None and both[1] is not None:
            mask = differing(both[0], both[1])
            shown = np.zeros(count, bool) if mask is None else mask
        if not shown.any():
            continue
        left, right = (_shown(column, count) for column in both)
        yield side.schema.names[place], left, right, shown.tolist()


def _shown(column: pa.Array | None, count: int) -> list[str | None]:
    found: list[str | None] = [None] * count if column is None else texts(column).to_pylist()
    return found
