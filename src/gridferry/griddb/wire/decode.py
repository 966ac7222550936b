"""Row image -> RecordBatch. No loop over rows; every offset and size is checked.

Source: docs/protocol.md, Row image. The positions of all values are walked column by column; each variable column is
then gathered by Arrow out of one array of pieces over the variable area, which is not copied before.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.errors import DataError, LocalProtocolError, RemoteProtocolError
from gridferry.griddb.arrow_types import ARROW_TYPES
from gridferry.griddb.schema import ColumnSpec, ContainerSchema, GridType
from gridferry.griddb.wire.layout import FIXED_DTYPES, NANOS_IN_UNIT, RowLayout, row_layout
from gridferry.griddb.wire.octets import Buffer, Reader, read_var_sizes
from gridferry.griddb.wire.statement import MAX_ARRAY_ELEMENTS_ANYWHERE
from gridferry.griddb.wire.values import bad_value, check_column, check_utf8

_MAX_I64 = (1 << 63) - 1


def decode_rows(
    schema: ContainerSchema,
    count: int,
    image: Buffer,
    *,
    row_ids: bool = False,
    check: bool = False,
) -> tuple[pa.RecordBatch, NDArray[np.int64] | None]:
    """The rows of an image that ends with its buffer, and their row ids (n,) where the image has them.

    Args: row_ids: the image is an answer from a COLLECTION; check: check the values too (as a server does).
    Raises: RemoteProtocolError for a malformed image; DataError, with `check`, for a value that may not be stored, and
        always for a TIMESTAMP(9) that Arrow cannot hold.
    """
    layout = row_layout(schema, row_ids=row_ids)
    fixed, area = _split(layout, count, image)
    nulls = [null_mask(fixed, i) for i in range(len(schema.columns))]
    columns: list[pa.Array | None] = [None] * len(schema.columns)
    for index, column in layout.fixed:
        columns[index] = fixed_column(column, fixed[f"c{index}"], nulls[index])
    if layout.variable:
        _variable_columns(layout, fixed, area, nulls, columns)
    batch = pa.RecordBatch.from_arrays(columns, schema=schema.arrow_schema)
    if check:
        for column, array in zip(schema.columns, batch.columns, strict=True):
            check_column(column, array, utf8=False)  # that was checked above, in any case
    return batch, (np.array(fixed["row_id"]) if row_ids else None)


def decode_key(schema: ContainerSchema, source: Reader) -> pa.RecordBatch:
    """One row key, which takes the rest of the message, as a batch of one row over the key columns."""
    return decode_key_set(schema, 1, source.rest())


def decode_key_set(schema: ContainerSchema, count: int, data: Buffer) -> pa.RecordBatch:
    """`count` row keys, end to end, as a batch over the key columns."""
    if schema.key_length == 0:
        raise DataError("the container has no row key")
    key = schema.key_schema
    if schema.key_length > 1:
        return decode_rows(key, count, data, check=True)[0]
    column = key.columns[0]
    if column.variable:
        source = Reader(data)
        values = [source.var_string() for _ in range(count)]
        source.end()
        array = pa.array(values, pa.utf8())
    else:
        dtype = FIXED_DTYPES[column.type]
        if len(data) != count * dtype.itemsize:
            raise RemoteProtocolError(f"{count} row keys of {dtype.itemsize} bytes do not make {len(data)} bytes")
        array = fixed_column(column, np.frombuffer(data, dtype), np.zeros(count, bool))
    check_column(column, array)
    return pa.RecordBatch.from_arrays([array], schema=key.arrow_schema)


def _split(layout: RowLayout, count: int, image: Buffer) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    size = layout.dtype.itemsize
    if count < 0 or count * size > len(image):
        raise RemoteProtocolError(f"{count} rows of {size} fixed bytes do not fit the image of {len(image)} bytes")
    fixed = np.frombuffer(image, layout.dtype, count=count)
    area = np.frombuffer(image, np.uint8, offset=count * size) if len(image) > count * size else np.empty(0, np.uint8)
    if not layout.variable and len(area):
        raise RemoteProtocolError(f"{len(area)} bytes follow rows that have no variable columns")
    return fixed, area


def null_mask(fixed: NDArray[np.void], index: int) -> NDArray[np.bool_]:
    """Which rows (n,) have NULL in column `index`."""
    mask: NDArray[np.bool_] = (fixed["nulls"][:, index >> 3] >> np.uint8(index & 7) & np.uint8(1)).astype(bool)
    return mask


def _validity(nulls: NDArray[np.bool_]) -> pa.Buffer | None:
    return pa.py_buffer(np.packbits(~nulls, bitorder="little")) if nulls.any() else None


def fixed_column(column: ColumnSpec, values: NDArray[np.generic], nulls: NDArray[np.bool_]) -> pa.Array:
    """A column of the fixed part as an array (n,). Raises: DataError for a time that Arrow cannot hold."""
    data: NDArray[np.generic]
    if column.type is GridType.BOOL:
        data = np.packbits(values != 0, bitorder="little")
    elif column.type is GridType.TIMESTAMP_NS:
        data = _nanoseconds(column, values, nulls)
    else:
        # A column of a single row is contiguous as it is, but seldom aligned.
        data = np.require(values, requirements=["C", "A"])
    return pa.Array.from_buffers(column.arrow_type, len(values), [_validity(nulls), pa.py_buffer(data)])


def _nanoseconds(column: ColumnSpec, values: NDArray[np.generic], nulls: NDArray[np.bool_]) -> NDArray[np.int64]:
    units, rest = values["units"], values["rest"]  # type: ignore[call-overload]
    last, last_rest = divmod(_MAX_I64, NANOS_IN_UNIT)
    late = (units < 0) | (units > last) | ((units == last) & (rest > last_rest)) | (rest >= NANOS_IN_UNIT)
    late &= ~nulls
    if late.any():
        raise bad_value(column, int(np.flatnonzero(late)[0]), "is outside 1970 .. 2262, which Arrow's nanoseconds hold")
    nanoseconds: NDArray[np.int64] = np.where(nulls, 0, units * NANOS_IN_UNIT + rest)
    return nanoseconds


def _variable_columns(
    layout: RowLayout,
    fixed: NDArray[np.void],
    area: NDArray[np.uint8],
    nulls: list[NDArray[np.bool_]],
    columns: list[pa.Array | None],
) -> None:
    n, k = len(fixed), len(layout.variable)
    starts = np.ascontiguousarray(fixed["offset"])
    if n:
        starts = starts - starts[0]  # a later page of a result may count on from the one before
    counts, at = read_var_sizes(area, starts)
    if not bool((counts == k).all()):
        raise RemoteProtocolError(f"a row does not have {k} variable columns, as its schema has")
    # Boundaries of the pieces: size, bytes, size, bytes, ... of one row after the other.
    bounds = np.empty((n, 2 * k), np.int64)
    for j in range(k):
        sizes, bounds[:, 2 * j] = read_var_sizes(area, at)
        at = bounds[:, 2 * j] + sizes
        bounds[:, 2 * j + 1] = at
        if n and (int(at.max()) > len(area) or int(sizes.min()) < 0):
            raise RemoteProtocolError("a value reaches beyond the end of the variable area")
    check_gapless(starts, at, len(area))
    pieces = byte_pieces(area, bounds.reshape(-1))
    rows = np.arange(n) * (2 * k)
    for j, (index, column) in enumerate(layout.variable):
        taken = pieces.take(pa.array(rows + (2 * j + 1)))
        columns[index] = variable_column(column, taken, nulls[index])


def check_gapless(starts: NDArray[np.int64], ends: NDArray[np.int64], size: int) -> None:
    """Raises: RemoteProtocolError where the rows' variable parts (n,) do not fill the area of `size` bytes."""
    expected = np.append(starts[1:], size) if len(starts) else starts
    if not bool((ends == expected).all()) or (not len(starts) and size):
        raise RemoteProtocolError("the variable parts of the rows do not follow one another without a gap")


def variable_column(column: ColumnSpec, taken: pa.Array, nulls: NDArray[np.bool_]) -> pa.Array:
    """A column from its byte strings (n,). Raises: RemoteProtocolError, LocalProtocolError, DataError."""
    if column.array:
        return _lists(column, taken, nulls)
    if taken.nbytes >= 1 << 31:
        raise LocalProtocolError(f'more than 2 GiB in column "{column.name}" of one answer; fetch in smaller pages')
    buffers = taken.cast(pa.binary()).buffers()
    array = pa.Array.from_buffers(column.arrow_type, len(taken), [_validity(nulls), buffers[1], buffers[2]])
    if column.type is GridType.STRING:
        check_utf8(column, array)
    return array


def byte_pieces(area: NDArray[np.uint8], ends: NDArray[np.int64]) -> pa.Array:
    """The area, not copied, as m byte strings that end at `ends` (m,), which ascend and lie in it.

    Raises: RemoteProtocolError where they do not: Arrow does not look, and would read and write where it must not.
    """
    edges = np.zeros(len(ends) + 1, np.int64)
    edges[1:] = ends
    if int(edges.max()) > len(area) or bool((edges[1:] < edges[:-1]).any()):
        raise RemoteProtocolError("pieces of an answer overlap, or lie outside it")
    return pa.Array.from_buffers(pa.large_binary(), len(ends), [None, pa.py_buffer(edges), pa.py_buffer(area)])


def _lists(column: ColumnSpec, taken: pa.Array, nulls: NDArray[np.bool_]) -> pa.Array:
    octets = np.frombuffer(taken.buffers()[2] or b"", np.uint8)
    bounds = np.frombuffer(taken.buffers()[1], np.int64)[taken.offset : taken.offset + len(taken) + 1]
    if len(taken) and bool((np.diff(bounds) < 1).any()):
        raise RemoteProtocolError(f'an array in column "{column.name}" has no element count')
    counts, begins = read_var_sizes(octets, bounds[:-1])
    # Before any arithmetic with the counts, which may be as large as 2**62 - 1: an element takes a byte at least.
    if bool((counts > bounds[1:] - begins).any()):
        raise RemoteProtocolError(f'an array in column "{column.name}" counts more elements than it has bytes')
    offsets = np.zeros(len(taken) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    if column.type is GridType.STRING:
        elements = _string_elements(column, octets, counts, begins, bounds[1:])
    else:
        elements = _fixed_elements(column, octets, counts, begins, bounds[1:])
    buffers = [_validity(nulls), pa.py_buffer(offsets.astype(np.int32))]
    array = pa.Array.from_buffers(column.arrow_type, len(taken), buffers, children=[elements])
    if column.type is GridType.STRING:
        check_utf8(column, array)
    return array


def _fixed_elements(
    column: ColumnSpec,
    octets: NDArray[np.uint8],
    counts: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> pa.Array:
    dtype = FIXED_DTYPES[column.type]
    if not bool((ends - begins == counts * dtype.itemsize).all()):
        raise RemoteProtocolError(f'an array in column "{column.name}" does not have the size its count says')
    edges = np.stack((begins, ends), axis=1).reshape(-1)
    gathered = byte_pieces(octets, edges).take(pa.array(np.arange(len(counts)) * 2 + 1)).buffers()[2]
    data: NDArray[np.generic] = np.frombuffer(gathered or b"", dtype, count=int(counts.sum()))
    if column.type is GridType.BOOL:
        data = np.packbits(data != 0, bitorder="little")
    return pa.Array.from_buffers(ARROW_TYPES[column.type], int(counts.sum()), [None, pa.py_buffer(data)])


def _string_elements(
    column: ColumnSpec,
    octets: NDArray[np.uint8],
    counts: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> pa.Array:
    """Walk all arrays at once, one element a step: as many steps as the longest has elements, not as there are rows."""
    total, longest = int(counts.sum()), int(counts.max(initial=0))
    if longest > MAX_ARRAY_ELEMENTS_ANYWHERE:
        raise RemoteProtocolError(
            f'an array in column "{column.name}" has {longest} elements, more than any server takes'
        )
    edges = np.zeros(2 * total, np.int64)
    at, first = begins.copy(), np.cumsum(counts) - counts
    rows = np.arange(len(counts))
    for step in range(longest):
        rows = rows[counts[rows] > step]
        sizes, data = read_var_sizes(octets, at[rows])
        at[rows] = data + sizes
        if bool((at[rows] > ends[rows]).any()):
            raise RemoteProtocolError(f'an element in column "{column.name}" reaches beyond its array')
        edges[2 * (first[rows] + step)] = data
        edges[2 * (first[rows] + step) + 1] = at[rows]
    if not bool((at == ends).all()):
        raise RemoteProtocolError(f'an array in column "{column.name}" does not have the size its count says')
    taken = byte_pieces(octets, edges).take(pa.array(np.arange(total) * 2 + 1)).cast(pa.binary())
    buffers = taken.buffers()
    return pa.Array.from_buffers(pa.utf8(), total, [None, buffers[1], buffers[2]])
