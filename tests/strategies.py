"""Hypothesis strategies for GridDB schemas and batches: every type, NULLs, slices, and the values at the edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from gridferry.griddb.schema import ARRAY_TYPES, KEY_TYPES, ColumnSpec, ContainerKind, ContainerSchema, GridType

MAX_STRING_BYTES = 31744
LAST_MS = 253402300799999

_NAME_CHARACTERS = "abcXYZ019_.-/="
_TIMES = (GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US, GridType.TIMESTAMP_NS)

# Each form of a size: 1 byte up to 127, 4 bytes from 128 on; and the longest string there can be.
_LONG_TEXTS = ["x" * 127, "y" * 128, "z" * 16383, "é" * 8192, "w" * MAX_STRING_BYTES, "漢" * (MAX_STRING_BYTES // 3)]


def _integers(bits: int) -> st.SearchStrategy[int]:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return st.sampled_from([low, -1, 0, 1, high]) | st.integers(low, high)


def _times(last: int) -> st.SearchStrategy[int]:
    return st.sampled_from([0, 1, 249, 250, 251, last - 1, last]) | st.integers(0, last)


def _floats(width: Literal[32, 64]) -> st.SearchStrategy[float]:
    # NaN in one form only: its other bit patterns do not survive Python's own floats.
    special = st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan])
    return special | st.floats(allow_nan=False, width=width)


# NUL and halves of surrogate pairs cannot be stored; everything else can.
_CHARACTERS = st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])
texts: st.SearchStrategy[str] = st.text(_CHARACTERS, max_size=12)

ELEMENTS: dict[GridType, st.SearchStrategy[Any]] = {
    GridType.STRING: texts,
    GridType.BOOL: st.booleans(),
    GridType.BYTE: _integers(8),
    GridType.SHORT: _integers(16),
    GridType.INTEGER: _integers(32),
    GridType.LONG: _integers(64),
    GridType.FLOAT: _floats(32),
    GridType.DOUBLE: _floats(64),
    GridType.TIMESTAMP_MS: _times(LAST_MS),
    GridType.GEOMETRY: st.binary(max_size=40),
    GridType.BLOB: st.binary(max_size=40) | st.sampled_from([b"\0" * 127, b"\xff" * 128, b"\0" * 20000]),
    GridType.TIMESTAMP_US: _times(LAST_MS * 1000 + 999),
    GridType.TIMESTAMP_NS: _times((1 << 63) - 1),
}


def values(column: ColumnSpec, *, long_strings: bool = True) -> st.SearchStrategy[Any]:
    """Values of a column, never NULL. Times are integers in their type's unit since 1970."""
    element = ELEMENTS[column.type]
    if column.array:
        # The long ones have a count of 4 bytes; they repeat a few elements, as drawing many is slow.
        return st.lists(element, max_size=4) | st.lists(element, min_size=1, max_size=3).map(lambda some: some * 128)
    if column.type is GridType.STRING and long_strings:
        return element | st.sampled_from(_LONG_TEXTS)
    return element


def names(*, max_size: int = 8) -> st.SearchStrategy[str]:
    """Column and container names that GridDB takes."""
    return st.text(_NAME_CHARACTERS, min_size=1, max_size=max_size)


@st.composite
def columns(
    draw: st.DrawFn, name: str, *, types: Sequence[GridType] = tuple(GridType), arrays: bool = True
) -> ColumnSpec:
    """A column that is no key."""
    kind = draw(st.sampled_from(types))
    array = arrays and kind in ARRAY_TYPES and draw(st.booleans())
    return ColumnSpec(name, kind, array=array, nullable=draw(st.booleans()))


@st.composite
def schemas(
    draw: st.DrawFn,
    *,
    kinds: Sequence[ContainerKind] = tuple(ContainerKind),
    types: Sequence[GridType] = tuple(GridType),
    key_lengths: Sequence[int] = (0, 1, 2, 3),
    max_columns: int = 12,
) -> ContainerSchema:
    """Schemas of both kinds with any columns; `key_lengths` are those a COLLECTION may have."""
    called = draw(st.lists(names(), min_size=4, max_size=max_columns, unique_by=str.lower))
    kind = draw(st.sampled_from(kinds))
    if kind is ContainerKind.TIME_SERIES:
        key_types = [GridType.TIMESTAMP_MS]
    else:
        key_types = [draw(st.sampled_from(sorted(KEY_TYPES))) for _ in range(draw(st.sampled_from(key_lengths)))]
    key = [ColumnSpec(name, t, nullable=False) for name, t in zip(called, key_types, strict=False)]
    last = draw(st.integers(max(1, len(key)), len(called)))
    rest = [draw(columns(name, types=types)) for name in called[len(key) : last]]
    return ContainerSchema(kind, (*key, *rest), len(key))


def column_array(column: ColumnSpec, plain: Sequence[Any], nulls: Sequence[bool] | None = None) -> pa.Array:
    """An Arrow array of plain values, NULL where `nulls` says so. The values stay in the buffers, under the NULLs."""
    if column.type in _TIMES:
        numbers = pa.array(plain, pa.list_(pa.int64()) if column.array else pa.int64())
        array = numbers.cast(column.arrow_type)
    else:
        array = pa.array(plain, column.arrow_type)
    if nulls is None or not any(nulls):
        return array
    validity = pa.py_buffer(np.packbits(~np.asarray(nulls, bool), bitorder="little"))
    if column.array:
        buffers = [validity, array.buffers()[1]]
        return pa.Array.from_buffers(array.type, len(array), buffers, children=[array.values])
    return pa.Array.from_buffers(array.type, len(array), [validity, *array.buffers()[1:]])


@st.composite
def batches(
    draw: st.DrawFn,
    schema: ContainerSchema,
    *,
    min_rows: int = 0,
    max_rows: int = 5,
    sliced: bool = True,
    distinct_keys: bool = False,
    long_strings: bool = True,
) -> pa.RecordBatch:
    """Batches of a schema, with NULLs where they may be, cut out of larger ones where `sliced`.

    `distinct_keys`: no two rows have one row key (nothing to do without a row key).
    """
    count = draw(st.integers(min_rows, max_rows))
    before, behind = (draw(st.integers(0, 9)), draw(st.integers(0, 2))) if sliced else (0, 0)
    total = before + count + behind
    keys = _keys(draw, schema, total, distinct=distinct_keys)
    arrays = []
    for index, column in enumerate(schema.columns):
        if index < schema.key_length:
            arrays.append(column_array(column, [key[index] for key in keys]))
            continue
        plain = draw(st.lists(values(column, long_strings=long_strings), min_size=total, max_size=total))
        nulls = draw(st.lists(st.booleans(), min_size=total, max_size=total)) if column.nullable else None
        arrays.append(column_array(column, plain, nulls))
    return pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema).slice(before, count)


def _keys(draw: st.DrawFn, schema: ContainerSchema, total: int, *, distinct: bool) -> list[tuple[Any, ...]]:
    one = st.tuples(*(values(c, long_strings=False) for c in schema.key))
    unique_by: Callable[[Any], Any] | None = (lambda key: key) if distinct and schema.key_length else None
    return draw(st.lists(one, min_size=total, max_size=total, unique_by=unique_by))


@dataclass(frozen=True)
class Sample:
    """A schema and rows for it."""

    schema: ContainerSchema
    batch: pa.RecordBatch


@st.composite
def samples(draw: st.DrawFn, /, **options: Any) -> Sample:
    """Schemas with a batch each; options as `batches` has them."""
    schema = draw(schemas())
    return Sample(schema, draw(batches(schema, **options)))


@st.composite
def runs(draw: st.DrawFn, count: int) -> list[int]:
    """Row numbers that cut `count` rows into one or more runs, empty ones too."""
    return [0, *sorted(draw(st.lists(st.integers(0, count), max_size=4))), count]


def plain_rows(schema: ContainerSchema, batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    """Rows as plain Python values; times as integers in their type's unit. Compare them with `repr`: NaN is NaN."""
    return list(zip(*(_plain(c, a) for c, a in zip(schema.columns, batch.columns, strict=True)), strict=True))


def _plain(column: ColumnSpec, array: pa.Array) -> list[Any]:
    if column.type in _TIMES:
        array = array.cast(pa.list_(pa.int64()) if column.array else pa.int64())
    found: list[Any] = array.to_pylist()
    return found
