"""RecordBatch -> row image: the fixed parts, then the variable area. No loop over rows.

Source: docs/protocol.md, Row image. The variable area is joined by Arrow itself, row by row: for each variable column
a tagged size and the bytes, both as binary columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gridferry.errors import LocalProtocolError
from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.griddb.schema import ColumnSpec, ContainerSchema, GridType
from gridferry.griddb.wire.layout import NANOS_IN_UNIT, RowLayout, row_layout
from gridferry.griddb.wire.octets import Buffer, var_size, var_sizes
from gridferry.griddb.wire.values import check_column


@dataclass(frozen=True)
class EncodedRows:
    """Rows in wire form. `fixed` (n,) structured; `area` the variable bytes; `starts` (n + 1,) where each row's begin.

    `runs` (m + 1,) are the row numbers between which offsets count from zero: one run is one row image.
    """

    fixed: NDArray[np.void]
    area: memoryview
    starts: NDArray[np.int64]
    runs: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.fixed)

    def image(self, run: int = 0) -> list[Buffer]:
        """The row image of one run: its fixed parts and its part of the variable area, not copied."""
        first, last = int(self.runs[run]), int(self.runs[run + 1])
        return self._cut(first, last)

    def _cut(self, first: int, last: int) -> list[Buffer]:
        fixed = self.fixed[first:last].data.cast("B")
        if not len(self.area):
            return [fixed]
        return [fixed, self.area[int(self.starts[first]) : int(self.starts[last])]]

    def image_size(self, run: int = 0) -> int:
        """Bytes of one run's row image."""
        first, last = int(self.runs[run]), int(self.runs[run + 1])
        return (last - first) * self.fixed.dtype.itemsize + int(self.starts[last] - self.starts[first])


def encode_rows(
    schema: ContainerSchema,
    batch: pa.RecordBatch,
    runs: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    row_ids: NDArray[np.int64] | None = None,
    check: bool = True,
) -> EncodedRows:
    """A batch in wire form.

    Args: batch with exactly `schema.arrow_schema`'s types, in order; runs (m + 1,) ascending row numbers from 0 to n
        that cut the batch into m row images (default: one); row_ids (n,) for a server's answer from a COLLECTION;
        check: whether to check values (a server that sends what it stored need not).
    Raises: LocalProtocolError if the batch does not fit the schema; DataError for a value that cannot be stored.
    """
    _check_types(schema, batch)
    if check:
        for column, array in zip(schema.columns, batch.columns, strict=True):
            check_column(column, array)
    layout = row_layout(schema, row_ids=row_ids is not None)
    bounds = _run_bounds(len(batch), runs)
    fixed = np.zeros(len(batch), layout.dtype)
    if row_ids is not None:
        fixed["row_id"] = row_ids
    _fill_nulls(fixed["nulls"], batch)
    for index, column in layout.fixed:
        _fill_fixed(fixed, f"c{index}", column, batch.column(index))
    if not layout.variable:
        return EncodedRows(fixed=fixed, area=memoryview(b""), starts=np.zeros(len(batch) + 1, np.int64), runs=bounds)
    area, starts = _variable_area(layout, batch)
    fixed["offset"] = starts[:-1] - np.repeat(starts[bounds[:-1]], np.diff(bounds))
    return EncodedRows(fixed=fixed, area=area, starts=starts, runs=bounds)


def _run_bounds(count: int, runs: Sequence[int] | NDArray[np.int64] | None) -> NDArray[np.int64]:
    bounds = np.asarray([0, count] if runs is None else runs, np.int64)
    if not len(bounds) or bounds[0] != 0 or bounds[-1] != count or bool((np.diff(bounds) < 0).any()):
        raise LocalProtocolError(f"runs must ascend from 0 to the {count} rows of the batch")
    return bounds


def encode_keys(schema: ContainerSchema, batch: pa.RecordBatch) -> list[bytes]:
    """Each row key in wire form, for statements that name one row.

    Args: batch of the key columns only. Returns: n byte strings: the bare value of a single key, or the one-row image
    of a composite one. One object a row: such statements are one message a row anyhow.
    """
    key = schema.key_schema
    rows = encode_rows(key, batch, np.arange(len(batch) + 1))
    if schema.key_length > 1:
        return [b"".join(rows.image(i)) for i in range(len(batch))]
    if key.columns[0].variable:
        # The variable area holds the count of variable columns (1 byte) before the value's own size.
        return [bytes(rows.area[int(a) + 1 : int(b)]) for a, b in zip(rows.starts[:-1], rows.starts[1:], strict=True)]
    return [value.tobytes() for value in rows.fixed["c0"]]


def encode_key_set(schema: ContainerSchema, batch: pa.RecordBatch) -> list[Buffer]:
    """All row keys of a batch, end to end, as a multi-get's distinct predicate has them (without the count)."""
    sets, _ = encode_key_sets(schema, batch, lambda rows: (rows, np.zeros(1, np.int64)))
    return sets.image(0)


@dataclass(frozen=True)
class KeySets:
    """Row keys in wire form, in runs: each is what one distinct predicate of a multi-get has.

    Of single keys only the bare values are sent, which are end to end in `bare`, key i from `starts[i]` on.
    """

    rows: EncodedRows
    bare: memoryview | None
    starts: NDArray[np.int64]

    def count(self, run: int) -> int:
        """Keys of a run."""
        return int(self.rows.runs[run + 1] - self.rows.runs[run])

    def size(self, run: int) -> int:
        """About the bytes of a run: of single keys some more than are sent."""
        return self.rows.image_size(run)

    def image(self, run: int) -> list[Buffer]:
        """The keys of a run."""
        if self.bare is None:
            return self.rows.image(run)
        first, last = int(self.rows.runs[run]), int(self.rows.runs[run + 1])
        return [self.bare[int(self.starts[first]) : int(self.starts[last])]]


def encode_key_sets(
    schema: ContainerSchema,
    batch: pa.RecordBatch,
    cut: Callable[[EncodedRows], tuple[EncodedRows, NDArray[np.int64]]],
) -> tuple[KeySets, NDArray[np.int64]]:
    """All row keys of a batch, in the runs that `cut` makes of them (see `runs.cut_runs`), and what else it gives."""
    key = schema.key_schema
    rows, belongs = cut(encode_rows(key, batch))
    if schema.key_length > 1:
        return KeySets(rows, None, rows.starts), belongs
    if key.columns[0].variable:
        data = _variable_bytes(key.columns[0], batch.column(0))
        # The variable area has the count of variable columns, 1 byte, before each value.
        return KeySets(
            rows, _cut_octets(_joined([_sizes_of(data), data])), rows.starts - np.arange(len(rows) + 1)
        ), belongs
    values = np.ascontiguousarray(rows.fixed["c0"])
    return KeySets(rows, values.data.cast("B"), np.arange(len(rows) + 1) * values.dtype.itemsize), belongs


def _check_types(schema: ContainerSchema, batch: pa.RecordBatch) -> None:
    if batch.num_columns != len(schema.columns):
        raise LocalProtocolError(f"the batch has {batch.num_columns} columns, the container {len(schema.columns)}")
    for column, have in zip(schema.columns, batch.schema, strict=True):
        if have.type != column.arrow_type and not _same_lists(column, have.type):
            raise LocalProtocolError(
                f'column "{column.name}" ({column.label}) takes Arrow type {column.arrow_type}, not {have.type}'
            )


def _same_lists(column: ColumnSpec, have: pa.DataType) -> bool:
    # The name of a list's element field is no part of what it means.
    return column.array and pa.types.is_list(have) and have.value_type == ARROW_TYPES[column.type]


def _fill_nulls(bits: NDArray[np.uint8], batch: pa.RecordBatch) -> None:
    for index, array in enumerate(batch.columns):
        if array.null_count:
            mask = np.asarray(array.is_null()).astype(np.uint8)
            bits[:, index >> 3] |= mask << np.uint8(index & 7)


def _fill_fixed(fixed: NDArray[np.void], field: str, column: ColumnSpec, array: pa.Array) -> None:
    values = fixed_values(column.type, array)
    if column.type is GridType.TIMESTAMP_NS:
        fixed[field]["units"], fixed[field]["rest"] = np.divmod(values, NANOS_IN_UNIT)
    else:
        fixed[field] = values
    if array.null_count:
        fixed[field][np.asarray(array.is_null())] = np.zeros((), fixed[field].dtype)


def fixed_values(kind: GridType, array: pa.Array) -> NDArray[np.generic]:
    """The values of a fixed-size Arrow array as numpy, (n,); what is under a NULL is undefined."""
    if not len(array):
        return np.empty(0, np.int64)
    data = array.buffers()[1]
    if kind is GridType.BOOL:
        bits = np.frombuffer(data, np.uint8)
        first = array.offset >> 3
        last = (array.offset + len(array) + 7) >> 3
        shift = array.offset & 7
        unpacked: NDArray[np.generic] = np.unpackbits(bits[first:last], bitorder="little")[shift : shift + len(array)]
        return unpacked
    dtype = _ARROW_LAYOUTS[kind]
    return np.frombuffer(data, dtype, count=len(array), offset=array.offset * dtype.itemsize)


_ARROW_LAYOUTS: dict[GridType, np.dtype[np.generic]] = {
    GridType.BYTE: np.dtype("i1"),
    GridType.SHORT: np.dtype("<i2"),
    GridType.INTEGER: np.dtype("<i4"),
    GridType.LONG: np.dtype("<i8"),
    GridType.FLOAT: np.dtype("<f4"),
    GridType.DOUBLE: np.dtype("<f8"),
    GridType.TIMESTAMP_MS: np.dtype("<i8"),
    GridType.TIMESTAMP_US: np.dtype("<i8"),
    GridType.TIMESTAMP_NS: np.dtype("<i8"),
}


def _variable_area(layout: RowLayout, batch: pa.RecordBatch) -> tuple[memoryview, NDArray[np.int64]]:
    count = var_size(len(layout.variable))
    pieces: list[pa.Array] = []
    for index, column in layout.variable:
        data = _variable_bytes(column, batch.column(index))
        pieces += [_sizes_of(data, prefix=count), data]
        count = b""
    joined = _joined(pieces)
    starts = _offsets(joined)
    return _cut_octets(joined), starts - starts[0]


def _joined(pieces: list[pa.Array]) -> pa.Array:
    # 32-bit offsets unless the batch needs more: Arrow refuses to overflow, it never wraps.
    total = sum(int(pc.sum(pc.binary_length(p)).as_py() or 0) for p in pieces)
    form = pa.large_binary() if total >= 1 << 31 else pa.binary()
    return pc.binary_join_element_wise(*(p.cast(form) for p in pieces), pa.scalar(b"", form))


def _variable_bytes(column: ColumnSpec, array: pa.Array) -> pa.Array:
    """What follows a value's size, as a binary array without NULLs."""
    if column.array:
        return _list_bytes(column, array)
    plain = array.cast(pa.binary())
    return pc.fill_null(plain, b"") if plain.null_count else plain


def _sizes_of(data: pa.Array, *, prefix: bytes = b"") -> pa.Array:
    """The tagged sizes of n byte strings as a binary array, each after `prefix`."""
    sizes, offsets = var_sizes(np.diff(_offsets(data)))
    if not prefix:
        return _binary(sizes, offsets)
    n = len(data)
    if len(sizes) == n:
        both = np.empty((n, len(prefix) + 1), np.uint8)
        both[:, :-1] = np.frombuffer(prefix, np.uint8)
        both[:, -1] = sizes
        return _binary(both.reshape(-1), np.arange(n + 1) * (len(prefix) + 1))
    return pc.binary_join_element_wise(pa.scalar(prefix, pa.binary()), _binary(sizes, offsets), pa.scalar(b""))


def _list_bytes(column: ColumnSpec, array: pa.Array) -> pa.Array:
    """Arrays: the tagged count, then the elements; NULL as an empty array."""
    whole = pc.if_else(array.is_null(), pa.scalar([], array.type), array) if array.null_count else array
    bounds = np.frombuffer(whole.buffers()[1], np.int32)[whole.offset : whole.offset + len(whole) + 1].astype(np.int64)
    elements = whole.values.slice(int(bounds[0]), int(bounds[-1] - bounds[0])) if len(whole) else whole.values[:0]
    octets, width = _element_bytes(column.type, elements)
    bounds = bounds - bounds[0]
    data = _binary(octets, bounds * width if isinstance(width, int) else width[bounds])
    counts, count_offsets = var_sizes(np.diff(bounds))
    return pc.binary_join_element_wise(_binary(counts, count_offsets), data, pa.scalar(b""))


def _element_bytes(kind: GridType, elements: pa.Array) -> tuple[NDArray[np.uint8], int | NDArray[np.int64]]:
    """All elements end to end, and either the bytes of each or (m + 1,) where each begins."""
    if kind is not GridType.STRING:
        values = np.ascontiguousarray(fixed_values(kind, elements).astype(_element_dtype(kind), copy=False))
        return values.view(np.uint8), values.dtype.itemsize
    data = elements.cast(pa.binary())
    joined = pc.binary_join_element_wise(_sizes_of(data), data, pa.scalar(b""))
    offsets = _offsets(joined)
    return np.frombuffer(_octets(joined), np.uint8)[int(offsets[0]) : int(offsets[-1])], offsets - offsets[0]


def _element_dtype(kind: GridType) -> np.dtype[np.generic]:
    return np.dtype("u1") if kind is GridType.BOOL else _ARROW_LAYOUTS[kind]


def _binary(octets: NDArray[np.uint8], offsets: NDArray[np.int64]) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(octets))]
    if int(offsets[-1]) >= 1 << 31:
        raise LocalProtocolError("more than 2 GiB of variable data in one batch; put fewer rows at once")
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def _offsets(array: pa.Array) -> NDArray[np.int64]:
    wide = pa.types.is_large_binary(array.type)
    raw = np.frombuffer(array.buffers()[1], np.int64 if wide else np.int32)
    return raw[array.offset : array.offset + len(array) + 1].astype(np.int64)


def _cut_octets(array: pa.Array) -> memoryview:
    bounds = _offsets(array)
    return _octets(array)[int(bounds[0]) : int(bounds[-1])]


def _octets(array: pa.Array) -> memoryview:
    data = array.buffers()[2]
    return memoryview(data if data is not None else b"").cast("B")
